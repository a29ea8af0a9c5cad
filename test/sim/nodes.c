// SPDX-License-Identifier: GPL-2.0-or-later
/* Nodes: what a hypervisor does for a participant, with a clock and timers that are not perfect. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "test/sim/sim.h"

struct sim_node *nodes;

#define MARGIN	(1 * MS)
#define NO_PEER UINT32_MAX

static int64_t scale(int64_t ppb, int64_t ns)
{
	return (int64_t)((__int128)ppb * ns / (int64_t)SECOND);
}

/* --- its clock --- */

static uint64_t shared_at(const struct sim_node *n, uint64_t t)
{
	int64_t since = (int64_t)(t - n->since);

	return t + (uint64_t)(n->error + (n->held ? scale(n->rate_ppb, since) : 0));
}

/* The true time at which the node's clock shows `shared`. */
static uint64_t true_at(const struct sim_node *n, uint64_t shared)
{
	uint64_t t = shared - (uint64_t)n->error;

	for (int i = 0; i < 3; i++)
		t += shared - shared_at(n, t);
	return t;
}

static void discipline(struct sim_node *n)
{
	n->error = (int64_t)between(0, 2 * scenario.bound) - (int64_t)scenario.bound;
	n->rate_ppb = (int64_t)between(0, 2 * scenario.drift_ppb) - (int64_t)scenario.drift_ppb;
	n->since = now;
}

static struct moment moment(const struct sim_node *n)
{
	uint64_t grown =
		n->held ? (uint64_t)scale((int64_t)scenario.drift_ppb, (int64_t)(now - n->since)) +
				  1
			: 0;

	return (struct moment){
		.mono = now - START / 2,
		.shared = shared_at(n, now),
		.bound = scenario.bound + grown,
		.drift_ppb = (uint32_t)scenario.drift_ppb,
	};
}

static uint64_t timer_lateness(void)
{
	uint64_t late = below(5000);

	if (!scenario.calm && now < scenario.heals && percent(scenario.late_timers))
		late += below(scenario.late_max);
	return late;
}

/* --- what its participant wants --- */

static void plan(uint32_t i, const struct participant_action *a)
{
	struct sim_node *n = &nodes[i];
	uint64_t at = true_at(n, a->at);

	if (n->planned || n->frozen)
		violated("node %u: armed for epoch %" PRIu64 " on top of another freeze", i,
			 n->p.epoch);
	check_plan(i, n->p.epoch, a->at, a->until);
	n->planned = true;
	n->plan_at = a->at;
	n->plan_until = a->until;
	trace("node %u: will freeze in epoch %" PRIu64, i, n->p.epoch);
	event_add((at > now ? at : now) + timer_lateness(), EV_FREEZE, i, ++n->freeze_generation);
}

static void plan_thaw(uint32_t i, uint64_t until)
{
	struct sim_node *n = &nodes[i];
	struct record *r = &n->records[(n->freezes - 1) % RECORDS];
	uint64_t at = true_at(n, until + r->late);

	if (!n->frozen || r->until != WIRE_NEVER)
		violated("node %u: told a second T', or one while it runs", i);
	r->until = until;
	event_add((at > now ? at : now) + timer_lateness(), EV_THAW, i, ++n->thaw_generation);
}

static void hold(uint32_t i, bool held)
{
	struct sim_node *n = &nodes[i];

	if (n->held == held || (!held && n->frozen))
		violated("node %u: its servo is %s", i,
			 held ? "held twice" : "released while it runs freely, or stands");
	n->held = held;
	discipline(n);
}

static void act(uint32_t i, const struct participant_action *a)
{
	struct sim_node *n = &nodes[i];

	switch (a->type) {
	case PARTICIPANT_HOLD:
	case PARTICIPANT_RELEASE:
		hold(i, a->type == PARTICIPANT_HOLD);
		break;
	case PARTICIPANT_FREEZE:
		plan(i, a);
		break;
	case PARTICIPANT_CANCEL:
		n->planned = false;
		n->freeze_generation++;
		break;
	case PARTICIPANT_THAW:
		plan_thaw(i, a->until);
		break;
	case PARTICIPANT_SEND:
		if (n->peer != NO_PEER)
			network_send(EV_DELIVER_COORD, n->peer, i, &a->message);
	}
}

static void settle(uint32_t i)
{
	struct sim_node *n = &nodes[i];
	struct participant_action a;
	struct moment m = moment(n);
	uint64_t deadline;

	while (participant_next(&n->p, &m, &a)) {
		act(i, &a);
		m = moment(n);
	}
	check_node(i);
	deadline = participant_deadline(&n->p, &m);
	if (deadline == NEVER)
		return;
	deadline += START / 2;
	if (deadline <= now)
		violated("node %u: its deadline is past, and it does nothing", i);
	n->timer_at = deadline;
	event_add(deadline + (one_in(20) ? timer_lateness() : 0), EV_NODE_TIMER, i,
		  ++n->timer_generation);
}

