/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/*
 * The power fails after any number of sectors written; of what was not flushed, any sectors may be
 * lost. Whatever was flushed or sealed is there afterwards, and what was not is there or not, but
 * never anything else. Or the device only goes away for a while: then the store goes on. usage:
 * test_store_power [CUTS [FIRST]]
 */
#include <stdio.h>
#include "test/unit/check.h"
#include "test/unit/store_rig.h"

#define SECTORS	  256u
#define DEVICE	  (16u + 64u * 256u)
#define LARGEST	  40
#define POINTS	  6
#define SINCE_MAX 64 /* writes to a sector between flushes that are told apart */

struct point_model {
	char name[16];
	uint64_t content[SECTORS];
	bool sure; /* the seal had returned */
};

static struct point_model points[POINTS];
static unsigned n_points, names;
static uint64_t flushed[SECTORS], now[SECTORS], next_content;
static uint64_t since[SECTORS][SINCE_MAX];
static unsigned n_since[SECTORS];
static const struct point_model *going_to; /* a rollback under way */
static struct store *store;
static bool bad, done;

static void fill_sector(uint8_t *buf, uint64_t content)
{
	for (size_t i = 0; i < SECTOR_SIZE / 8; i++) {
		uint64_t word = content ? content * 0x9e3779b97f4a7c15ull + i : 0;

		memcpy(buf + 8 * i, &word, 8);
	}
}

/* Which content is it? UINT64_MAX: none that was ever written. */
static uint64_t content_of(const uint8_t *buf)
{
	uint8_t want[SECTOR_SIZE];
	uint64_t word, content;

	memcpy(&word, buf, 8);
	content = word * 0xf1de83e19937733dull; /* inverse of the multiplier, modulo 2^64 */
	fill_sector(want, content);
	return memcmp(buf, want, SECTOR_SIZE) == 0 ? content : UINT64_MAX;
}

static void remember(uint64_t sector, uint64_t content)
{
	now[sector] = content;
	if (n_since[sector] < SINCE_MAX)
		since[sector][n_since[sector]++] = content;
}

static void all_stable(void)
{
	memcpy(flushed, now, sizeof(now));
	memset(n_since, 0, sizeof(n_since));
}

/* --- operations; each may meet the end --- */

static int write_some(uint64_t sector, uint64_t n)
{
	static uint8_t buf[LARGEST * SECTOR_SIZE];
	struct block_vec vec = {buf, n * SECTOR_SIZE};
	uint64_t content = ++next_content * LARGEST;

	for (uint64_t i = 0; i < n; i++) {
		fill_sector(buf + i * SECTOR_SIZE, content + i);
		remember(sector + i, content + i);
	}
	return store_write(store, sector, &vec, 1);
}

static int zero_some(uint64_t sector, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		remember(sector + i, 0);
	return store_discard(store, sector, n);
}

static int flush(void)
{
	int err = store_flush(store);

	if (!err)
		all_stable();
	return err;
}

static int seal(void)
{
	struct point_model *p = &points[n_points];
	int err;

	if (n_points == POINTS)
		return 0;
	(void)snprintf(p->name, sizeof(p->name), "p%u", names++);
	memcpy(p->content, now, sizeof(now));
	p->sure = false;
	n_points++;
	err = store_seal(store, p->name);
	if (err)
		return err;
	p->sure = true;
	all_stable();
	return 0;
}

static int go_back(void)
{
	int err;

	if (!n_points)
		return 0;
	going_to = &points[rig_below(n_points)];
	err = store_rollback(store, going_to->name);
	if (err)
		return err;
	memcpy(now, going_to->content, sizeof(now));
	going_to = NULL;
	all_stable();
	return 0;
}

static int operation(void)
{
	uint64_t sector = rig_below(SECTORS), n = 1 + rig_below(rig_below(4) ? 8 : LARGEST);

	if (n > SECTORS - sector)
		n = SECTORS - sector;
	switch (rig_below(24)) {
	case 0:
		return seal();
	case 1:
		return go_back();
	case 2:
	case 3:
		return zero_some(sector, n);
	case 4:
	case 5:
	case 6:
	case 7:
		return flush();
	default:
		return write_some(sector, n);
	}
}

