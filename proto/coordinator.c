// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages to and from the nodes, and when they are repeated. */
#include "proto/coordinator.h"
#include <errno.h>
#include "proto/coordinator_internal.h"
#include "proto/retry.h"

void coordinator_init(struct coordinator *c, const struct coordinator_config *config,
		      struct coordinator_node *nodes, struct deadline *deadlines,
		      const struct moment *now)
{
	/* Nodes forget when they are reset: epochs are unique since incarnations are. */
	*c = (struct coordinator){.config = *config,
				  .nodes = nodes,
				  .until = WIRE_NEVER,
				  .highest = config->incarnation};
	deadlines_init(&c->due, deadlines, config->nodes);
	for (uint32_t i = 0; i < config->nodes; i++)
		nodes[i] = (struct coordinator_node){.until = WIRE_NEVER};
	coordinator_enter(c, PHASE_ATTACHING, now->mono + config->patience, now);
}

/* --- requests --- */

static bool margin_left(const struct coordinator *c, uint64_t at, const struct moment *now)
{
	return at < WIRE_TIME_END && at > now->shared + c->config.margin;
}

int coordinator_freeze(struct coordinator *c, uint64_t at, uint64_t until, const struct moment *now)
{
	if (c->phase != PHASE_IDLE)
		return -EBUSY;
	if (!margin_left(c, at, now) || until <= at ||
	    (until >= WIRE_TIME_END && until != WIRE_NEVER))
		return -EINVAL;
	c->epoch = ++c->highest;
	c->at = at;
	c->until = until;
	c->late_limit = c->config.late_limit;
	c->round = 0;
	c->inherited = c->failing = c->thaw_committed = false;
	c->outcome = OUTCOME_NONE;
	c->spoiled = 0;
	/* Only nodes that were heard of before: one that was reset since may have been fenced off
	 * by a later coordinator, and forgotten it. */
	for (uint32_t i = 0; i < c->config.nodes; i++) {
		c->nodes[i].armed_boot = c->nodes[i].boot;
		c->nodes[i].fate = FATE_NONE;
		if (!c->nodes[i].boot) {
			coordinator_set_fate(c, &c->nodes[i], FATE_SILENT);
			c->failing = true;
		}
	}
	coordinator_enter(c, PHASE_ARMING, now->mono + (at - now->shared) - c->config.margin, now);
	return 0;
}

int coordinator_abort(struct coordinator *c)
{
	if (c->phase != PHASE_ARMING)
		return -EBUSY;
	c->failing = true;
	return 0;
}

int coordinator_thaw(struct coordinator *c, uint64_t until, bool force, const struct moment *now)
{
	if (c->phase != PHASE_FROZEN)
		return -EBUSY;
	if (!margin_left(c, until, now) || until <= c->at)
		return -EINVAL;
	c->until = until;
	c->round++;
	c->force = force;
	c->failing = false;
	coordinator_enter(c, PHASE_THAW_ARMING,
			  now->mono + (until - now->shared) - c->config.margin, now);
	return 0;
}

/* --- when to speak to a node --- */

/* Spread, so that neither nodes nor repetitions come in bursts. */
static uint64_t spread(uint32_t node, uint32_t tries, uint64_t range)
{
	uint32_t x = (node + 1) * 2654435761u ^ tries * 2246822519u;

	x ^= x >> 15;
	return range ? x % range : 0;
}

/* A shared time to come, as a mono one, and a moment more for the node to tell by itself. */
static uint64_t soon_after(const struct coordinator *c, uint32_t node, uint64_t at,
			   const struct moment *now)
{
	return now->mono + (at > now->shared ? at - now->shared : 0) + c->config.retry_first +
	       c->config.pace * node;
}

/* It has said what it will do, and has nothing more to say before it is done. */
static uint64_t waits_until(const struct coordinator *c, const struct coordinator_node *n)
{
	if (n->epoch != c->epoch)
		return WIRE_NEVER;
	if (c->phase == PHASE_COMMITTING && n->state == STATE_COMMITTED)
		return n->at;
	if (c->phase == PHASE_THAWING && n->thaw == THAW_COMMITTED)
		return n->until;
	return WIRE_NEVER;
}

