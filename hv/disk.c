// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/disk.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/disk_memory.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/ramdisk.h"
#include "hv/vblk.h"
#include "hv/vcpu.h"
#include "storage/fiber.h"

#define SLICE_US     20
#define CHUNK_BYTES  16384u /* between two looks at the clock */
#define OTHER_FIBERS 4	    /* the store's own, and a command's */
#define STACK_BYTES  16384u
#define HEAP_MIN     (4ull << 20)
#define HEAP_MAX     (24ull << 20)

static struct ramdisk golden, room;
static struct fiber_sched *sched;
static struct store *store;
static uint64_t due = UINT64_MAX; /* atomic */
static unsigned working;	  /* requests in fibers */
static bool stopping;
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

	more |= ramdisk_poll(&room);
	more |= ramdisk_poll(&golden);
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

void disk_work(bool guest_runs)
{
	uint64_t begin = rdtsc(), spent, slice = tsc_hz() / 1000000 * SLICE_US;
	bool more = true;

	__atomic_store_n(&due, UINT64_MAX, __ATOMIC_SEQ_CST);
	if (!exchanging)
		vblk_poll();
	do {
		more = step();
		spent = rdtsc() - begin;
	} while (more && spent < slice);
	this_cpu()->stolen += spent;
	if (more) /* the guest gets as much, if it has a use for it */
		__atomic_store_n(&due, guest_runs ? begin + 2 * spent : 0, __ATOMIC_RELEASE);
}

void disk_stop(void)
{
	stopping = true;
	while (working)
		(void)step();
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
		(void)step();
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

static int create(struct store *none, void *arg)
{
	const struct store_options *o = arg;
	char why[128] = "";
	int err;

	(void)none;
	err = store_format(&room.dev, &golden.dev, o, true);
	if (!err)
		err = store_open(&room.dev, &golden.dev, o, &store, why, sizeof(why));
	if (err)
		log_error("disk: %s (%d)", *why ? why : "disk_room= is too little", err);
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

void disk_init(const struct handoff *h)
{
	struct store_options o = {.seed = rdtsc() ^ h->tsc_entry};
	size_t heap;

	if (!h->disk_base)
		return;
	heap = take_heap();
	o.cache_bytes = heap / 3;
	o.memtable_bytes = heap / 24;
	ramdisk_init(&golden, phys_to_virt((hpa_t){h->disk_base}), h->disk_golden, true);
	ramdisk_init(&room, phys_to_virt((hpa_t){h->disk_base + h->disk_store}),
		     h->disk_bytes - h->disk_store, false);
	sched = fiber_sched_create(DISK_REQUESTS + OTHER_FIBERS, STACK_BYTES);
	if (!sched || disk_do(create, &o) != 0)
		panic("the guest's disk can't be made: raise hv_memory= or disk_room=");
	vblk_init(h->disk_golden / SECTOR_SIZE, vcpu_count());
	log_info("disk: %llu MiB, %llu MiB of room for what is written, %zu KiB of heap",
		 (unsigned long long)h->disk_golden >> 20,
		 (unsigned long long)(h->disk_bytes - h->disk_store) >> 20, heap >> 10);
}