/* --- afterwards --- */

static void read_all(uint64_t content[SECTORS])
{
	static uint8_t buf[SECTORS * SECTOR_SIZE];
	struct block_vec vec = {buf, sizeof(buf)};

	if (!CHECK_EQ(store_read(store, 0, &vec, 1), 0))
		bad = true;
	for (uint64_t i = 0; i < SECTORS; i++)
		content[i] = content_of(buf + i * SECTOR_SIZE);
}

static bool may_be(uint64_t sector, uint64_t content)
{
	if (content == flushed[sector] || n_since[sector] == SINCE_MAX)
		return true;
	for (unsigned i = 0; i < n_since[sector]; i++)
		if (since[sector][i] == content)
			return true;
	return false;
}

static void check_open_state(void)
{
	uint64_t found[SECTORS];

	read_all(found);
	if (going_to && memcmp(found, going_to->content, sizeof(found)) == 0) {
		memcpy(now, found, sizeof(now));
	} else {
		for (uint64_t i = 0; i < SECTORS && !bad; i++)
			if (!CHECK(may_be(i, found[i])))
				bad = true;
		memcpy(now, found, sizeof(now));
	}
	going_to = NULL;
	all_stable();
}

static bool exists(const char *name)
{
	struct store_point p;

	for (unsigned i = 0; store_point(store, i, &p) == 0; i++)
		if (strcmp(p.name, name) == 0)
			return true;
	return false;
}

/* A point whose seal had not returned is there whole, or not at all. */
static void check_points(void)
{
	for (unsigned i = 0; i < n_points && !bad; i++) {
		if (exists(points[i].name)) {
			points[i].sure = true;
			continue;
		}
		if (!CHECK(!points[i].sure))
			bad = true;
		memmove(&points[i], &points[i + 1], (n_points - i - 1) * sizeof(points[0]));
		n_points--;
		i--;
	}
}

static void check_contents(void)
{
	uint64_t found[SECTORS];

	for (unsigned i = 0; i < n_points && !bad; i++) {
		if (!CHECK_EQ(store_rollback(store, points[i].name), 0)) {
			bad = true;
			return;
		}
		read_all(found);
		if (!CHECK(memcmp(found, points[i].content, sizeof(found)) == 0))
			bad = true;
		memcpy(now, found, sizeof(now));
	}
	all_stable();
}

static const struct store_options options = {
	.cache_bytes = 32 * 4096, .memtable_bytes = 4096, .segment_sectors = 256};

static int open_store(void)
{
	char why[160] = "";
	int err = store_open(&rig_dev.dev, &rig_golden.dev, &options, &store, why, sizeof(why));

	if (err && !rig_dev.dead) {
		CHECK_EQ(err, 0);
		printf("open: %s\n", why);
		bad = true;
	}
	return err;
}

/* --- one life: open, work until the power fails --- */

static bool outages; /* the device goes away some times before the power does */
static unsigned came_back;

/* The operation that met it may have been carried out or not. */
static bool comes_back(void)
{
	uint64_t found[SECTORS];

	rig_dev.dead = false;
	rig_dev.cut_after = UINT64_MAX;
	if (going_to) /* the device may be at one point, and the store at another */
		return false;
	if (!CHECK_EQ(store_retry(store), 0)) {
		bad = true;
		return false;
	}
	read_all(found);
	for (uint64_t i = 0; i < SECTORS && !bad; i++)
		bad = !CHECK(may_be(i, found[i]));
	memcpy(now, found, sizeof(now));
	if (n_points && !points[n_points - 1].sure && !exists(points[n_points - 1].name))
		n_points--;
	came_back++;
	rig_dev.cut_after = rig_below(rig_below(4) ? 500 : 3000);
	return !bad;
}

static void life(void *arg)
{
	(void)arg;
	if (open_store() == 0) {
		do
			while (!bad && operation() == 0)
				;
		while (!bad && outages && rig_below(6) && comes_back());
	}
	done = true;
}

