// SPDX-License-Identifier: GPL-2.0-or-later
/* What must hold, judged by one who sees everything. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "test/sim/sim.h"

#define ABORTED_MAX 64
static uint64_t aborted[ABORTED_MAX];
static uint32_t aborted_count;

void checks_reset(void)
{
	aborted_count = 0;
}

void violated(const char *format, ...)
{
	va_list args;

	printf("FAIL seed %" PRIu64 ", %" PRIu64 " us: ", seed, (now - START) / 1000);
	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	printf("\n     the run's story: sim --seed %" PRIu64 " --nodes %u --trace\n", seed,
	       scenario.nodes);
	exit(1);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* The largest error of a node's clock in this run: held that long at most. */
static uint64_t clock_error(uint64_t held)
{
	return scenario.bound + scenario.drift_ppb * (held / SECOND + 1);
}

/* The node took part as the outcome says: at T within `late`, for T' - T within `late`. */
static void check_member(const struct coordinator *c, uint32_t i, uint64_t late)
{
	const struct record *r = node_record(&nodes[i], c->epoch);
	uint64_t frozen, planned = c->until - c->at, held;

	if (!r)
		violated("epoch %" PRIu64 ": node %u ran on, and nobody says so", c->epoch, i);
	if (r->broken)
		violated("epoch %" PRIu64 ": node %u was reset, or its clock stepped, and nobody "
			 "says so",
			 c->epoch, i);
	if (!r->end)
		violated("epoch %" PRIu64 " is over, and node %u still frozen", c->epoch, i);
	frozen = r->end - r->start;
	held = frozen + 20 * SECOND;
	if (distance(r->start, c->at) > late + clock_error(held))
		violated("epoch %" PRIu64 ": node %u froze %" PRIu64
			 " ns from T, said to be %" PRIu64,
			 c->epoch, i, distance(r->start, c->at), late);
	/* the clock was held: only its rate counts */
	if (distance(frozen, planned) > late + scenario.drift_ppb * (frozen / SECOND + 1))
		violated("epoch %" PRIu64 ": node %u was frozen for %" PRIu64 " ns, not %" PRIu64,
			 c->epoch, i, frozen, planned);
}

static void check_aborted(const struct coordinator *c)
{
	if (aborted_count < ABORTED_MAX)
		aborted[aborted_count++] = c->epoch;
	for (uint32_t i = 0; i < scenario.nodes; i++)
		if (node_record(&nodes[i], c->epoch) ||
		    (nodes[i].planned && nodes[i].p.epoch == c->epoch))
			violated("epoch %" PRIu64 " was called off, and node %u freezes", c->epoch,
				 i);
}

void check_outcome(const struct coordinator *c)
{
	uint64_t late = c->outcome == OUTCOME_CLEAN ? c->config.late_clean : c->late;

	if (c->outcome == OUTCOME_NONE)
		violated("epoch %" PRIu64 " ends without an outcome", c->epoch);
	if (c->outcome == OUTCOME_ABORTED) {
		check_aborted(c);
		return;
	}
	for (uint32_t i = 0; i < scenario.nodes; i++) {
		if (c->nodes[i].fate == FATE_NONE)
			check_member(c, i, late);
		else if (c->outcome != OUTCOME_PARTIAL)
			violated("epoch %" PRIu64
				 ": node %u has a fate, but the outcome is not partial",
				 c->epoch, i);
	}
	if (c->outcome == OUTCOME_PARTIAL && !c->spoiled)
		violated("epoch %" PRIu64 " is partial, and no node is to blame", c->epoch);
}

/* Nobody stands beyond a T' that was part of its arming. */
static void check_thaws(uint32_t i)
{
	const struct sim_node *n = &nodes[i];
	const struct record *r = &n->records[(n->freezes - 1) % RECORDS];
	uint64_t slack = scenario.late_max + clock_error(60 * SECOND) + 200 * MS;

	if (n->frozen && n->plan_until != WIRE_NEVER && !r->broken &&
	    now > r->until + r->late + slack)
		violated("node %u stands %" PRIu64 " ns beyond its T'", i,
			 now - r->until - r->late);
}

void check_node(uint32_t i)
{
	const struct sim_node *n = &nodes[i];
	bool idle = n->p.report.state == STATE_IDLE;

	if (idle == n->held)
		violated("node %u: servo %s in state %d", i, n->held ? "held" : "free",
			 n->p.report.state);
	if (n->frozen != (n->p.report.state == STATE_FROZEN))
		violated("node %u: says state %d, and is %s", i, n->p.report.state,
			 n->frozen ? "frozen" : "running");
	check_thaws(i);
	if (n->planned != (n->p.report.state == STATE_COMMITTED))
		violated("node %u: says state %d, and its timer is %s", i, n->p.report.state,
			 n->planned ? "armed" : "not armed");
}

/* What a node is about to do is what somebody has ordered. */
void check_plan(uint32_t i, uint64_t epoch, uint64_t at, uint64_t until)
{
	uint64_t ordered_at, ordered_until;

	if (!operator_ordered(epoch, &ordered_at, &ordered_until))
		violated("node %u will freeze in epoch %" PRIu64 ", which nobody ordered", i,
			 epoch);
	if (at != ordered_at || until != ordered_until)
		violated("node %u will freeze at another T, or for another time, than was ordered",
			 i);
}

void check_freeze(uint32_t i, uint64_t start)
{
	const struct sim_node *n = &nodes[i];
	uint64_t limit = n->plan_at + n->p.report.late_limit + scenario.late_max + 5000 +
			 2 * clock_error(60 * SECOND) + 100 * MS;

	for (uint32_t k = 0; k < aborted_count; k++)
		if (aborted[k] == n->p.epoch)
			violated("node %u freezes in epoch %" PRIu64 ", which was called off", i,
				 n->p.epoch);
	if (start > limit)
		violated("node %u freezes %" PRIu64 " ns after T", i, start - n->plan_at);
}

void check_end(void)
{
	if (!operator_at_rest())
		violated("the network has long been well, and the coordinator is not at rest");
	for (uint32_t i = 0; i < scenario.nodes; i++)
		if (!nodes[i].up || nodes[i].frozen || nodes[i].planned || nodes[i].held)
			violated("the network has long been well, and node %u is %s", i,
				 nodes[i].frozen ? "frozen" : "not at rest");
}
