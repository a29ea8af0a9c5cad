// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands themselves; what they print is documented in docs/commands.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "boot/version.h"
#include "hv/command.h"
#include "hv/console.h"
#include "hv/freeze.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/logbuf.h"
#include "hv/memmap.h"
#include "hv/node.h"
#include "hv/selftest.h"
#include "hv/stats.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "timevirt/rate.h"

typedef unsigned long long ull;

#define HEAD "{\"version\":1,"

static uint64_t ticks_to_ns(uint64_t ticks)
{
	return rate_cycles_to_ns(ticks, tsc_hz());
}

static const char *state_name(void)
{
	if (node_guest_ended())
		return "stopped";
	return freeze_state() == NODE_RUNNING ? "running" : "frozen";
}

static const char *activity_name(const struct vcpu *v)
{
	static const char *const names[] = {"active", "halted", "wait-for-sipi", "shutdown"};

	return names[v->activity];
}

/* A string into JSON: quotes, backslashes and control characters escaped. */
static void out_json_string(const char *s)
{
	out("\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			out("\\%c", *s);
		else if ((uint8_t)*s < 0x20 || (uint8_t)*s >= 0x7f)
			out("\\u%04x", (uint8_t)*s);
		else
			out("%c", *s);
	}
	out("\"");
}

static uint64_t total_exits(const struct vcpu *v)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STATS_REASONS; i++)
		n += v->stats->count[i];
	return n;
}

static uint64_t total_ticks(const struct vcpu *v)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STATS_REASONS; i++)
		n += v->stats->ticks[i];
	return n;
}

static void status_json(void)
{
	const struct guest_map *m = guest_memory_map();

	out(HEAD "\"state\":\"%s\",\"frozen_ns\":%llu,\"backend\":\"%s\",\"virtual_ns\":%llu,",
	    state_name(), (ull)ticks_to_ns(freeze_host_ticks()), vcpu_ops->name, (ull)node_now().v);
	out("\"guest_memory\":%llu,\"hypervisor_base\":%llu,\"hypervisor_memory\":%llu,"
	    "\"hypervisor_free\":%llu,",
	    (ull)m->ram_bytes, (ull)m->hv_base, (ull)m->hv_size,
	    (ull)(pages_free_count() * PAGE_SIZE));
	out("\"units\":%u,\"ended\":", unit_count());
	if (node_guest_ended())
		out_json_string(node_guest_ended());
	else
		out("null");
	out(",\"options\":");
	out_json_string(handoff->options);
	out(",\"cpus\":[");
	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vcpu *v = vcpu_get(i);

		out("%s{\"cpu\":%u,\"apic_id\":%u,\"activity\":\"%s\",\"exits\":%llu,\"hypervisor_"
		    "ns\":%llu}",
		    i ? "," : "", i, (unsigned)v->lapic.id, activity_name(v), (ull)total_exits(v),
		    (ull)ticks_to_ns(total_ticks(v)));
	}
	out("]}\n");
}

static void status_text(void)
{
	const struct guest_map *m = guest_memory_map();
	uint64_t ms = node_now().v / 1000000;

	out("guest       %s", state_name());
	if (freeze_state() == NODE_FROZEN)
		out(" for %llu ms", (ull)(ticks_to_ns(freeze_host_ticks()) / 1000000));
	if (node_guest_ended())
		out(": %s", node_guest_ended());
	out("\nuptime      %llu.%03llu s of virtual time\n", (ull)(ms / 1000), (ull)(ms % 1000));
	out("back end    %s, %u CPUs, TSC %llu.%03llu MHz (%s)\n", vcpu_ops->name, vcpu_count(),
	    (ull)(tsc_hz() / 1000000), (ull)(tsc_hz() / 1000 % 1000), tsc_source());
	out("memory      guest %llu MiB; hypervisor %llu MiB at 0x%llx, %llu MiB free\n",
	    (ull)(m->ram_bytes >> 20), (ull)(m->hv_size >> 20), (ull)m->hv_base,
	    (ull)(pages_free_count() * PAGE_SIZE >> 20));
	out("units       %u\n", unit_count());
	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vcpu *v = vcpu_get(i);

		out("cpu %-3u     APIC ID %u, %s, %llu exits, %llu ms in the hypervisor\n", i,
		    (unsigned)v->lapic.id, activity_name(v), (ull)total_exits(v),
		    (ull)(ticks_to_ns(total_ticks(v)) / 1000000));
	}
}

