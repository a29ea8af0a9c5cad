// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/freeze.h"
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/disk.h"
#include "hv/experiment.h"
#include "hv/log.h"
#include "hv/node.h"
#include "hv/pass.h"
#include "hv/stats.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "hv/vcpu_unit.h"
#include "net/ctlnet.h"
#include "timevirt/lead.h"
#include "timevirt/vclock.h"

#define PARK_TIMEOUT_SECONDS 5	 /* an exit is bounded; this long means a broken CPU */
#define THAW_MARGIN_US	     500 /* for all CPUs to wake up and get ready before T'; at least */
#define THAW_MARGIN_MAX_US   5000
#define START_MARGIN_US	     10	  /* from "all are ready" to the start that they are told */
#define LOSS_MAX_US	     5000 /* of the guest's time, where the start is late */
#define PER_SECOND_US	     1000000

/* Timers come late, each kind of machine's by its own amount; who wakes up early waits for T. */
#define EARLY_MAX_US  300  /* of the guest's time that may be spent on that */
#define LATE_TIMER_US 5000 /* what is later than this was not a timer's fault */

uint32_t freeze_exit_slot = NO_EXIT_SLOT;

static uint64_t due = HOST_NEVER; /* T of the next freeze, atomic; passed: CPUs park */
static uint64_t early;		  /* ticks before `due` at which CPUs leave the guest; atomic */
static struct lead lead;
static uint32_t state;	       /* enum freeze_state, atomic */
static uint32_t parked, ready; /* CPUs, the boot CPU excluded; atomic */
static uint64_t start;	   /* host tick at which the clock goes on; 0: not yet decided; atomic */
static uint64_t last_left; /* latest at which one left it for the freeze that is due, atomic */
static uint64_t last_seen; /* latest host tick at which any CPU had left the guest, atomic */
static uint64_t wake;	   /* T' + d */
static uint64_t margin;	   /* ticks before `wake` at which the way up begins */
static bool foreseen;	   /* `wake` was known before that */
static struct lead way_up; /* how long that takes, from when it should have begun */
static struct freeze_plan plan = {.at = HOST_NEVER, .exit_slot = NO_EXIT_SLOT};
static struct freeze_record records[FREEZE_RECORDS];
static uint64_t total;
static uint16_t mark; /* I/O port, 0: none */

static uint64_t us_to_ticks(uint64_t us)
{
	return tsc_hz() / PER_SECOND_US * us;
}

static uint64_t later(uint64_t t, uint64_t by)
{
	return t >= HOST_NEVER - by ? HOST_NEVER : t + by;
}

enum freeze_state freeze_state(void)
{
	return (enum freeze_state)__atomic_load_n(&state, __ATOMIC_ACQUIRE);
}

static uint64_t nearest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void set_state(enum freeze_state s)
{
	__atomic_store_n(&state, s, __ATOMIC_RELEASE);
}

uint64_t freeze_deadline(const struct vcpu *v)
{
	uint64_t at = __atomic_load_n(&due, __ATOMIC_ACQUIRE);
	uint64_t by = __atomic_load_n(&early, __ATOMIC_RELAXED);

	if (at == HOST_NEVER)
		return at;
	return (at > by ? at - by : 0) - (uint64_t)v->cpu->tsc_skew;
}

/* Out of the guest a little before T. False: it was called off, or put off. */
static bool wait_for_due(void)
{
	uint64_t now, at, by = __atomic_load_n(&early, __ATOMIC_RELAXED);

	while ((now = node_host_ticks()) < (at = __atomic_load_n(&due, __ATOMIC_ACQUIRE))) {
		if (at - now > by)
			return false;
		cpu_relax();
	}
	return true;
}

void freeze_mark_at(uint16_t port)
{
	mark = port;
}

static bool is_due(void)
{
	return node_host_ticks() >= __atomic_load_n(&due, __ATOMIC_ACQUIRE);
}

static void raise_to(uint64_t *max, uint64_t val)
{
	uint64_t old = __atomic_load_n(max, __ATOMIC_RELAXED);

	while (val > old && !__atomic_compare_exchange_n(max, &old, val, false, __ATOMIC_RELAXED,
							 __ATOMIC_RELAXED))
		;
}

