// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that does its worst, without an operating system in between, on all CPUs at once: random
 * port I/O, MSRs, MMIO in every unit's range, in holes and in what the memory map leaves out (the
 * hypervisor), all CPUID leaves, odd instructions on MMIO, control registers; and so interrupts,
 * NMIs, INITs and start-up IPIs from anywhere, after which it goes on.
 *   seed=N
 *   rounds=N, seconds=N     how much, of the boot CPU's rounds or of the machine's time (100000
 *                           rounds)
 *   cpus=N                  as many CPUs take part (1)
 *   wait=1                  then wait for a q on the console; another CPU goes on meanwhile
 *   end=off|triple|other    afterwards: power off (default), a triple fault, or one of the last
 *                           CPU's while the boot CPU goes on
 * Prints `hostile: running, N s, ...` as it goes, `hostile: waiting, ...` and `hostile: done, ...`.
 */
#include "test/kernel/hostile/hostile.h"

#define PM_TIMER 0x608
#define PM_HZ	 3579545

struct cpu cpus[CPUS_MAX];
unsigned n_cpus;
static volatile bool last_cpu_ends, others_rest;

uint64_t rnd(void)
{
	uint64_t *seed = &cpus[this_cpu()].seed;

	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

void run(void (*fn)(void *), void *arg)
{
	if (guarded(fn, arg))
		cpus[this_cpu()].faults++;
}

static void report(const char *when, uint64_t seconds)
{
	uint64_t rounds = 0, faults = 0, starts = 0, taken = 0;

	for (unsigned i = 0; i < n_cpus; i++) {
		rounds += cpus[i].rounds;
		faults += cpus[i].faults;
		starts += cpus[i].starts;
	}
	for (unsigned i = 0; i < 256; i++)
		taken += interrupts[i];
	serial_reset();
	print("\nhostile: %s, %lu s, %lu rounds, %lu faults, %lu interrupts (%lu by NMI), %lu "
	      "starts\n",
	      when, seconds, rounds, faults, taken, interrupts[2], starts);
}

static void triple_fault(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	asm volatile("lidt %0; ud2" : : "m"(none));
}

/* The machine's time; its counter is the one that the guest can't write. */
static uint64_t seconds_passed(void)
{
	static uint32_t last;
	static uint64_t ticks;
	static bool started;
	uint32_t now = inl(PM_TIMER);

	if (started)
		ticks += now - last;
	started = true;
	last = now;
	return ticks / PM_HZ;
}

static void one_round(void)
{
	static void (*const kinds[])(void) = {ports, msrs, mmio, mmio, odd, control, interrupt};
	unsigned cpu = this_cpu();

	ANY_OF(kinds)();
	cpus[cpu].taken = 0;
	cpus[cpu].nmis = 0;
	asm volatile("sti; nop; cli"); /* what interrupts it has caused may come */
	cpus[cpu].rounds++;
}

/* Who has got an INIT waits for a start-up IPI. */
static void wake_others(void)
{
	for (unsigned i = 1; i < n_cpus; i++) {
		if (cpus[i].rounds == cpus[i].seen)
			cpu_start(i);
		cpus[i].seen = cpus[i].rounds;
	}
}

/* Each look at the console begins with a new set-up of it, so a q may have to come again. */
static void wait_to_be_let_go(void)
{
	uint64_t shown = 0, now;

	while (serial_read() != 'q') {
		now = seconds_passed();
		if (now != shown)
			report("waiting", now);
		shown = now;
	}
}

static void finish(void)
{
	const char *end = option("end");

	/* Their writes to the serial port would garble the end. */
	others_rest = !end || end[0] != 'o';
	if (option_number("wait", 0))
		wait_to_be_let_go();
	report("done", seconds_passed());
	if (end && end[0] == 't')
		triple_fault();
	if (end && end[0] == 'o') {
		last_cpu_ends = true;
		for (;;)
			one_round();
	}
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}

static void boot_cpu_rounds(void)
{
	static uint64_t shown;
	uint64_t seconds = option_number("seconds", 0);
	uint64_t rounds = option_number("rounds", seconds ? UINT64_MAX : 100000);

	while (cpus[0].rounds < rounds) {
		one_round();
		if (cpus[0].rounds % 256 == 0) {
			uint64_t now = seconds_passed();

			if (seconds && now >= seconds)
				break;
			if (now != shown)
				report("running", now);
			shown = now;
		}
		if (cpus[0].rounds % 4096 == 0)
			wake_others();
	}
	finish();
}

/* Other CPUs start here, and the boot CPU after an INIT. */
void cpu_main(unsigned cpu)
{
	cpus[cpu].starts++;
	if (cpuid(1, 0).ecx >> 26 & 1)
		write_cr4(read_cr4() | CR4_OSXSAVE);
	local_apic_enable();
	if (cpu == 0)
		boot_cpu_rounds();
	while (!(last_cpu_ends && cpu == n_cpus - 1)) {
		while (others_rest)
			asm volatile("cli; hlt");
		one_round();
	}
	triple_fault();
}

void test_main(void)
{
	uint64_t seed = option_number("seed", 1);

	n_cpus = (unsigned)option_number("cpus", 1);
	if (n_cpus < 1 || n_cpus > CPUS_MAX)
		n_cpus = 1;
	for (unsigned i = 0; i < n_cpus; i++)
		cpus[i].seed = 88172645463325252ull + (seed * CPUS_MAX + i) * 0x9e3779b97f4a7c15ull;
	trap_hook = on_trap;
	print("hostile: %u CPUs\n", n_cpus);
	find_ranges();
	all_cpuid();
	catch_restarts();
	for (unsigned i = 1; i < n_cpus; i++)
		cpu_start(i);
	cpu_main(0);
}
