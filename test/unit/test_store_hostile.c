/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/*
 * Stores whose bytes nobody of ours has written, with checksums that are right: each is refused, or
 * its tail cut off. And tails that are longer than what memory holds of them.
 */
#include <stdio.h>
#include "storage/crc32c.h"
#include "storage/store_internal.h"
#include "test/unit/check.h"
#include "test/unit/store_rig.h"

#define SECTORS	 1024u /* of the guest's disk */
#define SEGMENT	 256u
#define SEGMENTS 64u
#define DEVICE	 (16u + SEGMENTS * SEGMENT)

static const struct store_options options = {
	.cache_bytes = 64 * 4096, .memtable_bytes = 1 << 20, .segment_sectors = SEGMENT};
static struct store *store;
static uint8_t *good; /* the device with points "a" and "b" on top of it, closed */
static uint64_t content[SECTORS], next_content;
static bool done;

/* --- the store --- */

static void run(void (*fn)(void *))
{
	rig_sched = fiber_sched_create(RIG_STACKS, RIG_STACK);
	done = false;
	CHECK_EQ(fiber_start(rig_sched, fn, NULL), 0);
	CHECK(rig_run(&done));
	rig_dev.queue = NULL; /* whatever has not been closed is abandoned: the power failed */
	rig_dev.queue_end = &rig_dev.queue;
}

static int open_with(size_t memtable_bytes)
{
	struct store_options o = options;
	char why[160] = "";

	o.memtable_bytes = memtable_bytes;
	return store_open(&rig_dev.dev, &rig_golden.dev, &o, &store, why, sizeof(why));
}

static void put(uint64_t sector)
{
	uint64_t buf[SECTOR_SIZE / 8];
	struct block_vec vec = {buf, sizeof(buf)};

	content[sector] = ++next_content;
	for (unsigned i = 0; i < SECTOR_SIZE / 8; i++)
		buf[i] = next_content;
	CHECK_EQ(store_write(store, sector, &vec, 1), 0);
}

static void verify(void)
{
	uint64_t buf[SECTOR_SIZE / 8];
	struct block_vec vec = {buf, sizeof(buf)};
	unsigned wrong = 0;

	for (uint64_t i = 0; i < SECTORS; i++) {
		memset(buf, 0xee, sizeof(buf));
		if (store_read(store, i, &vec, 1) || buf[0] != content[i] || buf[63] != content[i])
			wrong++;
	}
	CHECK_EQ(wrong, 0);
}

static void make(void *arg)
{
	(void)arg;
	CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &options, true), 0);
	CHECK_EQ(open_with(options.memtable_bytes), 0);
	for (unsigned i = 0; i < 400; i += 2)
		put(i);
	CHECK_EQ(store_seal(store, "a"), 0);
	for (unsigned i = 0; i < 400; i += 3)
		put(i);
	CHECK_EQ(store_seal(store, "b"), 0);
	for (unsigned i = 0; i < 400; i += 5)
		put(i);
	CHECK_EQ(store_close(store), 0);
	done = true;
}

static void begin(void)
{
	memset(content, 0, sizeof(content));
	ram_init(&rig_dev, DEVICE, false);
	ram_init(&rig_golden, SECTORS, false);
	run(make);
	good = malloc((size_t)DEVICE * SECTOR_SIZE);
	memcpy(good, rig_dev.data, (size_t)DEVICE * SECTOR_SIZE);
}

/* --- forging --- */

static void *at_sector(uint64_t sector)
{
	return rig_dev.data + sector * SECTOR_SIZE;
}

static struct superblock *super(void)
{
	struct superblock *a = at_sector(SUPER_SECTOR(0)), *b = at_sector(SUPER_SECTOR(1));

	return a->generation > b->generation ? a : b;
}

/* Where the log goes on. */
static struct record *tail(unsigned offset)
{
	const struct log_position *at = &super()->replay;

	return at_sector(16 + (uint64_t)at->segment * SEGMENT + at->offset + offset);
}

