// SPDX-License-Identifier: GPL-2.0-or-later
/* Between coordinators and nodes: messages get lost, repeated, late, and out of order. */
#include <stdlib.h>
#include "test/sim/sim.h"

#define PARTS 4

/* Nodes first .. last can't be reached, or can't reach anybody, or both. */
static struct part {
	uint32_t first, last;
	uint64_t until;
	bool to, from;
} parts[PARTS];
static unsigned next_part;

void network_reset(void)
{
	for (unsigned i = 0; i < PARTS; i++)
		parts[i].until = 0;
}

void network_part(void)
{
	struct part *p = &parts[next_part++ % PARTS];

	p->first = (uint32_t)below(scenario.nodes);
	p->last = one_in(3) ? p->first : (uint32_t)between(p->first, scenario.nodes - 1);
	p->to = !one_in(4);
	p->from = !p->to || !one_in(4);
	p->until = now + between(10 * MS, 5 * SECOND);
	if (p->until > scenario.heals)
		p->until = scenario.heals;
	trace("nodes %u to %u can't %s for %u ms", p->first, p->last,
	      p->to ? p->from ? "be reached" : "hear" : "speak", (unsigned)((p->until - now) / MS));
}

static bool parted(uint32_t node, bool to)
{
	for (unsigned i = 0; i < PARTS; i++)
		if (now < parts[i].until && node >= parts[i].first && node <= parts[i].last &&
		    (to ? parts[i].to : parts[i].from))
			return true;
	return false;
}

static uint64_t arrival(void)
{
	uint64_t delay = scenario.delay + below(scenario.jitter);

	if (!scenario.calm && now < scenario.heals && one_in(50))
		delay += below(scenario.jitter * 100);
	return now + delay;
}

void network_send(enum event_type type, uint32_t to, uint32_t from, const struct wire_message *m)
{
	bool to_node = type == EV_DELIVER_NODE;
	bool bad = !scenario.calm && now < scenario.heals;

	messages++;
	if (bad && (parted(to_node ? to : from, to_node) || percent(scenario.loss)))
		return;
	event_message(arrival(), type, to, from, m);
	if (bad && percent(scenario.duplication))
		event_message(arrival() + below(one_in(4) ? 20 * SECOND : 2 * SECOND), type, to,
			      from, m);
}
