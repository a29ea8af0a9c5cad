// SPDX-License-Identifier: GPL-2.0-or-later
#include "proto/participant.h"
#include "proto/retry.h"

#define TELL_FIRST_NS  50000000ull
#define TELL_LIMIT_NS  10000000000ull /* also how often an open freeze makes itself known */
#define TELL_TIMES     12	      /* then a node that runs waits to be asked */
#define NSEC_PER_SEC   1000000000ull
#define DRIFT_LIMIT_NS WIRE_DURATION_END

void participant_init(struct participant *p, const struct participant_config *config)
{
	*p = (struct participant){
		.config = *config,
		.report = {.until = WIRE_NEVER},
		.tell_at = WIRE_NEVER,
	};
}

/* --- what is told unasked --- */

/* The state has changed, and not by a command: the coordinator must hear of it. */
static void tell(struct participant *p, const struct moment *now)
{
	p->news = p->report.number + 1;
	p->told = 0;
	p->tell_at = now->mono;
}

static void told(struct participant *p, const struct moment *now)
{
	bool open = p->report.state == STATE_FROZEN && p->report.thaw != THAW_COMMITTED;

	if (p->seen >= p->news)
		p->tell_at = open ? now->mono + TELL_LIMIT_NS : WIRE_NEVER;
	else if (p->told < TELL_TIMES || p->report.state == STATE_FROZEN)
		p->tell_at = now->mono + retry_delay(TELL_FIRST_NS, TELL_LIMIT_NS, p->told);
	else
		p->tell_at = WIRE_NEVER;
	if (p->told < TELL_TIMES)
		p->told++;
}

static void heard_of(struct participant *p, uint64_t seen, const struct moment *now)
{
	if (seen <= p->seen || seen > p->report.number)
		return;
	p->seen = seen;
	if (p->tell_at != WIRE_NEVER && p->seen >= p->news)
		told(p, now);
}

/* --- the epoch's course --- */

static void begin(struct participant *p, uint64_t epoch)
{
	struct wire_report *r = &p->report;

	p->epoch = epoch;
	p->round = 0;
	p->thaw_given = false;
	p->tell_at = WIRE_NEVER;
	*r = (struct wire_report){
		.number = r->number,
		.obeys = r->obeys,
		.until = WIRE_NEVER,
		.freeze_bound = WIRE_NEVER,
		.thaw_bound = WIRE_NEVER,
	};
}

static void end(struct participant *p, enum wire_result result)
{
	p->report.state = STATE_IDLE;
	p->report.thaw = THAW_NONE;
	p->report.result = (uint8_t)result;
}

/* --- commands --- */

static bool past_limit(const struct participant *p, const struct moment *now)
{
	return now->shared > p->report.at + p->report.late_limit;
}

static bool too_near(const struct participant *p, uint64_t at, const struct moment *now)
{
	return now->shared + p->config.margin > at;
}

/* The largest clock error at a time to come, with the servo held until then. */
static uint64_t bound_by(uint64_t at, const struct moment *now)
{
	uint64_t seconds = at > now->shared ? (at - now->shared) / NSEC_PER_SEC + 1 : 0, drift;

	if (__builtin_mul_overflow(seconds, now->drift_ppb, &drift) || drift > DRIFT_LIMIT_NS ||
	    now->bound > DRIFT_LIMIT_NS)
		return WIRE_NEVER;
	return now->bound + drift;
}

static enum wire_refusal arm_again(const struct participant *p, const struct wire_command *c)
{
	if (p->report.state == STATE_IDLE)
		return REFUSAL_STALE;
	return c->at == p->report.at ? REFUSAL_NONE : REFUSAL_BUSY;
}

static enum wire_refusal arm(struct participant *p, const struct wire_message *m,
			     const struct moment *now)
{
	const struct wire_command *c = &m->command;

	if (m->epoch == p->epoch)
		return arm_again(p, c);
	/* Only armed: whoever arms another epoch has given that one up. */
	if (p->busy || p->report.state > STATE_ARMED)
		return REFUSAL_BUSY;
	if (too_near(p, c->at, now))
		return REFUSAL_LATE;
	if (bound_by(c->until == WIRE_NEVER ? c->at : c->until, now) > c->bound_max)
		return REFUSAL_CLOCK;
	begin(p, m->epoch);
	p->report.state = STATE_ARMED;
	p->report.at = c->at;
	p->report.until = c->until;
	p->report.late_limit = c->late_limit;
	return REFUSAL_NONE;
}

