// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/disk.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/disk_open.h"
#include "hv/execute.h"
#include "hv/drives.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/vblk.h"
#include "hv/vcpu.h"
#include "net/ctlnet.h"
#include "net/nbd_tcp.h"
#include "storage/fiber.h"

#define SLICE_US     20
#define CHUNK_BYTES  16384u /* between two looks at the clock */
#define OTHER_FIBERS 4	    /* the store's own, and a command's */
#define STACK_BYTES  16384u
#define STOP_US	     20000u  /* a freeze waits no longer for a back end */
#define GIVE_UP_MS   120000u /* without a server: then the guest gets I/O errors */
#define AWAY_MS	     5000u   /* disk_errors=freeze: neither does the guest, running, for a server */

static struct fiber_sched *sched;
static struct store *store;
static uint64_t due = UINT64_MAX; /* atomic */
static unsigned working;	  /* requests in fibers */
static unsigned left_behind;	  /* by freezes, and still in fibers */
static bool stopping;
static enum disk_errors_action errors;
static uint64_t go_at;	/* tick of the latest disk_go() */
static bool exchanging; /* a driver that comes now waits for its first answer */

__attribute__((noreturn)) void fiber_overflow(void)
{
	panic("a fiber's stack is too small");
}

/* --- errors --- */

void disk_on_errors(enum disk_errors_action a)
{
	errors = a;
	drives_forgive(a == DISK_ERRORS_FREEZE);
	nbd_tcp_give_up(a == DISK_ERRORS_FREEZE ? 0 : GIVE_UP_MS);
}

enum disk_errors_action disk_errors(void)
{
	return errors;
}

unsigned disk_requests(void)
{
	return working;
}

static void freeze_because(const char *why, int err)
{
	if (freeze_soon())
		log_error("disk: %s (%d): the node freezes, as disk_errors=freeze says; `disk "
			  "status` "
			  "shows more, `thaw` tries again",
			  why, err);
}

/* The back end has kept a request waiting for longer than the guest is to see. */
static void look_for_silence(void)
{
	if (errors != DISK_ERRORS_FREEZE || freeze_state() != NODE_RUNNING)
		return;
	if (drives_late())
		freeze_because("a disk does not answer", -ETIMEDOUT);
	else if (nbd_tcp_away_ms() > AWAY_MS && rdtsc() - go_at > AWAY_MS * (tsc_hz() / 1000))
		freeze_because("the NBD server is away", -ETIMEDOUT);
}

/* --- requests --- */

/* A request that fibers work on. At a freeze that can't wait for its back end it is left behind:
 * its owner takes it for not begun, and what is begun anew waits until it has ended. */
struct flight {
	struct disk_request r;	    /* as it was */
	struct disk_request *owner; /* NULL: left behind */
	bool taken;
};
static struct flight flights[DISK_REQUESTS];
static struct disk_request *waiting, **last_waiting = &waiting; /* for those */

static int transfer_chunk(struct flight *f, uint64_t offset, void *buf, size_t n)
{
	struct block_vec vec = {buf, n};
	uint64_t sector = f->r.sector + offset / SECTOR_SIZE;
	int err;

	if (f->r.op == DISK_WRITE)
		return f->owner->copy(f->owner, offset, buf, n)
			       ? store_write(store, sector, &vec, 1)
			       : -ECANCELED;
	err = store_read(store, sector, &vec, 1);
	if (err || !f->owner)
		return err;
	return f->owner->copy(f->owner, offset, buf, n) ? 0 : -ECANCELED;
}

static int transfer(struct flight *f)
{
	uint64_t bytes = f->r.sectors * SECTOR_SIZE;
	char *buf = malloc(CHUNK_BYTES);
	int err = buf ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && !err; at += CHUNK_BYTES) {
		size_t n = bytes - at < CHUNK_BYTES ? (size_t)(bytes - at) : CHUNK_BYTES;

		if (at)
			fiber_yield();
		err = stopping || !f->owner ? -EINTR : transfer_chunk(f, at, buf, n);
	}
	free(buf);
	return err;
}

