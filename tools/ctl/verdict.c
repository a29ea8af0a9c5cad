// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/verdict.h"
#include <inttypes.h>
#include <stdio.h>
#include "tools/ctl/progress.h"

#define LISTED_MAX    20 /* nodes named in text; JSON has all */
#define PROGRESS_EACH (100 * NSEC_PER_MSEC)

static const char *const fate_names[] = {
	[FATE_NONE] = "well",	[FATE_REFUSED] = "refused", [FATE_SILENT] = "silent",
	[FATE_RESET] = "reset", [FATE_RAN_ON] = "ran-on",   [FATE_CLOCK] = "clock",
	[FATE_ALONE] = "alone",
};

static const char *clock_reason(const struct epoch *e, const struct coordinator_node *n)
{
	uint64_t bound = n->freeze_bound;

	if (n->flags & REPORT_STEPPED)
		return "stepped";
	if (bound <= e->c.config.bound_max)
		bound = n->thaw_bound;
	return bound == WIRE_NEVER ? "not locked" : "error too large";
}

/* More than the fate's name says; NULL: nothing. */
static const char *reason(const struct epoch *e, uint32_t node)
{
	const struct coordinator_node *n = &e->nodes[node];

	switch (n->fate) {
	case FATE_REFUSED:
		return wire_refusal_text((enum wire_refusal)n->refused);
	case FATE_RAN_ON:
		return n->result ? wire_result_text((enum wire_result)n->result) : NULL;
	case FATE_SILENT:
		return node_problem(&e->s->nodes[node]);
	case FATE_CLOCK:
		return clock_reason(e, n);
	default:
		return NULL;
	}
}

static void list_text(const struct epoch *e)
{
	unsigned listed = 0;

	for (uint32_t i = 0; i < e->c.config.nodes && listed < LISTED_MAX; i++) {
		const char *why;

		if (e->nodes[i].fate == FATE_NONE)
			continue;
		why = reason(e, i);
		warn("  %s: %s%s%s", e->s->nodes[i].is->name,
		     coordinator_fate_text((enum coordinator_fate)e->nodes[i].fate),
		     why ? ": " : "", why ? why : "");
		listed++;
	}
	if (listed < e->c.spoiled)
		warn("  and %" PRIu32 " more: --json names all", e->c.spoiled - listed);
}

static json_t *list_json(const struct epoch *e)
{
	json_t *list = json_array(), *o;

	for (uint32_t i = 0; i < e->c.config.nodes; i++) {
		if (e->nodes[i].fate == FATE_NONE)
			continue;
		o = json_object();
		json_add(o, "node", json_string(e->s->nodes[i].is->name));
		json_add(o, "fate", json_string(fate_names[e->nodes[i].fate]));
		json_add(o, "why", json_string(reason(e, i)));
		(void)json_array_append_new(list, o);
	}
	return list;
}

/* Of a node without a fate, as docs/protocol.md counts it: d, or how much longer or shorter than
 * the others it stood. */
static uint64_t lateness(const struct epoch *e, uint32_t node, bool frozen)
{
	const struct coordinator_node *n = &e->nodes[node];
	uint64_t planned = e->c.until - e->c.at, excess;

	if (n->fate != FATE_NONE || n->epoch != e->c.epoch)
		return 0;
	if (frozen)
		return n->state == STATE_FROZEN ? n->late : 0;
	excess = n->frozen > planned ? n->frozen - planned : planned - n->frozen;
	return n->late > excess ? n->late : excess;
}

/* The largest, and whose it is (NULL: nobody was late). */
static uint64_t latest(const struct epoch *e, bool frozen, const char **name)
{
	uint64_t late = 0;

	*name = NULL;
	if (!frozen && e->c.outcome == OUTCOME_ABORTED)
		return 0;
	for (uint32_t i = 0; i < e->c.config.nodes; i++) {
		if (lateness(e, i, frozen) <= late)
			continue;
		late = lateness(e, i, frozen);
		*name = e->s->nodes[i].is->name;
	}
	return late;
}

static void verdict_json(const struct epoch *e, const char *command, bool frozen, uint64_t late,
			 const char *slowest)
{
	const struct coordinator *c = &e->c;
	json_t *o = json_begin(command);

	json_add(o, "experiment", json_string(e->s->e.name));
	json_add(o, "number", json_integer((json_int_t)e->s->e.number));
	json_add(o, "epoch", json_integer((json_int_t)c->epoch));
	json_add(o, "state", json_string(frozen ? "frozen" : "ended"));
	json_add(o, "outcome", json_string(frozen ? NULL : outcome_name(c->outcome)));
	json_add(o, "inherited", json_boolean(c->inherited));
	json_add(o, "nodes", json_integer(c->config.nodes));
	json_add(o, "at_ns", json_ns(c->at));
	json_add(o, "until_ns", json_ns(c->until));
	json_add(o, "late_ns", json_ns(late));
	json_add(o, "slowest", json_string(slowest));
	json_add(o, "spoiled", list_json(e));
	put_json(o);
}

