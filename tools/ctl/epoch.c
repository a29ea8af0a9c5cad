// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/epoch.h"
#include <time.h>
#include "tools/ctl/ctl.h"

#define RETRY_FIRST    (50 * NSEC_PER_MSEC)
#define RETRY_LIMIT    NSEC_PER_SEC
#define KEEP_ALIVE     (2 * NSEC_PER_SEC)
#define KEEP_ALIVE_PER (NSEC_PER_MSEC / 3) /* more, a node */
#define PACE	       10000
#define TURN_MS	       200
#define NSEC_PER_USEC  1000

/* Larger than any before, as long as nobody sets the clock back. */
static uint64_t incarnation(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec) / NSEC_PER_USEC;
}

static void pump_later(uv_timer_t *timer)
{
	epoch_pump(timer->data);
}

static void set_timer(struct epoch *e)
{
	uint64_t now = mono_now(), at = coordinator_deadline(&e->c), ms = TURN_MS;

	if (at <= now)
		ms = 0;
	else if ((at - now) / NSEC_PER_MSEC < TURN_MS)
		ms = (at - now) / NSEC_PER_MSEC + 1;
	uv_update_time(&e->s->loop);
	(void)uv_timer_start(&e->timer, pump_later, ms, 0);
}

void epoch_pump(struct epoch *e)
{
	struct coordinator_action a;

	if (!e->running || e->pumping)
		return;
	e->pumping = true;
	for (;;) {
		struct moment now = session_now(e->s);

		if (!coordinator_next(&e->c, &now, &a))
			break;
		if (a.send)
			session_send(e->s, &e->s->nodes[a.node], &a.message);
		else
			e->ops->event(e, a.event);
	}
	e->pumping = false;
	e->ops->turn(e);
	set_timer(e);
}

void epoch_receive(struct epoch *e, const struct wire_message *m)
{
	struct moment now;

	/* what a question of no incarnation brought is not the coordinator's */
	if (!e->running || (m->seq && m->incarnation != e->c.config.incarnation))
		return;
	now = session_now(e->s);
	coordinator_receive(&e->c, m, &now);
	epoch_pump(e);
}

void epoch_begin(struct epoch *e, struct session *s, const struct epoch_ops *ops)
{
	const struct experiment *x = &s->e;
	struct coordinator_config config = {
		.experiment = x->number,
		.incarnation = incarnation(),
		.nodes = x->node_count,
		.margin = x->margin,
		.late_limit = x->late_limit,
		.late_clean = x->late_clean,
		.bound_max = x->clock_bound,
		.patience = x->patience,
		.retry_first = RETRY_FIRST,
		.retry_limit = RETRY_LIMIT,
		.keep_alive = KEEP_ALIVE + x->node_count * KEEP_ALIVE_PER,
		.pace = PACE,
	};
	struct moment now = session_now(s);

	*e = (struct epoch){.s = s, .ops = ops, .running = true};
	e->nodes = allocate(x->node_count * sizeof(*e->nodes));
	e->deadlines = allocate(x->node_count * sizeof(*e->deadlines));
	(void)uv_timer_init(&s->loop, &e->timer);
	e->timer.data = e;
	coordinator_init(&e->c, &config, e->nodes, e->deadlines, &now);
	epoch_pump(e);
}

const char *outcome_name(enum coordinator_outcome o)
{
	static const char *const names[] = {
		[OUTCOME_NONE] = "none",       [OUTCOME_CLEAN] = "clean",
		[OUTCOME_LATE] = "late",       [OUTCOME_PARTIAL] = "partial",
		[OUTCOME_ABORTED] = "aborted",
	};

	return o <= OUTCOME_ABORTED ? names[o] : "?";
}
