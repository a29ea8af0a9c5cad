// SPDX-License-Identifier: GPL-2.0-or-later
/* console: the guest's serial console on this terminal, until Ctrl-]. */
#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "tools/ctl/commands.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/session.h"

#define LEAVE	    0x1d  /* Ctrl-] */
#define BACKLOG_MAX 65536 /* then the keyboard waits */

static struct session s;
static struct node *node;
static uv_poll_t keyboard;
static uv_idle_t reader; /* in its place, if the standard input is a file */
static bool listening, polls, raw;
static struct termios before;

static void restore(void)
{
	if (raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	raw = false;
}

static void make_raw(void)
{
	struct termios t;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return;
	t = before;
	cfmakeraw(&t);
	raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

static void leave(int status)
{
	restore();
	if (listening && polls)
		(void)uv_poll_stop(&keyboard);
	if (listening && !polls)
		(void)uv_idle_stop(&reader);
	listening = false;
	session_end(&s, status);
}

static void take_typed(void)
{
	char typed[512];
	const char *end;
	ssize_t n;

	if (link_backlog(&node->link) > BACKLOG_MAX)
		return;
	n = read(STDIN_FILENO, typed, sizeof(typed));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	end = n > 0 ? memchr(typed, LEAVE, (size_t)n) : NULL;
	if (end)
		n = end - typed;
	if (n > 0)
		link_send(&node->link, CTL_CONSOLE_DATA, CTL_CONSOLE, typed, (size_t)n);
	if (n > 0 && !end)
		return;
	link_send(&node->link, CTL_CONSOLE_DATA, CTL_CONSOLE, NULL, 0);
	leave(EXIT_CLEAN);
	if (end)
		warn("left the console of %s", node->is->name);
}

static void on_key(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	(void)events;
	take_typed();
}

static void on_idle(uv_idle_t *idle)
{
	(void)idle;
	take_typed();
}

static int listen_to_keyboard(uv_loop_t *loop)
{
	int err = uv_idle_init(loop, &reader);

	if (!err)
		err = uv_poll_init(loop, &keyboard, STDIN_FILENO);
	polls = err != UV_EPERM;
	if (!polls)
		return uv_idle_start(&reader, on_idle);
	return err ? err : uv_poll_start(&keyboard, UV_READABLE, on_key);
}

static void on_up(struct session *x, struct node *n)
{
	int err;

	link_send(&n->link, CTL_CONSOLE_DATA, CTL_CONSOLE, NULL, 0);
	err = listen_to_keyboard(&x->loop);
	if (err) {
		warn("the standard input can't be waited for: %s", uv_strerror(err));
		leave(EXIT_FAILED);
		return;
	}
	listening = true;
	if (isatty(STDERR_FILENO))
		warn("the console of %s; Ctrl-] leaves it", n->is->name);
	make_raw();
}

static void on_down(struct session *x, struct node *n)
{
	(void)x;
	leave(EXIT_FAILED);
	warn("%s: %s", n->is->name, node_problem(n));
}

static void on_error(const struct ctl_record *r)
{
	struct text t = {0};

	text_bytes(&t, r->payload, r->size);
	printable(t.s, t.len);
	leave(EXIT_FAILED);
	warn("%s: %s", node->is->name, t.s);
	text_free(&t);
}

static void on_record(struct session *x, struct node *n, const struct ctl_record *r)
{
	const uint8_t *p = r->payload;
	size_t size = r->size;

	(void)x;
	(void)n;
	if (r->channel != CTL_CONSOLE)
		return;
	if (r->type == CTL_ERROR)
		on_error(r);
	if (r->type != CTL_CONSOLE_DATA)
		return;
	while (size) {
		ssize_t done = write(STDOUT_FILENO, p, size);

		if (done < 0 && errno != EINTR && errno != EAGAIN) {
			leave(EXIT_FAILED);
			return;
		}
		if (done > 0) {
			p += done;
			size -= (size_t)done;
		}
	}
}

int command_console(void)
{
	static const struct session_ops ops = {.up = on_up, .down = on_down, .record = on_record};
	int status;

	if (options.json)
		die_usage("a console has no --json");
	if (options.argc != 1)
		die_usage("console takes one node");
	session_load(&s);
	session_choose(&s, options.argv[0]);
	node = session_only(&s);
	status = session_run(&s, &ops);
	restore();
	return status;
}
