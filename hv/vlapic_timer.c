/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's timer (SDM vol. 3, "APIC Timer"). Its bus clock is 1 GHz, so that a count of one
 * is 1 ns << timer_shift.
 *
 * All state is one absolute deadline; the current count is computed from it, so nothing drifts: a
 * periodic timer's deadlines are exact multiples of its period apart.
 */
#include "hv/vlapic_internal.h"
#include <stddef.h>

/* A periodic timer interrupts at most once in this time; the interrupts between coalesce, as they
 * would in IRR. */
#define REARM_FLOOR_NS 50000ull

_Static_assert(LAPIC_BUS_HZ == NSEC_PER_SEC, "one count is one nanosecond");

static vns_t later(vns_t t, uint64_t ns)
{
	return ns > UINT64_MAX - t.v ? VNS_NEVER : (vns_t){t.v + ns};
}

static unsigned divider_shift(uint32_t tdcr)
{
	unsigned code = (tdcr >> 1 & 4) | (tdcr & 3); /* 2, 4, ..., 128, 1 */

	return (code + 1) & 7;
}

/* Never 0: it is divided by, and the guest may have written the page already (APIC-write exit). */
static uint64_t period_ns(const struct vlapic *l)
{
	uint32_t tmict = reg_get(l, APIC_TMICT);

	return (uint64_t)(tmict ? tmict : 1) << l->timer_shift;
}

/* Is there no running count? */
static bool stopped(const struct vlapic *l)
{
	return l->timer_mode >= TIMER_DEADLINE || l->timer_deadline.v == VNS_NEVER.v;
}

static uint64_t guest_tsc(const struct vlapic *l)
{
	return node_ticks() + l->vcpu->tsc_adjust;
}

static bool tsc_due(const struct vlapic *l)
{
	return l->tsc_deadline && guest_tsc(l) >= l->tsc_deadline;
}

/* Virtual time at which the guest's TSC reaches its deadline. */
/* One reading of the clock: between two, the deadline could pass. */
static vns_t tsc_deadline_ns(const struct vlapic *l)
{
	uint64_t now = node_ticks(), guest = now + l->vcpu->tsc_adjust, ticks;

	if (!l->tsc_deadline)
		return VNS_NEVER;
	if (guest >= l->tsc_deadline)
		return vclock_ticks_to_ns(&node_clock, now);
	if (__builtin_add_overflow(now, l->tsc_deadline - guest, &ticks))
		return VNS_NEVER;
	return vclock_ticks_to_ns_up(&node_clock, ticks);
}

static void rearm(struct vlapic *l)
{
	if (l->timer_mode == TIMER_DEADLINE)
		l->timer_deadline = tsc_deadline_ns(l);
	vtimer_arm(&l->timer, l->timer_deadline);
}

/* From now to the end of the current period; a deadline may lie some periods ahead, or behind if it
 * has not been served. */
static uint64_t period_left(const struct vlapic *l, vns_t now, uint64_t period)
{
	if (l->timer_deadline.v > now.v)
		return (l->timer_deadline.v - now.v - 1) % period + 1;
	return period - (now.v - l->timer_deadline.v) % period;
}

static uint32_t count_at(const struct vlapic *l, vns_t now)
{
	uint64_t period = period_ns(l), left, count;

	if (stopped(l))
		return 0;
	if (l->timer_mode == TIMER_PERIODIC)
		left = period_left(l, now, period);
	else
		left = l->timer_deadline.v > now.v ? l->timer_deadline.v - now.v : 0;
	left = left < period ? left : period;
	count = (left + (1ull << l->timer_shift) - 1) >> l->timer_shift;
	return (uint32_t)count;
}

uint32_t vlapic_timer_count(const struct vlapic *l)
{
	return count_at(l, node_now());
}

void vlapic_timer_set_count(struct vlapic *l, uint32_t tmict)
{
	/* Ignored in TSC-deadline mode, where it reads as zero. */
	reg_set(l, APIC_TMICT, l->timer_mode < TIMER_DEADLINE ? tmict : 0);
	if (l->timer_mode >= TIMER_DEADLINE)
		return;
	l->timer_deadline = tmict ? later(node_now(), period_ns(l)) : VNS_NEVER;
	rearm(l);
}

