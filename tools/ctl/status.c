// SPDX-License-Identifier: GPL-2.0-or-later
/* status and time: what the nodes say of themselves. Nothing changes there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "tools/ctl/commands.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/session.h"

static struct session s;

static const char *const epoch_states[WIRE_STATES] = {
	[STATE_IDLE] = "idle",
	[STATE_ARMED] = "armed",
	[STATE_COMMITTED] = "committed",
	[STATE_FROZEN] = "frozen",
};

static void on_up(struct session *x, struct node *n)
{
	(void)n;
	progress("connecting: %" PRIu32 " of %" PRIu32 " nodes", x->up, x->chosen);
}

static void on_down(struct session *x, struct node *n)
{
	(void)x;
	(void)n;
}

static void on_settled(struct session *x)
{
	session_ask_time(x);
}

/* --- status --- */

/* running, frozen or stopped; NULL: it can't be reached. HELLO's is as old as the connection. */
static const char *state(const struct node *n)
{
	if (node_problem(n))
		return NULL;
	if (n->heard && n->report.report.state == STATE_FROZEN)
		return "frozen";
	return n->link.hello.state;
}

static json_t *node_json(const struct node *n)
{
	const struct wire_report *r = &n->report.report;
	const char *problem = node_problem(n);
	json_t *o = json_object();

	json_add(o, "node", json_string(n->is->name));
	json_add(o, "index", json_integer(n->index));
	json_add(o, "address", json_string(n->is->host));
	json_add(o, "port", json_integer(n->is->port));
	json_add(o, "error", json_string(problem));
	if (problem)
		return o;
	json_add(o, "state", json_string(state(n)));
	json_add(o, "name", json_string(n->link.hello.name));
	json_add(o, "stasis", json_string(n->link.hello.stasis));
	json_add(o, "boot", json_integer((json_int_t)n->link.hello.boot));
	if (!n->heard)
		return o;
	json_add(o, "epoch", json_integer((json_int_t)n->report.epoch));
	json_add(o, "epoch_state", json_string(epoch_states[r->state]));
	json_add(o, "at_ns", json_ns(r->at));
	json_add(o, "until_ns", json_ns(r->until));
	json_add(o, "late_ns", json_ns(r->late));
	json_add(o, "margin_ns", json_ns(r->margin));
	json_add(o, "bound_ns", json_ns(r->bound));
	return o;
}

static void node_text(struct text *t, const struct node *n)
{
	const struct wire_report *r = &n->report.report;
	char d[DURATION_TEXT];

	text_add(t, "%-16s ", n->is->name);
	if (node_problem(n)) {
		text_add(t, "unreachable: %s", node_problem(n));
		return;
	}
	text_add(t, "%-8s", state(n));
	if (!n->heard) {
		text_add(t, " says nothing of epochs");
		return;
	}
	if (r->bound == WIRE_NEVER)
		text_add(t, " clock not locked");
	else
		text_add(t, " clock within %s", duration_text(d, r->bound));
	if (n->report.epoch)
		text_add(t, ", epoch %" PRIu64 " %s", n->report.epoch,
			 r->state == STATE_IDLE && r->result
				 ? wire_result_text((enum wire_result)r->result)
				 : epoch_states[r->state]);
}

struct counts {
	uint32_t running, frozen, other, unreachable;
};

static struct counts count(void)
{
	struct counts c = {0};

	for (uint32_t i = 0; i < s.e.node_count; i++) {
		const char *is = state(&s.nodes[i]);

		if (!s.nodes[i].chosen)
			continue;
		if (!is)
			c.unreachable++;
		else if (strcmp(is, "running") == 0)
			c.running++;
		else if (strcmp(is, "frozen") == 0)
			c.frozen++;
		else
			c.other++;
	}
	return c;
}

static json_t *list_json(json_t *(*node)(const struct node *n))
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s.e.node_count; i++)
		if (s.nodes[i].chosen)
			(void)json_array_append_new(list, node(&s.nodes[i]));
	return list;
}

/* A line each, and room for one more. */
static void list_text(struct text *t, void (*node)(struct text *t, const struct node *n))
{
	for (uint32_t i = 0; i < s.e.node_count; i++) {
		if (!s.nodes[i].chosen)
			continue;
		node(t, &s.nodes[i]);
		put_line(t);
	}
}

static void status_json(const struct counts *c)
{
	json_t *o = json_begin("status");

	json_add(o, "experiment", json_string(s.e.name));
	json_add(o, "number", json_integer((json_int_t)s.e.number));
	json_add(o, "running", json_integer(c->running));
	json_add(o, "frozen", json_integer(c->frozen));
	json_add(o, "stopped", json_integer(c->other));
	json_add(o, "unreachable", json_integer(c->unreachable));
	json_add(o, "nodes", list_json(node_json));
	put_json(o);
}

