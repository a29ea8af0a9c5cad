// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands that say how the node is, and what time it is. */
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/freeze.h"
#include "hv/guest.h"
#include "hv/iommu.h"
#include "hv/memmap.h"
#include "hv/node.h"
#include "hv/stats.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "hv/vcpu_unit.h"
#include "timevirt/vclock.h"

static const char *activity_name(const struct vcpu *v)
{
	static const char *const names[] = {"active", "halted", "wait-for-sipi", "shutdown"};

	/* the back end may keep HLT to itself */
	return names[freeze_state() == NODE_FROZEN ? vcpu_captured(v)->activity : v->activity];
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

static void number_or_null(const char *name, uint64_t n, bool known)
{
	if (known)
		out(",\"%s\":%llu", name, (ull)n);
	else
		out(",\"%s\":null", name);
}

static void armed_json(void)
{
	const struct freeze_plan *p = freeze_planned();

	out(",\"freezes\":%llu", (ull)freeze_total());
	if (p->at == HOST_NEVER && p->exit_slot == NO_EXIT_SLOT) {
		out(",\"armed\":null");
		return;
	}
	out(",\"armed\":{\"on\":");
	if (p->exit_slot == NO_EXIT_SLOT)
		out("null");
	else
		out("\"%s\"", vcpu_ops->exit_name(stats_reason(p->exit_slot)));
	number_or_null("in_ns", host_ticks_to_ns(p->after_exit), p->exit_slot != NO_EXIT_SLOT);
	number_or_null("at_ns", host_ticks_to_ns(p->at), p->at != HOST_NEVER);
	number_or_null("for_ns", host_ticks_to_ns(p->for_ticks), p->for_ticks != HOST_NEVER);
	number_or_null("every_ns", host_ticks_to_ns(p->every), p->every);
	number_or_null("left", p->left, p->left != UINT64_MAX);
	out("}");
}

/* What a frozen vCPU was in the middle of. */
static void captured_json(const struct vcpu_state *s)
{
	static const char *const blocks[] = {"sti", "mov-ss", NULL, "nmi"};
	static const char *const types[] = {"interrupt", "reserved", "nmi",	     "exception",
					    "INTn",	 "INT1",     "INT3 or INTO", "other"};
	const char *separator = "";

	out(",\"rip\":%llu,\"blocked\":[", (ull)s->rip);
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (!blocks[i] || !(s->interruptibility >> i & 1))
			continue;
		out("%s\"%s\"", separator, blocks[i]);
		separator = ",";
	}
	if (s->idt_vectoring >> 31)
		out("],\"event\":\"%s %u\"", types[s->idt_vectoring >> 8 & 7],
		    (unsigned)(s->idt_vectoring & 0xff));
	else
		out("],\"event\":null");
}

static void console_json(void)
{
	struct console_counts c;

	console_counts(&c);
	out(",\"console\":{\"input_waiting\":%llu,\"input_lost\":%llu,\"output_waiting\":%llu,"
	    "\"output_lost\":%llu,\"overruns\":%llu}",
	    (ull)c.input_waiting, (ull)c.input_lost, (ull)c.output_waiting, (ull)c.output_lost,
	    (ull)c.overruns);
}

static void console_text(void)
{
	struct console_counts c;

	console_counts(&c);
	if (c.input_waiting || c.input_lost || c.overruns)
		out("console     input: %llu bytes wait, %llu dropped, %llu overruns of the port\n",
		    (ull)c.input_waiting, (ull)c.input_lost, (ull)c.overruns);
	if (c.output_waiting || c.output_lost)
		out("console     output: %llu bytes wait, %llu dropped\n", (ull)c.output_waiting,
		    (ull)c.output_lost);
}

static void iommu_json(void)
{
	struct iommu_status s = iommu_status();

	out(",\"iommu\":{\"on\":%s,\"kind\":", s.on ? "true" : "false");
	if (s.on)
		out("\"%s\"", s.kind);
	else
		out("null");
	out(",\"units\":%u,\"faults\":%llu}", s.units, (ull)s.faults);
}

static void iommu_text(void)
{
	struct iommu_status s = iommu_status();

	if (s.on)
		out("iommu       %s, %u unit%s, %llu accesses stopped\n", s.kind, s.units,
		    s.units == 1 ? "" : "s", (ull)s.faults);
	else
		out("iommu       none: the DMA of cards is not checked\n");
}