static void verdict_text(struct epoch *e, bool frozen, uint64_t late, const char *slowest)
{
	const struct coordinator *c = &e->c;
	char held[DURATION_TEXT], d[DURATION_TEXT];
	uint32_t nodes = c->config.nodes;
	struct text t = {0};

	text_add(&t, "%s/%" PRIu64 " epoch %" PRIu64 " ", e->s->e.name, e->s->e.number, c->epoch);
	if (frozen)
		text_add(&t, "frozen: %" PRIu32 " of %" PRIu32 " nodes, at most %s late",
			 nodes - c->spoiled, nodes, duration_text(d, late));
	else if (c->outcome == OUTCOME_ABORTED)
		text_add(&t, "aborted: no node was frozen");
	else
		text_add(&t, "%s: %" PRIu32 " of %" PRIu32 " nodes frozen for %s, at most %s late",
			 outcome_name(c->outcome), nodes - c->spoiled, nodes,
			 duration_text(held, c->until == WIRE_NEVER ? 0 : c->until - c->at),
			 duration_text(d, late));
	if (slowest && nodes > 1)
		text_add(&t, " (%s)", slowest);
	put_line(&t);
	text_free(&t);
	list_text(e);
}

static int status_of(const struct epoch *e, bool frozen, uint64_t late)
{
	if (!frozen && e->c.outcome == OUTCOME_ABORTED)
		return EXIT_FAILED;
	if (e->c.spoiled)
		return EXIT_PARTIAL;
	return late > e->c.config.late_clean ? EXIT_LATE : EXIT_CLEAN;
}

int verdict_put(struct epoch *e, const char *command, bool frozen)
{
	const char *slowest;
	uint64_t late = latest(e, frozen, &slowest);

	if (options.json)
		verdict_json(e, command, frozen, late, slowest);
	else
		verdict_text(e, frozen, late, slowest);
	return status_of(e, frozen, late);
}

bool verdict_blocks_thaw(const struct epoch *e, uint32_t node)
{
	const struct coordinator_node *n = &e->nodes[node];

	if (!n->boot || e->s->nodes[node].link.state != LINK_UP)
		return true;
	return n->epoch == e->c.epoch && n->state == STATE_FROZEN && n->thaw != THAW_COMMITTED &&
	       !(n->thaw == THAW_ARMED && n->round == e->c.round);
}

/* --- progress --- */

static const char *phase_name(const struct coordinator *c)
{
	static const char *const names[] = {
		[PHASE_ATTACHING] = "asking the nodes",
		[PHASE_IDLE] = "waiting",
		[PHASE_ARMING] = "arming",
		[PHASE_ABORTING] = "calling off",
		[PHASE_COMMITTING] = "freezing",
		[PHASE_FROZEN] = "frozen",
		[PHASE_THAW_ARMING] = "arming the thaw",
		[PHASE_THAWING] = "frozen",
		[PHASE_SUPERSEDED] = "superseded",
	};

	return names[c->phase];
}

void verdict_progress(struct epoch *e)
{
	static uint64_t shown;
	const struct coordinator *c = &e->c;
	struct moment now = session_now(e->s);
	uint32_t count[WIRE_STATES] = {0}, silent = 0;
	uint64_t next =
		c->phase == PHASE_THAWING || c->phase == PHASE_THAW_ARMING ? c->until : c->at;
	char left[DURATION_TEXT + 8] = "", d[DURATION_TEXT];

	if (now.mono - shown < PROGRESS_EACH)
		return;
	shown = now.mono;
	for (uint32_t i = 0; i < c->config.nodes; i++) {
		if (e->s->nodes[i].link.state != LINK_UP)
			silent++;
		else
			count[e->nodes[i].state]++;
	}
	if (c->phase >= PHASE_ARMING && next != WIRE_NEVER && next > now.shared)
		(void)snprintf(
			left, sizeof(left), ", %s left",
			duration_text(d, (next - now.shared) / NSEC_PER_MSEC * NSEC_PER_MSEC));
	progress("%s: %" PRIu32 " running, %" PRIu32 " armed, %" PRIu32 " committed, %" PRIu32
		 " frozen, %" PRIu32 " out of reach%s",
		 phase_name(c), count[STATE_IDLE], count[STATE_ARMED], count[STATE_COMMITTED],
		 count[STATE_FROZEN], silent, left);
}
