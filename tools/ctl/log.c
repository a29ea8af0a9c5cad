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

static const char *prefix(const struct node *n)
{
	return s.chosen > 1 ? n->is->name : NULL;
}

static void put(struct node *n, const char *line, size_t size)
{
	struct text t = {0};

	json_begin(&t, "log");
	json_string(&t, "node", n->is->name);
	json_bytes(&t, "line", line, size);
	json_close(&t, '}');
	put_line(&t);
	text_free(&t);
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

/* A record may hold several lines, or a part of one. */
static void on_json(struct node *n, const struct ctl_record *r)
{
	struct text *rest = &rests[n->index];
	size_t begin = 0;

	text_bytes(rest, r->payload, r->size);
	for (size_t i = 0; i < rest->len; i++) {
		if (rest->s[i] != '\n' && i - begin < CTL_TO_CLIENT_MAX)
			continue;
		put(n, rest->s + begin, i - begin);
		begin = rest->s[i] == '\n' ? i + 1 : i;
	}
	if (begin) {
		struct text left = {0};

		text_bytes(&left, rest->s + begin, rest->len - begin);
		text_free(rest);
		*rest = left;
	}
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
	if (options.json)
		on_json(n, r);
	else
		lines_put(&rests[n->index], prefix(n), r->payload, r->size);
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
