/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/*
 * What operations cost as a store grows, counted at its device: sealing and opening don't depend on
 * how much has been written, look-ups don't depend on how often it was sealed, and what is
 * rewritten without end fits. Figures go to stdout.
 * usage: test_store_scale [SMALL_MIB LARGE_MIB REWRITTEN_MIB TIMES]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "storage/fiber.h"
#include "storage/store.h"
#include "test/unit/check.h"

#define MIB	    ((uint64_t)1 << 20)
#define STACKS	    8
#define STACK_BYTES (128u * 1024)
#define BLOCK	    65536u /* of one write */
#define PAGE	    4096u

size_t __sanitizer_get_current_allocated_bytes(void); /* the sanitizer's allocator interface */

static uint64_t small_mib = 16, large_mib = 256, rewritten_mib = 16, times = 50;

/* --- a device of which only what is not zero takes memory, and that counts --- */

struct sparse {
	struct blockdev dev;
	uint8_t **page;
	uint64_t reads, read, writes, written, flushes; /* read, written: bytes */
	struct block_request *queue, **end;
};

static struct sparse device, golden;
static struct fiber_sched *sched;
static struct store *store;

void fiber_overflow(void)
{
	abort();
}

static void sparse_submit(struct blockdev *dev, struct block_request *r)
{
	struct sparse *d = (struct sparse *)dev;

	r->next = NULL;
	*d->end = r;
	d->end = &r->next;
}

static void transfer_sector(struct sparse *d, const struct block_request *r, uint64_t sector,
			    void *mem)
{
	static const uint8_t zeros[SECTOR_SIZE];
	uint8_t **page = &d->page[sector * SECTOR_SIZE / PAGE];
	size_t at = sector * SECTOR_SIZE % PAGE;

	if (r->op == BLOCK_READ) {
		memcpy(mem, *page ? *page + at : zeros, SECTOR_SIZE);
		return;
	}
	if (!*page && memcmp(mem, zeros, SECTOR_SIZE) == 0)
		return;
	if (!*page)
		*page = calloc(1, PAGE);
	memcpy(*page + at, mem, SECTOR_SIZE);
}

static void sparse_poll(struct sparse *d)
{
	struct block_request *r = d->queue;
	uint64_t sector;

	if (!r)
		return;
	d->queue = r->next;
	if (!d->queue)
		d->end = &d->queue;
	sector = r->sector;
	for (unsigned i = 0; r->op != BLOCK_FLUSH && i < r->n_vec; i++) {
		for (size_t at = 0; at < r->vec[i].bytes; at += SECTOR_SIZE)
			transfer_sector(d, r, sector++, (char *)r->vec[i].base + at);
		*(r->op == BLOCK_READ ? &d->read : &d->written) += r->vec[i].bytes;
	}
	d->reads += r->op == BLOCK_READ;
	d->writes += r->op == BLOCK_WRITE;
	d->flushes += r->op == BLOCK_FLUSH;
	r->status = 0;
	r->done(r);
}

static void never(struct blockdev *dev)
{
	(void)dev;
}

static const struct blockdev_ops sparse_ops = {"sparse", sparse_submit, never};

static void sparse_init(struct sparse *d, uint64_t bytes)
{
	*d = (struct sparse){.dev = {.ops = &sparse_ops,
				     .sectors = bytes / SECTOR_SIZE,
				     .max_sectors = 2048,
				     .max_vec = 64},
			     .page = calloc(bytes / PAGE, sizeof(uint8_t *))};
	d->end = &d->queue;
}

static void sparse_free(struct sparse *d)
{
	for (uint64_t i = 0; i < d->dev.sectors * SECTOR_SIZE / PAGE; i++)
		free(d->page[i]);
	free(d->page);
}

/* --- fibers --- */

static bool done;
static void (*body)(void);

static void run_body(void *arg)
{
	(void)arg;
	body();
	done = true;
}

