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

static void node_json(struct text *t, const struct node *n)
{
	const struct wire_report *r = &n->report.report;

	json_open(t, NULL, '{');
	json_string(t, "node", n->is->name);
	json_u64(t, "index", n->index);
	json_string(t, "address", n->is->host);
	json_u64(t, "port", n->is->port);
	json_string(t, "error", node_problem(n));
	if (!node_problem(n)) {
		json_string(t, "state", state(n));
		json_string(t, "name", n->link.hello.name);
		json_string(t, "stasis", n->link.hello.stasis);
		json_u64(t, "boot", n->link.hello.boot);
	}
	if (!node_problem(n) && n->heard) {
		json_u64(t, "epoch", n->report.epoch);
		json_string(t, "epoch_state", epoch_states[r->state]);
		json_u64(t, "at_ns", r->at);
		if (r->until == WIRE_NEVER)
			json_null(t, "until_ns");
		else
			json_u64(t, "until_ns", r->until);
		json_u64(t, "late_ns", r->late);
		json_u64(t, "margin_ns", r->margin);
		if (r->bound == WIRE_NEVER)
			json_null(t, "bound_ns");
		else
			json_u64(t, "bound_ns", r->bound);
	}
	json_close(t, '}');
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

static void put_nodes(struct text *t, void (*json)(struct text *t, const struct node *n),
		      void (*text)(struct text *t, const struct node *n))
{
	if (options.json)
		json_open(t, "nodes", '[');
	for (uint32_t i = 0; i < s.e.node_count; i++) {
		if (!s.nodes[i].chosen)
			continue;
		if (options.json) {
			json(t, &s.nodes[i]);
		} else {
			text(t, &s.nodes[i]);
			put_line(t);
		}
	}
	if (options.json)
		json_close(t, ']');
}

static void put_status(struct session *x)
{
	struct counts c = count();
	struct text t = {0};

	if (options.json) {
		json_begin(&t, "status");
		json_string(&t, "experiment", x->e.name);
		json_u64(&t, "number", x->e.number);
		json_u64(&t, "running", c.running);
		json_u64(&t, "frozen", c.frozen);
		json_u64(&t, "stopped", c.other);
		json_u64(&t, "unreachable", c.unreachable);
	}
	put_nodes(&t, node_json, node_text);
	if (options.json)
		json_close(&t, '}');
	else
		text_add(&t,
			 "%s/%" PRIu64 ": %" PRIu32 " running, %" PRIu32 " frozen, %" PRIu32
			 " stopped, %" PRIu32 " unreachable",
			 x->e.name, x->e.number, c.running, c.frozen, c.other, c.unreachable);
	put_line(&t);
	text_free(&t);
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

static void time_json(struct text *t, const struct node *n)
{
	json_open(t, NULL, '{');
	json_string(t, "node", n->is->name);
	json_string(t, "error",
		    n->timed ? NULL : (node_problem(n) ? node_problem(n) : "no answer"));
	if (n->timed) {
		json_i64(t, "offset_ns", offset(n));
		json_u64(t, "round_trip_ns", n->round_trip);
		if (n->report.report.bound == WIRE_NEVER)
			json_null(t, "bound_ns");
		else
			json_u64(t, "bound_ns", n->report.report.bound);
	}
	json_close(t, '}');
}

static void time_text(struct text *t, const struct node *n)
{
	char d[DURATION_TEXT], half[DURATION_TEXT], bound[DURATION_TEXT];
	int64_t off = offset(n);

	text_add(t, "%-16s ", n->is->name);
	if (!n->timed) {
		text_add(t, "unreachable: %s", node_problem(n) ? node_problem(n) : "no answer");
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

static void put_time(struct session *x)
{
	uint32_t timed = session_count_timed(x);
	bool agreed = x->clock.votes * 2 > timed;
	uint64_t now = session_now(x).shared;
	struct text t = {0};
	char d[DURATION_TEXT];

	if (timed == 0)
		die("no node tells its time");
	if (options.json) {
		json_begin(&t, "time");
		json_u64(&t, "shared_ns", now);
		json_u64(&t, "error_ns", x->clock.error);
		json_u64(&t, "votes", x->clock.votes);
		json_bool(&t, "agreed", agreed);
		json_bool(&t, "locked", !x->clock_bad);
	}
	put_nodes(&t, time_json, time_text);
	if (options.json)
		json_close(&t, '}');
	else
		text_add(&t,
			 "shared time %" PRIu64 " ns, known within %s; %" PRIu32 " of %" PRIu32
			 " nodes agree%s",
			 now, duration_text(d, x->clock.error), x->clock.votes, x->chosen,
			 x->clock_bad ? "; none is locked: is PTP running?" : "");
	put_line(&t);
	text_free(&t);
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
