/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/gpt.c storage/partition.c storage/dev.c storage/fiber.c */
/* Partition tables with checksums that are right and contents that aren't. */
#include "storage/gpt.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/partition.h"
#include "test/unit/check.h"

#define DISK	2048u
#define ENTRIES 4u

void fiber_overflow(void)
{
	abort();
}

/* UEFI 2.10, tables 5.5 and 5.6. */
struct raw_header {
	char signature[8];
	uint32_t revision, bytes, crc, reserved;
	uint64_t my_lba, alternate_lba, first_usable, last_usable;
	uint8_t guid[16];
	uint64_t entries_lba;
	uint32_t entries, entry_bytes, entries_crc;
	uint8_t rest[420];
} __attribute__((packed));
_Static_assert(sizeof(struct raw_header) == 512, "one sector");

struct raw_entry {
	uint8_t type[16], guid[16];
	uint64_t first, last, attributes;
	uint16_t name[36];
};

static uint32_t crc32(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

static struct raw_header h;
static struct raw_entry entry[ENTRIES];
static struct gpt g;

static void sound(void)
{
	static const uint8_t store[16] = GPT_STORE_TYPE;

	h = (struct raw_header){.signature = "EFI PART",
				.revision = 0x10000,
				.bytes = 92,
				.my_lba = 1,
				.alternate_lba = DISK - 1,
				.first_usable = 34,
				.last_usable = DISK - 34,
				.entries_lba = 2,
				.entries = ENTRIES,
				.entry_bytes = 128};
	memset(entry, 0, sizeof(entry));
	memcpy(entry[0].type, store, sizeof(store));
	entry[0].first = 64;
	entry[0].last = 127;
	entry[0].name[0] = 'a';
	memset(entry[2].type, 1, sizeof(entry[2].type));
	entry[2].first = 128;
	entry[2].last = 1000;
}

static int take(void)
{
	struct gpt_header out;
	int err;

	h.entries_crc = crc32(entry, sizeof(entry));
	h.crc = 0;
	h.crc = crc32(&h, 92);
	err = gpt_check_header(&h, 1, DISK, &out);
	return err ? err : gpt_take(&out, entry, &g);
}

static void a_sound_one_is_taken(void)
{
	sound();
	CHECK_EQ(take(), 0);
	CHECK_EQ(g.n, 2);
	CHECK(g.partition[0].store && g.partition[0].number == 1);
	CHECK_EQ(g.partition[0].sectors, 64);
	CHECK(!g.partition[1].store && g.partition[1].number == 3);
	sound();
	h.entries_lba = DISK - 33; /* as the backup's */
	CHECK_EQ(take(), 0);
}

#define REFUSED(field, value)               \
	do {                                \
		sound();                    \
		(field) = (value);          \
		CHECK_EQ(take(), -EUCLEAN); \
	} while (0)

static void headers_are_refused(void)
{
	REFUSED(h.revision, 0);
	REFUSED(h.bytes, 91);
	REFUSED(h.bytes, 513);
	REFUSED(h.my_lba, 2);
	REFUSED(h.entries, 0);
	REFUSED(h.entries, UINT32_MAX);
	REFUSED(h.entry_bytes, 64);
	REFUSED(h.entry_bytes, 192);
	REFUSED(h.entry_bytes, 1u << 31);
	REFUSED(h.first_usable, 1);
	REFUSED(h.first_usable, DISK);
	REFUSED(h.last_usable, DISK - 1); /* there is the backup's header */
	REFUSED(h.last_usable, UINT64_MAX);
	REFUSED(h.entries_lba, 1);
	REFUSED(h.entries_lba, 34); /* a partition could lie over the table */
	REFUSED(h.entries_lba, DISK);
	REFUSED(h.entries_lba, UINT64_MAX);
	REFUSED(h.first_usable, 2);
	sound();
	h.signature[0] = 'e';
	CHECK_EQ(take(), -ENOENT);
}

static void entries_are_refused(void)
{
	REFUSED(entry[0].first, 33);
	REFUSED(entry[0].first, 128);
	REFUSED(entry[0].first, UINT64_MAX);
	REFUSED(entry[0].last, 128); /* overlaps */
	REFUSED(entry[2].last, DISK);
	REFUSED(entry[2].last, UINT64_MAX);
	REFUSED(entry[2].first, 100);
}

static void overlaps_are_seen(void)
{
	struct blockdev disk = {.sectors = DISK}, other = disk;
	struct partition a, b;

	partition_init(&a, &disk, 100, 100, true);
	partition_init(&b, &disk, 200, 100, false);
	CHECK(!partition_overlap(&a, &b) && !partition_overlap(&b, &a));
	partition_init(&a, &disk, 0, DISK, true);
	CHECK(partition_overlap(&a, &b) && partition_overlap(&b, &a));
	partition_init(&a, &other, 0, DISK, true);
	CHECK(!partition_overlap(&a, &b));
}

int main(void)
{
	RUN(a_sound_one_is_taken);
	RUN(headers_are_refused);
	RUN(entries_are_refused);
	RUN(overlaps_are_seen);
	return check_result();
}
