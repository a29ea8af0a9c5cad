// SPDX-License-Identifier: GPL-2.0-or-later
/* freeze and thaw: the nodes are connected to, tell their time, are attached; what an earlier
 * stasisctl left is brought to its end; then the request is made, once or in a series. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include "tools/ctl/commands.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/verdict.h"

#define LEAD_PER_NODE (NSEC_PER_MSEC / 5)
#define ARM_EARLY     (500 * NSEC_PER_MSEC) /* the wait for it is only so exact */
#define LISTED_MAX    20

static struct work {
	struct session s;
	struct epoch e;
	bool thaw;    /* the command; else freeze */
	bool asked;   /* the request has been made: what ends now is ours */
	bool waiting; /* for the time to arm `at` */
	bool leave;   /* as soon as all stand */
	bool ended;
	uint64_t at; /* T of what comes next */
	uint64_t done, left_out;
	int status;
} w;

static const char *command_name(void)
{
	return w.thaw ? "thaw" : "freeze";
}

static void end(int status)
{
	w.ended = true;
	progress_hide();
	session_end(&w.s, status);
}

/* For programs: the nodes that can't be talked to. */
static json_t *list_json(void)
{
	json_t *list = json_array(), *o;

	for (uint32_t i = 0; i < w.s.e.node_count; i++) {
		if (!node_problem(&w.s.nodes[i]))
			continue;
		o = json_object();
		json_add(o, "node", json_string(w.s.nodes[i].is->name));
		json_add(o, "error", json_string(node_problem(&w.s.nodes[i])));
		(void)json_array_append_new(list, o);
	}
	return list;
}

/* One error, as the only result. */
__attribute__((format(printf, 1, 2))) static void give_up(const char *f, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, f);
	(void)vsnprintf(what, sizeof(what), f, ap);
	va_end(ap);
	warn("%s", what);
	if (options.json) {
		json_t *o = json_begin(command_name());

		json_add(o, "error", json_string(what));
		json_add(o, "unreachable", list_json());
		put_json(o);
	}
	end(EXIT_FAILED);
}

/* --- when --- */

static uint64_t lead(void)
{
	return w.s.e.margin + w.s.e.lead + w.s.e.node_count * LEAD_PER_NODE;
}

/* The wall clock's time as shared time: both run on from now. */
static uint64_t shared_of_wall(uint64_t wall)
{
	struct timespec t;
	uint64_t now;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
	return session_now(&w.s).shared + (wall - now);
}

static uint64_t requested_time(void)
{
	if (options.has_at)
		return options.at.wall ? shared_of_wall(options.at.ns) : options.at.ns;
	return session_now(&w.s).shared + (options.has_in ? options.in : lead());
}

static void too_near(uint64_t at)
{
	uint64_t now = session_now(&w.s).shared;
	char d[DURATION_TEXT], m[DURATION_TEXT];

	if (at <= now)
		give_up("that time is past, by %s of shared time: --in %s or more is right",
			duration_text(d, now - at), duration_text(m, lead()));
	else
		give_up("%s is too near: --in %s or more is right", duration_text(d, at - now),
			duration_text(m, lead()));
}

/* --- freeze --- */

/* A node whose clock errs would freeze at another moment than the others and know nothing of it.
 * What is below the bound that clocks have to keep does not matter. */
static bool refuse_strays(void)
{
	char d[DURATION_TEXT];

	for (uint32_t i = 0; i < w.s.e.node_count; i++) {
		uint64_t stray = session_stray(&w.s, &w.s.nodes[i]);

		if (stray <= w.s.e.clock_bound)
			continue;
		give_up("%s's clock is %s further off than it can be by its own account: no "
			"freeze is begun; 'stasisctl time' shows all clocks",
			w.s.e.nodes[i].name, duration_text(d, stray));
		return true;
	}
	return false;
}