static struct freeze_record *current(void)
{
	return &records[(total - 1) % FREEZE_RECORDS];
}

/* A freeze that counts from an exit is for the state that the guest is in then: nobody leaves it
 * early. */
static void store_due(uint64_t at)
{
	uint64_t by =
		plan.exit_slot == NO_EXIT_SLOT ? lead_ticks(&lead, us_to_ticks(EARLY_MAX_US)) : 0;

	__atomic_store_n(&last_left, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&early, by, __ATOMIC_RELAXED);
	__atomic_store_n(&due, at, __ATOMIC_RELEASE);
}

/* All CPUs have a new deadline to look at. */
static void set_due(uint64_t at)
{
	store_due(at);
	for (unsigned i = 0; i < vcpu_count(); i++)
		vcpu_request(vcpu_get(i), VCPU_REQ_DEADLINE);
}

static void kick_others(void)
{
	for (unsigned i = 1; i < vcpu_count(); i++)
		vcpu_kick(vcpu_get(i));
}

/* --- plans --- */

int freeze_arm(const struct freeze_plan *p)
{
	if (freeze_state() != NODE_RUNNING)
		return -EBUSY;
	freeze_cancel();
	plan = *p;
	set_due(plan.at);
	__atomic_store_n(&freeze_exit_slot, plan.exit_slot, __ATOMIC_RELEASE);
	return 0;
}

void freeze_cancel(void)
{
	__atomic_store_n(&freeze_exit_slot, NO_EXIT_SLOT, __ATOMIC_RELEASE);
	plan = (struct freeze_plan){.at = HOST_NEVER, .exit_slot = NO_EXIT_SLOT};
	if (freeze_state() == NODE_RUNNING)
		set_due(HOST_NEVER);
}

const struct freeze_plan *freeze_planned(void)
{
	return &plan;
}

void freeze_at_exit(void)
{
	uint32_t armed = __atomic_exchange_n(&freeze_exit_slot, NO_EXIT_SLOT, __ATOMIC_ACQ_REL);

	if (armed == NO_EXIT_SLOT) /* another CPU came first */
		return;
	plan.at = later(node_host_ticks(), plan.after_exit);
	set_due(plan.at);
}

/* Is the present freeze the one that the plan foresaw? */
static bool as_planned(void)
{
	const struct freeze_record *r = current();

	return plan.at <= r->at + r->late;
}

/* The first T of the plan after `passed`. */
static void next_in_plan(uint64_t passed)
{
	if (plan.every)
		plan.at = later(plan.at, ((passed - plan.at) / plan.every + 1) * plan.every);
	else
		plan = (struct freeze_plan){.at = HOST_NEVER, .exit_slot = NO_EXIT_SLOT};
}

/* The freeze that the plan foresaw is here: what is next? */
static void advance(void)
{
	if (plan.left != UINT64_MAX && --plan.left == 0)
		plan.every = 0;
	next_in_plan(plan.at);
}

/* A T that passed while the node was frozen is left out. */
static void leave_out_missed(void)
{
	uint64_t now = node_host_ticks();

	if (plan.at > now)
		return;
	log_error("freeze: its T passed while the node was frozen already: left out");
	next_in_plan(now);
}

/* --- the way down --- */

/* Another CPU than the boot CPU: wait for the thaw, or for the freeze to be given up. */
static bool wait_for_thaw(struct vcpu *v)
{
	while (freeze_state() != NODE_THAWING) {
		if (!is_due())
			return false;
		if (__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & VCPU_REQ_STOP)
			node_cpu_stop();
		halt_once(); /* the boot CPU kicks */
	}
	return true;
}

/* All are ready; go on together. */
static void wait_for_start(struct vcpu *v)
{
	uint64_t at, now;

	while (!(at = __atomic_load_n(&start, __ATOMIC_ACQUIRE)))
		cpu_relax();
	vcpu_update_tsc(v);
	do
		now = node_host_ticks();
	while (now < at);
	raise_to(&current()->thaw_latency, now - at);
}

