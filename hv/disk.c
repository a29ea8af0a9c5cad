// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/disk.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/disk_memory.h"
#include "hv/disk_place.h"
#include "hv/drives.h"
#include "hv/fmt.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/ramdisk.h"
#include "hv/vblk.h"
#include "hv/vcpu.h"
#include "net/ctlnet.h"
#include "storage/fiber.h"

#define SLICE_US     20
#define CHUNK_BYTES  16384u /* between two looks at the clock */
#define OTHER_FIBERS 4	    /* the store's own, and a command's */
#define STACK_BYTES  16384u
#define HEAP_MIN     (4ull << 20)
#define HEAP_MAX     (24ull << 20)

static struct ramdisk golden_ram, room_ram;
static struct partition golden_part, store_part;
static struct blockdev *golden, *room; /* NULL: there is none that can be used */
static struct store_options options;
static char no_disk[240]; /* why the guest has none, although one is configured */
static struct fiber_sched *sched;
static struct store *store;
static uint64_t due = UINT64_MAX; /* atomic */
static unsigned working;	  /* requests in fibers */
static bool stopping;
static bool remote;	/* an image or a store is a server's: the network's work is the disk's */
static bool exchanging; /* a driver that comes now waits for its first answer */

__attribute__((noreturn)) void fiber_overflow(void)
{
	panic("a fiber's stack is too small");
}

/* --- requests --- */

static int transfer_chunk(struct disk_request *r, uint64_t offset, void *buf, size_t n)
{
	struct block_vec vec = {buf, n};
	uint64_t sector = r->sector + offset / SECTOR_SIZE;
	int err;

	if (r->op == DISK_WRITE)
		return r->copy(r, offset, buf, n) ? store_write(store, sector, &vec, 1)
						  : -ECANCELED;
	err = store_read(store, sector, &vec, 1);
	if (err)
		return err;
	return r->copy(r, offset, buf, n) ? 0 : -ECANCELED;
}

static int transfer(struct disk_request *r)
{
	uint64_t bytes = r->sectors * SECTOR_SIZE;
	char *buf = malloc(CHUNK_BYTES);
	int err = buf ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && !err; at += CHUNK_BYTES) {
		size_t n = bytes - at < CHUNK_BYTES ? (size_t)(bytes - at) : CHUNK_BYTES;

		if (at)
			fiber_yield();
		err = stopping ? -EINTR : transfer_chunk(r, at, buf, n);
	}
	free(buf);
	return err;
}

static int carry_out(struct disk_request *r)
{
	if (stopping)
		return -EINTR;
	switch (r->op) {
	case DISK_FLUSH:
		return store_flush(store);
	case DISK_DISCARD:
		return store_discard(store, r->sector, r->sectors);
	case DISK_ZEROES:
		return store_write_zeroes(store, r->sector, r->sectors);
	default:
		return transfer(r);
	}
}

static void request_fiber(void *arg)
{
	struct disk_request *r = arg;
	int err = carry_out(r);

	working--;
	r->done(r, err);
}

void disk_submit(struct disk_request *r)
{
	int err = fiber_start(sched, request_fiber, r);

	ASSERT(err == 0); /* there is a stack for each of DISK_REQUESTS */
	working++;
}

/* --- slices --- */

/* Some work; false: there is none left. */
static bool step(void)
{
	bool more = fiber_run(sched, 1);

	more |= ramdisk_poll(&room_ram);
	more |= ramdisk_poll(&golden_ram);
	return more || drives_poll();
}

/* For those who wait for the disk while nobody else does the network's work. */
static bool step_alone(void)
{
	bool more = step();

	if (remote) {
		ctlnet_poll();
		irq_window();
	}
	return more;
}

uint64_t disk_due(void)
{
	return __atomic_load_n(&due, __ATOMIC_ACQUIRE);
}

void disk_wake(void)
{
	__atomic_store_n(&due, 0, __ATOMIC_RELEASE);
	vcpu_request(vcpu_get(0), VCPU_REQ_DEADLINE);
}

/* For an interrupt that gets lost; not if somebody has asked for work meanwhile. */
static void look_again(void)
{
	uint64_t nothing = UINT64_MAX, then = drives_due();

	(void)__atomic_compare_exchange_n(&due, &nothing, then, false, __ATOMIC_RELEASE,
					  __ATOMIC_RELAXED);
}

void disk_work(bool guest_runs)
{
	uint64_t begin = rdtsc(), spent, slice = tsc_hz() / 1000000 * SLICE_US;
	bool more = true;

	__atomic_store_n(&due, UINT64_MAX, __ATOMIC_SEQ_CST);
	if (store && !exchanging)
		vblk_poll();
	do {
		more = step();
		spent = rdtsc() - begin;
	} while (more && spent < slice);
	this_cpu()->stolen += spent;
	if (more) /* the guest gets as much, if it has a use for it */
		__atomic_store_n(&due, guest_runs ? begin + 2 * spent : 0, __ATOMIC_RELEASE);
	else
		look_again();
}

void disk_stop(void)
{
	stopping = true;
	while (working)
		(void)step_alone();
}

void disk_go(void)
{
	stopping = false;
}

/* --- commands --- */

struct job {
	int (*fn)(struct store *s, void *arg);
	void *arg;
	int result;
	bool done;
};

static void job_fiber(void *arg)
{
	struct job *j = arg;

	j->result = j->fn(store, j->arg);
	j->done = true;
}

