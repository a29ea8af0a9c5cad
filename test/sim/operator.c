// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Coordinators, and the operator who gives the latest of them orders. An older one that lives on
 * is not told that it has a successor.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "test/sim/sim.h"

#define CLOCK_ERROR (5 * MS) /* of a coordinator; it only chooses T by it */
#define ORDERS	    16
#define NO_ONE	    UINT32_MAX
#define CALM_AFTER  (10 * SECOND) /* the last accident: all nodes have booted again */

static struct {
	struct coordinator c;
	struct coordinator_node *nodes;
	struct deadline *deadlines;
	bool up;
	int64_t error;
	uint32_t timer_generation;
} coordinators[MAX_COORDINATORS];
static uint32_t started, latest, epochs_left, thaw_tries;
static uint64_t next_thaw;
static bool expect_abort, expect_clean;
uint64_t outcomes[OUTCOME_ABORTED + 1];

static struct {
	uint64_t epoch, at, until;
} orders[ORDERS];
static uint32_t order_count;

bool operator_ordered(uint64_t epoch, uint64_t *at, uint64_t *until)
{
	for (uint32_t i = 0; i < order_count; i++) {
		if (orders[i].epoch != epoch)
			continue;
		*at = orders[i].at;
		*until = orders[i].until;
		return true;
	}
	return false;
}

static struct moment moment(uint32_t i)
{
	return (struct moment){.mono = now, .shared = now + (uint64_t)coordinators[i].error};
}

static void told(uint32_t i, enum coordinator_event event)
{
	static const char *const names[] = {"attached",	   "committed", "all are frozen",
					    "thaw failed", "ended",	"superseded"};
	struct coordinator *c = &coordinators[i].c;

	trace("coordinator %u: %s, epoch %" PRIu64 ", phase %d, outcome %d, late %" PRIu64
	      ", spoiled %u",
	      i, names[event], c->epoch, c->phase, c->outcome, c->late, c->spoiled);
	if (event == EVENT_FROZEN || event == EVENT_THAW_FAILED)
		next_thaw = now + below(2 * SECOND);
	if (event == EVENT_THAW_FAILED)
		thaw_tries++;
	if (event != EVENT_ENDED)
		return;
	outcomes[c->outcome]++;
	check_outcome(c);
	if (i == latest && expect_clean &&
	    c->outcome != (expect_abort ? OUTCOME_ABORTED : OUTCOME_CLEAN))
		violated("nothing is wrong, but epoch %" PRIu64 " ends with outcome %d", c->epoch,
			 c->outcome);
	thaw_tries = 0;
	expect_abort = expect_clean = false;
}

static void settle(uint32_t i)
{
	struct coordinator *c = &coordinators[i].c;
	struct coordinator_action a;
	struct moment m = moment(i);
	uint64_t deadline;

	while (coordinator_next(c, &m, &a)) {
		if (a.send)
			network_send(EV_DELIVER_NODE, a.node, i, &a.message);
		else
			told(i, a.event);
	}
	deadline = coordinator_deadline(c);
	if (deadline == DEADLINE_NEVER)
		return;
	if (deadline <= now)
		violated("coordinator %u: its deadline is past, and it does nothing", i);
	if (!scenario.calm && now < scenario.heals && one_in(100))
		deadline += below(scenario.late_max);
	event_add(deadline, EV_COORD_TIMER, i, ++coordinators[i].timer_generation);
}

static void allocate(uint32_t i)
{
	coordinators[i].nodes = calloc(scenario.nodes, sizeof(struct coordinator_node));
	coordinators[i].deadlines = calloc(scenario.nodes, sizeof(struct deadline));
	if (!coordinators[i].nodes || !coordinators[i].deadlines) {
		(void)fprintf(stderr, "sim: out of memory\n");
		exit(2);
	}
}