static int carry_out(struct flight *f)
{
	if (stopping || !f->owner)
		return -EINTR;
	if (errors == DISK_ERRORS_REPORT) /* each request has its own error: one was reported */
		(void)store_retry(store);
	switch (f->r.op) {
	case DISK_FLUSH:
		return store_flush(store);
	case DISK_DISCARD:
		return store_discard(store, f->r.sector, f->r.sectors);
	case DISK_ZEROES:
		return store_write_zeroes(store, f->r.sector, f->r.sectors);
	default:
		return transfer(f);
	}
}

/* What the guest gets to hear. An error that it shall not hear of freezes the node, and the request
 * is begun anew at the thaw. */
static int verdict(int err)
{
	if (!err || err == -EINTR || err == -ECANCELED || errors != DISK_ERRORS_FREEZE)
		return err;
	freeze_because(err == -ENOSPC ? "its room is full" : "a request has failed", err);
	return -EINTR;
}

static void start_waiting(void);

static void request_fiber(void *arg)
{
	struct flight *f = arg;
	int err = carry_out(f);

	working -= f->owner != NULL;
	left_behind -= f->owner == NULL;
	f->taken = false;
	if (f->owner)
		f->owner->done(f->owner, verdict(err));
	else if (!left_behind && !stopping)
		start_waiting();
}

static void start(struct disk_request *r)
{
	struct flight *f = flights;
	int err;

	while (f->taken) /* there is one for each of DISK_REQUESTS */
		f++;
	*f = (struct flight){.r = *r, .owner = r, .taken = true};
	err = fiber_start(sched, request_fiber, f);
	ASSERT(err == 0); /* and a stack */
	working++;
}

static struct disk_request *take_waiting(void)
{
	struct disk_request *r = waiting;

	if (r)
		waiting = r->next;
	if (!waiting)
		last_waiting = &waiting;
	return r;
}

static void start_waiting(void)
{
	for (struct disk_request *r; (r = take_waiting()) != NULL;)
		start(r);
}

void disk_submit(struct disk_request *r)
{
	if (!left_behind) {
		start(r);
		return;
	}
	r->next = NULL;
	*last_waiting = r;
	last_waiting = &r->next;
}

/* --- slices --- */

/* Some work; false: there is none left. */
static bool step(void)
{
	bool more = fiber_run(sched, 1);

	more |= disk_memory_poll();
	return more || drives_poll();
}

/* For those who wait for the disk while nobody else does the network's work. */
static bool step_alone(void)
{
	bool more = step();

	if (nbd_tcp_in_use()) {
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
	look_for_silence();
	if (more) /* the guest gets as much, if it has a use for it */
		__atomic_store_n(&due, guest_runs ? begin + 2 * spent : 0, __ATOMIC_RELEASE);
	else
		look_again();
}

/* Who is left behind has no owner any more, and touches nothing of the guest's. */
static void leave_behind(void)
{
	for (unsigned i = 0; i < DISK_REQUESTS; i++) {
		struct disk_request *r = flights[i].owner;

		if (!flights[i].taken || !r)
			continue;
		flights[i].owner = NULL;
		left_behind++;
		working--;
		r->done(r, -EINTR);
	}
}

void disk_stop(void)
{
	uint64_t end = rdtsc() + tsc_hz() / 1000000 * STOP_US;

	stopping = true;
	while (working && rdtsc() < end)
		(void)step_alone();
	leave_behind();
	for (struct disk_request *r; (r = take_waiting()) != NULL;)
		r->done(r, -EINTR);
}

void disk_go(void)
{
	int err = store ? store_retry(store) : 0;

	if (err)
		log_warn("disk: what was written since the last flush is lost on its device (%d): "
			 "nothing more can be written before the node boots again",
			 err);
	stopping = false;
	go_at = rdtsc();
	drives_forgive(errors == DISK_ERRORS_FREEZE);
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
		execute_pause();
	}
	disk_wake(); /* what it has left for later */
	return j.result;
}

int disk_exchange(int (*fn)(struct store *s, void *arg), void *arg)
{
	int err;

	if (vblk_driven())
		return -ETXTBSY;
	exchanging = true;
	while (working || left_behind) { /* of a driver that is gone */
		(void)step_alone();
		execute_pause();
	}
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

void disk_start(void)
{
	sched = fiber_sched_create(DISK_REQUESTS + OTHER_FIBERS, STACK_BYTES);
	if (!sched)
		panic("no memory for the disk's requests: raise hv_memory=");
}

void disk_use(struct store *s)
{
	store = s;
	vblk_init(store_sectors(store), vcpu_count());
}
