// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands that freeze and thaw. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "arch/x86_64/arch.h"
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/duration.h"
#include "hv/experiment.h"
#include "hv/freeze.h"
#include "hv/stats.h"
#include "hv/vcpu.h"
#include "timevirt/rate.h"

enum option { AT, IN, FOR, EVERY, COUNT, ON, CANCEL, OPTIONS };

static const char *const option_names[OPTIONS] = {
	"--at", "--in", "--for", "--every", "--count", "--on", "--cancel",
};

#define TIMES ((1u << AT) | (1u << IN) | (1u << FOR) | (1u << EVERY))

struct options {
	unsigned given;		   /* bit per enum option */
	const char *text[OPTIONS]; /* its argument */
	uint64_t ns[OPTIONS];
};

static bool has(const struct options *o, enum option n)
{
	return o->given >> n & 1;
}

static int find_option(const char *name, unsigned allowed)
{
	for (int i = 0; i < OPTIONS; i++)
		if ((allowed >> i & 1) && strcmp(name, option_names[i]) == 0)
			return i;
	return -1;
}

static int take_time(struct options *o, int option, const char *text, bool json)
{
	int err = duration_parse(text, &o->ns[option]);

	if (err == -ERANGE)
		command_failed(json, "%s: more than 100 years", option_names[option]);
	else if (err)
		command_failed(json,
			       "%s takes a number with a unit (" DURATION_UNITS
			       "), as in 200ms or 1.5s",
			       option_names[option]);
	return err;
}

static int take_count(struct options *o, const char *text, bool json)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || *text == '-' || n == 0 || n > UINT32_MAX) {
		command_failed(json, "--count takes a number from 1");
		return -EINVAL;
	}
	o->ns[COUNT] = n;
	return 0;
}

/* 0; -EINVAL: the usage says what is right; 1: said already. */
static int parse(int argc, char **argv, unsigned allowed, bool json, struct options *o)
{
	*o = (struct options){0};
	for (int i = 0; i < argc; i++) {
		int n = find_option(argv[i], allowed);

		if (n < 0 || has(o, (enum option)n))
			return -EINVAL;
		o->given |= 1u << n;
		if (n == CANCEL)
			continue;
		if (++i == argc)
			return -EINVAL;
		o->text[n] = argv[i];
		if ((TIMES >> n & 1) && take_time(o, n, argv[i], json) != 0)
			return 1;
		if (n == COUNT && take_count(o, argv[i], json) != 0)
			return 1;
	}
	return has(o, AT) + (has(o, IN) || has(o, ON)) > 1 ? -EINVAL : 0;
}

static uint64_t ns_to_ticks(uint64_t ns)
{
	return rate_ns_to_cycles_up(ns, tsc_hz());
}

/* T as --at or --in give it; 1: it is past, and that has been said. */
static int when(const struct options *o, bool json, uint64_t *at)
{
	uint64_t now = node_host_ticks();

	*at = now;
	if (has(o, IN))
		*at = now + ns_to_ticks(o->ns[IN]);
	if (!has(o, AT))
		return 0;
	*at = ns_to_ticks(o->ns[AT]);
	if (*at >= now)
		return 0;
	command_failed(json, "--at: that is past: it is %lluns now (see time)",
		       (ull)host_ticks_to_ns(now));
	return 1;
}

static uint32_t exit_slot(const char *name)
{
	for (uint32_t i = 0; i < STATS_REASONS; i++) {
		const char *known = vcpu_ops->exit_name(stats_reason(i));

		if (known && strcasecmp(known, name) == 0 && strcmp(known, "?") != 0)
			return i;
	}
	return NO_EXIT_SLOT;
}

/* 1: refused, and said why. */
static int make_plan(const struct options *o, bool json, struct freeze_plan *p)
{
	*p = (struct freeze_plan){
		.at = HOST_NEVER, .for_ticks = HOST_NEVER, .left = 1, .exit_slot = NO_EXIT_SLOT};
	if (has(o, ON)) {
		p->exit_slot = exit_slot(o->text[ON]);
		if (p->exit_slot == NO_EXIT_SLOT) {
			command_failed(json, "--on: no exit is called %s; exits lists them",
				       o->text[ON]);
			return 1;
		}
		p->after_exit = ns_to_ticks(o->ns[IN]);
	} else if (when(o, json, &p->at) != 0) {
		return 1;
	}
	if (has(o, FOR))
		p->for_ticks = ns_to_ticks(o->ns[FOR]);
	if (!has(o, EVERY))
		return 0;
	p->every = ns_to_ticks(o->ns[EVERY]);
	p->left = has(o, COUNT) ? o->ns[COUNT] : UINT64_MAX;
	if (!has(o, FOR) || p->every <= p->for_ticks) {
		command_failed(json, "--every needs a --for that is shorter");
		return 1;
	}
	return 0;
}