/* Runs fn, then whatever it left to the background. */
static void in_fiber(void (*fn)(void))
{
	unsigned idle = 0;

	body = fn;
	done = false;
	if (!CHECK_EQ(fiber_start(sched, run_body, NULL), 0))
		return;
	while (!done || idle < 4) {
		bool busy = fiber_run(sched, 4) || device.queue || golden.queue;

		sparse_poll(&device);
		sparse_poll(&golden);
		idle = busy ? 0 : idle + 1;
	}
}

/* --- the store --- */

static uint64_t state = 88172645463325252ull;

static uint64_t below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void open_store(void)
{
	char why[160] = "";

	if (!CHECK_EQ(store_open(&device.dev, &golden.dev, NULL, &store, why, sizeof(why)), 0))
		printf("%s\n", why);
}

static void make_store(void)
{
	struct store_options o = {.seed = 7};

	CHECK_EQ(store_format(&device.dev, &golden.dev, &o, false), 0);
	open_store();
}

static void close_store(void)
{
	CHECK_EQ(store_close(store), 0);
}

static void set_up(uint64_t device_mib, uint64_t disk_mib)
{
	sched = fiber_sched_create(STACKS, STACK_BYTES);
	sparse_init(&device, device_mib * MIB);
	sparse_init(&golden, disk_mib * MIB);
	in_fiber(make_store);
}

static void tear_down(void)
{
	in_fiber(close_store);
	sparse_free(&device);
	sparse_free(&golden);
	fiber_sched_free(sched);
}

/* A block of zeros; with a stamp, its first words say which it is and when it was written. */
static void write_block(uint64_t block, uint64_t stamp)
{
	static uint64_t buf[BLOCK / 8];
	struct block_vec v = {buf, sizeof(buf)};

	buf[0] = stamp ? block : 0;
	buf[1] = stamp;
	CHECK_EQ(store_write(store, block * (BLOCK / SECTOR_SIZE), &v, 1), 0);
}

static uint64_t blocks_to_write, disk_blocks;

static void write_anywhere(void)
{
	for (uint64_t i = 0; i < blocks_to_write; i++)
		write_block(below(disk_blocks), 0);
	CHECK_EQ(store_flush(store), 0);
}

static void fill(uint64_t mib)
{
	blocks_to_write = mib * MIB / BLOCK;
	in_fiber(write_anywhere);
}

/* --- sealing and opening --- */

struct cost {
	uint64_t seal_ops, seal_bytes, open_reads, open_bytes, open_memory;
};

static struct cost *now;

static void seal_counted(void)
{
	uint64_t ops = device.writes + device.reads + device.flushes;
	uint64_t bytes = device.written + device.read;

	CHECK_EQ(store_seal(store, "sealed"), 0);
	now->seal_ops = device.writes + device.reads + device.flushes - ops;
	now->seal_bytes = device.written + device.read - bytes;
}

static void open_counted(void)
{
	uint64_t reads = device.reads, bytes = device.read;
	uint64_t memory = __sanitizer_get_current_allocated_bytes();

	open_store();
	now->open_reads = device.reads - reads;
	now->open_bytes = device.read - bytes;
	now->open_memory = __sanitizer_get_current_allocated_bytes() - memory;
}

/* A store with that much in it, on a disk twice as large, all of it random writes. */
static struct cost cost_of(uint64_t mib)
{
	struct cost c = {0};

	now = &c;
	set_up(2 * mib + 64, 2 * mib);
	disk_blocks = 2 * mib * MIB / BLOCK;
	fill(mib);
	in_fiber(seal_counted);
	fill(4);
	in_fiber(close_store);
	in_fiber(open_counted);
	tear_down();
	printf("%" PRIu64 " MiB written: seal %" PRIu64 " requests, %" PRIu64
	       " bytes; open %" PRIu64 " requests, %" PRIu64 " bytes, %" PRIu64
	       " bytes of memory\n",
	       mib, c.seal_ops, c.seal_bytes, c.open_reads, c.open_bytes, c.open_memory);
	return c;
}

#define OPEN_MEMORY_MAX (32 * MIB) /* 16 MiB of them the cache */