static void arm(void)
{
	struct moment now = session_now(&w.s);
	uint64_t until = options.has_for ? w.at + options.hold : WIRE_NEVER;

	if (refuse_strays())
		return;
	w.waiting = false;
	w.asked = true;
	if (coordinator_freeze(&w.e.c, w.at, until, &now) != 0)
		too_near(w.at);
}

/* The servo is held while armed: not before it is needed. */
static void wait_or_arm(void)
{
	uint64_t now = session_now(&w.s).shared;

	w.waiting = true;
	if (w.at < now + lead() + ARM_EARLY)
		arm();
}

static void next_of_series(void)
{
	uint64_t now = session_now(&w.s).shared;

	w.done++;
	if (!options.has_every || (options.count && w.done + w.left_out >= options.count)) {
		if (w.left_out)
			warn("%" PRIu64
			     " of the series were left out: the one before lasted too long",
			     w.left_out);
		end(w.status);
		return;
	}
	w.at += options.every;
	while (w.at < now + w.s.e.margin + w.s.e.node_count * LEAD_PER_NODE) {
		w.at += options.every;
		w.left_out++;
		if (options.count && w.done + w.left_out >= options.count) {
			w.done--;
			next_of_series();
			return;
		}
	}
	wait_or_arm();
}

/* Worse first: failed, partial, late, clean. */
static int worse(int a, int b)
{
	static const int rank[] = {[EXIT_CLEAN] = 0,
				   [EXIT_FAILED] = 3,
				   [EXIT_USAGE] = 3,
				   [EXIT_LATE] = 1,
				   [EXIT_PARTIAL] = 2};

	return rank[a] >= rank[b] ? a : b;
}

static void own_epoch_ended(void)
{
	int status = verdict_put(&w.e, command_name(), false);

	w.status = worse(w.status, status);
	if (w.thaw || w.leave ||
	    ((status == EXIT_FAILED || status == EXIT_PARTIAL) && !options.keep_going))
		end(w.status);
	else
		next_of_series();
}

/* --- thaw --- */

static void ask_thaw(void)
{
	struct moment now = session_now(&w.s);
	uint64_t until = requested_time();
	int err = coordinator_thaw(&w.e.c, until, options.force, &now);

	w.asked = true;
	if (err == -EINVAL)
		too_near(until);
}

static void thaw_failed(void)
{
	struct text names = {0};
	unsigned listed = 0, more = 0;

	for (uint32_t i = 0; i < w.s.e.node_count; i++) {
		if (!verdict_blocks_thaw(&w.e, i))
			continue;
		if (listed < LISTED_MAX)
			text_add(&names, "%s%s", listed++ ? ", " : "", w.s.e.nodes[i].name);
		else
			more++;
	}
	if (more)
		text_add(&names, " and %u more", more);
	give_up("all are frozen still, since not all have acknowledged the thaw in time%s%s: try "
		"again, "
		"or 'thaw --force' to go on without them",
		names.len ? ": " : "", names.len ? names.s : "");
	text_free(&names);
}

/* A thaw that an earlier stasisctl has planned: it is too late to ask for another one. */
static void await_planned_thaw(void)
{
	uint64_t now = session_now(&w.s).shared;
	char d[DURATION_TEXT];

	if (w.e.c.until <= now)
		return;
	(void)duration_text(d, w.e.c.until - now);
	if (options.has_at || options.has_in || options.force)
		give_up("the nodes go on by themselves, in %s: --at, --in and --force can't change "
			"that",
			d);
	else
		warn("the nodes go on by themselves, in %s: that is awaited", d);
}

/* --- events --- */