static int cmd_status(int argc, char **argv, bool json)
{
	(void)argv;
	if (argc)
		return -EINVAL;
	if (json)
		status_json();
	else
		status_text();
	return 0;
}

static int cmd_time(int argc, char **argv, bool json)
{
	(void)argv;
	if (argc)
		return -EINVAL;
	if (json) {
		out(HEAD "\"virtual_ns\":%llu,\"virtual_ticks\":%llu,\"running\":%s,\"tsc_hz\":%"
			 "llu,\"tsc_source\":\"%s\",\"skew\":[",
		    (ull)node_now().v, (ull)node_ticks(), node_clock.running ? "true" : "false",
		    (ull)tsc_hz(), tsc_source());
		for (unsigned i = 0; i < vcpu_count(); i++)
			out("%s%lld", i ? "," : "", (long long)vcpu_get(i)->cpu->tsc_skew);
		out("]}\n");
		return 0;
	}
	out("virtual time  %llu ns, %llu ticks, %s\n", (ull)node_now().v, (ull)node_ticks(),
	    node_clock.running ? "running" : "standing");
	out("TSC           %llu Hz (%s)\n", (ull)tsc_hz(), tsc_source());
	for (unsigned i = 0; i < vcpu_count(); i++)
		out("cpu %-3u       skew %lld ticks\n", i, (long long)vcpu_get(i)->cpu->tsc_skew);
	return 0;
}

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