static void park_other(struct vcpu *v)
{
	raise_to(&last_seen, node_host_ticks());
	vcpu_capture(v);
	__atomic_fetch_add(&parked, 1, __ATOMIC_RELEASE);
	if (!wait_for_thaw(v)) {
		__atomic_fetch_sub(&parked, 1, __ATOMIC_RELEASE);
		return;
	}
	vcpu_restore(v);
	__atomic_fetch_add(&ready, 1, __ATOMIC_RELEASE);
	wait_for_start(v);
}

static bool wait_until(const uint32_t *counter, uint32_t value)
{
	uint64_t limit = rdtsc() + PARK_TIMEOUT_SECONDS * tsc_hz();

	while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) != value) {
		irq_window();
		cpu_relax();
		if (rdtsc() > limit)
			return false;
	}
	return true;
}

static void give_up(void)
{
	log_error("freeze: %u of %u CPUs did not park; the node runs on", vcpu_count() - 1 - parked,
		  vcpu_count());
	freeze_cancel();
	experiment_failed();
	while (!wait_until(&parked, 0))
		log_error("freeze: a CPU is still parked");
	last_seen = 0;
}

/* Boot CPU. 0, or -ETIMEDOUT and the node runs. */
static int stop_node(struct vcpu *v)
{
	struct freeze_record *r;
	uint64_t at;

	if (!wait_until(&parked, vcpu_count() - 1)) {
		give_up();
		return -ETIMEDOUT;
	}
	if (mark)
		outb(mark, 1);
	at = due;
	vcpu_capture(v);
	vclock_stop(&node_clock, last_seen);
	wake = HOST_NEVER;
	units_freeze();
	total++;
	r = current();
	*r = (struct freeze_record){
		.at = at,
		.late = last_seen - at,
		.virtual_ns = node_now().v,
		.virtual_ticks = node_ticks(),
		.frozen = HOST_NEVER,
	};
	__atomic_store_n(&start, 0, __ATOMIC_RELEASE);
	set_state(NODE_FROZEN);
	r->latency = node_host_ticks() - at;
	experiment_frozen(as_planned(), r->late);
	return 0;
}

/* --- the way up --- */

static uint64_t wake_up_at(void)
{
	return wake == HOST_NEVER ? wake : wake > margin ? wake - margin : 0;
}

/* Half as much again as was needed of late: the guest stands, so that it costs nothing. */
static uint64_t learnt_margin(void)
{
	uint64_t most = us_to_ticks(THAW_MARGIN_MAX_US), least = us_to_ticks(THAW_MARGIN_US);
	uint64_t needed = lead_ticks(&way_up, most);

	needed = nearest(needed + needed / 2, most);
	return needed > least ? needed : least;
}

/* The host tick at which the clock goes on, if the CPUs do at `at`: a start that comes late by no
 * more than a busy CPU may be costs the guest this time, and the node stands for exactly T' - T all
 * the same. Else, and where nobody foresaw the start, it stands for longer. */
static uint64_t clock_start(uint64_t at)
{
	return foreseen && at - wake <= us_to_ticks(LOSS_MAX_US) ? wake : at;
}

/* Boot CPU, at wake_up_at() or later. */
static void start_node(struct vcpu *v)
{
	struct freeze_record *r = current();
	uint64_t at, from;

	leave_out_missed();
	units_thaw();
	set_state(NODE_THAWING);
	kick_others();
	vcpu_restore(v);
	while (!wait_until(&ready, vcpu_count() - 1))
		log_error("thaw: a CPU does not wake up");
	/* all of them are past every look at these */
	parked = ready = 0;
	last_seen = 0;
	store_due(plan.at);
	set_state(NODE_RUNNING);
	at = later(node_host_ticks(), us_to_ticks(START_MARGIN_US));
	if (foreseen)
		lead_learn(&way_up, at - wake_up_at());
	if (at < wake)
		at = wake;
	r->thaw_late = at - wake;
	from = clock_start(at);
	r->frozen = from - (r->at + r->late);
	experiment_thawed(r->frozen, r->thaw_late);
	vclock_start(&node_clock, from);
	__atomic_store_n(&start, at, __ATOMIC_RELEASE);
	wait_for_start(v);
	pass_start();
	if (console_waiting()) /* what was typed for the guest meanwhile */
		vcpu_request(v, VCPU_REQ_CONSOLE);
}