void coordinator_start(void)
{
	struct coordinator_config config = {
		.experiment = EXPERIMENT,
		.incarnation = now / 1000,
		.nodes = scenario.nodes,
		.margin = between(5 * MS, 30 * MS),
		.late_limit = between(10 * MS, SECOND),
		.late_clean = 100000,
		.bound_max = 2 * scenario.bound + 60 * scenario.drift_ppb,
		.patience = 2 * SECOND,
		.retry_first = between(2 * MS, 40 * MS),
		.retry_limit = between(50 * MS, SECOND),
		.keep_alive = 2 * SECOND + scenario.nodes * MS / 3,
		.pace = between(0, 5000),
	};
	struct moment m;
	uint32_t i;

	if (started == MAX_COORDINATORS)
		return;
	i = latest = started++;
	trace("coordinator %u: starts", i);
	allocate(i);
	coordinators[i].up = true;
	coordinators[i].error = (int64_t)below(2 * CLOCK_ERROR) - (int64_t)CLOCK_ERROR;
	m = moment(i);
	coordinator_init(&coordinators[i].c, &config, coordinators[i].nodes,
			 coordinators[i].deadlines, &m);
	thaw_tries = 0;
	expect_abort = expect_clean = false;
	settle(i);
}

void coordinator_crash(void)
{
	if (latest == NO_ONE || !coordinators[latest].up || started == MAX_COORDINATORS)
		return;
	trace("coordinator %u: dies", latest);
	coordinators[latest].up = false;
	coordinators[latest].timer_generation++;
	event_add(now + between(10 * MS, 2 * SECOND), EV_START, 0, 0);
}

void coordinator_deliver(uint32_t i, const struct event *e)
{
	struct wire_message message;
	struct moment m = moment(i);

	if (!coordinators[i].up)
		return;
	if (wire_decode(e->bytes, e->size, &message) != 0)
		violated("a report does not decode");
	coordinator_receive(&coordinators[i].c, &message, &m);
	settle(i);
}

void coordinator_timer(uint32_t i, uint32_t generation)
{
	if (coordinators[i].up && generation == coordinators[i].timer_generation)
		settle(i);
}

/* --- the operator --- */

static void order_freeze(struct coordinator *c, const struct moment *m)
{
	uint64_t at = m->shared + c->config.margin + between(1, 400 * MS) +
		      scenario.nodes * c->config.pace;
	uint64_t until = one_in(2) ? at + between(1 * MS, 3 * SECOND) : WIRE_NEVER;
	bool calm = scenario.calm || now >= scenario.heals + CALM_AFTER;

	if (!epochs_left || (!calm && (epochs_left == 1 || now >= scenario.heals)))
		return;
	if (one_in(8)) { /* a far T: others may come before it */
		at += 4 * SECOND;
		until += until == WIRE_NEVER ? 0 : 4 * SECOND;
	}
	if (calm) /* time enough */
		at += 200 * MS;
	if (until != WIRE_NEVER && calm)
		until += 200 * MS;
	epochs_left--;
	trace("operator: freeze%s", until == WIRE_NEVER ? "" : ", with a T'");
	if (coordinator_freeze(c, at, until, m) != 0)
		violated("a freeze was refused");
	if (order_count < ORDERS) {
		orders[order_count].epoch = c->epoch;
		orders[order_count].at = at;
		orders[order_count++].until = until;
	}
	expect_clean = calm;
	if (one_in(10) && coordinator_abort(c) == 0)
		expect_abort = true;
}

static void order_thaw(struct coordinator *c, const struct moment *m)
{
	uint64_t until = m->shared + c->config.margin + between(1, 400 * MS) +
			 scenario.nodes * c->config.pace;

	if (now < next_thaw)
		return;
	if (now >= scenario.heals || scenario.calm)
		until += 200 * MS;
	trace("operator: thaw");
	if (until > c->at && coordinator_thaw(c, until, thaw_tries > 3, m) != 0)
		violated("a thaw was refused");
}

void operator_turn(void)
{
	struct coordinator *c = &coordinators[latest].c;
	struct moment m = moment(latest);

	if (coordinators[latest].up) {
		if (c->phase == PHASE_IDLE)
			order_freeze(c, &m);
		else if (c->phase == PHASE_FROZEN)
			order_thaw(c, &m);
		settle(latest);
	}
	if (now < scenario.ends)
		event_add(now + between(10 * MS, 300 * MS), EV_OPERATOR, 0, 0);
}

bool operator_at_rest(void)
{
	return coordinators[latest].up && coordinators[latest].c.phase == PHASE_IDLE &&
	       !epochs_left;
}

void operators_reset(void)
{
	for (uint32_t i = 0; i < started; i++) {
		free(coordinators[i].nodes);
		free(coordinators[i].deadlines);
		coordinators[i].nodes = NULL;
		coordinators[i].deadlines = NULL;
		coordinators[i].up = false;
	}
	started = 0;
	latest = 0;
	next_thaw = 0;
	order_count = 0;
	epochs_left = scenario.epochs;
}
