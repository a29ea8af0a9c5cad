// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/session.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "proto/retry.h"
#include "tools/ctl/ctl.h"

#define OPENING_MAX    512 /* at once; the others wait their turn */
#define RETRY_FIRST    (250 * NSEC_PER_MSEC)
#define RETRY_LIMIT    (5 * NSEC_PER_SEC)
#define ASK_MS	       1000
#define AGREE_EVERY    NSEC_PER_SEC
#define DRIFT_PER_SEC  100000		    /* ns by which two clocks may part in a second */
#define BOUND_UNKNOWN  (10 * NSEC_PER_MSEC) /* assumed if no node knows better */
#define FILES_PER_NODE 1
#define FILES_MORE     64

static int exit_status;

uint64_t mono_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* --- the shared time --- */

/* What the node says, wider by what the clocks may have parted since. `known`: nothing of nodes
 * that don't know how far they are off. */
static bool interval(const struct node *n, uint64_t now, bool known, struct interval *in)
{
	uint64_t age = (now - n->offset_at) / (NSEC_PER_SEC / DRIFT_PER_SEC);
	uint64_t bound = n->report.report.bound;

	if (!n->timed || (known && bound == WIRE_NEVER))
		return false;
	if (bound == WIRE_NEVER)
		bound = BOUND_UNKNOWN;
	if (bound >= WIRE_DURATION_END)
		return false;
	in->low = n->offset.low - (int64_t)(bound + age);
	in->high = n->offset.high + (int64_t)(bound + age);
	return true;
}

static uint32_t intervals(const struct session *s, struct interval *in, uint64_t now, bool known)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->e.node_count; i++)
		n += interval(&s->nodes[i], now, known, &in[n]);
	return n;
}

static void agree_on_time(struct session *s)
{
	struct interval *in = allocate(s->e.node_count * sizeof(*in));
	uint64_t now = mono_now();
	uint32_t n = intervals(s, in, now, true);

	s->clock_bad = n == 0;
	if (n == 0)
		n = intervals(s, in, now, false);
	s->clock = agree(in, n);
	s->clock_at = now;
	free(in);
}

uint32_t session_count_timed(const struct session *s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->e.node_count; i++)
		count += s->nodes[i].timed;
	return count;
}

uint64_t session_stray(const struct session *s, const struct node *n)
{
	int64_t error = (int64_t)s->clock.error, low = s->clock.offset - error;
	int64_t high = s->clock.offset + error;
	struct interval in;

	if (!interval(n, mono_now(), true, &in))
		return 0;
	if (in.low > high)
		return (uint64_t)(in.low - high);
	return in.high < low ? (uint64_t)(low - in.high) : 0;
}

struct moment session_now(const struct session *s)
{
	uint64_t mono = mono_now();

	return (struct moment){.mono = mono, .shared = mono + (uint64_t)s->clock.offset};
}

/* A report that answers a question was written between the question and now. */
static void take_time(struct session *s, struct node *n, const struct wire_message *m)
{
	uint64_t now = mono_now();

	if (!m->seq || m->seq != n->asked_seq)
		return;
	n->offset.low = (int64_t)(m->report.now - now);
	n->offset.high = (int64_t)(m->report.now - n->asked_at);
	n->offset_at = now;
	n->round_trip = now - n->asked_at;
	n->timed = true;
	n->asked_seq = 0;
	if (s->has_timed && now - s->clock_at > AGREE_EVERY)
		agree_on_time(s);
}

static void finish_asking(struct session *s)
{
	(void)uv_timer_stop(&s->ask);
	if (s->has_timed)
		return;
	s->has_timed = true;
	agree_on_time(s);
	if (s->ops->timed)
		s->ops->timed(s);
}

static void asked_long_enough(uv_timer_t *timer)
{
	finish_asking(timer->data);
}

static void check_asked(struct session *s)
{
	if (s->has_timed || !uv_is_active((uv_handle_t *)&s->ask))
		return;
	for (uint32_t i = 0; i < s->e.node_count; i++)
		if (s->nodes[i].link.state == LINK_UP && !s->nodes[i].timed)
			return;
	finish_asking(s);
}