int disk_do(int (*fn)(struct store *s, void *arg), void *arg)
{
	struct job j = {.fn = fn, .arg = arg};

	if (fiber_start(sched, job_fiber, &j) != 0)
		return -EAGAIN;
	while (!j.done) {
		(void)step_alone();
		command_pause();
	}
	return j.result;
}

int disk_exchange(int (*fn)(struct store *s, void *arg), void *arg)
{
	int err;

	if (vblk_driven())
		return -ETXTBSY;
	exchanging = true;
	err = disk_do(fn, arg);
	exchanging = false;
	disk_wake();
	return err;
}

bool disk_present(void)
{
	return store;
}

bool disk_in_use(void)
{
	return vblk_driven();
}

/* --- boot --- */

static bool on_drives(const struct disk_place *p)
{
	return disk_place_given(p) && !p->ip;
}

/* Connects to the servers; false: one of them is away. */
static bool find_servers(const struct handoff *h)
{
	remote = h->golden_place.ip || h->store_place.ip;
	return (!h->golden_place.ip || disk_place_remote(&h->golden_place, &golden_part, true,
							 no_disk, sizeof(no_disk)) == 0) &&
	       (!h->store_place.ip || disk_place_remote(&h->store_place, &store_part, false,
							no_disk, sizeof(no_disk)) == 0);
}

static int find_places(const struct handoff *h)
{
	int err = 0;

	if (on_drives(&h->golden_place))
		err = disk_place_golden(&h->golden_place, &golden_part, no_disk, sizeof(no_disk));
	if (err)
		return err;
	golden = h->disk_golden ? &golden_ram.dev : &golden_part.dev;
	if (on_drives(&h->store_place))
		err = disk_place_store(&h->store_place, &store_part, no_disk, sizeof(no_disk));
	if (!err && disk_place_given(&h->golden_place) && disk_place_given(&h->store_place) &&
	    partition_overlap(&golden_part, &store_part)) {
		fmt(no_disk, sizeof(no_disk),
		    "golden= and store= mean the same sectors: what is written to the store would "
		    "change the golden image");
		return -EINVAL;
	}
	if (!err)
		room = disk_place_given(&h->store_place) ? &store_part.dev : &room_ram.dev;
	return err;
}

/* Memory holds nothing worth keeping; on a disk, only a partition that is empty gets a store. */
static int format_if_new(void)
{
	int err = store_format(room, golden, &options, room == &room_ram.dev);

	if (!err && room != &room_ram.dev)
		log_info("disk: the store's partition was empty: it has been formatted");
	if (err && err != -EEXIST)
		fmt(no_disk, sizeof(no_disk), "no store can be made (%d): %s", err,
		    err == -EINVAL ? "give it more room" : "see disk status");
	return err == -EEXIST ? 0 : err;
}

static int create(struct store *none, void *arg)
{
	int err = find_places(arg);

	(void)none;
	if (!err)
		err = format_if_new();
	if (!err)
		err = store_open(room, golden, &options, &store, no_disk, sizeof(no_disk));
	if (err && !*no_disk)
		fmt(no_disk, sizeof(no_disk), "it can't be opened (%d): raise hv_memory=", err);
	return err;
}

/* Half of what the hypervisor has left is the store's, within limits. */
static size_t take_heap(void)
{
	size_t bytes = pages_free_count() * PAGE_SIZE / 2;

	if (bytes > HEAP_MAX)
		bytes = HEAP_MAX;
	bytes &= ~(PAGE_SIZE - 1);
	if (bytes < HEAP_MIN || !disk_memory_init(bytes))
		panic("no memory for the disk's index: raise hv_memory=");
	return bytes;
}

static void init_memory(const struct handoff *h)
{
	uint64_t bytes = h->disk_bytes - h->disk_store;

	if (h->disk_golden)
		ramdisk_init(&golden_ram, phys_to_virt((hpa_t){h->disk_base}), h->disk_golden,
			     true);
	if (bytes)
		ramdisk_init(&room_ram, phys_to_virt((hpa_t){h->disk_base + h->disk_store}), bytes,
			     false);
}

static void report(const struct handoff *h, size_t heap)
{
	char from[PLACE_TEXT], to[PLACE_TEXT];

	if (!store) {
		log_error("disk: %s; the guest gets no disk", no_disk);
		return;
	}
	log_info("disk: %llu MiB from %s, %llu MiB in %s for what is written, %zu KiB of heap",
		 (unsigned long long)golden->sectors >> 11, disk_place_text(&h->golden_place, from),
		 (unsigned long long)room->sectors >> 11, disk_place_text(&h->store_place, to),
		 heap >> 10);
}

void disk_init(const struct handoff *h)
{
	bool devices = on_drives(&h->golden_place) || on_drives(&h->store_place);
	size_t heap;

	if (!h->disk_bytes && !disk_place_given(&h->golden_place) &&
	    !disk_place_given(&h->store_place))
		return;
	heap = take_heap();
	options = (struct store_options){.seed = rdtsc() ^ h->tsc_entry,
					 .cache_bytes = heap / 3,
					 .memtable_bytes = heap / 24};
	init_memory(h);
	if (devices)
		drives_find();
	sched = fiber_sched_create(DISK_REQUESTS + OTHER_FIBERS, STACK_BYTES);
	if (!sched)
		panic("no memory for the disk's requests: raise hv_memory=");
	if (find_servers(h))
		(void)disk_do(create, (void *)(uintptr_t)h);
	if (store)
		vblk_init(store_sectors(store), vcpu_count());
	report(h, heap);
}

const char *disk_missing(void)
{
	return *no_disk ? no_disk : NULL;
}