static uint64_t shift; /* sectors by which the log goes on */

/* What was flushed is overwritten, by enough pieces for the index to be written meanwhile, and not
 * flushed again. */
static void overwrite(void *arg)
{
	(void)arg;
	if (open_store() == 0) {
		for (uint64_t i = 0; i < SECTORS && !bad; i++)
			bad = write_some(i, 1) != 0;
		if (shift)
			bad |= write_some(0, shift) != 0;
		bad |= flush() != 0;
		for (uint64_t i = 0; i < SECTORS && !bad; i += 2)
			bad = write_some(i, 1) != 0;
		for (unsigned i = 0; i < 2000; i++) /* the background comes to its end */
			fiber_yield();
		rig_dev.cut_after = 0;
		(void)flush(); /* nothing may be left to write */
	}
	done = true;
}

static void look(void *arg)
{
	(void)arg;
	if (open_store() == 0) {
		check_open_state();
		if (!bad)
			check_points();
		if (!bad && rig_below(3) == 0)
			check_contents();
		/* or the power fails again, before the tail's replay has been made good */
		if (!bad && rig_below(2) && !CHECK_EQ(store_close(store), 0))
			bad = true;
	}
	done = true;
}

static void make(void *arg)
{
	struct store_options o = options;

	(void)arg;
	o.seed = rig_seed;
	if (!CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &o, true), 0))
		bad = true;
	done = true;
}

static void run(void (*fn)(void *))
{
	rig_sched = fiber_sched_create(RIG_STACKS, RIG_STACK);
	done = false;
	if (fiber_start(rig_sched, fn, NULL) != 0 || !CHECK(rig_run(&done)))
		bad = true;
}

#define CUTS_PER_STORE 10

static void new_store(uint64_t seed)
{
	rig_seed = seed * 0x9e3779b97f4a7c15ull | 1;
	n_points = names = 0;
	next_content = SECTORS;
	ram_init(&rig_dev, DEVICE, true);
	ram_init(&rig_golden, SECTORS, false);
	for (uint64_t i = 0; i < SECTORS; i++) {
		now[i] = i + 1;
		fill_sector(rig_golden.data + i * SECTOR_SIZE, i + 1);
	}
	all_stable();
	run(make);
}

static uint64_t cuts = 500, first_seed = 1;

/* What a dead store's fibers hold is not freed: as on a machine without power. */
static void power_cuts(void)
{
	for (uint64_t seed = first_seed; seed < first_seed + cuts / CUTS_PER_STORE; seed++) {
		new_store(seed);
		for (unsigned i = 0; i < CUTS_PER_STORE && !bad; i++) {
			rig_dev.dead_status = outages ? -ENODEV : -EIO;
			rig_dev.cut_after = rig_below(rig_below(4) ? 2000 : 12000);
			run(life);
			ram_power_on(&rig_dev);
			if (!bad)
				run(look);
			ram_power_on(&rig_dev);
		}
		ram_free(&rig_dev);
		ram_free(&rig_golden);
		if (bad) {
			printf("FAIL seed %llu\n", (unsigned long long)seed);
			return;
		}
	}
}

static void outages_and_power_cuts(void)
{
	outages = true;
	power_cuts();
	outages = false;
	CHECK(bad || came_back > cuts);
}

static void overwritten_without_a_flush(void)
{
	for (shift = 0; shift < LARGEST && !bad; shift++) {
		new_store(1 + shift);
		rig_dev.cut_after = UINT64_MAX;
		run(overwrite);
		ram_power_on(&rig_dev);
		if (!bad)
			run(look);
		ram_free(&rig_dev);
		ram_free(&rig_golden);
	}
	CHECK(!bad);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0"; /* see power_cuts */
}

int main(int argc, char **argv)
{
	if (argc > 1)
		cuts = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	RUN(overwritten_without_a_flush);
	RUN(power_cuts);
	RUN(outages_and_power_cuts);
	return check_result();
}