static void attached(void)
{
	enum coordinator_phase phase = w.e.c.phase;

	if (phase == PHASE_IDLE && w.thaw) {
		give_up("no node is frozen%s",
			w.s.up < w.s.chosen ? ", of those that can be reached" : "");
	} else if (phase == PHASE_IDLE) {
		w.at = requested_time();
		wait_or_arm();
	} else if (phase == PHASE_ABORTING || (!w.thaw && w.e.c.until != WIRE_NEVER)) {
		warn("an earlier stasisctl has left epoch %" PRIu64 ": it is %s first", w.e.c.epoch,
		     phase == PHASE_ABORTING ? "called off" : "brought to its end");
	} else if (w.thaw && w.e.c.until != WIRE_NEVER) {
		await_planned_thaw();
	}
}

static void say_how_to_go_on(void)
{
	if (w.e.c.until == WIRE_NEVER || w.e.c.phase == PHASE_THAW_ARMING)
		warn("the nodes stay frozen: 'stasisctl thaw' lets them go on");
	else
		warn("the nodes thaw by themselves; how it went is not awaited");
}

static void all_stand(void)
{
	bool open = w.e.c.until == WIRE_NEVER;

	if (w.leave) {
		(void)verdict_put(&w.e, command_name(), true);
		say_how_to_go_on();
		end(EXIT_FAILED);
	} else if (w.thaw && open) {
		ask_thaw();
	} else if (w.asked && open) {
		end(verdict_put(&w.e, command_name(), true));
	} else if (open) {
		give_up("the experiment is frozen already, in epoch %" PRIu64
			": 'stasisctl thaw' first",
			w.e.c.epoch);
	}
}

static void inherited_ended(void)
{
	if (w.thaw && w.e.c.outcome == OUTCOME_ABORTED) {
		give_up("no node was frozen: an earlier arming, epoch %" PRIu64 ", is called off",
			w.e.c.epoch);
	} else if (w.thaw) {
		own_epoch_ended();
	} else {
		(void)verdict_put(&w.e, command_name(), false);
		w.at = requested_time();
		wait_or_arm();
	}
}

static void on_event(struct epoch *e, enum coordinator_event event)
{
	(void)e;
	if (w.ended)
		return;
	switch (event) {
	case EVENT_ATTACHED:
		attached();
		break;
	case EVENT_COMMITTED:
		break;
	case EVENT_FROZEN:
		all_stand();
		break;
	case EVENT_THAW_FAILED:
		thaw_failed();
		break;
	case EVENT_ENDED:
		if (w.asked)
			own_epoch_ended();
		else
			inherited_ended();
		break;
	case EVENT_SUPERSEDED:
		give_up("a later stasisctl is at work on this experiment and has taken over");
		break;
	}
}

static void on_turn(struct epoch *e)
{
	char d[DURATION_TEXT];
	uint64_t now = session_now(&w.s).shared;

	if (w.ended)
		return;
	if (w.waiting && e->c.phase == PHASE_IDLE) {
		uint64_t left = w.at > now ? w.at - now : 0;

		wait_or_arm();
		if (!w.waiting && !w.ended)
			epoch_pump(e);
		else if (!w.ended)
			progress("waiting: %s left until the freeze",
				 duration_text(d, left / NSEC_PER_SEC * NSEC_PER_SEC));
		return;
	}
	verdict_progress(e);
}

static const struct epoch_ops epoch_ops = {.event = on_event, .turn = on_turn};

/* --- the session --- */

static void on_up(struct session *s, struct node *n)
{
	(void)n;
	if (!w.e.running)
		progress("connecting: %" PRIu32 " of %" PRIu32 " nodes", s->up, s->chosen);
}

static void on_down(struct session *s, struct node *n)
{
	(void)s;
	if (w.e.running && n->tries == 1)
		warn("%s: lost: %s", n->is->name, node_problem(n));
}

static void on_report(struct session *s, struct node *n, const struct wire_message *m)
{
	(void)s;
	(void)n;
	epoch_receive(&w.e, m);
}

static uint32_t list_unreachable(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w.s.e.node_count; i++) {
		if (w.s.nodes[i].link.state == LINK_UP)
			continue;
		if (count++ < LISTED_MAX)
			warn("  %s: %s", w.s.nodes[i].is->name, node_problem(&w.s.nodes[i]));
	}
	return count;
}

