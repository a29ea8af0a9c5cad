/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The physical local APIC (SDM vol. 3, chapter 11) in the mode firmware left the boot CPU's in; the
 * APs follow it. Timer: TSC-deadline where CPUID has it, else one-shot with a rate measured against
 * the TSC.
 */
#include "arch/x86_64/internal.h"
#include "hv/log.h"

#define APIC_BASE_EXTD	 (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_ADDR	 0x000ffffffffff000ull

enum { /* offsets; x2APIC MSR = 0x800 + offset / 16 */
       APIC_ID = 0x20,
       APIC_VERSION = 0x30,
       APIC_TPR = 0x80,
       APIC_EOI = 0xb0,
       APIC_SVR = 0xf0,
       APIC_ISR = 0x100,
       APIC_IRR = 0x200,
       APIC_ESR = 0x280,
       APIC_LVT_CMCI = 0x2f0,
       APIC_ICR = 0x300,
       APIC_ICR_HIGH = 0x310,
       APIC_LVT_TIMER = 0x320,
       APIC_LVT_PMC = 0x340,
       APIC_LVT_LINT0 = 0x350,
       APIC_LVT_LINT1 = 0x360,
       APIC_LVT_ERROR = 0x370,
       APIC_TIMER_INITIAL = 0x380,
       APIC_TIMER_CURRENT = 0x390,
       APIC_TIMER_DIVIDE = 0x3e0,
};
#define SVR_ENABLE	 0x100u
#define LVT_MASKED	 (1u << 16)
#define LVT_NMI		 (4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1	 0xbu
#define ICR_FIXED	 (0u << 8)
#define ICR_NMI		 (4u << 8)
#define ICR_INIT	 (5u << 8)
#define ICR_SIPI	 (6u << 8)
#define ICR_ASSERT	 (1u << 14)
#define ICR_PENDING	 (1u << 12)
#define ICR_SELF	 (1u << 18)

#define CPUID_TSC_DEADLINE (1u << 24)
#define SEND_SPINS	   1000000

#define TRIAL_TICKS 50000 /* of the TSC, from arming to the deadline */
#define TRIAL_LATE  (1u << 24)

static bool ready, x2, deadline_mode;
static volatile uint32_t *regs; /* xAPIC */
static uint64_t timer_ratio;	/* timer ticks per TSC tick, 32.32 */

static uint32_t reg_read(unsigned offset)
{
	return x2 ? (uint32_t)rdmsr(0x800 + offset / 16) : regs[offset / 4];
}

static void reg_write(unsigned offset, uint32_t v)
{
	if (x2)
		wrmsr(0x800 + offset / 16, v);
	else
		regs[offset / 4] = v;
}

bool lapic_ready(void)
{
	return ready;
}

bool lapic_is_x2(void)
{
	return x2;
}

static uint32_t lapic_id(void)
{
	uint32_t id = reg_read(APIC_ID);

	return x2 ? id : id >> 24;
}

/* The BSP's mode becomes everybody's. x2APIC to xAPIC goes through "disabled" only (SDM vol.
 * 3, 11.12.5). */
static void set_mode(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!ready)
		x2 = base & APIC_BASE_EXTD;
	if (base & APIC_BASE_EXTD && !x2) {
		wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_ENABLE | APIC_BASE_EXTD));
		base &= ~APIC_BASE_EXTD;
	}
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (x2)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_EXTD);
	if (!ready && !x2) {
		regs = mmio_map((hpa_t){base & APIC_BASE_ADDR}, PAGE_SIZE);
		ASSERT(regs);
	}
}

static bool vector_bit(unsigned bank, uint8_t vector)
{
	return reg_read(bank + vector / 32 * 0x10) >> vector % 32 & 1;
}

bool lapic_in_service(uint8_t vector)
{
	return vector_bit(APIC_ISR, vector);
}

/* Firmware may have left interrupts in service, which would block all of lower priority. */
static void drain(void)
{
	for (unsigned v = 16; v < 256; v++)
		if (lapic_in_service((uint8_t)v))
			lapic_eoi();
}

static void deadline_on(void)
{
	reg_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
	asm volatile("mfence" : : : "memory"); /* SDM vol. 3, 11.5.4.1 */
	wrmsr(MSR_TSC_DEADLINE, 0);
}

/* Once on the boot CPU, interrupts off. An emulator, or a processor with an erratum, may compare
 * the deadline with something other than the TSC. The interrupt of the trial stays pending, for
 * nobody. */
static bool deadline_keeps_time(void)
{
	uint64_t deadline = rdtsc() + TRIAL_TICKS, now;
	bool fired;

	wrmsr(MSR_TSC_DEADLINE, deadline);
	do {
		fired = vector_bit(APIC_IRR, VECTOR_TIMER);
		now = rdtsc_ordered();
	} while (!fired && now < deadline + TRIAL_LATE);
	wrmsr(MSR_TSC_DEADLINE, 0);
	if (!fired || now < deadline)
		log_info("LAPIC: the TSC deadline timer is %s, and not used",
			 fired ? "early" : "late");
	return fired && now >= deadline;
}

