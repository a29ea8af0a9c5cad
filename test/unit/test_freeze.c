/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: hv/freeze.c timevirt/lead.c timevirt/vclock.c */
/* Freeze and thaw with threads for CPUs: nobody ever sees time go back, not even each other's. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/disk.h"
#include "hv/experiment.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/node.h"
#include "hv/pass.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "hv/vcpu_unit.h"
#include "net/ctlnet.h"
#include "test/unit/check.h"

#define CPUS	4
#define FREEZES 150
#define HZ	1000000000ull
#define US	1000ull

struct vclock node_clock;
static unsigned cpus_here = CPUS;
static struct cpu cpus[CPUS];
static struct vcpu vcpus[CPUS];
static __thread unsigned self;
static uint64_t shown;	   /* latest guest tick that any CPU has published, atomic */
static bool stop;	   /* atomic */
static bool stuck;	   /* CPU 1 does not look at its deadline, atomic */
static uint64_t turns;	   /* of CPU 1, atomic */
static uint64_t backwards; /* atomic */
static uint64_t running;   /* guests that run, atomic */
static uint64_t ran_frozen;
static unsigned updates[CPUS], frozen_units, thawed_units, started;
static bool waiting;
static bool disk_busy;	    /* its work has no end */
static uint64_t thaw_takes; /* ticks, of the units */
static unsigned disk_worked, served;

static uint64_t ticks(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * HZ + (uint64_t)t.tv_nsec;
}

uint64_t node_host_ticks(void)
{
	return ticks();
}

uint64_t tsc_hz(void)
{
	return HZ;
}

vns_t node_now(void)
{
	return vclock_ns(&node_clock, node_host_ticks());
}

uint64_t node_ticks(void)
{
	return vclock_ticks(&node_clock, node_host_ticks());
}

struct vcpu *vcpu_get(unsigned i)
{
	return &vcpus[i];
}

unsigned vcpu_count(void)
{
	return cpus_here;
}

void vcpu_request(struct vcpu *v, uint32_t req)
{
	__atomic_fetch_or(&v->requests, req, __ATOMIC_RELEASE);
}

void vcpu_kick(struct vcpu *v)
{
	(void)v;
}

void vcpu_capture(struct vcpu *v)
{
	CHECK(v == &vcpus[self]);
}

void vcpu_restore(struct vcpu *v)
{
	CHECK(!node_clock.running && v == &vcpus[self]);
}

void vcpu_update_tsc(struct vcpu *v)
{
	CHECK(node_clock.running);
	updates[v->index]++;
}

void node_cpu_stop(void)
{
	pthread_exit(NULL);
}

bool vcpu_serve_boot_cpu(struct vcpu *v)
{
	(void)v;
	served++;
	return false;
}

/* The events that the experiment is told, one after another. */
static uint64_t told_frozen, told_thawed, told_failed;

void experiment_frozen(bool as_planned, uint64_t late)
{
	(void)as_planned;
	(void)late;
	CHECK_EQ(told_frozen, told_thawed);
	told_frozen++;
}

void experiment_thawed(uint64_t frozen, uint64_t thaw_late)
{
	(void)frozen;
	(void)thaw_late;
	told_thawed++;
	CHECK_EQ(told_frozen, told_thawed);
}

void experiment_failed(void)
{
	told_failed++;
}

uint64_t experiment_due(void)
{
	return HOST_NEVER;
}

void experiment_work(void)
{
}

uint64_t console_due(void)
{
	return HOST_NEVER;
}

uint64_t pass_due(void)
{
	return HOST_NEVER;
}

void pass_work(void)
{
}

void pass_start(void)
{
	CHECK(node_clock.running);
	started++;
}

uint64_t ctlnet_due(void)
{
	return HOST_NEVER;
}

void ctlnet_work(bool guest_runs)
{
	(void)guest_runs;
}

uint64_t disk_due(void)
{
	return disk_busy ? 0 : HOST_NEVER;
}

void disk_work(bool guest_runs)
{
	CHECK(!guest_runs);
	CHECK_EQ(freeze_state(), NODE_FROZEN);
	disk_worked++;
}