static void status_json(void)
{
	const struct guest_map *m = guest_memory_map();

	out(HEAD "\"state\":\"%s\",\"frozen_ns\":%llu,\"backend\":\"%s\",\"virtual_ns\":%llu,",
	    node_state_name(), (ull)host_ticks_to_ns(freeze_host_ticks()), vcpu_ops->name,
	    (ull)node_now().v);
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
	armed_json();
	experiment_json();
	console_json();
	iommu_json();
	out(",\"cpus\":[");
	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vcpu *v = vcpu_get(i);

		out("%s{\"cpu\":%u,\"apic_id\":%u,\"activity\":\"%s\",\"exits\":%llu,\"hypervisor_"
		    "ns\":%llu",
		    i ? "," : "", i, (unsigned)v->lapic.id, activity_name(v), (ull)total_exits(v),
		    (ull)host_ticks_to_ns(total_ticks(v)));
		if (freeze_state() == NODE_FROZEN)
			captured_json(vcpu_captured(v));
		out("}");
	}
	out("]}\n");
}

/* In the words of the freeze command. */
static void armed_text(void)
{
	const struct freeze_plan *p = freeze_planned();

	if (p->at == HOST_NEVER && p->exit_slot == NO_EXIT_SLOT)
		return;
	out("armed       freeze");
	if (p->at != HOST_NEVER)
		out(" --at %lluns", (ull)host_ticks_to_ns(p->at));
	else
		out(" --on %s", vcpu_ops->exit_name(stats_reason(p->exit_slot)));
	if (p->for_ticks != HOST_NEVER)
		out(" --for %lluns", (ull)host_ticks_to_ns(p->for_ticks));
	if (p->every)
		out(" --every %lluns", (ull)host_ticks_to_ns(p->every));
	if (p->every && p->left != UINT64_MAX)
		out(" --count %llu", (ull)p->left);
	out("\n");
}

static void status_text(void)
{
	const struct guest_map *m = guest_memory_map();
	uint64_t ms = node_now().v / 1000000;

	out("guest       %s", node_state_name());
	if (freeze_state() == NODE_FROZEN)
		out(" for %llu ms", (ull)(host_ticks_to_ns(freeze_host_ticks()) / 1000000));
	if (node_guest_ended())
		out(": %s", node_guest_ended());
	out("\n");
	armed_text();
	experiment_text();
	out("uptime      %llu.%03llu s of virtual time\n", (ull)(ms / 1000), (ull)(ms % 1000));
	out("back end    %s, %u CPUs, TSC %llu.%03llu MHz (%s)\n", vcpu_ops->name, vcpu_count(),
	    (ull)(tsc_hz() / 1000000), (ull)(tsc_hz() / 1000 % 1000), tsc_source());
	out("memory      guest %llu MiB; hypervisor %llu MiB at 0x%llx, %llu MiB free\n",
	    (ull)(m->ram_bytes >> 20), (ull)(m->hv_size >> 20), (ull)m->hv_base,
	    (ull)(pages_free_count() * PAGE_SIZE >> 20));
	out("units       %u\n", unit_count());
	iommu_text();
	console_text();
	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vcpu *v = vcpu_get(i);

		out("cpu %-3u     APIC ID %u, %s, %llu exits, %llu ms in the hypervisor\n", i,
		    (unsigned)v->lapic.id, activity_name(v), (ull)total_exits(v),
		    (ull)(host_ticks_to_ns(total_ticks(v)) / 1000000));
	}
}

int cmd_status(int argc, char **argv, bool json)
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

int cmd_time(int argc, char **argv, bool json)
{
	uint64_t host = node_host_ticks(); /* one moment for all of them */
	uint64_t virtual_ns = vclock_ns(&node_clock, host).v;
	uint64_t virtual_ticks = vclock_ticks(&node_clock, host);

	(void)argv;
	if (argc)
		return -EINVAL;
	if (json) {
		out(HEAD "\"host_ns\":%llu,\"virtual_ns\":%llu,\"virtual_ticks\":%llu,\"running\":%"
			 "s,\"tsc_hz\":%"
			 "llu,\"tsc_source\":\"%s\",\"skew\":[",
		    (ull)host_ticks_to_ns(host), (ull)virtual_ns, (ull)virtual_ticks,
		    node_clock.running ? "true" : "false", (ull)tsc_hz(), tsc_source());
		for (unsigned i = 0; i < vcpu_count(); i++)
			out("%s%lld", i ? "," : "", (long long)vcpu_get(i)->cpu->tsc_skew);
		out("]");
		shared_time_json();
		out("}\n");
		return 0;
	}
	out("host clock    %llu ns\n", (ull)host_ticks_to_ns(host));
	out("virtual time  %llu ns, %llu ticks, %s\n", (ull)virtual_ns, (ull)virtual_ticks,
	    node_clock.running ? "running" : "standing");
	shared_time_text();
	out("TSC           %llu Hz (%s)\n", (ull)tsc_hz(), tsc_source());
	for (unsigned i = 0; i < vcpu_count(); i++)
		out("cpu %-3u       skew %lld ticks\n", i, (long long)vcpu_get(i)->cpu->tsc_skew);
	return 0;
}
