// SPDX-License-Identifier: GPL-2.0-or-later
/* run: a command of the prompt (docs/commands.md) on one or many nodes, at once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "tools/ctl/commands.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/lines.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/session.h"

#define CHANNEL	    1
#define COMMAND_MAX CTL_TO_NODE_MAX
#define OUTPUT_MAX  (16 << 20) /* of one node: more is a node gone mad */

enum fate { WAITS, OK, FAILED };

struct work {
	enum fate fate;
	struct text output; /* JSON: all of it; else the line that is not complete yet */
	char why[256];
};

static struct session s;
static struct work *works;
static struct text command;
static uint32_t left;
static bool ends_connection; /* it is the command's nature */
static const char *name = "run";

static json_t *node_json(const struct node *n)
{
	struct work *w = &works[n->index];
	json_t *o = json_object(), *said = json_said(w->output.s, w->output.len);

	json_add(o, "node", json_string(n->is->name));
	json_add(o, "ok", json_boolean(w->fate == OK));
	json_add(o, "error", json_string(*w->why ? w->why : NULL));
	json_add(o, "output", json_bytes(w->output.s, w->output.len));
	if (said)
		json_add(o, "json", said);
	text_free(&w->output);
	return o;
}

static void answer_json(void)
{
	json_t *o = json_begin(name), *list = json_array();

	json_add(o, "line", json_bytes(command.s, command.len));
	for (uint32_t i = 0; i < s.e.node_count; i++)
		if (s.nodes[i].chosen)
			(void)json_array_append_new(list, node_json(&s.nodes[i]));
	json_add(o, "nodes", list);
	put_json(o);
}

static void finish(struct node *n, enum fate fate, const char *why)
{
	struct work *w = &works[n->index];

	if (w->fate != WAITS)
		return;
	w->fate = fate;
	if (why)
		(void)snprintf(w->why, sizeof(w->why), "%s", why);
	if (!options.json)
		lines_end(&w->output, s.chosen > 1 ? n->is->name : NULL);
	if (why && !options.json)
		warn("%s: %s", n->is->name, why);
	if (--left)
		return;
	progress_hide();
	if (options.json)
		answer_json();
	for (uint32_t i = 0; i < s.e.node_count; i++)
		if (s.nodes[i].chosen && works[i].fate == FAILED)
			fate = FAILED;
	session_end(&s, fate == OK ? EXIT_CLEAN : EXIT_FAILED);
}

static void on_up(struct session *x, struct node *n)
{
	(void)x;
	link_send(&n->link, CTL_COMMAND, CHANNEL, command.s, command.len);
}

static void on_down(struct session *x, struct node *n)
{
	(void)x;
	if (ends_connection && n->tries == 1 && !n->started)
		finish(n, OK, NULL);
	else
		finish(n, FAILED, node_problem(n));
}

static uint32_t word(const struct ctl_record *r)
{
	const uint8_t *p = r->payload;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void on_output(struct node *n, const struct ctl_record *r)
{
	struct work *w = &works[n->index];

	if (options.json)
		text_bytes(&w->output, r->payload, r->size);
	else
		lines_put(&w->output, line_text, s.chosen > 1 ? n->is->name : NULL, r->payload,
			  r->size);
	if (w->output.len > OUTPUT_MAX) {
		finish(n, FAILED, "it does not stop to print");
		link_close(&n->link);
	}
}

static void on_record(struct session *x, struct node *n, const struct ctl_record *r)
{
	char why[160];

	(void)x;
	if (r->channel != CHANNEL || works[n->index].fate != WAITS)
		return;
	if (r->type == CTL_OUTPUT) {
		on_output(n, r);
	} else if (r->type == CTL_ERROR) {
		(void)snprintf(why, sizeof(why), "%.*s", (int)r->size, (const char *)r->payload);
		printable(why, strlen(why));
		finish(n, FAILED, why);
	} else if (r->type == CTL_DONE && r->size == 4) {
		finish(n, word(r) == 0 ? OK : FAILED, NULL);
	}
	if (s.chosen > 1)
		progress("running: %" PRIu32 " of %" PRIu32 " nodes are not done yet", left,
			 s.chosen);
}

static void join_words(int from)
{
	for (int i = from; i < options.argc; i++)
		text_add(&command, "%s%s", i > from ? " " : "", options.argv[i]);
	if (!command.len)
		die_usage("run NODE|all COMMAND...: the command is missing");
	if (command.len > COMMAND_MAX || strpbrk(command.s, "\r\n"))
		die_usage("a command is one line of at most %d bytes", COMMAND_MAX);
}

static int run_command(const char *nodes)
{
	static const struct session_ops ops = {.up = on_up, .down = on_down, .record = on_record};

	session_load(&s);
	session_choose(&s, nodes);
	works = allocate(s.e.node_count * sizeof(*works));
	left = s.chosen;
	return session_run(&s, &ops);
}

int command_run(void)
{
	if (options.argc < 1)
		die_usage("run takes a node (or several with commas, or all) and a command");
	join_words(1);
	ends_connection =
		strcmp(options.argv[1], "reboot") == 0 || strcmp(options.argv[1], "poweroff") == 0;
	return run_command(options.argv[0]);
}

int run_log(void)
{
	name = "log";
	text_add(&command, "log%s", options.json ? " --json" : "");
	return run_command(options.argc ? options.argv[0] : NULL);
}
