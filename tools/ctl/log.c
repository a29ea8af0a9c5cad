// SPDX-License-Identifier: GPL-2.0-or-later
/* log: what the nodes' logs hold, or (-f) what comes into them. */
#include "tools/ctl/commands.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/lines.h"
#include "tools/ctl/session.h"

#define CHANNEL 1

int run_log(void);

static struct session s;
static struct text *rests; /* lines that are not complete */

static void line_json(const char *name, const char *line, size_t n)
{
	json_t *o = json_begin("log");

	json_add(o, "node", json_string(name));
	json_add(o, "line", json_bytes(line, n));
	put_json(o);
}

static void on_up(struct session *x, struct node *n)
{
	(void)x;
	link_send(&n->link, CTL_LOG, CHANNEL, NULL, 0);
}

static void on_down(struct session *x, struct node *n)
{
	bool more = x->up > 0;

	if (n->tries == 1 || n->gone)
		warn("%s: %s", n->is->name, node_problem(n));
	for (uint32_t i = 0; i < x->e.node_count && !more; i++)
		more = x->nodes[i].chosen && !x->nodes[i].gone;
	if (!more)
		session_end(x, EXIT_FAILED);
}

static void on_record(struct session *x, struct node *n, const struct ctl_record *r)
{
	(void)x;
	if (r->type == CTL_ERROR) {
		char why[160];
		struct text t = {0};

		text_bytes(&t, r->payload, r->size < sizeof(why) ? r->size : sizeof(why));
		printable(t.s, t.len);
		warn("%s: %s", n->is->name, t.s);
		text_free(&t);
	}
	if (r->type != CTL_LOG || r->channel != CHANNEL)
		return;
	lines_put(&rests[n->index], options.json ? line_json : line_text,
		  options.json || s.chosen > 1 ? n->is->name : NULL, r->payload, r->size);
}

int command_log(void)
{
	static const struct session_ops ops = {
		.retry = true, .up = on_up, .down = on_down, .record = on_record};

	if (!options.follow)
		return run_log();
	session_load(&s);
	session_choose(&s, options.argc ? options.argv[0] : NULL);
	rests = allocate(s.e.node_count * sizeof(*rests));
	return session_run(&s, &ops);
}
