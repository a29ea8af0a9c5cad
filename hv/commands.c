// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands themselves; what they print is documented in docs/commands.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "boot/version.h"
#include "hv/command.h"
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/fmt.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/node.h"
#include "hv/selftest.h"
#include "hv/vcpu.h"
#include "timevirt/rate.h"

uint64_t host_ticks_to_ns(uint64_t ticks)
{
	return rate_cycles_to_ns(ticks, tsc_hz());
}

const char *node_state_name(void)
{
	if (node_guest_ended())
		return "stopped";
	return freeze_state() == NODE_RUNNING ? "running" : "frozen";
}

void out_json_string(const char *s)
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

#define WHY_MAX 160

int command_failed(bool json, const char *why, ...)
{
	char text[WHY_MAX];
	va_list ap;

	command_has_failed();
	va_start(ap, why);
	fmt_v(text, sizeof(text), why, ap);
	va_end(ap);
	if (json) {
		out(HEAD "\"error\":");
		out_json_string(text);
		out("}\n");
	} else {
		out("%s\n", text);
	}
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
	while (log_next(&pos, line, sizeof(line))) {
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

#define ROUNDTRIPS_MAX 10000

static void roundtrip_failed(const struct roundtrip_result *r, int err, bool json)
{
	const char *what = r->what	    ? r->what
			   : err == -ENOMEM ? "not enough memory"
					    : "a CPU did not park (see log)";

	command_has_failed();
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
	return node_command(argc, json, NODE_RESET, "asked for by a command");
}

static int cmd_poweroff(int argc, char **argv, bool json)
{
	(void)argv;
	return node_command(argc, json, NODE_POWEROFF, "asked for by a command");
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

#define HELP_ARGS 18 /* columns */

static int cmd_help(int argc, char **argv, bool json)
{
	if (argc > 1)
		return -EINVAL;
	if (argc && !command_find(argv[0]))
		return command_failed(json, "unknown command; help lists them");
	if (json)
		out(HEAD "\"commands\":[");
	for (size_t i = 0, shown = 0; i < command_count; i++) {
		const struct command *c = &commands[i];

		if (argc && strcmp(argv[0], c->name) != 0)
			continue;
		if (json)
			out("%s{\"name\":\"%s\",\"args\":\"%s\",\"what\":\"%s\"}",
			    shown++ ? "," : "", c->name, c->args, c->what);
		else if (strlen(c->args) > HELP_ARGS)
			out("  %-9s %s\n  %-9s %-*s %s\n", c->name, c->args, "", HELP_ARGS, "",
			    c->what);
		else
			out("  %-9s %-*s %s\n", c->name, HELP_ARGS, c->args, c->what);
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
	{"time", "", "the virtual clock, the TSC and shared time", cmd_time},
	{"freeze", "[--at T|[--on EXIT] [--in D]] [--for D] [--every P [--count N]] | --cancel",
	 "stop the guest's CPUs, clock and devices as one", cmd_freeze},
	{"thaw", "[--at T|--in D]", "let a frozen guest go on", cmd_thaw},
	{"freezes", "", "how the latest freezes went", cmd_freezes},
	{"exits", "[reset]", "exits and their mean cost, by CPU and reason", cmd_exits},
	{"trace", "on|off|dump [N]", "the latest exits of each CPU", cmd_trace},
	{"disk",
	 "status|tree | seal|rollback|merge NAME | branch NAME KEEP | errors report|freeze | "
	 "format "
	 "[--erase]",
	 "the guest's disk and its sealed points", cmd_disk},
	{"net", "status", "the control network", cmd_net},
	{"nic", "status", "the experiment's network cards, and what they caught", cmd_nic},
	{"selftest", "roundtrip [TIMES]",
	 "freeze, save, destroy, load, thaw; while frozen, in place", cmd_selftest},
	{"log", "", "the node's log", cmd_log},
	{"reboot", "", "reset the machine", cmd_reboot},
	{"poweroff", "", "switch the machine off", cmd_poweroff},
	{"version", "", "version and back end", cmd_version},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
