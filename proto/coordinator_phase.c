// SPDX-License-Identifier: GPL-2.0-or-later
/* The phases of an epoch: what each wants of a node, when it ends, and what follows. */
#include "proto/coordinator.h"
#include "proto/coordinator_internal.h"

static bool in_epoch(const struct coordinator *c, const struct coordinator_node *n)
{
	return n->boot && n->epoch == c->epoch;
}

static bool was_reset(const struct coordinator_node *n)
{
	return n->armed_boot && n->boot != n->armed_boot;
}

static bool thaw_armed(const struct coordinator *c, const struct coordinator_node *n)
{
	return n->thaw == THAW_COMMITTED || (n->thaw == THAW_ARMED && n->round == c->round);
}

bool coordinator_node_left_out(const struct coordinator *c, const struct coordinator_node *n)
{
	return c->inherited && n->boot && n->epoch < c->epoch && !was_reset(n) &&
	       n->state == STATE_IDLE && c->phase != PHASE_ABORTING;
}

/* The epoch is over there, and nobody can begin it there any more. */
static bool settled(const struct coordinator *c, const struct coordinator_node *n)
{
	return n->boot && n->state == STATE_IDLE && (n->epoch >= c->epoch || was_reset(n));
}

bool coordinator_node_done(const struct coordinator *c, const struct coordinator_node *n)
{
	switch (c->phase) {
	case PHASE_ATTACHING:
		return n->echo >= c->phase_seq;
	case PHASE_ARMING:
		return in_epoch(c, n) && n->state == STATE_ARMED;
	case PHASE_ABORTING:
	case PHASE_COMMITTING:
		return settled(c, n) || (in_epoch(c, n) && n->state == STATE_FROZEN);
	case PHASE_THAW_ARMING:
		return settled(c, n) || (in_epoch(c, n) && thaw_armed(c, n));
	case PHASE_THAWING:
		return settled(c, n);
	default:
		return true;
	}
}

bool coordinator_node_stray(const struct coordinator *c, const struct coordinator_node *n)
{
	if (c->phase == PHASE_ATTACHING || c->phase == PHASE_SUPERSEDED || n->state == STATE_IDLE)
		return false;
	return c->phase == PHASE_IDLE || n->epoch != c->epoch;
}

void coordinator_set_fate(struct coordinator *c, struct coordinator_node *n,
			  enum coordinator_fate fate)
{
	c->spoiled += (fate != FATE_NONE) - (n->fate != FATE_NONE);
	n->fate = (uint8_t)fate;
}

void coordinator_enter(struct coordinator *c, enum coordinator_phase phase, uint64_t ends,
		       const struct moment *now)
{
	uint64_t at = now->mono;

	c->phase = phase;
	c->phase_seq = c->seq + 1;
	c->phase_ends = ends;
	c->pending = 0;
	for (uint32_t i = 0; i < c->config.nodes; i++) {
		struct coordinator_node *n = &c->nodes[i];

		n->tries = 0;
		n->done = coordinator_node_done(c, n);
		c->pending += !n->done;
		if (n->done) {
			coordinator_schedule(c, i, now);
		} else {
			deadline_set(&c->due, i, at);
			at += c->config.pace;
		}
	}
}

/* --- what a report means --- */

static void judge_arming(struct coordinator *c, struct coordinator_node *n, bool answers)
{
	bool armed = in_epoch(c, n) && n->state == STATE_ARMED;

	if (was_reset(n)) {
		coordinator_set_fate(c, n, FATE_RESET);
	} else if (in_epoch(c, n) && !armed) { /* withdrawn */
		coordinator_set_fate(c, n, FATE_RAN_ON);
	} else if (answers && n->asked == WIRE_ARM && n->refusal != REFUSAL_NONE && !armed) {
		n->refused = n->refusal;
		coordinator_set_fate(c, n, FATE_REFUSED);
	} else {
		return;
	}
	c->failing = true;
}

/* A T' that was part of the arming, or that an earlier coordinator has committed, is the one. */
static void adopt_thaw(struct coordinator *c, const struct coordinator_node *n)
{
	bool decided = n->state != STATE_FROZEN || n->thaw == THAW_COMMITTED;

	if (!c->inherited || !in_epoch(c, n) || was_reset(n) || !decided || n->until == WIRE_NEVER)
		return;
	c->until = n->until;
	c->thaw_committed = true;
}

void coordinator_judge(struct coordinator *c, struct coordinator_node *n, bool answers)
{
	if (c->inherited && !n->armed_boot && in_epoch(c, n))
		n->armed_boot = n->boot;
	if (c->phase == PHASE_ARMING)
		judge_arming(c, n, answers);
	if (c->phase == PHASE_COMMITTING || c->phase == PHASE_FROZEN ||
	    c->phase == PHASE_THAW_ARMING)
		adopt_thaw(c, n);
	if (c->phase == PHASE_THAW_ARMING && answers && n->asked == WIRE_THAW_ARM &&
	    n->refusal == REFUSAL_LATE)
		c->failing = true;
}