static void seal_record(struct record *r, uint64_t nth)
{
	r->magic = RECORD_MAGIC;
	memcpy(&r->store, super()->uuid, sizeof(r->store));
	r->epoch = super()->epoch;
	r->sequence = super()->replay.sequence + nth;
	r->payload_crc = 0;
	r->crc = record_checksum(r);
}

/* --- what must come of it --- */

static int opened, used;

static void use(void *arg)
{
	(void)arg;
	opened = open_with(options.memtable_bytes);
	used = 0;
	if (!opened) {
		used = store_merge(store, "b");
		if (!used)
			used = store_compact(store);
		if (!used)
			used = store_close(store);
	}
	done = true;
}

static void try(void (*forge)(void), int open_error, int use_error)
{
	memcpy(rig_dev.data, good, (size_t)DEVICE * SECTOR_SIZE);
	forge();
	run(use);
	CHECK_EQ(opened, open_error);
	CHECK_EQ(used, use_error);
}

static void nothing(void)
{
}

static void long_seal(void)
{
	struct record *r = tail(0);

	*r = (struct record){.type = RECORD_SEAL, .payload_sectors = 4000};
	memcpy(r->seal.name, "evil", 5);
	r->seal.next_delta = 9;
	seal_record(r, 0);
}

static void long_next(void)
{
	*tail(0) = (struct record){
		.type = RECORD_NEXT, .payload_sectors = 4000, .next_segment = SEGMENTS - 1};
	seal_record(tail(0), 0);
}

static void many_seals(void)
{
	for (unsigned i = 0; i < 100; i++) {
		struct record *r = tail(i);

		*r = (struct record){.type = RECORD_SEAL};
		(void)snprintf(r->seal.name, sizeof(r->seal.name), "s%u", i);
		r->seal.next_delta = 4 + i;
		seal_record(r, i);
	}
}

static void seal_twice(void)
{
	many_seals();
	memcpy(tail(1)->seal.name, "s0", 3);
	seal_record(tail(1), 1);
}

static void seal_old_delta(void)
{
	many_seals();
	tail(0)->seal.next_delta = 1;
	seal_record(tail(0), 0);
}

static void extents_of_no_length(void)
{
	struct record *r = tail(0);

	*r = (struct record){.type = RECORD_WRITES, .n = 2, .extent = {{5, 0, 1}, {5, 0, 1}}};
	seal_record(r, 0);
}

static void records(void)
{
	try(nothing, 0, 0);
	try(long_seal, 0, 0);
	try(long_next, 0, 0);
	try(many_seals, 0, 0);
	try(seal_twice, -EUCLEAN, 0);
	try(seal_old_delta, -EUCLEAN, 0);
	try(extents_of_no_length, 0, 0);
}

/* --- a tail that is longer than the memtables --- */

static void write_a_lot(void *arg)
{
	(void)arg;
	CHECK_EQ(open_with(1 << 20), 0);
	for (unsigned i = 0; i < 2000; i++)
		put(i * 7 % SECTORS);
	CHECK_EQ(store_flush(store), 0);
	done = true;
}

static void replay_in_little(void *arg)
{
	(void)arg;
	CHECK_EQ(open_with(4096), 0);
	verify();
	CHECK_EQ(store_flush(store), 0);
	done = true;
}

static void replay_and_close(void *arg)
{
	(void)arg;
	CHECK_EQ(open_with(4096), 0);
	verify();
	CHECK_EQ(store_close(store), 0);
	done = true;
}

static void long_tails(void)
{
	memcpy(rig_dev.data, good, (size_t)DEVICE * SECTOR_SIZE);
	run(write_a_lot);
	run(replay_in_little); /* the index grows, but not over the tail */
	run(replay_in_little);
	run(replay_and_close);
	run(replay_and_close);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0"; /* of stores without power */
}

int main(void)
{
	begin();
	RUN(records);
	RUN(long_tails);
	ram_free(&rig_dev);
	ram_free(&rig_golden);
	free(good);
	return check_result();
}
