// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/freeze.h"
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "hv/vcpu_unit.h"
#include "timevirt/vclock.h"

#define PARK_TIMEOUT_SECONDS 5 /* an exit is bounded; this long means a broken CPU */

static uint32_t state;	   /* enum freeze_state, atomic */
static uint32_t parked;	   /* CPUs parked, atomic, the boot CPU excluded */
static uint64_t last_seen; /* latest host tick any CPU left the guest at, atomic max */
static uint64_t frozen_since;

enum freeze_state freeze_state(void)
{
	return (enum freeze_state)__atomic_load_n(&state, __ATOMIC_ACQUIRE);
}

bool freeze_wanted(void)
{
	return __atomic_load_n(&state, __ATOMIC_ACQUIRE) != NODE_RUNNING;
}

static void note_time(uint64_t host)
{
	uint64_t seen = __atomic_load_n(&last_seen, __ATOMIC_RELAXED);

	while (host > seen && !__atomic_compare_exchange_n(&last_seen, &seen, host, false,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void freeze_park(struct vcpu *v)
{
	note_time(node_host_ticks());
	vcpu_capture(v);
	__atomic_fetch_add(&parked, 1, __ATOMIC_RELEASE);
	while (freeze_wanted())
		halt_once(); /* the thaw kicks */
	vcpu_restore(v);
	__atomic_fetch_sub(&parked, 1, __ATOMIC_RELEASE);
}

static void ask_to_park(void)
{
	for (unsigned i = 0; i < vcpu_count(); i++)
		vcpu_request(vcpu_get(i), VCPU_REQ_PARK);
}

static void kick_others(void)
{
	for (unsigned i = 1; i < vcpu_count(); i++)
		vcpu_kick(vcpu_get(i));
}

static bool wait_parked(uint32_t count)
{
	uint64_t limit = rdtsc() + PARK_TIMEOUT_SECONDS * tsc_hz();

	while (__atomic_load_n(&parked, __ATOMIC_ACQUIRE) != count) {
		irq_window();
		cpu_relax();
		if (rdtsc() > limit)
			return false;
	}
	return true;
}

int freeze_now(void)
{
	if (freeze_state() != NODE_RUNNING)
		return -EALREADY;
	last_seen = 0;
	__atomic_store_n(&state, NODE_FREEZING, __ATOMIC_RELEASE);
	ask_to_park();
	if (!wait_parked(vcpu_count() - 1)) {
		log_error("freeze: %u of %u CPUs did not park; the node runs on",
			  vcpu_count() - 1 - parked, vcpu_count());
		__atomic_store_n(&state, NODE_RUNNING, __ATOMIC_RELEASE);
		kick_others();
		return -ETIMEDOUT;
	}
	note_time(node_host_ticks());
	vcpu_capture(vcpu_get(0));
	frozen_since = last_seen;
	vclock_stop(&node_clock, last_seen);
	units_freeze();
	__atomic_store_n(&state, NODE_FROZEN, __ATOMIC_RELEASE);
	return 0;
}

int thaw_now(void)
{
	if (freeze_state() != NODE_FROZEN)
		return -EALREADY;
	units_thaw();
	vclock_start(&node_clock, node_host_ticks());
	vcpu_restore(vcpu_get(0));
	__atomic_store_n(&state, NODE_RUNNING, __ATOMIC_RELEASE);
	kick_others();
	/* nobody is still on the way out of the old park when the next freeze counts */
	while (!wait_parked(0))
		log_error("thaw: a CPU is still parked");
	vcpu_request(vcpu_get(0), VCPU_REQ_CONSOLE); /* what was typed for the guest meanwhile */
	return 0;
}

uint64_t freeze_host_ticks(void)
{
	return freeze_state() == NODE_FROZEN ? node_host_ticks() - frozen_since : 0;
}
