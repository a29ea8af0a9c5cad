// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/* As many memtables wait to be written as there may be: whoever keeps the background fiber from
 * doing that does it himself, instead of waiting for it. */
#include "storage/store_internal.h"
#include "test/unit/check.h"
#include "test/unit/store_rig.h"

#define SECTORS 2048u /* of the guest's disk */
#define DEVICE	(16u + 64u * 256u)

static const struct store_options options = {
	.cache_bytes = 64 * 4096, .memtable_bytes = 4096, .segment_sectors = 256};
static struct store *store;
static uint64_t discarded; /* every second sector below */
static int (*last_act)(void);
static bool done;

static bool open_it(void)
{
	return CHECK_EQ(rig_open(&options, &store), 0);
}

/* Discards take no room in a window, so that nothing has to wait, and the background fiber does not
 * get to work. */
static void fill_up(void)
{
	for (discarded = 0; store->open.n_mem < MEMTABLES_MAX && discarded < SECTORS;
	     discarded += 2)
		CHECK_EQ(store_discard(store, discarded, 1), 0);
	CHECK_EQ(store->open.n_mem, MEMTABLES_MAX);
}

static void compare(void)
{
	static uint8_t buf[SECTOR_SIZE];
	struct block_vec vec = {buf, sizeof(buf)};
	unsigned wrong = 0;

	for (uint64_t i = 0; i < SECTORS; i++)
		wrong += store_read(store, i, &vec, 1) != 0 ||
			 buf[0] != (i < discarded && i % 2 == 0 ? 0 : 0xa5);
	CHECK_EQ(wrong, 0);
}

static void story(void *arg)
{
	(void)arg;
	CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &options, true), 0);
	if (open_it()) {
		fill_up();
		CHECK_EQ(last_act(), 0);
		compare();
		CHECK_EQ(store_close(store), 0);
	}
	done = true;
}

static void runs(int (*act)(void))
{
	rig_sched = fiber_sched_create(RIG_STACKS, RIG_STACK);
	ram_init(&rig_dev, DEVICE, false);
	ram_init(&rig_golden, SECTORS, false);
	memset(rig_golden.data, 0xa5, (size_t)SECTORS * SECTOR_SIZE);
	last_act = act;
	done = false;
	CHECK_EQ(fiber_start(rig_sched, story, NULL), 0);
	CHECK(rig_run(&done));
	ram_free(&rig_dev);
	ram_free(&rig_golden);
	fiber_sched_free(rig_sched);
}

static int close_and_open(void)
{
	int err = store_close(store);

	return err ? err : open_it() ? 0 : -EIO;
}

static void closing(void)
{
	runs(close_and_open);
}

static int compact(void)
{
	return store_compact(store);
}

static void compacting(void)
{
	runs(compact);
}

static int seal_and_merge(void)
{
	int err = store_seal(store, "point");

	return err ? err : store_merge(store, "point");
}

static void merging(void)
{
	runs(seal_and_merge);
}

int main(void)
{
	RUN(closing);
	RUN(compacting);
	RUN(merging);
	return check_result();
}