/* The others are committed, this node was never armed: its arming, if it still comes, is stale. */
static enum wire_refusal left_out(struct participant *p, const struct wire_message *m)
{
	if (p->report.state > STATE_ARMED)
		return REFUSAL_BUSY;
	begin(p, m->epoch);
	end(p, RESULT_MISSED);
	return REFUSAL_NONE;
}

static enum wire_refusal commit(struct participant *p, const struct wire_message *m,
				const struct moment *now)
{
	struct wire_report *r = &p->report;

	if (m->epoch != p->epoch)
		return left_out(p, m);
	if (r->state == STATE_IDLE)
		return REFUSAL_STALE;
	if (m->command.at != r->at)
		return REFUSAL_UNARMED;
	if (r->state != STATE_ARMED)
		return REFUSAL_NONE;
	if (past_limit(p, now))
		end(p, RESULT_MISSED);
	else
		r->state = STATE_COMMITTED;
	return REFUSAL_NONE;
}

static enum wire_refusal call_off(struct participant *p, const struct wire_message *m)
{
	bool same = m->epoch == p->epoch;

	if (p->report.state == STATE_FROZEN || (p->report.state == STATE_COMMITTED && !same))
		return REFUSAL_BUSY;
	if (same && p->report.state == STATE_IDLE)
		return REFUSAL_NONE;
	if (!same)
		begin(p, m->epoch); /* its arming, if it still comes, is stale */
	end(p, RESULT_ABORTED);
	return REFUSAL_NONE;
}

static enum wire_refusal thaw(struct participant *p, const struct wire_message *m,
			      const struct moment *now)
{
	struct wire_report *r = &p->report;

	if (m->epoch == p->epoch && r->state == STATE_IDLE)
		return REFUSAL_STALE;
	if (m->epoch != p->epoch || r->state != STATE_FROZEN || m->command.until <= r->at)
		return REFUSAL_UNARMED;
	if (r->thaw == THAW_COMMITTED)
		return m->command.until == r->until ? REFUSAL_NONE : REFUSAL_BUSY;
	if (m->round < p->round)
		return REFUSAL_STALE;
	if (m->type == WIRE_THAW_ARM && too_near(p, m->command.until, now))
		return REFUSAL_LATE;
	p->round = m->round;
	r->until = m->command.until;
	r->thaw = m->type == WIRE_THAW_ARM ? THAW_ARMED : THAW_COMMITTED;
	return REFUSAL_NONE;
}

static enum wire_refusal carry_out(struct participant *p, const struct wire_message *m,
				   const struct moment *now)
{
	switch (m->type) {
	case WIRE_ARM:
		return arm(p, m, now);
	case WIRE_COMMIT:
		return commit(p, m, now);
	case WIRE_ABORT:
		return call_off(p, m);
	default:
		return thaw(p, m, now);
	}
}

static enum wire_refusal obey(struct participant *p, const struct wire_message *m,
			      const struct moment *now)
{
	enum wire_refusal refusal;

	if (m->boot != p->config.boot && (m->boot || m->type != WIRE_ATTACH))
		return REFUSAL_BOOT;
	if (m->incarnation < p->report.obeys)
		return REFUSAL_SUPERSEDED;
	if (m->type == WIRE_ATTACH) {
		p->report.obeys = m->incarnation;
		return REFUSAL_NONE;
	}
	if (m->epoch < p->epoch)
		return REFUSAL_STALE;
	refusal = carry_out(p, m, now);
	if (refusal == REFUSAL_NONE)
		p->report.obeys = m->incarnation;
	return refusal;
}

void participant_receive(struct participant *p, const struct wire_message *m,
			 const struct moment *now)
{
	enum wire_refusal refusal = REFUSAL_NONE;

	if (m->type == WIRE_REPORT)
		return;
	if (m->experiment != p->config.experiment || m->node != p->config.node) {
		refusal = REFUSAL_EXPERIMENT;
	} else {
		if (m->boot == p->config.boot)
			heard_of(p, m->command.seen, now);
		if (m->type == WIRE_SEEN)
			return;
		if (m->type != WIRE_QUERY)
			refusal = obey(p, m, now);
	}
	p->answer = true;
	p->answer_seq = m->seq;
	p->answer_incarnation = m->incarnation;
	p->answer_refusal = (uint8_t)refusal;
}

/* --- events of the platform --- */

static void withdraw(struct participant *p, enum wire_result result, const struct moment *now)
{
	if (p->report.state != STATE_ARMED && p->report.state != STATE_COMMITTED)
		return;
	end(p, result);
	tell(p, now);
}