static uint64_t next_try(const struct coordinator *c, uint32_t node, const struct moment *now)
{
	const struct coordinator_node *n = &c->nodes[node];
	uint64_t delay = retry_delay(c->config.retry_first, c->config.retry_limit, n->tries);

	return now->mono + delay + spread(node, n->tries, delay / 4);
}

void coordinator_schedule(struct coordinator *c, uint32_t node, const struct moment *now)
{
	const struct coordinator_node *n = &c->nodes[node];
	uint64_t at = DEADLINE_NEVER, waits = waits_until(c, n);
	uint64_t alive = now->mono + c->config.keep_alive + spread(node, n->tries, c->config.pace);

	if (n->acknowledge)
		at = now->mono;
	else if (coordinator_node_stray(c, n))
		at = next_try(c, node, now);
	else if (waits != WIRE_NEVER && waits > now->shared)
		at = soon_after(c, node, waits, now);
	else if (!n->done)
		at = next_try(c, node, now);
	else if (c->phase == PHASE_FROZEN || c->phase == PHASE_IDLE)
		at = alive;
	if (at > alive && at != DEADLINE_NEVER)
		at = alive;
	deadline_set(&c->due, node, at);
}

/* --- commands --- */

static enum wire_type kind(const struct coordinator *c, const struct coordinator_node *n)
{
	static const enum wire_type of_phase[] = {
		[PHASE_ATTACHING] = WIRE_ATTACH,     [PHASE_IDLE] = WIRE_QUERY,
		[PHASE_ARMING] = WIRE_ARM,	     [PHASE_ABORTING] = WIRE_ABORT,
		[PHASE_COMMITTING] = WIRE_COMMIT,    [PHASE_FROZEN] = WIRE_QUERY,
		[PHASE_THAW_ARMING] = WIRE_THAW_ARM, [PHASE_THAWING] = WIRE_THAW_COMMIT,
		[PHASE_SUPERSEDED] = WIRE_QUERY,
	};

	if (!n->boot)
		return WIRE_ATTACH;
	if (!coordinator_node_stray(c, n) && n->done)
		return WIRE_QUERY;
	if (!coordinator_node_stray(c, n))
		return coordinator_node_left_out(c, n) ? WIRE_COMMIT : of_phase[c->phase];
	if (n->state != STATE_FROZEN)
		return WIRE_ABORT;
	return n->thaw == THAW_COMMITTED ? WIRE_QUERY : WIRE_THAW_COMMIT;
}

static void fill(struct coordinator *c, uint32_t node, const struct moment *now,
		 struct wire_message *m)
{
	struct coordinator_node *n = &c->nodes[node];

	*m = (struct wire_message){
		.type = kind(c, n),
		.experiment = c->config.experiment,
		.incarnation = c->config.incarnation,
		.epoch = c->epoch,
		.boot = n->boot,
		.node = node,
		.round = c->round,
		.command = {.seen = n->number,
			    .at = c->at,
			    .until = c->until,
			    .late_limit = c->late_limit,
			    .bound_max = c->config.bound_max},
	};
	if (m->type != WIRE_QUERY && coordinator_node_stray(c, n)) {
		m->epoch = n->epoch;
		m->round = n->round + 1;
		m->command.at = n->at;
		/* the others went on then: it is late already */
		if (n->epoch != c->epoch || c->until == WIRE_NEVER)
			m->command.until = now->shared;
	}
	if (n->acknowledge && m->type == WIRE_QUERY) {
		m->type = WIRE_SEEN;
		return;
	}
	m->seq = ++c->seq;
	if (n->asked != m->type) {
		n->asked = (uint8_t)m->type;
		n->asked_seq = m->seq;
	}
}

static void speak(struct coordinator *c, uint32_t node, const struct moment *now,
		  struct coordinator_action *a)
{
	struct coordinator_node *n = &c->nodes[node];

	a->send = true;
	a->node = node;
	fill(c, node, now, &a->message);
	n->acknowledge = false;
	if (a->message.type != WIRE_SEEN)
		n->tries++;
	coordinator_schedule(c, node, now);
}

