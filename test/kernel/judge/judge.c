// SPDX-License-Identifier: GPL-2.0-or-later
/* Runs the checks and says the verdicts. */
#include "test/kernel/judge/judge.h"

struct group {
	const char *name;
	const struct check *checks;
};
static const struct group lapic_groups[] = {
	{"timer", timer_checks}, {"deadline", deadline_checks}, {"priority", priority_checks},
	{"ipi", ipi_checks},	 {"init", init_checks},		{"error", error_checks},
	{"lint", lint_checks},	 {"ioapic", ioapic_checks},	{"halt", halt_checks},
};
static const struct group board_groups[] = {
	{"base", base_checks}, {"pic", pic_checks},   {"tsc", tsc_checks},
	{"pit", pit_checks},   {"hpet", hpet_checks}, {"pm", pm_checks},
	{"rtc", rtc_checks},   {"nmi", nmi_checks},   {"shadow", shadow_checks},
};
static const struct group x2apic_group = {"msr", x2apic_checks};
static const struct group disable_group = {"disable", disable_checks};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *only;
static const char *prefix; /* "xapic.", "x2apic." or "" */
static const struct group *group;
static const struct check *current;
static bool failed;
static unsigned checks, failures;

static void say_name(void)
{
	print("judge %s%s.%s ", prefix, group->name, current->name);
}

void fail(const char *f, ...)
{
	va_list ap;

	if (failed)
		return;
	failed = true;
	say_name();
	print("FAIL ");
	va_start(ap, f);
	vprint(f, ap);
	va_end(ap);
	print("\n");
}

static const char *missing(unsigned needs)
{
	if ((needs & NEED_CPU2) && cpus < 2)
		return "one CPU";
	if ((needs & NEED_DEADLINE) && !(cpuid(1, 0).ecx & 1u << 24))
		return "no TSC deadline";
	if ((needs & NEED_X2APIC) && !(cpuid(1, 0).ecx & 1u << 21))
		return "no x2APIC";
	if ((needs & NEED_TSC_ADJUST) && !(cpuid(7, 0).ebx & 1u << 1))
		return "no TSC_ADJUST";
	return NULL;
}

/* Does NAME begin with the option's value? */
static bool wanted(void)
{
	const char *parts[] = {prefix, group->name, ".", current->name}, *o = only;

	for (unsigned i = 0; o && i < COUNT(parts); i++) {
		for (const char *p = parts[i]; *p; p++, o++) {
			if (*o == 0 || *o == ' ')
				return true;
			if (*o != *p)
				return false;
		}
	}
	return !o || *o == 0 || *o == ' ';
}

static void quiet_cpu2(void)
{
	apic_setup();
}

static void quiet(void)
{
	asm volatile("cli");
	board_quiet();
	apic_setup();
	if (cpus > 1 && !cpu2_run(quiet_cpu2) && !cpu2_start())
		print("judge: the second CPU is lost\n");
	irq_reset();
}

static void run_check(void)
{
	const char *why = missing(current->needs);

	if (!wanted())
		return;
	if (why) {
		say_name();
		print("none %s\n", why);
		return;
	}
	checks++;
	failed = false;
	quiet();
	current->run();
	asm volatile("cli");
	if (failed) {
		failures++;
	} else {
		say_name();
		print("ok\n");
	}
}

static void run_groups(const struct group *g, unsigned n)
{
	for (group = g; group < g + n; group++)
		for (current = group->checks; current->name; current++)
			run_check();
}

/* What cannot be checked still has its line. */
static void say_none(const struct group *g, unsigned n, const char *why)
{
	for (group = g; group < g + n; group++) {
		for (current = group->checks; current->name; current++) {
			if (!wanted())
				continue;
			say_name();
			print("none %s\n", why);
		}
	}
}

static void run_in_x2apic_mode(void)
{
	const char *why = missing(NEED_X2APIC);

	prefix = "x2apic.";
	if (why) {
		say_none(&x2apic_group, 1, why);
		say_none(lapic_groups, COUNT(lapic_groups), why);
		return;
	}
	asm volatile("cli");
	apic_enter_x2apic();
	if (cpus > 1 && !cpu2_run(apic_enter_x2apic))
		print("judge: the second CPU does not change its mode\n");
	run_groups(&x2apic_group, 1);
	run_groups(lapic_groups, COUNT(lapic_groups));
}

void test_main(void)
{
	only = option("only");
	cpus = (unsigned)option_number("cpus", 1);
	jitter = option_number("jitter", 0);
	irq_init();
	pic_init();
	clock_init();
	board_quiet();
	apic_setup();
	print("judge: TSC %lu Hz, LAPIC timer %u Hz, %u CPUs\n", tsc_hz, apic_timer_hz(), cpus);
	if (cpus > 1 && !cpu2_start())
		print("judge: the second CPU does not start\n");
	prefix = "";
	run_groups(board_groups, COUNT(board_groups));
	prefix = "xapic.";
	run_groups(lapic_groups, COUNT(lapic_groups));
	run_in_x2apic_mode();
	prefix = "";
	run_groups(&disable_group, 1);
	print("judge: done, %u checks, %u failed\n", checks, failures);
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}
