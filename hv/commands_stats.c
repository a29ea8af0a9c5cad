// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands about exits: counters, and the ring of recent ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/stats.h"
#include "hv/vcpu.h"

static void exits_of(const struct vcpu *v, bool json, bool *first)
{
	for (unsigned i = 0; i < STATS_REASONS; i++) {
		uint64_t n = v->stats->count[i], ticks = v->stats->ticks[i];

		if (!n)
			continue;
		if (json)
			out("%s{\"cpu\":%u,\"reason\":\"%s\",\"number\":%u,\"count\":%llu,"
			    "\"ticks\":%llu}",
			    *first ? "" : ",", v->index, vcpu_ops->exit_name(stats_reason(i)),
			    stats_reason(i), (ull)n, (ull)ticks);
		else
			out("%3u  %-28s %12llu %10llu\n", v->index,
			    vcpu_ops->exit_name(stats_reason(i)), (ull)n, (ull)(ticks / n));
		*first = false;
	}
}

/* How long the guest was kept waiting in all. */
static void stolen(bool json)
{
	if (json)
		out("],\"stolen\":[");
	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vcpu_stats *s = vcpu_get(i)->stats;

		if (json)
			out("%s{\"cpu\":%u,\"ticks\":%llu,\"slices\":%llu}", i ? "," : "", i,
			    (ull)s->away + s->slices, (ull)s->slices);
		else
			out("%3u  %llu ticks stolen, %llu of them for the disk and the control "
			    "network\n",
			    i, (ull)s->away + s->slices, (ull)s->slices);
	}
}

/* How long the guest was kept waiting at once. */
static void longest(bool json)
{
	if (json)
		out("],\"longest\":[");
	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vcpu_stats *s = vcpu_get(i)->stats;
		const char *reason = vcpu_ops->exit_name(stats_reason(s->longest.reason));
		bool console = s->longest.served & VCPU_REQ_CONSOLE;

		if (json)
			out("%s{\"cpu\":%u,\"ticks\":%llu,\"reason\":\"%s\",\"console\":%s}",
			    i ? "," : "", i, (ull)s->longest.ticks, reason,
			    console ? "true" : "false");
		else
			out("%3u  at most %llu ticks at once, at %s%s\n", i, (ull)s->longest.ticks,
			    reason, console ? ", for the console" : "");
	}
}

static void reset(struct vcpu_stats *s)
{
	memset(s->count, 0, sizeof(s->count));
	memset(s->ticks, 0, sizeof(s->ticks));
	memset(&s->longest, 0, sizeof(s->longest));
	s->away = s->slices = 0;
}

int cmd_exits(int argc, char **argv, bool json)
{
	bool first = true;

	if (argc > 1 || (argc == 1 && strcmp(argv[0], "reset") != 0))
		return -EINVAL;
	if (argc == 1) {
		for (unsigned i = 0; i < vcpu_count(); i++)
			reset(vcpu_get(i)->stats);
		if (json)
			out(HEAD "\"reset\":true}\n");
		return 0;
	}
	out(json ? HEAD "\"virtual_ns\":%llu,\"exits\":["
		 : "at %llu ns of virtual time\ncpu  reason                              count "
		   "mean ticks\n",
	    (ull)node_now().v);
	for (unsigned i = 0; i < vcpu_count(); i++)
		exits_of(vcpu_get(i), json, &first);
	stolen(json);
	longest(json);
	if (json)
		out("]}\n");
	return 0;
}

static void set_tracing(bool on)
{
	for (unsigned i = 0; i < vcpu_count(); i++)
		vcpu_get(i)->stats->tracing = on;
}

static bool trace_first;

static void print_entry(const struct vcpu *v, const struct trace_entry *t)
{
	out("%3u %16llu %-24s rip 0x%016llx info 0x%llx %u ticks\n", v->index, (ull)t->tsc,
	    vcpu_ops->exit_name(t->reason), (ull)t->rip, (ull)t->info, (unsigned)t->ticks);
}

static void print_entry_json(const struct vcpu *v, const struct trace_entry *t)
{
	out("%s{\"cpu\":%u,\"tsc\":%llu,\"reason\":\"%s\",\"rip\":%llu,\"info\":%llu,\"ticks\":%u}",
	    trace_first ? "" : ",", v->index, (ull)t->tsc, vcpu_ops->exit_name(t->reason),
	    (ull)t->rip, (ull)t->info, (unsigned)t->ticks);
	trace_first = false;
}

#define TRACE_DUMP_DEFAULT 32

/* What comes while this is printed would take the place of what is to be printed. */
static void dump(unsigned entries, bool json)
{
	bool tracing = vcpu_get(0)->stats->tracing;

	set_tracing(false);
	trace_first = true;
	for (unsigned i = 0; i < vcpu_count(); i++)
		trace_dump(vcpu_get(i), entries, json ? print_entry_json : print_entry);
	set_tracing(tracing);
}

int cmd_trace(int argc, char **argv, bool json)
{
	unsigned long entries = TRACE_DUMP_DEFAULT;
	char *end;

	if (argc == 1 && (strcmp(argv[0], "on") == 0 || strcmp(argv[0], "off") == 0)) {
		set_tracing(argv[0][1] == 'n');
		if (json)
			out(HEAD "\"trace\":\"%s\"}\n", argv[0]);
		return 0;
	}
	if (argc < 1 || argc > 2 || strcmp(argv[0], "dump") != 0)
		return -EINVAL;
	if (argc == 2) {
		entries = strtoul(argv[1], &end, 10);
		if (*end || !entries || entries > TRACE_ENTRIES)
			return -EINVAL;
	}
	if (json)
		out(HEAD "\"trace\":[");
	dump((unsigned)entries, json);
	if (json)
		out("]}\n");
	return 0;
}