void participant_frozen(struct participant *p, uint64_t late, const struct moment *now)
{
	struct wire_report *r = &p->report;

	if (r->state != STATE_COMMITTED) {
		participant_busy(p, true, now);
		return;
	}
	r->state = STATE_FROZEN;
	r->late = late < WIRE_DURATION_END ? late : WIRE_DURATION_END - 1;
	r->freeze_bound = now->bound;
	p->planned = false;
	if (r->until != WIRE_NEVER) {
		r->thaw = THAW_COMMITTED;
		p->thaw_given = true;
	}
	tell(p, now);
}

void participant_failed(struct participant *p, const struct moment *now)
{
	p->planned = false;
	withdraw(p, RESULT_FAILED, now);
}

void participant_thawed(struct participant *p, uint64_t frozen, uint64_t thaw_late,
			const struct moment *now)
{
	struct wire_report *r = &p->report;

	if (r->state != STATE_FROZEN) {
		participant_busy(p, false, now);
		return;
	}
	r->frozen = frozen < WIRE_TIME_END ? frozen : WIRE_TIME_END - 1;
	r->thaw_late = thaw_late < WIRE_DURATION_END ? thaw_late : WIRE_DURATION_END - 1;
	r->thaw_bound = now->bound;
	if (r->thaw != THAW_COMMITTED) /* by hand */
		r->until = WIRE_NEVER;
	end(p, RESULT_DONE);
	tell(p, now);
}

void participant_stepped(struct participant *p, const struct moment *now)
{
	if (p->report.state == STATE_IDLE)
		return;
	p->report.flags |= REPORT_STEPPED;
	if (p->report.state == STATE_FROZEN)
		tell(p, now);
	else
		withdraw(p, RESULT_WITHDRAWN, now);
}

void participant_busy(struct participant *p, bool busy, const struct moment *now)
{
	p->busy = busy;
	if (busy)
		withdraw(p, RESULT_WITHDRAWN, now);
}

/* --- what is to be done --- */

static void fill_report(struct participant *p, const struct moment *now, bool reply,
			struct wire_message *m)
{
	struct wire_report *r = &p->report;

	r->number++;
	r->now = now->shared;
	r->bound = now->bound;
	r->margin = p->config.margin;
	r->refusal = reply ? p->answer_refusal : REFUSAL_NONE;
	*m = (struct wire_message){
		.type = WIRE_REPORT,
		.experiment = p->config.experiment,
		.incarnation = reply ? p->answer_incarnation : r->obeys,
		.epoch = p->epoch,
		.boot = p->config.boot,
		.node = p->config.node,
		.round = p->round,
		.seq = reply ? p->answer_seq : 0,
		.report = *r,
	};
}

static bool send(struct participant *p, const struct moment *now, bool reply,
		 struct participant_action *a)
{
	a->type = PARTICIPANT_SEND;
	a->reply = reply;
	fill_report(p, now, reply, &a->message);
	if (reply)
		p->answer = false;
	else
		told(p, now);
	return true;
}

/* What the platform does not know yet. */
static bool instruct(struct participant *p, struct participant_action *a)
{
	const struct wire_report *r = &p->report;

	a->at = r->at;
	a->until = r->until;
	if (r->state != STATE_IDLE && !p->held) {
		p->held = true;
		a->type = PARTICIPANT_HOLD;
		return true;
	}
	if (p->planned && r->state != STATE_COMMITTED) {
		p->planned = false;
		a->type = PARTICIPANT_CANCEL;
		return true;
	}
	if (r->state == STATE_COMMITTED && !p->planned) {
		p->planned = true;
		a->type = PARTICIPANT_FREEZE;
		return true;
	}
	if (r->thaw == THAW_COMMITTED && !p->thaw_given) {
		p->thaw_given = true;
		a->type = PARTICIPANT_THAW;
		return true;
	}
	if (r->state == STATE_IDLE && p->held) {
		p->held = false;
		a->type = PARTICIPANT_RELEASE;
		return true;
	}
	return false;
}

bool participant_next(struct participant *p, const struct moment *now, struct participant_action *a)
{
	*a = (struct participant_action){0};
	if (p->report.state == STATE_ARMED && past_limit(p, now))
		withdraw(p, RESULT_UNCOMMITTED, now);
	if (instruct(p, a))
		return true;
	if (p->answer)
		return send(p, now, true, a);
	if (now->mono >= p->tell_at)
		return send(p, now, false, a);
	return false;
}

uint64_t participant_deadline(const struct participant *p, const struct moment *now)
{
	uint64_t limit = p->report.at + p->report.late_limit + 1, deadline = p->tell_at;

	if (p->report.state == STATE_ARMED) {
		uint64_t at = now->mono + (limit > now->shared ? limit - now->shared : 0);

		if (at < deadline)
			deadline = at;
	}
	return deadline;
}
