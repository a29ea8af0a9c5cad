// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/stats.h"
#include "arch/x86_64/arch.h"
#include "hv/vcpu.h"

void vcpu_exit_begin(struct vcpu *v, unsigned reason, uint64_t info)
{
	struct vcpu_stats *s = v->stats;

	s->begin = rdtsc();
	s->reason = stats_slot(reason);
	if (s->tracing) {
		struct trace_entry *t = &s->trace[s->head & (TRACE_ENTRIES - 1)];

		t->tsc = s->begin;
		t->rip = v->rip;
		t->info = info;
		t->reason = reason;
		t->ticks = 0;
	}
}

void vcpu_exit_end(struct vcpu *v)
{
	struct vcpu_stats *s = v->stats;
	uint64_t spent = rdtsc() - s->begin;

	s->count[s->reason]++;
	s->ticks[s->reason] += spent;
	if (s->tracing) {
		s->trace[s->head & (TRACE_ENTRIES - 1)].ticks = (uint32_t)spent;
		s->head++;
	}
}

void trace_dump(const struct vcpu *v, unsigned entries,
		void (*print)(const struct vcpu *v, const struct trace_entry *t))
{
	const struct vcpu_stats *s = v->stats;
	uint32_t have = s->head < TRACE_ENTRIES ? s->head : TRACE_ENTRIES;

	if (entries > have)
		entries = have;
	for (uint32_t i = s->head - entries; i != s->head; i++)
		print(v, &s->trace[i & (TRACE_ENTRIES - 1)]);
}
