/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters per exit reason and the ring of recent exits, one of each per vCPU. Written by the
 * vCPU's own CPU only; a reader on another CPU may see a torn entry, which is acceptable for
 * statistics.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arch/x86_64/cpu.h"
#include "hv/freeze.h"
#include "hv/vcpu.h"

#define STATS_REASONS 256
#define TRACE_ENTRIES 1024 /* power of two */

struct trace_entry {
	uint64_t tsc; /* host ticks of this CPU at the exit */
	uint64_t rip;
	uint64_t info; /* qualification: port, address, vector, as the back end gives it */
	uint32_t reason;
	uint32_t ticks; /* spent in the hypervisor */
};

struct vcpu_stats {
	uint64_t begin;	 /* host tick since which the guest does not run */
	uint32_t reason; /* slot of `count` */
	bool tracing;
	uint32_t head; /* next trace entry */
	/* The longest absence from a guest that wanted to run: from an exit (or the end of a HLT or
	 * of a freeze) to the next entry. */
	struct {
		uint64_t ticks;
		uint32_t reason; /* slot of the exit */
		uint32_t served; /* requests meanwhile */
	} longest;
	uint32_t served; /* since `begin` */
	/* Stolen time: all absences from a guest that wanted to run, in ticks; and what the slices
	 * of the disk and the control network took besides. */
	uint64_t away, slices;
	uint64_t count[STATS_REASONS];
	uint64_t ticks[STATS_REASONS];
	struct trace_entry trace[TRACE_ENTRIES];
};

/* The back end's reason numbers may be sparse (SVM: up to 0x403): this is their slot. */
static inline uint32_t stats_slot(unsigned reason)
{
	return reason < STATS_REASONS - 4 ? reason : STATS_REASONS - 4 + (reason & 3);
}
static inline unsigned
stats_reason(unsigned slot) /* inverse; SVM's 0x400-0x403 are the only ones above */
{
	return slot < STATS_REASONS - 4 ? slot : 0x400 + (slot - (STATS_REASONS - 4));
}

/* The latest `entries` exits of a vCPU, oldest first. */
void trace_dump(const struct vcpu *v, unsigned entries,
		void (*print)(const struct vcpu *v, const struct trace_entry *t));

/* The back end calls these at each exit, and right before it goes back to the loop. */
static inline void vcpu_exit_begin(const struct vcpu *v, unsigned reason, uint64_t info)
{
	struct vcpu_stats *s = v->stats;
	struct trace_entry *t = &s->trace[s->head & (TRACE_ENTRIES - 1)];

	s->begin = rdtsc();
	s->served = 0;
	s->reason = stats_slot(reason);
	/* written even with tracing off, where the head stays: cheaper than to ask */
	t->tsc = s->begin;
	t->rip = v->rip;
	t->info = info;
	t->reason = reason;
}

static inline void vcpu_exit_end(const struct vcpu *v)
{
	struct vcpu_stats *s = v->stats;
	uint64_t spent = rdtsc() - s->begin;

	s->count[s->reason]++;
	s->ticks[s->reason] += spent;
	s->trace[s->head & (TRACE_ENTRIES - 1)].ticks = (uint32_t)spent;
	s->head += s->tracing;
	if (__builtin_expect(s->reason == __atomic_load_n(&freeze_exit_slot, __ATOMIC_RELAXED), 0))
		freeze_at_exit();
}

/* In the loop: the guest had nothing to do, or its time stood, until now. */
static inline void stats_rested(const struct vcpu *v)
{
	v->stats->begin = rdtsc();
	v->stats->served = 0;
}

/* The guest goes on. */
static inline void stats_enter(const struct vcpu *v, uint64_t now)
{
	struct vcpu_stats *s = v->stats;
	int64_t away = (int64_t)(now - s->begin);

	if (away < 0) /* `now` is older than stats_rested */
		return;
	s->away += (uint64_t)away;
	if (__builtin_expect(away <= (int64_t)s->longest.ticks, 1))
		return;
	s->longest.ticks = (uint64_t)away;
	s->longest.reason = s->reason;
	s->longest.served = s->served;
}