bool coordinator_next(struct coordinator *c, const struct moment *now, struct coordinator_action *a)
{
	enum coordinator_phase phase;
	uint32_t node;

	*a = (struct coordinator_action){0};
	do {
		phase = c->phase;
		if (coordinator_decide(c, now, &a->event))
			return true;
	} while (c->phase != phase);
	if (c->phase == PHASE_SUPERSEDED || deadline_first(&c->due, &node) > now->mono)
		return false;
	speak(c, node, now, a);
	return true;
}

uint64_t coordinator_deadline(const struct coordinator *c)
{
	uint32_t node;
	uint64_t at = deadline_first(&c->due, &node);

	if (c->phase == PHASE_SUPERSEDED)
		return DEADLINE_NEVER;
	return at < c->phase_ends ? at : c->phase_ends;
}

/* --- reports --- */

static bool ours(const struct coordinator *c, const struct wire_message *m)
{
	return m->seq && m->seq <= c->seq && m->incarnation == c->config.incarnation;
}

/* Reports can overtake each other, and come again: only what is newer than all before counts. */
static bool is_news(struct coordinator *c, struct coordinator_node *n, const struct wire_message *m)
{
	if (n->boot == m->boot)
		return m->report.number > n->number;
	if (!n->boot)
		return true;
	/* Of another boot: later than the one we know if it answers a later command. */
	return ours(c, m) && m->seq > n->echo;
}

static void take(struct coordinator_node *n, const struct wire_message *m)
{
	const struct wire_report *r = &m->report;

	n->boot = m->boot;
	n->number = r->number;
	n->epoch = m->epoch;
	n->round = m->round;
	n->at = r->at;
	n->until = r->until;
	n->late_limit = r->late_limit;
	n->late = r->late;
	n->frozen = r->frozen;
	n->freeze_bound = r->freeze_bound;
	n->thaw_bound = r->thaw_bound;
	n->state = r->state;
	n->thaw = r->thaw;
	n->result = r->result;
	n->refusal = r->refusal;
	n->flags = r->flags;
}

static void reschedule(struct coordinator *c, uint32_t node, bool urgent, const struct moment *now)
{
	struct coordinator_node *n = &c->nodes[node];

	if (urgent) {
		n->tries = 0;
		deadline_set(&c->due, node, now->mono);
	} else if (n->done || n->acknowledge || waits_until(c, n) != WIRE_NEVER) {
		coordinator_schedule(c, node, now);
	}
}

static void set_done(struct coordinator *c, struct coordinator_node *n)
{
	bool done = coordinator_node_done(c, n);

	if (done != n->done)
		c->pending += done ? -1u : 1u;
	n->done = done;
}

void coordinator_receive(struct coordinator *c, const struct wire_message *m,
			 const struct moment *now)
{
	struct coordinator_node *n;
	bool stray, answers, other_boot;

	if (m->type != WIRE_REPORT || m->experiment != c->config.experiment ||
	    m->node >= c->config.nodes || !m->boot || c->phase == PHASE_SUPERSEDED)
		return;
	n = &c->nodes[m->node];
	if (!is_news(c, n, m))
		return;
	if (m->report.obeys > c->config.incarnation) {
		c->phase = PHASE_SUPERSEDED;
		return;
	}
	stray = coordinator_node_stray(c, n);
	other_boot = n->boot != m->boot;
	answers = ours(c, m);
	take(n, m);
	if (answers && m->seq > n->echo)
		n->echo = m->seq;
	if (m->epoch > c->highest)
		c->highest = m->epoch;
	n->acknowledge = m->seq == 0;
	coordinator_judge(c, n, answers && m->seq >= n->asked_seq);
	set_done(c, n);
	reschedule(c, m->node, (other_boot && !n->done) || (!stray && coordinator_node_stray(c, n)),
		   now);
}

const char *coordinator_fate_text(enum coordinator_fate f)
{
	static const char *const text[] = {
		[FATE_NONE] = "well",
		[FATE_REFUSED] = "refused",
		[FATE_SILENT] = "silent: it may be frozen",
		[FATE_RESET] = "was reset",
		[FATE_RAN_ON] = "ran on",
		[FATE_CLOCK] = "its clock was stepped, or its error too large",
		[FATE_ALONE] = "frozen or thawed at another time than the others",
	};

	return f <= FATE_ALONE ? text[f] : "?";
}