/* --- verdicts --- */

static enum coordinator_fate fate_frozen(const struct coordinator *c,
					 const struct coordinator_node *n)
{
	if (was_reset(n))
		return FATE_RESET;
	if (!in_epoch(c, n) || n->state == STATE_ARMED || n->state == STATE_COMMITTED)
		return FATE_SILENT;
	if (n->state == STATE_IDLE && n->result != RESULT_DONE)
		return FATE_RAN_ON;
	if ((n->flags & REPORT_STEPPED) || n->freeze_bound > c->config.bound_max)
		return FATE_CLOCK;
	return FATE_NONE;
}

static enum coordinator_fate fate_thawed(const struct coordinator *c,
					 const struct coordinator_node *n)
{
	enum coordinator_fate fate = fate_frozen(c, n);

	if (fate != FATE_NONE)
		return fate;
	if (n->state != STATE_IDLE)
		return FATE_SILENT;
	if (n->until != c->until || n->at != c->at)
		return FATE_ALONE;
	return n->thaw_bound > c->config.bound_max ? FATE_CLOCK : FATE_NONE;
}

static uint64_t lateness(const struct coordinator *c, const struct coordinator_node *n)
{
	uint64_t planned = c->until - c->at;
	uint64_t excess = n->frozen > planned ? n->frozen - planned : planned - n->frozen;

	return n->late > excess ? n->late : excess;
}

static void conclude(struct coordinator *c)
{
	c->late = 0;
	for (uint32_t i = 0; i < c->config.nodes; i++) {
		struct coordinator_node *n = &c->nodes[i];
		uint64_t late = lateness(c, n);

		coordinator_set_fate(c, n, fate_thawed(c, n));
		if (n->fate == FATE_NONE && late > c->late)
			c->late = late;
	}
	if (c->spoiled)
		c->outcome = OUTCOME_PARTIAL;
	else
		c->outcome = c->late > c->config.late_clean ? OUTCOME_LATE : OUTCOME_CLEAN;
}

/* Called off: what a node did all the same, since an earlier coordinator had committed it. */
static enum coordinator_fate fate_aborted(const struct coordinator *c,
					  const struct coordinator_node *n)
{
	if (in_epoch(c, n) && (n->state >= STATE_COMMITTED || n->result == RESULT_DONE))
		return FATE_ALONE;
	if (n->fate != FATE_NONE)
		return (enum coordinator_fate)n->fate;
	if (was_reset(n))
		return FATE_RESET;
	return n->done ? FATE_NONE : FATE_SILENT;
}

static void conclude_abort(struct coordinator *c)
{
	bool froze = false;

	for (uint32_t i = 0; i < c->config.nodes; i++) {
		struct coordinator_node *n = &c->nodes[i];
		enum coordinator_fate fate = fate_aborted(c, n);

		coordinator_set_fate(c, n, fate);
		froze |= fate == FATE_ALONE ||
			 (c->inherited && (fate == FATE_SILENT || fate == FATE_RESET));
	}
	c->outcome = froze ? OUTCOME_PARTIAL : OUTCOME_ABORTED;
	for (uint32_t i = 0; froze && i < c->config.nodes; i++)
		if (c->nodes[i].fate == FATE_NONE)
			coordinator_set_fate(c, &c->nodes[i], FATE_RAN_ON);
}

/* --- decisions --- */

static uint64_t patience(const struct coordinator *c, uint64_t at, const struct moment *now)
{
	uint64_t until = at + c->late_limit;

	return now->mono + (until > now->shared ? until - now->shared : 0) + c->config.patience;
}

static void enter_thawing(struct coordinator *c, const struct moment *now)
{
	coordinator_enter(c, PHASE_THAWING, patience(c, c->until, now), now);
}

static void enter_idle(struct coordinator *c, const struct moment *now)
{
	coordinator_enter(c, PHASE_IDLE, DEADLINE_NEVER, now);
}

/* The node shows that its epoch was committed. */
static bool proves_commit(const struct coordinator_node *n)
{
	return n->state >= STATE_COMMITTED ||
	       (n->state == STATE_IDLE && (n->result == RESULT_DONE || n->result == RESULT_MISSED ||
					   n->result == RESULT_FAILED));
}

/* What the inherited epoch is to a node. One that knows nothing of it can have been frozen in it
 * after T, and reset since. */
