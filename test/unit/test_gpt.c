// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/gpt.c storage/dev.c storage/fiber.c */
/* Partition tables that are sound, damaged, and forged. */
#include "test/unit/check.h"
#include <errno.h>
#include <stdlib.h>
#include "storage/fiber.h"
#include "storage/gpt.h"

#define SECTORS 4096u
#define ENTRIES 128u
#define LAST	(SECTORS - 34)

static uint8_t disk[SECTORS][SECTOR_SIZE];

__attribute__((noreturn)) void fiber_overflow(void)
{
	abort();
}

/* By the table's definition, not by the code under test. */
static uint32_t crc(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--)
		for (int bit = (int)(c ^= *p++, 0); bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
	return ~c;
}

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		*p++ = (uint8_t)v;
		v >>= 8;
	}
}

static uint8_t *entry(unsigned i, bool backup)
{
	return disk[backup ? SECTORS - 33 : 2] + i * 128ul;
}

static void seal(bool backup)
{
	uint8_t *h = disk[backup ? SECTORS - 1 : 1];

	put(h + 88, crc(entry(0, backup), ENTRIES * 128), 4);
	put(h + 16, 0, 4);
	put(h + 16, crc(h, 92), 4);
}

static void put_entry(unsigned i, uint64_t first, uint64_t last, const char *name, bool store)
{
	static const uint8_t type[16] = GPT_STORE_TYPE;

	for (int backup = 0; backup < 2; backup++) {
		uint8_t *e = entry(i, backup);

		memset(e, 0, 128);
		if (store)
			memcpy(e, type, 16);
		else
			e[0] = 1;
		put(e + 32, first, 8);
		put(e + 40, last, 8);
		for (unsigned k = 0; name[k]; k++)
			e[56 + 2 * k] = (uint8_t)name[k];
	}
}

static void setup(void)
{
	memset(disk, 0, sizeof(disk));
	for (int backup = 0; backup < 2; backup++) {
		uint8_t *h = disk[backup ? SECTORS - 1 : 1];

		memcpy(h, "EFI PART", 8);
		put(h + 8, 0x10000, 4);
		put(h + 12, 92, 4);
		put(h + 24, backup ? SECTORS - 1 : 1, 8);
		put(h + 32, backup ? 1 : SECTORS - 1, 8);
		put(h + 40, 34, 8);
		put(h + 48, LAST, 8);
		put(h + 72, backup ? SECTORS - 33 : 2, 8);
		put(h + 80, ENTRIES, 4);
		put(h + 84, 128, 4);
	}
	put_entry(0, 100, 199, "golden", false);
	put_entry(4, 200, LAST, "deltas", true);
	seal(false);
	seal(true);
}

/* --- the disk --- */

static void submit(struct blockdev *d, struct block_request *r)
{
	if (r->op == BLOCK_FLUSH) {
		r->status = 0;
	} else if (r->sector >= d->sectors ||
		   r->vec->bytes / SECTOR_SIZE > d->sectors - r->sector) {
		r->status = -ERANGE;
	} else if (r->op == BLOCK_WRITE) {
		memcpy(disk[r->sector], r->vec->base, r->vec->bytes);
		r->status = 0;
	} else if (r->op == BLOCK_READ) {
		memcpy(r->vec->base, disk[r->sector], r->vec->bytes);
		r->status = 0;
	}
	r->done(r);
}

static const struct blockdev_ops ops = {.name = "test", .submit = submit};
static struct blockdev dev = {.ops = &ops, .sectors = SECTORS, .max_sectors = 64, .max_vec = 1};
static struct gpt g;
static bool backup;
static int result;

static void fiber(void *arg)
{
	(void)arg;
	result = gpt_read(&dev, &g, &backup);
}

static int read_it(void)
{
	struct fiber_sched *s = fiber_sched_create(1, 64 * 1024);

	result = 1;
	CHECK(s && fiber_start(s, fiber, NULL) == 0);
	while (fiber_run(s, 1))
		;
	fiber_sched_free(s);
	return result;
}

static void a_sound_table_is_taken(void)
{
	setup();
	CHECK_EQ(read_it(), 0);
	CHECK(!backup);
	CHECK_EQ(g.n, 2);
	CHECK_EQ(g.partition[0].number, 1);
	CHECK_EQ(g.partition[0].first, 100);
	CHECK_EQ(g.partition[0].sectors, 100);
	CHECK_STR(g.partition[0].name, "golden");
	CHECK(!g.partition[0].store);
	CHECK_EQ(g.partition[1].number, 5);
	CHECK(g.partition[1].store);
}

static void the_backup_stands_in(void)
{
	setup();
	disk[1][60] ^= 1;
	CHECK_EQ(read_it(), 0);
	CHECK(backup);
	CHECK_EQ(g.n, 2);
	setup();
	entry(4, false)[0] ^= 1; /* the entries' checksum */
	CHECK_EQ(read_it(), 0);
	CHECK(backup);
	memset(disk[1], 0, SECTOR_SIZE); /* wiped */
	CHECK_EQ(read_it(), 0);
	disk[SECTORS - 1][60] ^= 1;
	CHECK_EQ((uint64_t)read_it(), (uint64_t)-EUCLEAN);
}