static void report_plan(const struct freeze_plan *p, bool json)
{
	if (json)
		out(HEAD "\"ok\":true,\"state\":\"armed\",\"at_ns\":");
	if (json && p->at == HOST_NEVER)
		out("null}\n");
	else if (json)
		out("%llu}\n", (ull)host_ticks_to_ns(p->at));
	else if (p->at == HOST_NEVER)
		out("armed: on the next exit of that kind\n");
	else
		out("armed: at %lluns\n", (ull)host_ticks_to_ns(p->at));
}

static int report_state(bool json)
{
	if (json)
		out(HEAD "\"ok\":true,\"state\":\"%s\"}\n", node_state_name());
	else
		out("%s\n", node_state_name());
	return 0;
}

static int now(bool json)
{
	switch (freeze_now()) {
	case 0:
		return report_state(json);
	case -EALREADY:
		return command_failed(json, "already frozen");
	default:
		return command_failed(json, "a CPU did not park; the node runs on (see log)");
	}
}

int cmd_freeze(int argc, char **argv, bool json)
{
	struct freeze_plan p;
	struct options o;
	int err = parse(argc, argv, (1u << OPTIONS) - 1, json, &o);

	if (err)
		return err < 0 ? err : 0;
	if (experiment_owns_plan())
		return command_failed(json, "the experiment has a freeze of its own: see status");
	if (has(&o, CANCEL)) {
		if (argc > 1)
			return -EINVAL;
		freeze_cancel();
		return report_state(json);
	}
	if ((has(&o, COUNT) && !has(&o, EVERY)) || (has(&o, ON) && has(&o, EVERY)))
		return -EINVAL;
	if (!o.given)
		return now(json);
	if (make_plan(&o, json, &p) != 0)
		return 0;
	if (freeze_arm(&p) != 0)
		return command_failed(json, "frozen: thaw first");
	report_plan(&p, json);
	return 0;
}

int cmd_thaw(int argc, char **argv, bool json)
{
	struct options o;
	uint64_t at;
	int err = parse(argc, argv, 1u << AT | 1u << IN, json, &o);

	if (err)
		return err < 0 ? err : 0;
	if (freeze_state() != NODE_FROZEN)
		return command_failed(json, "not frozen");
	if (when(&o, json, &at) != 0)
		return 0;
	/* The answer first: once the guest runs, this is its time. */
	if (!o.given && json)
		out(HEAD "\"ok\":true,\"state\":\"running\"}\n");
	else if (!o.given)
		out("running\n");
	else if (json)
		out(HEAD "\"ok\":true,\"state\":\"frozen\",\"until_ns\":%llu}\n",
		    (ull)host_ticks_to_ns(at));
	else
		out("frozen until %lluns\n", (ull)host_ticks_to_ns(at));
	if (o.given)
		thaw_at(at);
	else
		thaw_now();
	return 0;
}

/* --- what became of them --- */

static void record_json(uint64_t n, const struct freeze_record *r, bool first)
{
	out("%s{\"n\":%llu,\"at_ns\":%llu,\"late_ns\":%llu,\"latency_ticks\":%llu,"
	    "\"virtual_ns\":%llu,\"virtual_ticks\":%llu,",
	    first ? "" : ",", (ull)n, (ull)host_ticks_to_ns(r->at), (ull)host_ticks_to_ns(r->late),
	    (ull)r->latency, (ull)r->virtual_ns, (ull)r->virtual_ticks);
	if (r->frozen == HOST_NEVER)
		out("\"frozen_ns\":null,\"thaw_late_ns\":null,\"thaw_latency_ticks\":null}");
	else
		out("\"frozen_ns\":%llu,\"thaw_late_ns\":%llu,\"thaw_latency_ticks\":%llu}",
		    (ull)host_ticks_to_ns(r->frozen), (ull)host_ticks_to_ns(r->thaw_late),
		    (ull)r->thaw_latency);
}

static void record_text(uint64_t n, const struct freeze_record *r)
{
	out("%6llu %18llu %10llu %9llu ", (ull)n, (ull)host_ticks_to_ns(r->at),
	    (ull)host_ticks_to_ns(r->late), (ull)r->latency);
	if (r->frozen == HOST_NEVER)
		out("%18s\n", "still");
	else
		out("%18llu %10llu %9llu\n", (ull)host_ticks_to_ns(r->frozen),
		    (ull)host_ticks_to_ns(r->thaw_late), (ull)r->thaw_latency);
}

int cmd_freezes(int argc, char **argv, bool json)
{
	uint64_t last = freeze_total(), n = last > FREEZE_RECORDS ? last - FREEZE_RECORDS : 0;
	bool first = true;

	(void)argv;
	if (argc)
		return -EINVAL;
	if (json)
		out(HEAD "\"total\":%llu,\"freezes\":[", (ull)last);
	else
		out("%6s %18s %10s %9s %18s %10s %9s\n", "n", "at ns", "late ns", "ticks",
		    "frozen ns", "thaw late", "ticks");
	while (n++ < last) {
		const struct freeze_record *r = freeze_record(n);

		if (!r)
			continue;
		if (json)
			record_json(n, r, first);
		else
			record_text(n, r);
		first = false;
	}
	if (json)
		out("]}\n");
	return 0;
}
