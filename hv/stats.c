// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/stats.h"

void trace_dump(const struct vcpu *v, unsigned entries,
		void (*print)(const struct vcpu *v, const struct trace_entry *t))
{
	const struct vcpu_stats *s = v->stats;
	uint32_t head = s->head, have = head < TRACE_ENTRIES ? head : TRACE_ENTRIES;

	if (entries > have)
		entries = have;
	for (uint32_t i = head - entries; i != head; i++)
		print(v, &s->trace[i & (TRACE_ENTRIES - 1)]);
}
