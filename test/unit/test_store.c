/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/*
 * Random operations on a store against a model that remembers each sector's content at each sealed
 * point: usage: test_store [SEEDS [FIRST [OPERATIONS]]].
 */
#include <stdio.h>
#include "test/unit/check.h"
#include "test/unit/store_rig.h"

#define SECTORS 1024u /* of the guest's disk */
#define DEVICE	(16u + 80u * 256u)
#define POINTS	12
#define LARGEST 96 /* sectors of one request */

/* A sector's content is a number that says who wrote it; 0: zeros. */
struct history {
	char name[16];
	uint64_t content[SECTORS];
	int parent; /* -1: golden */
};

static struct history points[POINTS];
static unsigned n_points;
static uint64_t now[SECTORS], next_content, operations = 300;
static int open_parent;
static unsigned names;
static struct store *store;
static bool bad;

static void fill_sector(uint8_t *buf, uint64_t content)
{
	for (size_t i = 0; i < SECTOR_SIZE / 8; i++) {
		uint64_t word = content ? content * 0x9e3779b97f4a7c15ull + i : 0;

		memcpy(buf + 8 * i, &word, 8);
	}
}

static void verify(uint64_t sector, uint64_t n)
{
	static uint8_t buf[SECTORS * SECTOR_SIZE], want[SECTOR_SIZE];
	struct block_vec vec[3] = {{buf, (n + 2) / 3 * SECTOR_SIZE}, {NULL, 0}, {NULL, 0}};
	unsigned n_vec = 1;

	if (n > 3) { /* in three buffers */
		vec[1] = (struct block_vec){buf + vec[0].bytes, SECTOR_SIZE};
		vec[2] = (struct block_vec){buf + vec[0].bytes + SECTOR_SIZE,
					    n * SECTOR_SIZE - vec[0].bytes - SECTOR_SIZE};
		n_vec = 3;
	} else {
		vec[0].bytes = n * SECTOR_SIZE;
	}
	memset(buf, 0xee, n * SECTOR_SIZE);
	if (!CHECK_EQ(store_read(store, sector, vec, n_vec), 0)) {
		bad = true;
		return;
	}
	for (uint64_t i = 0; i < n && !bad; i++) {
		fill_sector(want, now[sector + i]);
		if (!CHECK(memcmp(buf + i * SECTOR_SIZE, want, SECTOR_SIZE) == 0)) {
			printf("sector %llu of seed %llx\n", (unsigned long long)(sector + i),
			       (unsigned long long)rig_seed);
			bad = true;
		}
	}
}