static void on_settled(struct session *s)
{
	uint32_t missing = list_unreachable();

	if (missing == s->chosen)
		give_up("no node can be reached");
	else if (missing && !w.thaw)
		give_up("%" PRIu32 " of %" PRIu32 " nodes can't be reached: nothing was begun",
			missing, s->chosen);
	else
		session_ask_time(s);
}

/* Nodes that can't say how far their clocks may be off. */
static uint32_t count_unlocked(const struct session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->e.node_count; i++)
		n += s->nodes[i].timed && s->nodes[i].report.report.bound == WIRE_NEVER;
	return n;
}

/* The nodes' clocks don't agree. */
static void doubt(const struct session *s, uint32_t timed)
{
	uint32_t unlocked = count_unlocked(s);

	if (unlocked)
		give_up("%" PRIu32 " of %" PRIu32 " nodes' clocks are not locked: wait "
			"until they are; 'stasisctl time' shows them",
			unlocked, timed);
	else
		give_up("the nodes' clocks don't agree: 'stasisctl time' shows them");
}

static void on_timed(struct session *s)
{
	uint32_t timed = session_count_timed(s);

	if (timed == 0) {
		give_up("no node answers when asked for its state");
		return;
	}
	if (s->clock.votes * 2 <= timed) {
		if (!w.thaw) {
			doubt(s, timed);
			return;
		}
		warn("the nodes' clocks don't agree: 'stasisctl time' shows them");
	}
	epoch_begin(&w.e, s, &epoch_ops);
}

/* Nodes are frozen, or will be. What was committed is told to all before this one leaves, unless
 * it is asked twice. */
static void leave_frozen(void)
{
	enum coordinator_phase phase = w.e.c.phase;

	if (!w.leave && (phase == PHASE_COMMITTING || (w.thaw && phase == PHASE_THAWING))) {
		w.leave = true;
		warn("the %s can't be called off any more; once more leaves at once",
		     phase == PHASE_COMMITTING ? "freeze" : "thaw");
		return;
	}
	say_how_to_go_on();
	end(EXIT_FAILED);
}

static void on_interrupt(struct session *s)
{
	(void)s;
	if (w.ended)
		return;
	if (w.e.running && w.e.c.phase == PHASE_ARMING) {
		warn("the freeze is called off");
		w.leave = true;
		(void)coordinator_abort(&w.e.c);
		epoch_pump(&w.e);
	} else if (w.e.running && w.e.c.phase >= PHASE_COMMITTING) {
		leave_frozen();
	} else {
		if (w.asked && w.e.c.phase == PHASE_ABORTING)
			warn("left while the freeze was called off");
		else
			warn("stopped%s", w.done ? "" : ": nothing was begun");
		end(w.e.running && w.e.c.phase == PHASE_IDLE && w.done
			    ? worse(w.status, EXIT_FAILED)
			    : EXIT_FAILED);
	}
}

static const struct session_ops session_ops = {
	.retry = true,
	.up = on_up,
	.down = on_down,
	.report = on_report,
	.settled = on_settled,
	.timed = on_timed,
	.interrupt = on_interrupt,
};

static int work(void)
{
	session_load(&w.s);
	session_choose(&w.s, NULL);
	return session_run(&w.s, &session_ops);
}

static void check_series(void)
{
	if (options.has_every && !options.has_for)
		die_usage("freeze --every needs --for: how long each of them lasts");
	if (options.has_every && options.hold >= options.every)
		die_usage("--for must be shorter than --every");
	if (options.count && !options.has_every)
		die_usage("--count goes with --every");
	if (options.has_for && options.hold == 0)
		die_usage("--for 0 is no freeze");
}

int command_freeze(void)
{
	check_series();
	return work();
}

int command_thaw(void)
{
	w.thaw = true;
	return work();
}