static void status_text(const struct counts *c)
{
	struct text t = {0};

	list_text(&t, node_text);
	text_add(&t,
		 "%s/%" PRIu64 ": %" PRIu32 " running, %" PRIu32 " frozen, %" PRIu32
		 " stopped, %" PRIu32 " unreachable",
		 s.e.name, s.e.number, c->running, c->frozen, c->other, c->unreachable);
	put_line(&t);
	text_free(&t);
}

static void put_status(struct session *x)
{
	struct counts c = count();

	if (options.json)
		status_json(&c);
	else
		status_text(&c);
	session_end(x, c.unreachable ? EXIT_FAILED : EXIT_CLEAN);
}

int command_status(void)
{
	static const struct session_ops ops = {
		.up = on_up, .down = on_down, .settled = on_settled, .timed = put_status};

	session_load(&s);
	session_choose(&s, options.argc ? options.argv[0] : NULL);
	return session_run(&s, &ops);
}

/* --- time --- */

/* How far the node's shared time is from the one agreed upon; its question took `round_trip`, so
 * that it can't be known better than half of that. */
static int64_t offset(const struct node *n)
{
	return n->offset.low + (n->offset.high - n->offset.low) / 2 - s.clock.offset;
}

static const char *no_time(const struct node *n)
{
	if (n->timed)
		return NULL;
	return node_problem(n) ? node_problem(n) : "no answer";
}

static json_t *node_time_json(const struct node *n)
{
	json_t *o = json_object();

	json_add(o, "node", json_string(n->is->name));
	json_add(o, "error", json_string(no_time(n)));
	if (!n->timed)
		return o;
	json_add(o, "offset_ns", json_integer(offset(n)));
	json_add(o, "round_trip_ns", json_ns(n->round_trip));
	json_add(o, "bound_ns", json_ns(n->report.report.bound));
	return o;
}

static void node_time_text(struct text *t, const struct node *n)
{
	char d[DURATION_TEXT], half[DURATION_TEXT], bound[DURATION_TEXT];
	int64_t off = offset(n);

	text_add(t, "%-16s ", n->is->name);
	if (!n->timed) {
		text_add(t, "unreachable: %s", no_time(n));
		return;
	}
	text_add(t, "%s%s off, measured within %s; ", off < 0 ? "-" : "+",
		 duration_text(d, off < 0 ? (uint64_t)-off : (uint64_t)off),
		 duration_text(half, n->round_trip / 2));
	if (n->report.report.bound == WIRE_NEVER)
		text_add(t, "not locked: it does not know its error");
	else
		text_add(t, "by its own account within %s",
			 duration_text(bound, n->report.report.bound));
}

/* now: WIRE_NEVER if no node tells it. */
static void time_json(bool agreed, uint64_t now)
{
	json_t *o = json_begin("time");

	json_add(o, "shared_ns", json_ns(now));
	json_add(o, "error_ns", json_ns(now == WIRE_NEVER ? WIRE_NEVER : s.clock.error));
	json_add(o, "votes", json_integer(s.clock.votes));
	json_add(o, "agreed", json_boolean(agreed));
	json_add(o, "locked", json_boolean(!s.clock_bad));
	json_add(o, "nodes", list_json(node_time_json));
	put_json(o);
}

static void time_text(uint64_t now)
{
	struct text t = {0};
	char d[DURATION_TEXT];

	list_text(&t, node_time_text);
	if (now == WIRE_NEVER)
		text_add(&t, "no node tells its time");
	else
		text_add(&t,
			 "shared time %" PRIu64 " ns, known within %s; %" PRIu32 " of %" PRIu32
			 " nodes agree%s",
			 now, duration_text(d, s.clock.error), s.clock.votes, s.chosen,
			 s.clock_bad ? "; none is locked: is PTP running?" : "");
	put_line(&t);
	text_free(&t);
}

static void put_time(struct session *x)
{
	uint32_t timed = session_count_timed(x);
	bool agreed = x->clock.votes * 2 > timed;
	uint64_t now = timed ? session_now(x).shared : WIRE_NEVER;

	if (options.json)
		time_json(agreed, now);
	else
		time_text(now);
	session_end(x, agreed && timed == x->chosen ? EXIT_CLEAN : EXIT_FAILED);
}

int command_time(void)
{
	static const struct session_ops ops = {
		.up = on_up, .down = on_down, .settled = on_settled, .timed = put_time};

	session_load(&s);
	session_choose(&s, options.argc ? options.argv[0] : NULL);
	return session_run(&s, &ops);
}