static void one_write(uint64_t sector, uint64_t n)
{
	static uint8_t buf[LARGEST * SECTOR_SIZE];
	struct block_vec vec = {buf, n * SECTOR_SIZE};
	uint64_t content = ++next_content;
	int err;

	for (uint64_t i = 0; i < n; i++)
		fill_sector(buf + i * SECTOR_SIZE, content * LARGEST + i);
	err = store_write(store, sector, &vec, 1);
	if (!CHECK_EQ(err, 0)) {
		bad = true;
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		now[sector + i] = content * LARGEST + i;
}

static void one_zero(uint64_t sector, uint64_t n, bool discard)
{
	int err = discard ? store_discard(store, sector, n) : store_write_zeroes(store, sector, n);

	if (!CHECK_EQ(err, 0))
		bad = true;
	memset(&now[sector], 0, n * sizeof(now[0]));
}

static void seal(void)
{
	struct history *h = &points[n_points];

	if (n_points == POINTS)
		return;
	(void)snprintf(h->name, sizeof(h->name), "p%u", names++);
	if (!CHECK_EQ(store_seal(store, h->name), 0))
		bad = true;
	memcpy(h->content, now, sizeof(now));
	h->parent = open_parent;
	open_parent = (int)n_points++;
}

static void go_back(bool keep)
{
	unsigned i = (unsigned)rig_below(n_points ? n_points : 1);
	char name[16];

	if (!n_points || (keep && n_points == POINTS))
		return;
	if (keep) {
		(void)snprintf(name, sizeof(name), "p%u", names);
		if (!CHECK_EQ(store_branch(store, points[i].name, name), 0))
			bad = true;
		names++;
		memcpy(points[n_points].name, name, sizeof(name));
		memcpy(points[n_points].content, now, sizeof(now));
		points[n_points].parent = open_parent;
		n_points++;
	} else if (!CHECK_EQ(store_rollback(store, points[i].name), 0)) {
		bad = true;
	}
	memcpy(now, points[i].content, sizeof(now));
	open_parent = (int)i;
}

static void merge(void)
{
	unsigned i = (unsigned)rig_below(n_points ? n_points : 1), children = 0;
	int err;

	if (!n_points)
		return;
	children = open_parent == (int)i;
	for (unsigned k = 0; k < n_points; k++)
		children += points[k].parent == (int)i;
	err = store_merge(store, points[i].name);
	if (children > 1) {
		if (!CHECK_EQ(err, -EBUSY))
			bad = true;
		return;
	}
	if (!CHECK_EQ(err, 0))
		bad = true;
	for (unsigned k = 0; k < n_points; k++)
		if (points[k].parent == (int)i)
			points[k].parent = points[i].parent;
	if (open_parent == (int)i)
		open_parent = points[i].parent;
	memmove(&points[i], &points[i + 1], (n_points - i - 1) * sizeof(points[0]));
	n_points--;
	for (unsigned k = 0; k < n_points; k++)
		points[k].parent -= points[k].parent > (int)i;
	open_parent -= open_parent > (int)i;
}

/* --- looking, from outside of the branch --- */

/* The number by which the store knows a point; -1: golden. */
static uint32_t id_of(int i)
{
	struct store_point p;

	for (unsigned n = 0; i >= 0 && store_point(store, n, &p) == 0; n++)
		if (!p.open && strcmp(p.name, points[i].name) == 0)
			return p.id;
	return 0;
}

static void read_point(int i)
{
	static uint8_t buf[SECTORS * SECTOR_SIZE], want[SECTOR_SIZE];
	struct block_vec vec = {buf, sizeof(buf)};

	if (!CHECK_EQ(store_read_point(store, id_of(i), 0, &vec, 1), 0))
		bad = true;
	for (uint64_t s = 0; s < SECTORS && !bad; s++) {
		fill_sector(want, points[i].content[s]);
		if (!CHECK(memcmp(buf + s * SECTOR_SIZE, want, SECTOR_SIZE) == 0))
			bad = true;
	}
}

/* Outside of what is said to differ, two points are the same; what is said to be zeros is. */
static void compare_points(int a, int b)
{
	uint64_t at = 0;
	struct store_stretch d;
	int err;

	while (!(err = store_difference(store, id_of(a), id_of(b), at, &d)) && !bad) {
		for (uint64_t s = at; s < d.sector && !bad; s++)
			if (!CHECK_EQ(points[a].content[s], points[b].content[s]))
				bad = true;
		for (uint64_t s = d.sector; d.zero && s < d.sector + d.n && !bad; s++)
			if (!CHECK_EQ(points[a].content[s], 0))
				bad = true;
		at = d.sector + d.n;
	}
	for (uint64_t s = at; s < SECTORS && !bad; s++)
		if (!CHECK_EQ(points[a].content[s], points[b].content[s]))
			bad = true;
	if (!CHECK(bad || err == -ENOENT))
		bad = true;
}

static void look(void)
{
	if (!n_points)
		return;
	read_point((int)rig_below(n_points));
	compare_points((int)rig_below(n_points), (int)rig_below(n_points));
}

static const struct store_options options = {
	.cache_bytes = 64 * 4096, .memtable_bytes = 4096, .segment_sectors = 256};

static void open_store(void)
{
	if (!CHECK_EQ(rig_open(&options, &store), 0))
		bad = true;
}

static void reopen(void)
{
	if (!CHECK_EQ(store_close(store), 0))
		bad = true;
	if (!bad)
		open_store();
}

static void operation(void)
{
	uint64_t sector = rig_below(SECTORS), n = 1 + rig_below(rig_below(4) ? 16 : LARGEST);

	if (n > SECTORS - sector)
		n = SECTORS - sector;
	switch (rig_below(42)) {
	case 40:
		look();
		break;
	case 41:
		if (rig_below(4) == 0 && !CHECK_EQ(store_compact(store), 0))
			bad = true;
		break;
	case 0:
		seal();
		break;
	case 1:
		go_back(rig_below(2));
		break;
	case 2:
		merge();
		break;
	case 3:
		reopen();
		break;
	case 4:
	case 5:
		one_zero(sector, n, true);
		break;
	case 6:
		one_zero(sector, n, false);
		break;
	case 7:
	case 8:
		if (!CHECK_EQ(store_flush(store), 0))
			bad = true;
		break;
	case 9:
		verify(0, SECTORS);
		break;
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
		verify(sector, n);
		break;
	default:
		one_write(sector, n);
	}
}

static bool done;

static void story(void *arg)
{
	struct store_options o = options;

	(void)arg;
	o.seed = rig_seed;
	if (CHECK_EQ(store_format(&rig_dev.dev, &rig_golden.dev, &o, false), 0))
		open_store();
	for (unsigned i = 0; i < operations && !bad; i++)
		operation();
	for (unsigned i = 0; i < n_points && !bad; i++) {
		if (!CHECK_EQ(store_rollback(store, points[i].name), 0))
			bad = true;
		memcpy(now, points[i].content, sizeof(now));
		if (!bad)
			verify(0, SECTORS);
	}
	if (!bad && !CHECK_EQ(store_close(store), 0))
		bad = true;
	done = true;
}

static void start_over(uint64_t seed)
{
	rig_seed = seed * 0x9e3779b97f4a7c15ull | 1;
	n_points = names = 0;
	next_content = SECTORS;
	open_parent = -1;
	bad = done = false;
	ram_init(&rig_dev, DEVICE, false);
	ram_init(&rig_golden, SECTORS, false);
	for (uint64_t i = 0; i < SECTORS; i++) {
		now[i] = i + 1;
		fill_sector(rig_golden.data + i * SECTOR_SIZE, i + 1);
	}
}

static uint64_t seeds = 100, first_seed = 1;

static void random_histories(void)
{
	for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
		rig_sched = fiber_sched_create(RIG_STACKS, RIG_STACK);
		start_over(seed);
		if (fiber_start(rig_sched, story, NULL) != 0 || !CHECK(rig_run(&done)) || bad) {
			printf("FAIL seed %llu\n", (unsigned long long)seed);
			return;
		}
		ram_free(&rig_dev);
		ram_free(&rig_golden);
		fiber_sched_free(rig_sched);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		operations = strtoull(argv[3], NULL, 10);
	RUN(random_histories);
	return check_result();
}