static void no_table_is_none(void)
{
	memset(disk, 0, sizeof(disk));
	CHECK_EQ((uint64_t)read_it(), (uint64_t)-ENOENT);
	dev.sectors = 1;
	CHECK_EQ((uint64_t)read_it(), (uint64_t)-ENOENT);
	dev.sectors = SECTORS;
}

/* Both copies say it, with checksums that are right. */
static void expect_refused(void)
{
	seal(false);
	seal(true);
	CHECK_EQ((uint64_t)read_it(), (uint64_t)-EUCLEAN);
}

static void partitions_that_can_not_be_are_refused(void)
{
	static const uint64_t bad[][2] = {
		{150, 160},	  /* inside another */
		{50, 100},	  /* its first sector */
		{33, 40},	  /* in the table */
		{60, LAST + 1},	  /* in the backup */
		{70, 60},	  /* backwards */
		{60, UINT64_MAX}, /* its length overflows */
		{0, UINT64_MAX},  {UINT64_MAX, UINT64_MAX},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setup();
		put_entry(7, bad[i][0], bad[i][1], "x", true);
		expect_refused();
	}
}

static void headers_that_can_not_be_are_refused(void)
{
	static const struct {
		unsigned at, bytes;
		uint64_t v;
	} bad[] = {
		{12, 4, 91},  {12, 4, 513},	   {12, 4, UINT32_MAX},	 {24, 8, 7},
		{40, 8, 0},   {40, 8, LAST + 1},   {48, 8, SECTORS},	 {48, 8, UINT64_MAX},
		{72, 8, 1},   {72, 8, SECTORS},	   {72, 8, SECTORS - 1}, {72, 8, UINT64_MAX},
		{80, 4, 0},   {80, 4, UINT32_MAX}, {80, 4, 513},	 {84, 4, 0},
		{84, 4, 127}, {84, 4, 192},	   {84, 4, 1u << 31},	 {8, 4, 0},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setup();
		for (int b = 0; b < 2; b++) {
			uint8_t *h = disk[b ? SECTORS - 1 : 1];
			uint32_t n;

			put(h + bad[i].at, bad[i].v, bad[i].bytes);
			put(h + 16, 0, 4);
			memcpy(&n, h + 12, 4);
			put(h + 16, crc(h, n <= 512 ? n : 92), 4);
		}
		CHECK_EQ((uint64_t)read_it(), (uint64_t)-EUCLEAN);
	}
}

static void more_partitions_than_there_is_room_for(void)
{
	setup();
	for (unsigned i = 0; i < ENTRIES; i++)
		put_entry(i, 40 + i, 40 + i, "x", false);
	seal(false);
	CHECK_EQ(read_it(), 0);
	CHECK_EQ(g.n, GPT_PARTITIONS_MAX);
}

/* --- a new one --- */

static void make_fiber(void *arg)
{
	(void)arg;
	result = gpt_make_store(&dev, 42);
}

static int make_it(void)
{
	struct fiber_sched *s = fiber_sched_create(1, 64 * 1024);

	result = 1;
	CHECK(s && fiber_start(s, make_fiber, NULL) == 0);
	while (fiber_run(s, 1))
		;
	fiber_sched_free(s);
	return result;
}

static void an_empty_disk_gets_one_partition(void)
{
	memset(disk, 0, sizeof(disk));
	dev.sectors = SECTORS;
	CHECK_EQ(make_it(), 0);
	CHECK_EQ(read_it(), 0);
	CHECK(!backup);
	CHECK_EQ(g.n, 1);
	CHECK(g.partition[0].store && g.partition[0].number == 1);
	CHECK_STR(g.partition[0].name, "stasis-store");
	CHECK_EQ(g.partition[0].first, 2048);
	CHECK_EQ(g.partition[0].first + g.partition[0].sectors, LAST + 1);
	CHECK(disk[0][510] == 0x55 && disk[0][511] == 0xaa && disk[0][450] == 0xee);
	memset(disk[1], 0, SECTOR_SIZE);
	CHECK_EQ(read_it(), 0);
	CHECK(backup);
}

/* One byte anywhere where a table would come to lie. */
static void a_disk_with_anything_on_it_is_left_alone(void)
{
	static const unsigned at[] = {0, 1, 128, 2047, SECTORS - 2048, SECTORS - 1};

	for (unsigned i = 0; i < sizeof(at) / sizeof(*at); i++) {
		static uint8_t before[SECTORS][SECTOR_SIZE];

		memset(disk, 0, sizeof(disk));
		disk[at[i]][511] = 1;
		memcpy(before, disk, sizeof(disk));
		CHECK_EQ((uint64_t)make_it(), (uint64_t)-EEXIST);
		CHECK(memcmp(before, disk, sizeof(disk)) == 0);
	}
	memset(disk, 0, sizeof(disk));
	dev.sectors = 4095;
	CHECK_EQ((uint64_t)make_it(), (uint64_t)-EINVAL);
	dev.sectors = SECTORS;
}

int main(void)
{
	RUN(a_sound_table_is_taken);
	RUN(the_backup_stands_in);
	RUN(no_table_is_none);
	RUN(partitions_that_can_not_be_are_refused);
	RUN(headers_that_can_not_be_are_refused);
	RUN(more_partitions_than_there_is_room_for);
	RUN(an_empty_disk_gets_one_partition);
	RUN(a_disk_with_anything_on_it_is_left_alone);
	return check_result();
}
