// SPDX-License-Identifier: GPL-2.0-or-later
/* build: boot/bzimage.c boot/map.c */
/* Four bytes of extra file size and a file's head: what is taken can be loaded without reaching
 * outside. Then the memory map. */
#include <string.h>
#include "boot/bzimage.h"
#include "boot/map.h"
#include "test/fuzz/fuzz.h"

static void try_kernel(const uint8_t *data, size_t size, uint32_t more)
{
	const char *error = NULL;
	uint64_t file_size = size + (uint64_t)more;
	struct bzimage b;

	if (bzimage_check(data, size, file_size, &b, &error)) {
		REQUIRE(error && strstr(error, ": ") != NULL);
		return;
	}
	REQUIRE(b.setup_size <= BZIMAGE_HEAD_MAX && b.setup_size < file_size);
	REQUIRE(b.payload_size && b.payload_size <= file_size - b.setup_size);
	REQUIRE(b.payload_size <= b.init_size && b.init_size < 1ull << 31);
	REQUIRE(b.alignment >= 4096 && !(b.alignment & (b.alignment - 1)));
	REQUIRE(b.pref_address >= 0x100000 && b.pref_address + b.init_size <= 1ull << 32);
}

static void try_map(const uint8_t *data, size_t size)
{
	enum { N = 64 };
	static struct mem_range map[2 * N];
	size_t n = 0;

	memset(map, 0, sizeof map);
	for (; n < N && size >= 5; n++, data += 5, size -= 5) {
		map[n].base = (uint64_t)(data[0] | data[1] << 8) << 12;
		map[n].size = (uint64_t)(data[2] | (data[3] & 0x0f) << 8) << 12;
		map[n].type = map_type(data[4] & 0x0f, data[4] & 0x10 ? 0 : 0xf);
		map[n].runtime = data[4] >> 7;
	}
	n = map_normalize(map, n);
	for (size_t i = 0; i < n; i++) {
		REQUIRE(map[i].size > 0);
		REQUIRE(!i || map[i - 1].base + map[i - 1].size <= map[i].base);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t more;

	if (size < sizeof more)
		return 0;
	memcpy(&more, data, sizeof more);
	try_kernel(data + sizeof more, size - sizeof more, more);
	try_map(data, size);
	return 0;
}
