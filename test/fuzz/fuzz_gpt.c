// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/gpt.c storage/dev.c storage/fiber.c */
/* Any bytes as a partition table: what is taken lies on the disk and overlaps nothing. */
#include <stdlib.h>
#include <string.h>
#include "storage/fiber.h"
#include "storage/gpt.h"

#define DISK_SECTORS 4096u
#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((noreturn)) void fiber_overflow(void)
{
	abort();
}

static uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int i = 0; i < 8; i++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
	}
	return ~c;
}

static void check_partitions(const struct gpt *g)
{
	CHECK(g->n <= GPT_PARTITIONS_MAX);
	for (unsigned i = 0; i < g->n; i++) {
		const struct gpt_partition *p = &g->partition[i];

		CHECK(p->first > 1 && p->sectors && p->first < DISK_SECTORS &&
		      p->sectors <= DISK_SECTORS - p->first);
		CHECK(strlen(p->name) <= GPT_NAME_MAX);
		for (unsigned k = 0; k < i; k++)
			CHECK(p->first >= g->partition[k].first + g->partition[k].sectors ||
			      g->partition[k].first >= p->first + p->sectors);
	}
}

/* The checksums are made right: a fuzzer does not find them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gpt g;
	uint8_t header[SECTOR_SIZE] = {0}, *entries = calloc(1, GPT_ENTRIES_BYTES);
	size_t head = size < 92 ? size : 92;
	struct gpt_header h;
	uint32_t bytes, sum;

	memcpy(header, data, head);
	memcpy(header, "EFI PART", 8);
	memcpy(entries, data + head,
	       size - head < GPT_ENTRIES_BYTES ? size - head : GPT_ENTRIES_BYTES);
	memset(header + 16, 0, 4);
	memcpy(&bytes, header + 12, 4);
	sum = crc32(header, bytes <= SECTOR_SIZE ? bytes : SECTOR_SIZE);
	memcpy(header + 16, &sum, 4);
	if (gpt_check_header(header, 1, DISK_SECTORS, &h) == 0) {
		CHECK((uint64_t)h.entries * h.entry_bytes <= GPT_ENTRIES_BYTES);
		h.entries_crc = crc32(entries, (size_t)h.entries * h.entry_bytes);
		if (gpt_take(&h, entries, &g) == 0)
			check_partitions(&g);
	}
	free(entries);
	return 0;
}