void session_ask_time(struct session *s)
{
	/* Of no incarnation, so that the answer is nothing to a coordinator. */
	struct wire_message m = {.type = WIRE_QUERY, .experiment = s->e.number, .seq = 1};

	s->has_timed = false;
	(void)uv_timer_start(&s->ask, asked_long_enough, ASK_MS, 0);
	for (uint32_t i = 0; i < s->e.node_count; i++) {
		s->nodes[i].timed = false;
		m.node = i;
		m.command.until = WIRE_NEVER;
		session_send(s, &s->nodes[i], &m);
	}
	check_asked(s);
}

void session_send(struct session *s, struct node *n, const struct wire_message *m)
{
	uint8_t bytes[WIRE_MESSAGE_MAX];

	(void)s;
	if (n->link.state != LINK_UP)
		return;
	if (m->seq) {
		n->asked_seq = m->seq;
		n->asked_at = mono_now();
	}
	link_send(&n->link, CTL_FREEZE, 0, bytes, wire_encode(m, bytes));
}

/* --- connections --- */

const char *node_problem(const struct node *n)
{
	if (*n->wrong)
		return n->wrong;
	if (n->link.state == LINK_UP)
		return NULL;
	return *n->link.why ? n->link.why : "not reached yet";
}

static void settle(struct session *s)
{
	if (s->has_settled)
		return;
	s->has_settled = true;
	if (s->ops->settled)
		s->ops->settled(s);
}

static void open_more(struct session *s)
{
	while (s->next < s->e.node_count && s->opening < OPENING_MAX) {
		struct node *n = &s->nodes[s->next++];

		if (!n->chosen)
			continue;
		s->opening++;
		n->started = true;
		link_open(&n->link);
	}
	if (s->pending == 0)
		settle(s);
}

/* The first attempt at a node is over. */
static void tried(struct session *s, struct node *n)
{
	if (!n->started)
		return;
	n->started = false;
	s->opening--;
	s->pending--;
}

static void try_again(uv_timer_t *timer)
{
	struct node *n = timer->data;

	if (n->link.state == LINK_DOWN)
		link_open(&n->link);
}

static void on_down(struct link *l)
{
	struct node *n = l->owner;
	struct session *s = n->again.loop->data;
	bool was_up = n->tries == 0 && !n->started;

	s->up -= was_up;
	n->gone = !s->ops->retry || l->refused || *n->wrong;
	n->tries++;
	if (!n->gone)
		(void)uv_timer_start(
			&n->again, try_again,
			retry_delay(RETRY_FIRST, RETRY_LIMIT, n->tries - 1) / NSEC_PER_MSEC, 0);
	s->ops->down(s, n);
	tried(s, n);
	check_asked(s);
	open_more(s);
}

/* It must be the node that the file means. */
static bool is_right(struct session *s, struct node *n)
{
	const struct link_hello *h = &n->link.hello;

	if (h->experiment != s->e.number)
		(void)snprintf(n->wrong, sizeof(n->wrong),
			       "it belongs to experiment %" PRIu64 ", not %" PRIu64
			       ": see experiment= in its boot configuration",
			       h->experiment, s->e.number);
	else if (h->node != n->index)
		(void)snprintf(n->wrong, sizeof(n->wrong),
			       "it is node %" PRIu64
			       " of the experiment, but stands in place %" PRIu32
			       " (counted from 0) of the file: see node= in its boot configuration",
			       h->node, n->index);
	return !*n->wrong;
}

static void on_up(struct link *l)
{
	struct node *n = l->owner;
	struct session *s = n->again.loop->data;

	if (!is_right(s, n)) {
		(void)snprintf(l->why, sizeof(l->why), "%s", n->wrong);
		link_close(l);
		on_down(l);
		return;
	}
	n->tries = 0;
	s->up++;
	s->ops->up(s, n);
	tried(s, n);
	open_more(s);
}

static void on_record(struct link *l, const struct ctl_record *r)
{
	struct node *n = l->owner;
	struct session *s = n->again.loop->data;
	struct wire_message m;

	if (r->type != CTL_FREEZE) {
		if (s->ops->record)
			s->ops->record(s, n, r);
		return;
	}
	if (wire_decode(r->payload, r->size, &m) != 0 || m.type != WIRE_REPORT ||
	    m.node != n->index || m.experiment != s->e.number || m.epoch >= WIRE_TIME_END)
		return; /* as docs/protocol.md says of whatever is malformed */
	n->report = m;
	n->heard = true;
	take_time(s, n, &m);
	if (s->ops->report)
		s->ops->report(s, n, &m);
	check_asked(s);
}