static void timer_init(void)
{
	if (!ready)
		deadline_mode = cpuid(1, 0).ecx & CPUID_TSC_DEADLINE;
	if (deadline_mode)
		deadline_on();
	if (deadline_mode && !ready)
		deadline_mode = deadline_keeps_time();
	if (deadline_mode)
		return;
	reg_write(APIC_LVT_TIMER, LVT_MASKED);
	reg_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	reg_write(APIC_TIMER_INITIAL, 0);
	reg_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

void lapic_init(void)
{
	uint64_t mcg_cap;

	set_mode();
	reg_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	reg_write(APIC_TPR, 0);
	reg_write(APIC_LVT_TIMER, LVT_MASKED);
	reg_write(APIC_LVT_LINT0, LVT_MASKED);
	reg_write(APIC_LVT_LINT1,
		  LVT_NMI); /* where boards wire their NMI (MP spec. 1.4, default configurations) */
	reg_write(APIC_LVT_ERROR, LVT_MASKED);
	if ((reg_read(APIC_VERSION) >> 16 & 0xff) >= 4)
		reg_write(APIC_LVT_PMC, LVT_MASKED);
	if (rdmsr_safe(MSR_MCG_CAP, &mcg_cap) == 0 && mcg_cap & MCG_CMCI_P)
		reg_write(APIC_LVT_CMCI,
			  LVT_MASKED); /* LVT_THERMAL stays: it may be firmware's SMI */
	reg_write(APIC_ESR, 0);
	drain();
	this_cpu()->apic_id = lapic_id();
	timer_init();
	if (!ready)
		log_info("LAPIC: %s mode, boot CPU has ID 0x%x, timer: %s", x2 ? "x2APIC" : "xAPIC",
			 lapic_id(), deadline_mode ? "TSC deadline" : "one-shot");
	ready = true;
}

void lapic_eoi(void)
{
	reg_write(APIC_EOI, 0);
}

static void send(uint32_t apic_id, uint32_t command)
{
	if (x2) {
		/* this WRMSR doesn't wait for earlier stores (SDM vol. 3, 11.12.3) */
		asm volatile("mfence; lfence" : : : "memory");
		wrmsr(0x800 + APIC_ICR / 16, (uint64_t)apic_id << 32 | command);
		return;
	}
	for (unsigned i = 0; i < SEND_SPINS && reg_read(APIC_ICR) & ICR_PENDING; i++)
		__builtin_ia32_pause();
	reg_write(APIC_ICR_HIGH, apic_id << 24);
	reg_write(APIC_ICR, command);
}

void lapic_send(uint32_t apic_id, uint8_t vector)
{
	send(apic_id, ICR_FIXED | ICR_ASSERT | vector);
}

void lapic_send_self(uint8_t vector)
{
	/* by the shorthand: an NMI may have come between another's two writes to the xAPIC's ICR */
	reg_write(APIC_ICR, ICR_SELF | ICR_FIXED | ICR_ASSERT | vector);
}

void lapic_send_nmi(uint32_t apic_id)
{
	send(apic_id, ICR_NMI | ICR_ASSERT);
}

void lapic_send_init(uint32_t apic_id)
{
	send(apic_id, ICR_INIT | ICR_ASSERT);
}

void lapic_send_sipi(uint32_t apic_id, uint8_t page)
{
	send(apic_id, ICR_SIPI | ICR_ASSERT | page);
}

void lapic_timer_calibrate(bool last)
{
	static uint64_t tsc_start;
	uint64_t best = UINT64_MAX, tsc = 0;
	uint32_t count = 0;

	if (deadline_mode)
		return;
	if (!last) {
		reg_write(APIC_LVT_TIMER, LVT_MASKED);
		reg_write(APIC_TIMER_INITIAL, UINT32_MAX);
		tsc_start = rdtsc_ordered();
		return;
	}
	for (unsigned i = 0; i < 8; i++) {
		uint64_t t0 = rdtsc_ordered();
		uint32_t c = reg_read(APIC_TIMER_CURRENT);
		uint64_t t1 = rdtsc_ordered();

		if (t1 - t0 < best) {
			best = t1 - t0;
			tsc = t0 + best / 2;
			count = c;
		}
	}
	reg_write(APIC_TIMER_INITIAL, 0);
	reg_write(APIC_LVT_TIMER, VECTOR_TIMER);
	timer_ratio = ((uint64_t)(UINT32_MAX - count) << 32) / (tsc - tsc_start);
	if (timer_ratio == 0)
		panic("the LAPIC timer doesn't count");
}

void lapic_timer_arm(uint64_t deadline)
{
	uint64_t now;
	unsigned __int128 ticks;

	this_cpu()->timer_deadline = deadline;
	if (deadline == UINT64_MAX) {
		if (deadline_mode)
			wrmsr(MSR_TSC_DEADLINE, 0);
		else
			reg_write(APIC_TIMER_INITIAL, 0);
		return;
	}
	if (deadline_mode) {
		wrmsr(MSR_TSC_DEADLINE, deadline ? deadline : 1); /* 0 would disarm */
		return;
	}
	now = rdtsc();
	ticks = deadline > now ? (unsigned __int128)(deadline - now) * timer_ratio >> 32 : 0;
	reg_write(APIC_TIMER_INITIAL, ticks >= UINT32_MAX ? UINT32_MAX : (uint32_t)ticks + 1);
}

/* Whoever waits looks at the time and arms it again if this was early: the count has 32 bits only.
 */
void lapic_timer_interrupt(void)
{
	this_cpu()->timer_deadline = UINT64_MAX;
}