static void work_for_disk(void)
{
	disk_work(false);
}

static void work_for_network(void)
{
	ctlnet_work(false);
}

/* One piece of what goes on while the guest stands. False: nothing is due, and *next is the tick at
 * which something will be. */
static bool work_frozen(uint64_t *next)
{
	static const struct {
		uint64_t (*due)(void);
		void (*work)(void);
	} jobs[] = {{pass_due, pass_work},
		    {experiment_due, experiment_work},
		    {disk_due, work_for_disk},
		    {ctlnet_due, work_for_network}};

	*next = HOST_NEVER;
	for (unsigned i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		uint64_t at = jobs[i].due();

		if (rdtsc() >= at) {
			jobs[i].work();
			return true;
		}
		*next = nearest(*next, at);
	}
	return false;
}

/* Frozen, with console, control network and the experiment's cards alive. */
static void wait_frozen(struct vcpu *v)
{
	uint64_t next;

	while (freeze_state() == NODE_FROZEN) {
		bool more;

		if (node_host_ticks() >= wake_up_at()) {
			start_node(v);
			continue;
		}
		more = work_frozen(&next);
		more |= vcpu_serve_boot_cpu(v);
		if (more)
			continue;
		lapic_timer_arm(nearest(wake_up_at(), nearest(console_due(), next)));
		halt_once();
	}
}

/* How late did timers come that were set for T - early? */
static void learn(void)
{
	uint64_t late = last_left - (current()->at - early);

	if (plan.exit_slot == NO_EXIT_SLOT && late <= us_to_ticks(LATE_TIMER_US))
		lead_learn(&lead, late);
}

static void follow_plan(void)
{
	if (plan.for_ticks != HOST_NEVER)
		thaw_at(later(plan.at, plan.for_ticks));
	advance();
}

static void park_boot_cpu(struct vcpu *v)
{
	if (freeze_state() == NODE_RUNNING) {
		raise_to(&last_seen, node_host_ticks());
		if (stop_node(v) != 0)
			return;
		if (as_planned()) {
			learn();
			follow_plan();
		}
	}
	wait_frozen(v);
}

void freeze_park(struct vcpu *v)
{
	raise_to(&last_left, node_host_ticks());
	if (!wait_for_due())
		return;
	if (v->index == 0)
		park_boot_cpu(v);
	else
		park_other(v);
}

/* --- commands --- */

int freeze_now(void)
{
	if (freeze_state() != NODE_RUNNING)
		return -EALREADY;
	set_due(node_host_ticks());
	raise_to(&last_seen, node_host_ticks());
	return stop_node(vcpu_get(0));
}

bool freeze_soon(void)
{
	if (freeze_state() != NODE_RUNNING || is_due())
		return false;
	set_due(node_host_ticks());
	return true;
}

int thaw_at(uint64_t at)
{
	if (freeze_state() != NODE_FROZEN)
		return -EALREADY;
	wake = later(at, current()->late);
	margin = learnt_margin();
	foreseen = node_host_ticks() < wake_up_at();
	return 0;
}

int thaw_now(void)
{
	int err = thaw_at(node_host_ticks());

	if (!err)
		start_node(vcpu_get(0));
	return err;
}

uint64_t freeze_stopped(void)
{
	return last_seen;
}

uint64_t freeze_restart(void)
{
	return wake == HOST_NEVER ? HOST_NEVER : wake - current()->late;
}

bool freeze_open(void)
{
	return freeze_state() == NODE_FROZEN && wake == HOST_NEVER;
}

uint64_t freeze_host_ticks(void)
{
	const struct freeze_record *r = current();

	return freeze_state() == NODE_FROZEN ? node_host_ticks() - (r->at + r->late) : 0;
}

uint64_t freeze_total(void)
{
	return total;
}

const struct freeze_record *freeze_record(uint64_t n)
{
	if (n == 0 || n > total || total - n >= FREEZE_RECORDS)
		return NULL;
	return &records[(n - 1) % FREEZE_RECORDS];
}