static int cmd_exits(int argc, char **argv, bool json)
{
	bool first = true;

	if (argc > 1 || (argc == 1 && strcmp(argv[0], "reset") != 0))
		return -EINVAL;
	if (argc == 1) {
		for (unsigned i = 0; i < vcpu_count(); i++) {
			memset(vcpu_get(i)->stats->count, 0, sizeof(vcpu_get(i)->stats->count));
			memset(vcpu_get(i)->stats->ticks, 0, sizeof(vcpu_get(i)->stats->ticks));
		}
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
	if (json)
		out("]}\n");
	return 0;
}

static int cmd_log(int argc, char **argv, bool json)
{
	char line[256];
	size_t pos = 0;
	bool first = true;

	(void)argv;
	if (argc)
		return -EINVAL;
	if (json)
		out(HEAD "\"lines\":[");
	while (logbuf_next(&pos, line, sizeof(line))) {
		if (json) {
			out("%s", first ? "" : ",");
			out_json_string(line);
		} else {
			out("%s\n", line);
		}
		first = false;
	}
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

static int cmd_trace(int argc, char **argv, bool json)
{
	unsigned entries = TRACE_DUMP_DEFAULT;
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
		entries = (unsigned)strtoul(argv[1], &end, 10);
		if (*end || !entries || entries > TRACE_ENTRIES)
			return -EINVAL;
	}
	if (json)
		out(HEAD "\"trace\":[");
	trace_first = true;
	for (unsigned i = 0; i < vcpu_count(); i++)
		trace_dump(vcpu_get(i), entries, json ? print_entry_json : print_entry);
	if (json)
		out("]}\n");
	return 0;
}

#define ROUNDTRIPS_MAX 10000

static void roundtrip_failed(const struct roundtrip_result *r, int err, bool json)
{
	const char *what = r->what	   ? r->what
			   : err == -EBUSY ? "the node is frozen: thaw first"
					   : "not enough memory";

	if (json)
		out(HEAD "\"ok\":false,\"error\":\"%s\",\"section\":\"%s\"}\n", what, r->section);
	else
		out("roundtrip: FAILED: %s%s%s\n", what, r->section[0] ? ": section " : "",
		    r->section);
}

static int cmd_selftest(int argc, char **argv, bool json)
{
	struct roundtrip_result r = {0};
	unsigned long times = 1;
	uint64_t longest = 0;
	char *end;

	if (argc < 1 || argc > 2 || strcmp(argv[0], "roundtrip") != 0)
		return -EINVAL;
	if (argc == 2) {
		times = strtoul(argv[1], &end, 10);
		if (*end || !times || times > ROUNDTRIPS_MAX)
			return -EINVAL;
	}
	for (unsigned long i = 0; i < times; i++) {
		int err = selftest_roundtrip(&r);

		if (err) {
			roundtrip_failed(&r, err, json);
			return 0;
		}
		if (r.frozen_ns > longest)
			longest = r.frozen_ns;
	}
	if (json)
		out(HEAD
		    "\"ok\":true,\"times\":%lu,\"units\":%u,\"bytes\":%u,\"longest_ns\":%llu}\n",
		    times, r.units, (unsigned)r.bytes, (ull)longest);
	else
		out("roundtrip: ok, %lu times, %u units, %u bytes, at most %llu us\n", times,
		    r.units, (unsigned)r.bytes, (ull)(longest / 1000));
	return 0;
}

static void report_state(bool json, int err, const char *what)
{
	if (json)
		out(HEAD "\"ok\":%s,\"state\":\"%s\"}\n", err ? "false" : "true", state_name());
	else if (err)
		out("%s\n", what);
	else
		out("%s\n", state_name());
}

static int cmd_freeze(int argc, char **argv, bool json)
{
	int err;

	(void)argv;
	if (argc)
		return -EINVAL;
	err = freeze_now();
	report_state(json, err,
		     err == -EALREADY ? "already frozen" : "a CPU did not park; the node runs on");
	return 0;
}

static int cmd_thaw(int argc, char **argv, bool json)
{
	int err;

	(void)argv;
	if (argc)
		return -EINVAL;
	err = thaw_now();
	report_state(json, err, "not frozen");
	return 0;
}

static int node_command(int argc, bool json, enum node_action a, const char *why)
{
	if (argc)
		return -EINVAL;
	if (json)
		out(HEAD "\"ok\":true}\n");
	node_request(a, why);
	return 0;
}

static int cmd_reboot(int argc, char **argv, bool json)
{
	(void)argv;
	return node_command(argc, json, NODE_RESET, "asked for on the console");
}

static int cmd_poweroff(int argc, char **argv, bool json)
{
	(void)argv;
	return node_command(argc, json, NODE_POWEROFF, "asked for on the console");
}

static int cmd_version(int argc, char **argv, bool json)
{
	(void)argv;
	if (argc)
		return -EINVAL;
	if (json)
		out(HEAD "\"stasis\":\"%s\",\"backend\":\"%s\",\"state_format\":%d}\n",
		    STASIS_VERSION, vcpu_ops->name, STATE_VERSION);
	else
		out("stasis %s, %s back end, state format %d\n", STASIS_VERSION, vcpu_ops->name,
		    STATE_VERSION);
	return 0;
}

static int cmd_help(int argc, char **argv, bool json)
{
	if (argc > 1)
		return -EINVAL;
	if (json)
		out(HEAD "\"commands\":[");
	for (size_t i = 0, shown = 0; i < command_count; i++) {
		const struct command *c = &commands[i];

		if (argc && strcmp(argv[0], c->name) != 0)
			continue;
		if (json)
			out("%s{\"name\":\"%s\",\"args\":\"%s\",\"what\":\"%s\"}",
			    shown++ ? "," : "", c->name, c->args, c->what);
		else
			out("  %-9s %-18s %s\n", c->name, c->args, c->what);
	}
	if (json)
		out("]}\n");
	else
		out("Every command takes --json. Ctrl-] goes back to the guest's console.\n");
	return 0;
}

const struct command commands[] = {
	{"help", "[COMMAND]", "what the commands are", cmd_help},
	{"status", "", "the node, its guest and its CPUs", cmd_status},
	{"time", "", "the virtual clock and the TSC", cmd_time},
	{"freeze", "", "stop the guest's CPUs, clock and devices as one", cmd_freeze},
	{"thaw", "", "let a frozen guest go on", cmd_thaw},
	{"exits", "[reset]", "exits and their mean cost, by CPU and reason", cmd_exits},
	{"trace", "on|off|dump [N]", "the latest exits of each CPU", cmd_trace},
	{"selftest", "roundtrip [TIMES]", "freeze, save, destroy, load and thaw the guest's state",
	 cmd_selftest},
	{"log", "", "the node's log", cmd_log},
	{"reboot", "", "reset the machine", cmd_reboot},
	{"poweroff", "", "switch the machine off", cmd_poweroff},
	{"version", "", "version and back end", cmd_version},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