bool console_waiting(void)
{
	return waiting;
}

void units_freeze(void)
{
	frozen_units++;
}

void units_thaw(void)
{
	uint64_t begun = ticks();

	CHECK(!node_clock.running);
	thawed_units++;
	while (ticks() - begun < thaw_takes)
		;
}

void lapic_timer_arm(uint64_t deadline)
{
	(void)deadline;
}

void halt_once(void)
{
	sched_yield();
}

void irq_window(void)
{
	sched_yield();
}

void log_at(enum log_level level, const char *f, ...)
{
	(void)level;
	(void)f;
}

static void guest(struct vcpu *v)
{
	uint64_t before = __atomic_load_n(&shown, __ATOMIC_SEQ_CST), now;

	__atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
	/* what a guest may see of skew is not this test's matter: all read the same clock */
	now = vclock_ticks(&node_clock, ticks());
	if (freeze_state() == NODE_FROZEN)
		__atomic_fetch_add(&ran_frozen, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
	if (now < before)
		__atomic_fetch_add(&backwards, 1, __ATOMIC_RELAXED);
	while (now > before && !__atomic_compare_exchange_n(&shown, &before, now, false,
							    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	(void)v;
}

static void turn(struct vcpu *v)
{
	bool deaf;

	if (v->index == 1)
		__atomic_fetch_add(&turns, 1, __ATOMIC_RELEASE);
	deaf = v->index == 1 && __atomic_load_n(&stuck, __ATOMIC_ACQUIRE);

	if (!deaf && ticks() - (uint64_t)v->cpu->tsc_skew >= freeze_deadline(v))
		freeze_park(v);
	else
		guest(v);
	if (!deaf)
		__atomic_store_n(&v->requests, 0, __ATOMIC_RELAXED);
}

static void *other(void *arg)
{
	self = (unsigned)(uintptr_t)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		turn(&vcpus[self]);
	return NULL;
}

static void run_until_frozen(uint64_t n)
{
	while (freeze_total() < n)
		turn(&vcpus[0]);
	while (freeze_state() != NODE_RUNNING)
		turn(&vcpus[0]);
}

/* To the tick; a start that came late is the guest's loss, or makes it longer. */
static bool lasted(const struct freeze_record *r, uint64_t ticks_asked)
{
	return r->frozen == ticks_asked || r->frozen == ticks_asked + r->thaw_late;
}

/* Frozen for as long as was asked, however late it came. */
static void check_record(const struct freeze_plan *p)
{
	const struct freeze_record *r = freeze_record(freeze_total());

	CHECK(r != NULL);
	if (!r)
		return;
	CHECK(lasted(r, p->for_ticks));
	CHECK(r->latency >= r->late);
	CHECK(r->at >= p->at);
}

static void at_random_moments(void)
{
	for (unsigned i = 0; i < FREEZES; i++) {
		struct freeze_plan p = {.at = node_host_ticks() + (uint64_t)(rand() % 300) * US,
					.for_ticks = (uint64_t)(rand() % 2000) * US,
					.left = 1,
					.exit_slot = NO_EXIT_SLOT};
		uint64_t n = freeze_total() + 1;

		CHECK_EQ(freeze_arm(&p), 0);
		run_until_frozen(n);
		CHECK_EQ(freeze_total(), n);
		check_record(&p);
		CHECK_EQ(freeze_planned()->at, HOST_NEVER);
	}
	CHECK_EQ(backwards, 0);
	CHECK_EQ(ran_frozen, 0);
	CHECK_EQ(frozen_units, thawed_units);
	CHECK_EQ(thawed_units, started);
}

static void repeated(void)
{
	struct freeze_plan p = {.at = node_host_ticks() + 500 * US,
				.for_ticks = 1000 * US,
				.every = 50000 * US,
				.left = 10,
				.exit_slot = NO_EXIT_SLOT};
	uint64_t n = freeze_total();

	CHECK_EQ(freeze_arm(&p), 0);
	run_until_frozen(n + 10);
	CHECK_EQ(freeze_planned()->at, HOST_NEVER);
	for (uint64_t i = n + 1; i <= n + 10; i++) {
		const struct freeze_record *r = freeze_record(i);

		/* one that is missed is left out: a multiple of P all the same */
		CHECK_EQ((r->at - p.at) % p.every, 0);
		CHECK(lasted(r, p.for_ticks));
	}
	CHECK_EQ(backwards, 0);
}

static const struct freeze_record *freeze_for(uint64_t for_ticks)
{
	struct freeze_plan p = {.at = node_host_ticks() + 500 * US,
				.for_ticks = for_ticks,
				.left = 1,
				.exit_slot = NO_EXIT_SLOT};

	CHECK_EQ(freeze_arm(&p), 0);
	run_until_frozen(freeze_total() + 1);
	check_record(&p);
	return freeze_record(freeze_total());
}

/* The store's work goes on while frozen, and keeps neither the console nor the thaw from theirs. A
 * busy host may give this CPU no time at all while it is frozen: it is frozen again then. */
static void beside_disk_work(void)
{
	unsigned before = served;

	disk_busy = true;
	for (unsigned tries = 0; tries < 100 && !disk_worked; tries++)
		freeze_for(10000 * US);
	CHECK(disk_worked > 0);
	CHECK(served - before >= disk_worked);
	disk_busy = false;
}

/* --- with one CPU, which need not wait for threads --- */

#define TRIES 200 /* a busy host takes the CPU away at any moment */

/* Where the units take long, the way up begins earlier, so that the clock goes on in time. */
static void a_slow_thaw_begins_earlier(void)
{
	bool in_time = false;

	thaw_takes = 900 * US;
	for (unsigned i = 0; i < TRIES && !in_time; i++)
		in_time = freeze_for(20000 * US)->thaw_late == 0;
	CHECK(in_time);
}

/* One that takes longer than it may begin earlier: as long as was asked all the same. */
static void a_little_late_costs_the_guest(void)
{
	bool exact = false;

	thaw_takes = 6000 * US;
	for (unsigned i = 0; i < TRIES && !exact; i++) {
		const struct freeze_record *r = freeze_for(20000 * US);

		CHECK(r->thaw_late >= 1000 * US);
		exact = r->frozen == 20000 * US;
	}
	CHECK(exact);
}

static void much_too_late_does_not(void)
{
	thaw_takes = 11000 * US;
	for (unsigned i = 0; i < 3; i++) {
		const struct freeze_record *r = freeze_for(20000 * US);

		CHECK_EQ(r->frozen, 20000 * US + r->thaw_late);
	}
	thaw_takes = 0;
}

static void by_command(void)
{
	struct freeze_plan p = {.at = HOST_NEVER, .exit_slot = NO_EXIT_SLOT};
	uint64_t stood;

	CHECK_EQ(thaw_now(), -EALREADY);
	CHECK_EQ(freeze_now(), 0);
	CHECK_EQ(freeze_state(), NODE_FROZEN);
	CHECK_EQ(freeze_now(), -EALREADY);
	CHECK_EQ(freeze_arm(&p), -EBUSY);
	stood = node_ticks();
	for (unsigned i = 0; i < 1000; i++)
		sched_yield();
	CHECK_EQ(node_ticks(), stood);
	CHECK(freeze_host_ticks() > 0);
	waiting = true;
	CHECK_EQ(thaw_now(), 0);
	waiting = false;
	CHECK(vcpus[0].requests & VCPU_REQ_CONSOLE);
	CHECK_EQ(freeze_state(), NODE_RUNNING);
	CHECK_EQ(freeze_host_ticks(), 0);
}

static void at_an_exit(void)
{
	struct freeze_plan p = {
		.at = HOST_NEVER, .for_ticks = 100 * US, .left = 1, .exit_slot = 10};
	uint64_t n = freeze_total();

	CHECK_EQ(freeze_arm(&p), 0);
	CHECK_EQ(freeze_exit_slot, 10);
	for (unsigned i = 0; i < 1000; i++)
		turn(&vcpus[0]);
	CHECK_EQ(freeze_total(), n);
	freeze_at_exit();
	freeze_at_exit(); /* a second one is too late */
	run_until_frozen(n + 1);
	CHECK_EQ(freeze_total(), n + 1);
	CHECK_EQ(freeze_exit_slot, NO_EXIT_SLOT);
	CHECK_EQ(freeze_record(n + 1)->frozen, p.for_ticks + freeze_record(n + 1)->thaw_late);
}

/* A plan whose T comes while the node is frozen by hand: left out, or its next T after the thaw. */
static void missed(void)
{
	struct freeze_plan p = {
		.for_ticks = 10 * US, .every = 70000 * US, .left = 3, .exit_slot = NO_EXIT_SLOT};
	uint64_t n = freeze_total();

	p.at = node_host_ticks() + 100 * US;
	CHECK_EQ(freeze_arm(&p), 0);
	run_until_frozen(n + 1);
	CHECK_EQ(freeze_planned()->at, p.at + p.every);
	CHECK_EQ(freeze_planned()->left, 2);
	CHECK_EQ(freeze_now(), 0);
	while (node_host_ticks() < p.at + 2 * p.every)
		sched_yield();
	CHECK_EQ(thaw_now(), 0);
	CHECK(freeze_planned()->at > node_host_ticks());
	CHECK_EQ((freeze_planned()->at - p.at) % p.every, 0);
	CHECK_EQ(freeze_planned()->left, 2);
	p.every = 0;
	p.left = 1;
	p.at = node_host_ticks() + 100 * US;
	CHECK_EQ(freeze_arm(&p), 0);
	CHECK_EQ(freeze_now(), 0);
	while (node_host_ticks() <= p.at)
		sched_yield();
	CHECK_EQ(thaw_now(), 0);
	CHECK_EQ(freeze_planned()->at, HOST_NEVER);
}

static void cancelled(void)
{
	struct freeze_plan p = {.at = node_host_ticks() + 2000 * US,
				.for_ticks = HOST_NEVER,
				.left = 1,
				.exit_slot = NO_EXIT_SLOT};
	uint64_t n = freeze_total();

	CHECK_EQ(freeze_arm(&p), 0);
	freeze_cancel();
	while (node_host_ticks() < p.at + 2000 * US)
		turn(&vcpus[0]);
	CHECK_EQ(freeze_total(), n);
}

/* A CPU that does not park: the node runs on, and freezes again once it is back. */
static void a_cpu_is_stuck(void)
{
	uint64_t n = freeze_total(), seen;

	__atomic_store_n(&stuck, true, __ATOMIC_RELEASE);
	seen = __atomic_load_n(&turns, __ATOMIC_ACQUIRE);
	while (__atomic_load_n(&turns, __ATOMIC_ACQUIRE) < seen + 2) /* it has seen that */
		sched_yield();
	CHECK_EQ(freeze_now(), -ETIMEDOUT);
	CHECK_EQ(told_failed, 1);
	CHECK_EQ(freeze_state(), NODE_RUNNING);
	CHECK_EQ(freeze_total(), n);
	__atomic_store_n(&stuck, false, __ATOMIC_RELEASE);
	CHECK_EQ(freeze_now(), 0);
	CHECK_EQ(thaw_now(), 0);
	CHECK_EQ(freeze_total(), n + 1);
	CHECK_EQ(backwards, 0);
}

int main(void)
{
	pthread_t threads[CPUS];

	CHECK_EQ(vclock_init(&node_clock, HZ, ticks(), 0), 0);
	for (unsigned i = 0; i < CPUS; i++) {
		vcpus[i].index = i;
		vcpus[i].cpu = &cpus[i];
		cpus[i].tsc_skew = 1000000 * i;
		if (i && pthread_create(&threads[i], NULL, other, (void *)(uintptr_t)i) != 0)
			abort();
	}
	RUN(at_random_moments);
	RUN(repeated);
	RUN(beside_disk_work);
	RUN(by_command);
	RUN(at_an_exit);
	RUN(missed);
	RUN(cancelled);
	RUN(a_cpu_is_stuck);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < CPUS; i++)
		CHECK_EQ(updates[i], freeze_total());
	cpus_here = 1;
	RUN(a_slow_thaw_begins_earlier);
	RUN(a_little_late_costs_the_guest);
	RUN(much_too_late_does_not);
	return check_result();
}