/* --- the whole --- */

static void raise_limits(uint32_t nodes)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)nodes * FILES_PER_NODE + FILES_MORE;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void session_load(struct session *s)
{
	char why[WHY_BYTES];

	*s = (struct session){0};
	if (experiment_load(&s->e, options.file, why) != 0)
		die_usage("%s", why);
	s->nodes = allocate(s->e.node_count * sizeof(*s->nodes));
	for (uint32_t i = 0; i < s->e.node_count; i++) {
		s->nodes[i].is = &s->e.nodes[i];
		s->nodes[i].index = i;
	}
}

static void choose(struct session *s, const char *name)
{
	for (uint32_t i = 0; i < s->e.node_count; i++) {
		if (strcmp(s->e.nodes[i].name, name) != 0)
			continue;
		s->chosen += !s->nodes[i].chosen;
		s->nodes[i].chosen = true;
		return;
	}
	die_usage("%s: there is no node '%s'", options.file, name);
}

void session_choose(struct session *s, const char *names)
{
	char *copy, *save = NULL;

	if (!names || strcmp(names, "all") == 0) {
		for (uint32_t i = 0; i < s->e.node_count; i++)
			s->nodes[i].chosen = true;
		s->chosen = s->e.node_count;
		return;
	}
	copy = copy_string(names);
	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
		choose(s, name);
	free(copy);
	if (!s->chosen)
		die_usage("'%s' names no node", names);
}

struct node *session_only(struct session *s)
{
	struct node *n = NULL;

	for (uint32_t i = 0; i < s->e.node_count; i++)
		if (s->nodes[i].chosen)
			n = &s->nodes[i];
	if (!n || s->chosen != 1)
		die_usage("this takes one node");
	return n;
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct session *s = handle->data;

	if (s->ops->interrupt)
		s->ops->interrupt(s);
	else
		session_end(s, 128 + number);
}

static void init_loop(struct session *s)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	int err = uv_loop_init(&s->loop);

	if (err)
		die("no event loop: %s", uv_strerror(err));
	s->loop.data = s;
	(void)uv_timer_init(&s->loop, &s->end);
	(void)uv_timer_init(&s->loop, &s->ask);
	s->end.data = s->ask.data = s;
	for (int i = 0; i < 2; i++) {
		(void)uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		(void)uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
	(void)signal(SIGPIPE, SIG_IGN);
}

int session_run(struct session *s, const struct session_ops *ops)
{
	tls_init(s->e.key);
	raise_limits(s->chosen);
	s->ops = ops;
	init_loop(s);
	for (uint32_t i = 0; i < s->e.node_count; i++) {
		struct node *n = &s->nodes[i];

		if (!n->chosen)
			continue;
		n->link.host = n->is->host;
		n->link.port = n->is->port;
		n->link.timeout = s->e.connect;
		n->link.up = on_up;
		n->link.down = on_down;
		n->link.record = on_record;
		n->link.owner = n;
		link_init(&n->link, &s->loop);
		(void)uv_timer_init(&s->loop, &n->again);
		n->again.data = n;
	}
	s->pending = s->chosen;
	open_more(s);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	return exit_status;
}

static void ignore_node(struct session *s, struct node *n)
{
	(void)s;
	(void)n;
}

static void end_now(uv_timer_t *timer)
{
	struct session *s = timer->data;

	for (uint32_t i = 0; i < s->e.node_count; i++)
		if (s->nodes[i].chosen)
			link_close(&s->nodes[i].link);
	uv_stop(&s->loop);
}

/* From the loop, so that whoever calls does not lose the link that it works on, and that what was
 * said last is written. */
void session_end(struct session *s, int status)
{
	static const struct session_ops nothing = {.up = ignore_node, .down = ignore_node};

	s->ops = &nothing;
	exit_status = status;
	(void)uv_timer_start(&s->end, end_now, 0, 0);
}
