// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/* A device that fails and comes back: writes go on where they were, and nothing is lost; after a
 * FLUSH that it refused nobody can say so. */
#include "storage/store_format.h"
#include "test/unit/check.h"
#include "test/unit/store_rig.h"

#define SECTORS 2048u /* of the guest's disk */
#define DEVICE	(16u + 64u * 256u)
#define ROUNDS	200u

static const struct store_options options = {
	.cache_bytes = 64 * 4096, .memtable_bytes = 1 << 20, .segment_sectors = 256};
static struct store *store;
static uint8_t content[SECTORS]; /* the first byte of each sector */
static bool done;

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0"; /* of stores without power */
}

static void run(void (*fn)(void *))
{
	rig_sched = fiber_sched_create(RIG_STACKS, RIG_STACK);
	done = false;
	CHECK_EQ(fiber_start(rig_sched, fn, NULL), 0);
	CHECK(rig_run(&done));
}

static bool open_it(void)
{
	return CHECK_EQ(rig_open(&options, &store), 0);
}

static int put(uint64_t sector, unsigned n, uint8_t v)
{
	static uint8_t buf[64 * SECTOR_SIZE];
	struct block_vec vec = {buf, (size_t)n * SECTOR_SIZE};
	int err;

	memset(buf, v, vec.bytes);
	err = store_write(store, sector, &vec, 1);
	for (unsigned i = 0; i < n && !err; i++)
		content[sector + i] = v;
	return err;
}

static void compare(void)
{
	static uint8_t buf[SECTOR_SIZE];
	struct block_vec vec = {buf, sizeof(buf)};
	unsigned wrong = 0;

	for (uint64_t i = 0; i < SECTORS; i++)
		wrong += store_read(store, i, &vec, 1) != 0 || buf[0] != content[i] ||
			 buf[511] != content[i];
	CHECK_EQ(wrong, 0);
}

/* Writes until something fails, then as often as it does once more with a device that works. */
static void goes_on(void *arg)
{
	unsigned failures = 0;

	(void)arg;
	CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &options, true), 0);
	(void)open_it();
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t sector = rig_below(SECTORS - 64);
		unsigned n = 1 + (unsigned)rig_below(64);
		uint8_t v = (uint8_t)(1 + rig_below(255));
		int err;

		if (rig_below(4) == 0)
			rig_dev.cut_after = rig_below(80);
		err = put(sector, n, v);
		if (!err && rig_below(3) == 0)
			err = store_flush(store);
		if (!err)
			continue;
		failures++;
		CHECK(put(0, 1, 1) < 0); /* until it is tried again */
		rig_dev.dead = false;
		rig_dev.cut_after = UINT64_MAX;
		if (!CHECK_EQ(store_retry(store), 0))
			break;
		CHECK_EQ(put(sector, n, v), 0);
		CHECK_EQ(store_flush(store), 0);
	}
	rig_dev.dead = false;
	rig_dev.cut_after = UINT64_MAX;
	CHECK(failures > 10);
	(void)store_retry(store);
	CHECK_EQ(store_flush(store), 0);
	compare();
	done = true;
}

static void is_there(void *arg)
{
	(void)arg;
	if (open_it()) {
		compare();
		CHECK_EQ(store_close(store), 0);
	}
	done = true;
}

static void writes_go_on_where_they_were(void)
{
	memset(content, 0, sizeof(content));
	ram_init(&rig_dev, DEVICE, true);
	ram_init(&rig_golden, SECTORS, false);
	run(goes_on);
	ram_power_on(&rig_dev); /* what was flushed is there */
	run(is_there);
	ram_free(&rig_dev);
	ram_free(&rig_golden);
}

static void refuses_a_flush(void *arg)
{
	(void)arg;
	CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &options, true), 0);
	open_it();
	CHECK_EQ(put(1, 40, 7), 0);
	rig_dev.flush_fails = true;
	CHECK_EQ(store_flush(store), -EIO);
	rig_dev.flush_fails = false;
	CHECK_EQ(store_retry(store), -EIO);
	CHECK_EQ(put(1, 1, 8), -EIO);
	done = true;
}

static void after_a_refused_flush_nothing_is_written(void)
{
	ram_init(&rig_dev, DEVICE, true);
	ram_init(&rig_golden, SECTORS, false);
	run(refuses_a_flush);
	ram_free(&rig_dev);
	ram_free(&rig_golden);
}

/* A superblock is torn, and after the device has come back the next one, too. */
static void loses_superblocks(void *arg)
{
	(void)arg;
	CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &options, true), 0);
	(void)open_it();
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(put(10 * i, 8, 5), 0);
		CHECK_EQ(store_flush(store), 0);
		rig_dev.torn = SUPER_SECTOR(SUPER_COPIES);
		CHECK_EQ(store_compact(store), -ENODEV);
		rig_dev.torn = 0;
		rig_dev.dead = false;
		CHECK_EQ(store_retry(store), 0);
	}
	done = true;
}

static void one_superblock_is_always_whole(void)
{
	memset(content, 0, sizeof(content));
	ram_init(&rig_dev, DEVICE, true);
	ram_init(&rig_golden, SECTORS, false);
	rig_dev.dead_status = -ENODEV;
	run(loses_superblocks);
	ram_power_on(&rig_dev);
	run(is_there);
	ram_free(&rig_dev);
	ram_free(&rig_golden);
}

int main(void)
{
	RUN(writes_go_on_where_they_were);
	RUN(after_a_refused_flush_nothing_is_written);
	RUN(one_superblock_is_always_whole);
	return check_result();
}
