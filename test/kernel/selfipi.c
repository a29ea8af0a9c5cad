// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an interrupt costs: the boot CPU sends itself IPIs, one after the other, and times each by
 * RDTSC. One line for each mode of the local APIC that there is, in ticks:
 *   selfipi: MODE delivered MIN MEAN done MIN MEAN
 * delivered: from the write to ICR until the handler runs; done: until it has sent its EOI and
 * returned. Then `selfipi: ends`, and power-off.
 */
#include "test/kernel/kernel.h"

#define LAPIC_ICR_LOW  ((volatile uint32_t *)0xfee00300)
#define X2APIC_ICR     0x830
#define APIC_BASE      0x1b
#define APIC_EN	       (1u << 11)
#define APIC_EXTD      (1u << 10)
#define CPUID_1_X2APIC (1u << 21)
#define SELF	       (1u << 18) /* destination shorthand */
#define VECTOR	       0x50
#define ROUNDS	       2000
#define UNCOUNTED      10 /* the first fetch code and nested page tables */

struct figure {
	uint64_t min, sum;
};

static volatile uint64_t handled_at;

static bool on_interrupt(struct trap_frame *f)
{
	if (f->vector != VECTOR)
		return false;
	handled_at = rdtsc();
	local_apic_eoi();
	return true;
}

static void count(struct figure *f, uint64_t ticks)
{
	f->sum += ticks;
	if (ticks < f->min)
		f->min = ticks;
}

static void send(bool x2apic)
{
	if (x2apic)
		wrmsr(X2APIC_ICR, SELF | VECTOR);
	else
		*LAPIC_ICR_LOW = SELF | VECTOR;
}

static void measure(const char *mode, bool x2apic)
{
	struct figure delivered = {UINT64_MAX, 0}, done = {UINT64_MAX, 0};

	local_apic_enable();
	asm volatile("sti");
	for (unsigned i = 0; i < UNCOUNTED + ROUNDS; i++) {
		uint64_t start, end;

		handled_at = 0;
		start = rdtsc();
		send(x2apic);
		while (!handled_at)
			;
		end = rdtsc();
		if (i < UNCOUNTED)
			continue;
		count(&delivered, handled_at - start);
		count(&done, end - start);
	}
	asm volatile("cli");
	print("selfipi: %s delivered %lu %lu done %lu %lu\n", mode, delivered.min,
	      delivered.sum / ROUNDS, done.min, done.sum / ROUNDS);
}

void test_main(void)
{
	trap_hook = on_interrupt;
	wrmsr(APIC_BASE, rdmsr(APIC_BASE) | APIC_EN);
	measure("xapic", false);
	if (cpuid(1, 0).ecx & CPUID_1_X2APIC) {
		wrmsr(APIC_BASE, rdmsr(APIC_BASE) | APIC_EXTD);
		measure("x2apic", true);
	}
	print("selfipi: ends\n");
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}