static void sealing_and_opening_do_not_depend_on_size(void)
{
	struct cost small = cost_of(small_mib), large = cost_of(large_mib);

	CHECK_EQ(small.seal_ops, large.seal_ops);
	CHECK_EQ(small.seal_bytes, large.seal_bytes);
	CHECK(large.seal_ops <= 2); /* the record, and a flush */
	CHECK(large.open_bytes <= small.open_bytes + large_mib * MIB / 4096); /* the manifest */
	CHECK(large.open_memory <= OPEN_MEMORY_MAX);
}

/* --- look-ups --- */

#define LOOKUPS	    2000
#define WRITES	    2400
#define LOOKUP_DISK 64 /* MiB */

static unsigned seals;

static void write_and_seal(void)
{
	for (unsigned i = 0; i < WRITES; i++) {
		char name[16];

		write_block(below(disk_blocks), i);
		if ((i + 1) % (WRITES / seals))
			continue;
		(void)snprintf(name, sizeof(name), "p%u", i);
		CHECK_EQ(store_seal(store, name), 0);
	}
}

static void look_up(void)
{
	static uint8_t buf[PAGE];
	struct block_vec v = {buf, sizeof(buf)};

	for (unsigned i = 0; i < LOOKUPS; i++)
		CHECK_EQ(store_read(store, below(disk_blocks) * (BLOCK / SECTOR_SIZE), &v, 1), 0);
}

/* Device reads for each look-up, in thousandths, by a store that has just been opened. */
static uint64_t reads_per_lookup(unsigned n_seals)
{
	uint64_t reads;

	state = 1234567;
	seals = n_seals;
	disk_blocks = LOOKUP_DISK * MIB / BLOCK;
	set_up(1024, LOOKUP_DISK);
	in_fiber(write_and_seal);
	in_fiber(close_store);
	in_fiber(open_store);
	reads = device.reads;
	in_fiber(look_up);
	reads = (device.reads - reads) * 1000 / LOOKUPS;
	tear_down();
	printf("%u seals: %" PRIu64 ".%03" PRIu64 " reads of the device for a look-up\n", n_seals,
	       reads / 1000, reads % 1000);
	return reads;
}

static void three_hundred_seals_read_as_one(void)
{
	uint64_t one = reads_per_lookup(1), many = reads_per_lookup(300);

	CHECK(many * 100 <= one * 105);
}

/* --- rewriting --- */

static uint32_t *stamps; /* what was written last to each block; 0: nothing */

static void rewrite(void)
{
	for (uint64_t i = 0; i < times * disk_blocks; i++) {
		uint64_t block = below(disk_blocks);

		stamps[block] = (uint32_t)i + 1;
		write_block(block, stamps[block]);
	}
	CHECK_EQ(store_flush(store), 0);
}

static void verify(void)
{
	static uint64_t buf[BLOCK / 8];
	struct block_vec v = {buf, sizeof(buf)};

	for (uint64_t i = 0; i < disk_blocks; i++) {
		CHECK_EQ(store_read(store, i * (BLOCK / SECTOR_SIZE), &v, 1), 0);
		CHECK(!stamps[i] || (buf[0] == i && buf[1] == stamps[i]));
	}
}

/* Four times the space is enough for ever: hidden data make room. */
static void rewriting_fits(void)
{
	set_up(4 * rewritten_mib, rewritten_mib);
	disk_blocks = rewritten_mib * MIB / BLOCK;
	stamps = calloc(disk_blocks, sizeof(*stamps));
	in_fiber(rewrite);
	in_fiber(verify);
	free(stamps);
	printf("%" PRIu64 " MiB rewritten %" PRIu64 " times: %" PRIu64 " MiB to the device\n",
	       rewritten_mib, times, device.written / MIB);
	tear_down();
}

int main(int argc, char **argv)
{
	if (argc == 5) {
		small_mib = strtoull(argv[1], NULL, 10);
		large_mib = strtoull(argv[2], NULL, 10);
		rewritten_mib = strtoull(argv[3], NULL, 10);
		times = strtoull(argv[4], NULL, 10);
	}
	RUN(sealing_and_opening_do_not_depend_on_size);
	RUN(three_hundred_seals_read_as_one);
	RUN(rewriting_fits);
	return check_result();
}