/* --- its life --- */

void node_boot(uint32_t i)
{
	struct sim_node *n = &nodes[i];
	struct participant_config config = {
		.experiment = EXPERIMENT,
		.boot = chance_next() | 1,
		.node = i,
		.margin = MARGIN,
	};

	n->up = true;
	n->boots++;
	n->held = n->frozen = n->planned = n->by_hand = false;
	n->peer = NO_PEER;
	participant_init(&n->p, &config);
	discipline(n);
	settle(i);
}

static void spoil_record(struct sim_node *n)
{
	if (n->frozen)
		n->records[(n->freezes - 1) % RECORDS].broken = true;
}

void node_crash(uint32_t i)
{
	struct sim_node *n = &nodes[i];

	if (!n->up)
		return;
	trace("node %u: is reset", i);
	spoil_record(n);
	n->up = n->frozen = n->planned = n->held = false;
	n->freeze_generation++;
	n->thaw_generation++;
	n->timer_generation++;
	event_add(now + between(200 * MS, 3 * SECOND), EV_BOOT, i, 0);
}

void node_step_clock(uint32_t i)
{
	struct sim_node *n = &nodes[i];
	struct moment m;

	if (!n->up)
		return;
	trace("node %u: its clock is stepped", i);
	spoil_record(n);
	n->error += (int64_t)between(0, 200 * MS) - (int64_t)(100 * MS);
	m = moment(n);
	participant_stepped(&n->p, &m);
	settle(i);
	if (!n->held)
		discipline(n);
}

void node_by_hand(uint32_t i)
{
	struct sim_node *n = &nodes[i];
	struct moment m = moment(n);

	if (!n->up || n->frozen)
		return;
	n->by_hand = !n->by_hand;
	trace("node %u: %s", i, n->by_hand ? "frozen by hand" : "thawed by hand");
	participant_busy(&n->p, n->by_hand, &m);
	settle(i);
}

void node_deliver(uint32_t i, const struct event *e)
{
	struct sim_node *n = &nodes[i];
	struct wire_message message;
	struct moment m = moment(n);

	if (!n->up)
		return;
	if (wire_decode(e->bytes, e->size, &message) != 0)
		violated("a message does not decode");
	n->peer = e->from;
	participant_receive(&n->p, &message, &m);
	settle(i);
}

void node_timer(uint32_t i, uint32_t generation)
{
	if (nodes[i].up && generation == nodes[i].timer_generation)
		settle(i);
}

void node_freeze_due(uint32_t i, uint32_t generation)
{
	struct sim_node *n = &nodes[i];
	struct moment m = moment(n);

	if (!n->up || generation != n->freeze_generation)
		return;
	n->planned = false;
	if (!scenario.calm && now < scenario.heals && one_in(400)) {
		trace("node %u: does not stop", i);
		participant_failed(&n->p, &m);
	} else {
		n->frozen = true;
		n->records[n->freezes++ % RECORDS] = (struct record){
			.epoch = n->p.epoch,
			.at = n->plan_at,
			.until = WIRE_NEVER,
			.start = now,
			.late = m.shared > n->plan_at ? m.shared - n->plan_at : 0,
		};
		trace("node %u: frozen in epoch %" PRIu64, i, n->p.epoch);
		check_freeze(i, now);
		if (n->plan_until != WIRE_NEVER)
			plan_thaw(i, n->plan_until);
		participant_frozen(&n->p, n->records[(n->freezes - 1) % RECORDS].late, &m);
	}
	settle(i);
}

void node_thaw_due(uint32_t i, uint32_t generation)
{
	struct sim_node *n = &nodes[i];
	struct moment m = moment(n);
	struct record *r = &n->records[(n->freezes - 1) % RECORDS];
	uint64_t planned = r->until + r->late;

	if (!n->up || generation != n->thaw_generation)
		return;
	r->end = now;
	n->frozen = false;
	trace("node %u: thawed in epoch %" PRIu64, i, r->epoch);
	participant_thawed(&n->p, m.shared - shared_at(n, r->start),
			   m.shared > planned ? m.shared - planned : 0, &m);
	settle(i);
}

const struct record *node_record(const struct sim_node *n, uint64_t epoch)
{
	for (uint32_t i = 0; i < RECORDS && i < n->freezes; i++)
		if (n->records[i].epoch == epoch)
			return &n->records[i];
	return NULL;
}

void nodes_reset(void)
{
	free(nodes);
	nodes = calloc(scenario.nodes, sizeof(*nodes));
	if (!nodes) {
		(void)fprintf(stderr, "sim: out of memory\n");
		exit(2);
	}
	for (uint32_t i = 0; i < scenario.nodes; i++)
		node_boot(i);
}