static void inherit_node(struct coordinator *c, struct coordinator_node *n,
			 const struct moment *now)
{
	if (!in_epoch(c, n)) {
		if (n->boot && now->shared + c->config.margin > c->at)
			coordinator_set_fate(c, n, FATE_RESET);
		return;
	}
	n->armed_boot = n->boot;
	if (n->round > c->round)
		c->round = n->round;
	adopt_thaw(c, n);
}

/* What did an earlier coordinator leave? */
static void inherit(struct coordinator *c, const struct moment *now)
{
	const struct coordinator_node *active = NULL;
	bool committed = false;

	for (uint32_t i = 0; i < c->config.nodes; i++) {
		const struct coordinator_node *n = &c->nodes[i];

		if (n->state != STATE_IDLE && (!active || n->epoch > active->epoch))
			active = n;
	}
	if (!active) {
		enter_idle(c, now);
		return;
	}
	c->inherited = true;
	c->epoch = active->epoch;
	c->at = active->at;
	c->late_limit = active->late_limit;
	for (uint32_t i = 0; i < c->config.nodes; i++) {
		inherit_node(c, &c->nodes[i], now);
		committed |= in_epoch(c, &c->nodes[i]) && proves_commit(&c->nodes[i]);
	}
	if (committed)
		coordinator_enter(c, PHASE_COMMITTING, patience(c, c->at, now), now);
	else
		coordinator_enter(c, PHASE_ABORTING, now->mono + c->config.patience, now);
}

static void call_off(struct coordinator *c, const struct moment *now)
{
	for (uint32_t i = 0; i < c->config.nodes; i++)
		if (!c->nodes[i].done && c->nodes[i].fate == FATE_NONE && !c->failing)
			coordinator_set_fate(c, &c->nodes[i], FATE_SILENT);
	coordinator_enter(c, PHASE_ABORTING, now->mono + c->config.patience, now);
}

static bool decide_arming(struct coordinator *c, bool over, const struct moment *now,
			  enum coordinator_event *event)
{
	over |= now->shared + c->config.margin > c->at;
	if (c->failing || over) {
		call_off(c, now);
		return false;
	}
	if (c->pending)
		return false;
	coordinator_enter(c, PHASE_COMMITTING, patience(c, c->at, now), now);
	*event = EVENT_COMMITTED;
	return true;
}

static bool decide_committing(struct coordinator *c, const struct moment *now,
			      enum coordinator_event *event)
{
	for (uint32_t i = 0; i < c->config.nodes; i++)
		coordinator_set_fate(c, &c->nodes[i], fate_frozen(c, &c->nodes[i]));
	if (c->until == WIRE_NEVER)
		coordinator_enter(c, PHASE_FROZEN, DEADLINE_NEVER, now);
	else
		enter_thawing(c, now);
	*event = EVENT_FROZEN;
	return true;
}

static bool decide_thaw(struct coordinator *c, bool over, const struct moment *now,
			enum coordinator_event *event)
{
	over |= now->shared + c->config.margin > c->until;
	if (c->thaw_committed) {
		enter_thawing(c, now);
		return false;
	}
	if ((c->failing || over) && !c->force) {
		c->until = WIRE_NEVER;
		coordinator_enter(c, PHASE_FROZEN, DEADLINE_NEVER, now);
		*event = EVENT_THAW_FAILED;
		return true;
	}
	if (!c->pending || over)
		enter_thawing(c, now);
	return false;
}

static bool ended(struct coordinator *c, const struct moment *now, enum coordinator_event *event)
{
	enter_idle(c, now);
	*event = EVENT_ENDED;
	return true;
}

bool coordinator_decide(struct coordinator *c, const struct moment *now,
			enum coordinator_event *event)
{
	bool over = now->mono >= c->phase_ends;

	switch (c->phase) {
	case PHASE_ATTACHING:
		if (c->pending && !over)
			return false;
		inherit(c, now);
		*event = EVENT_ATTACHED;
		return true;
	case PHASE_ARMING:
		return decide_arming(c, over, now, event);
	case PHASE_COMMITTING:
		return (!c->pending || over) && decide_committing(c, now, event);
	case PHASE_FROZEN:
		if (c->thaw_committed)
			enter_thawing(c, now);
		return false;
	case PHASE_THAW_ARMING:
		return decide_thaw(c, over, now, event);
	case PHASE_ABORTING:
		if (c->pending && !over)
			return false;
		conclude_abort(c);
		return ended(c, now, event);
	case PHASE_THAWING:
		if (c->pending && !over)
			return false;
		conclude(c);
		return ended(c, now, event);
	case PHASE_SUPERSEDED:
		if (c->announced)
			return false;
		c->announced = true;
		*event = EVENT_SUPERSEDED;
		return true;
	default:
		return false;
	}
}