/* The count goes on from where it is at the new rate. */
void vlapic_timer_set_divider(struct vlapic *l, uint32_t tdcr)
{
	vns_t now = node_now();
	uint64_t count = count_at(l, now);

	if (l->timer_shift == divider_shift(tdcr))
		return;
	l->timer_shift = (uint8_t)divider_shift(tdcr);
	if (stopped(l))
		return;
	l->timer_deadline = later(now, count << l->timer_shift);
	rearm(l);
}

/* One-shot and periodic share the running count; entering or leaving TSC-deadline mode disarms
 * (SDM, "TSC-Deadline Mode"). */
void vlapic_timer_set_mode(struct vlapic *l, uint32_t lvt)
{
	uint8_t mode = lvt >> 17 & 3, old = l->timer_mode;
	vns_t now = node_now();

	if (mode == old)
		return;
	if (mode >= TIMER_DEADLINE || old >= TIMER_DEADLINE) {
		reg_set(l, APIC_TMICT, 0);
		l->timer_deadline = VNS_NEVER;
		l->tsc_deadline = 0;
	} else if (old == TIMER_PERIODIC && !stopped(l) && l->timer_deadline.v > now.v) {
		l->timer_deadline = later(now, period_left(l, now, period_ns(l)));
	}
	l->timer_mode = mode;
	rearm(l);
}

static void interrupt(struct vlapic *l)
{
	uint32_t lvt = reg_get(l, APIC_LVT_TIMER);

	if (!(lvt & LVT_MASKED))
		vlapic_post(l, (uint8_t)lvt, false);
}

/* The first deadline in phase that is in the future, and far enough for the host. */
static vns_t next_deadline(const struct vlapic *l, vns_t now)
{
	uint64_t period = period_ns(l), left = period_left(l, now, period);

	if (left < REARM_FLOOR_NS && period < REARM_FLOOR_NS)
		left += (REARM_FLOOR_NS - left + period - 1) / period * period;
	return later(now, left);
}

static void fire(struct vtimer *t, vns_t now)
{
	struct vlapic *l = (struct vlapic *)((char *)t - offsetof(struct vlapic, timer));

	if (l->timer_mode == TIMER_DEADLINE ? !tsc_due(l) : l->timer_deadline.v > now.v) {
		rearm(l); /* not yet, or no longer wanted */
		return;
	}
	l->tsc_deadline = 0;
	l->timer_deadline = l->timer_mode == TIMER_PERIODIC ? next_deadline(l, now) : VNS_NEVER;
	rearm(l);
	interrupt(l);
}

void vlapic_timer_set_deadline(struct vlapic *l, uint64_t tsc)
{
	if (l->timer_mode != TIMER_DEADLINE)
		return;
	l->tsc_deadline = tsc;
	if (tsc_due(l))
		fire(&l->timer, node_now());
	else
		rearm(l);
}

uint64_t vlapic_timer_get_deadline(struct vlapic *l)
{
	if (l->timer_mode == TIMER_DEADLINE && tsc_due(l))
		fire(&l->timer, node_now());
	return l->tsc_deadline;
}

void vlapic_timer_stop(struct vlapic *l)
{
	l->timer_mode = TIMER_ONESHOT;
	l->timer_shift = (uint8_t)divider_shift(0);
	l->timer_deadline = VNS_NEVER;
	l->tsc_deadline = 0;
	vtimer_cancel(&l->timer);
}

void vlapic_timer_load(struct vlapic *l, vns_t deadline, uint64_t tsc)
{
	l->timer_mode = reg_get(l, APIC_LVT_TIMER) >> 17 & 3;
	l->timer_shift = (uint8_t)divider_shift(reg_get(l, APIC_TDCR));
	l->timer_deadline = deadline;
	l->tsc_deadline = tsc;
	/* Not computed anew: the clock and TSC_ADJUST may not be loaded yet. */
	vtimer_arm(&l->timer, deadline);
}

void vlapic_timer_init(struct vlapic *l, struct vtimerq *q)
{
	vtimer_init(&l->timer, q, fire);
	vlapic_timer_stop(l);
}
