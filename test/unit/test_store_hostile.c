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

static void seal_super(void)
{
	super()->crc = super_checksum(super());
}

/* The whole manifest, which is short enough for one page. */
static struct manifest *manifest(void)
{
	CHECK(super()->manifest_bytes <= PAGE_BYTES - sizeof(struct manifest_piece));
	return (struct manifest *)((struct manifest_piece *)at_sector(super()->manifest) + 1);
}

static struct manifest_point *manifest_points(void)
{
	struct manifest *m = manifest();
	char *p = (char *)(m + 1);

	for (uint32_t i = 0; i < m->n_runs; i++) {
		struct manifest_run r;

		memcpy(&r, p, sizeof(r));
		p += sizeof(r) + r.n_places * sizeof(struct manifest_place);
	}
	return (struct manifest_point *)(void *)p;
}

static struct manifest_segments *manifest_segments(void)
{
	return (struct manifest_segments *)(manifest_points() + manifest()->n_points);
}

static void seal_manifest(void)
{
	struct manifest_piece *p = at_sector(super()->manifest);

	p->bytes = super()->manifest_bytes = manifest()->bytes;
	super()->manifest_crc = crc32c(0, manifest(), manifest()->bytes);
	seal_super();
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

/* --- the manifest --- */

static void own_parent(void)
{
	manifest_points()->parent = manifest_points()->delta;
	seal_manifest();
}

static void circle(void)
{
	manifest_points()[0].parent = manifest_points()[1].delta;
	seal_manifest();
}

static void no_parent(void)
{
	manifest_points()[1].parent = 77;
	seal_manifest();
}

static void open_on_nothing(void)
{
	manifest()->open_parent = 77;
	seal_manifest();
}

static void one_name_twice(void)
{
	memcpy(manifest_points()[1].name, "a", 2);
	seal_manifest();
}

static void one_number_twice(void)
{
	manifest_points()[1].delta = manifest_points()[0].delta;
	seal_manifest();
}

static void numbers_run_out(void)
{
	manifest()->next_delta = OWNER_INDEX;
	seal_manifest();
}

static void overlapping_segments(void)
{
	struct manifest *m = manifest();

	manifest_segments()[m->n_segments++] = (struct manifest_segments){0, SEGMENTS, 1, 0};
	m->bytes += sizeof(struct manifest_segments);
	seal_manifest();
}

static void owned_by_nobody(void)
{
	manifest_segments()->owner = OWNER_FREE;
	seal_manifest();
}

/* Of the first run, the pages in its first segment. */
static struct manifest_place *place(void)
{
	return (struct manifest_place *)((struct manifest_run *)(manifest() + 1) + 1);
}

static void pages_among_data(void)
{
	place()->segment = super()->replay.segment;
	seal_manifest();
}

static void pages_too_many(void)
{
	place()->pages = UINT32_MAX;
	seal_manifest();
}

static void root_outside(void)
{
	((struct manifest_run *)(manifest() + 1))->root = 1ull << 40;
	seal_manifest();
}

static void manifest_outside(void)
{
	super()->manifest = 1ull << 40;
	seal_super();
}

static void manifest_of_4_gib(void)
{
	super()->manifest_bytes = UINT32_MAX;
	seal_super();
}

static void manifest_among_data(void)
{
	uint64_t to = 16 + (uint64_t)super()->replay.segment * SEGMENT + SEGMENT - PAGE_SECTORS;

	memcpy(at_sector(to), at_sector(super()->manifest), PAGE_BYTES);
	super()->manifest = to;
	seal_super();
}

static void manifests(void)
{
	static void (*const forge[])(void) = {
		own_parent,	   circle,
		no_parent,	   open_on_nothing,
		one_name_twice,	   one_number_twice,
		numbers_run_out,   overlapping_segments,
		owned_by_nobody,   pages_among_data,
		pages_too_many,	   root_outside,
		manifest_outside,  manifest_among_data,
		manifest_of_4_gib,
	};

	for (unsigned i = 0; i < sizeof(forge) / sizeof(forge[0]); i++)
		try(forge[i], -EUCLEAN, 0);
}

/* --- superblocks --- */

static void segments_too_small(void)
{
	super()->segment_sectors = 8;
	seal_super();
}

static void tail_at_the_end(void)
{
	super()->replay.offset = SEGMENT;
	seal_super();
}

static void superblocks(void)
{
	try(segments_too_small, -EUCLEAN, 0);
	try(tail_at_the_end, -EUCLEAN, 0);
}

/* --- pages of the index --- */

static void each_leaf(void (*change)(struct page *p))
{
	for (uint64_t i = 16; i < DEVICE; i += PAGE_SECTORS) {
		struct page *p = at_sector(i);

		if (!page_valid(p, i) || p->level)
			continue;
		change(p);
		page_seal(p);
	}
}

static void far_away(struct page *p)
{
	p->extent[0].addr = 1ull << 40;
}

static void over_the_edge(struct page *p)
{
	p->extent[0].addr = 16 + SEGMENT - 1;
	p->extent[0].len = 2;
	p->n = 1;
}

static void behind_the_disk(struct page *p)
{
	p->extent[p->n - 1].start = SECTORS;
}

static void out_of_order(struct page *p)
{
	p->extent[p->n - 1].start = 0;
}

static void of_no_length(struct page *p)
{
	p->extent[0].len = 0;
}

static void forge_far_away(void)
{
	each_leaf(far_away);
}

static void forge_over_the_edge(void)
{
	each_leaf(over_the_edge);
}

static void forge_behind_the_disk(void)
{
	each_leaf(behind_the_disk);
}

static void forge_out_of_order(void)
{
	each_leaf(out_of_order);
}

static void forge_of_no_length(void)
{
	each_leaf(of_no_length);
}

static void pages(void)
{
	try(forge_far_away, 0, -EUCLEAN);
	try(forge_over_the_edge, 0, -EUCLEAN);
	try(forge_behind_the_disk, 0, -EUCLEAN);
	try(forge_out_of_order, 0, -EUCLEAN);
	try(forge_of_no_length, 0, -EUCLEAN);
}

/* --- damaged data --- */

static void merge_both(void *arg)
{
	(void)arg;
	CHECK_EQ(open_with(options.memtable_bytes), 0);
	CHECK_EQ(store_merge(store, "b"), 0);
	CHECK_EQ(store_merge(store, "a"), 0);
	CHECK_EQ(store_close(store), 0);
	done = true;
}

static void compact(void *arg)
{
	struct store_stats st;

	(void)arg;
	CHECK_EQ(open_with(options.memtable_bytes), 0);
	CHECK_EQ(store_compact(store), 0);
	store_stats(store, &st);
	CHECK(st.damaged_segments > 0);
	CHECK_EQ(store_close(store), 0);
	done = true;
}

/* Sectors of the device that are a copy of these bytes, and the last of them. */
static unsigned copies(const void *bytes, uint64_t *where)
{
	unsigned n = 0;

	for (uint64_t i = 16; i < DEVICE; i++) {
		if (memcmp(at_sector(i), bytes, SECTOR_SIZE) != 0)
			continue;
		*where = i;
		n++;
	}
	return n;
}

static void damage_gets_no_new_checksum(void)
{
	uint64_t data[SECTOR_SIZE / 8], where = 0, after = 0;

	memcpy(rig_dev.data, good, (size_t)DEVICE * SECTOR_SIZE);
	run(merge_both);
	for (unsigned i = 0; i < SECTOR_SIZE / 8; i++)
		data[i] = 2; /* the second write, to sector 2 */
	CHECK_EQ(copies(data, &where), 1);
	data[7] ^= 1;
	memcpy(at_sector(where), data, sizeof(data));
	run(compact);
	CHECK_EQ(copies(data, &after), 1);
	CHECK_EQ(after, where);
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
	RUN(superblocks);
	RUN(manifests);
	RUN(pages);
	RUN(damage_gets_no_new_checksum);
	RUN(long_tails);
	ram_free(&rig_dev);
	ram_free(&rig_golden);
	free(good);
	return check_result();
}
