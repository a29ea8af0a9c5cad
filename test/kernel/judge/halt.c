// SPDX-License-Identifier: GPL-2.0-or-later
/* What ends HLT: every kind of interrupt that the processor would take, and nothing else. */
#include "test/kernel/judge/judge.h"

#define VECTOR	   0x57
#define RESCUE	   0xfd /* another timer, so that a CPU which does not wake is a verdict */
#define RTC_976_US 6
#define IRQ0	   (PIC_BASE + 0)

/* Halts until the vector was taken, or the rescue came (and in real time may have come first). */
static bool wakes(uint8_t vector)
{
	while (!taken(vector) && !taken(RESCUE))
		halt();
	return jitter ? WAIT(taken(vector)) : taken(vector) && !taken(RESCUE);
}

static void rescue_by_pit(void)
{
	pit_program(0, 0, 0xffff); /* 55 ms */
	ioapic_route(PIT_PIN, FIXED | RESCUE, (uint8_t)apic_id());
}

static void rescue_by_timer(void)
{
	apic_write(APIC_LVT_TIMER, RESCUE);
	apic_write(APIC_TMICT, apic_timer_hz() / 20);
}

static void timer(void)
{
	rescue_by_pit();
	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TMICT, apic_timer_hz() / 1000);
	EXPECT(wakes(VECTOR), "one-shot: it sleeps on");
	rescue_by_pit();
	irq_reset();
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | VECTOR);
	apic_write(APIC_TMICT, apic_timer_hz() / 1000);
	for (unsigned i = 0; i < 5; i++) {
		irq_reset();
		EXPECT(wakes(VECTOR), "periodic: it sleeps on after %u", i);
	}
}

static void deadline(void)
{
	rescue_by_pit();
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks(1000));
	EXPECT(wakes(VECTOR), "it sleeps on");
}

/* A request from before the HLT: STI and HLT are one. */
static void pending(void)
{
	rescue_by_timer();
	ipi(apic_id(), FIXED | ICR_ASSERT | VECTOR);
	EXPECT(wakes(VECTOR), "it sleeps on");
}

static void edge(void)
{
	rescue_by_timer();
	pit_program(0, 2, 1193);
	ioapic_route(PIT_PIN, FIXED | VECTOR, (uint8_t)apic_id());
	for (unsigned i = 0; i < 5; i++) {
		irq_reset();
		EXPECT(wakes(VECTOR), "it sleeps on after %u", i);
	}
}

static void rtc_handler(struct trap_frame *f)
{
	(void)f;
	rtc_quiet();
	apic_eoi();
}

static void level(void)
{
	rescue_by_timer();
	irq_handle(VECTOR, rtc_handler);
	rtc_periodic(RTC_976_US);
	ioapic_route(RTC_IRQ, RTE_LEVEL | FIXED | VECTOR, (uint8_t)apic_id());
	EXPECT(wakes(VECTOR), "it sleeps on");
}

static void irq0_handler(struct trap_frame *f)
{
	(void)f;
	pic_eoi(0);
}

static void extint(void)
{
	rescue_by_timer();
	irq_handle(IRQ0, irq0_handler);
	apic_write(APIC_LVT_LINT0, EXTINT);
	pit_program(0, 2, 1193);
	pic_unmask(0);
	EXPECT(wakes(IRQ0), "it sleeps on");
}

/* --- the second CPU halts --- */

static volatile unsigned woken;
static volatile bool with_if, falls_asleep;

static void sleep_once(void)
{
	falls_asleep = true;
	if (with_if)
		asm volatile("sti; hlt; cli" : : : "memory");
	else
		asm volatile("cli; hlt" : : : "memory");
	woken++;
}

static void sleep_with(bool interrupts)
{
	with_if = interrupts;
	woken = 0;
	falls_asleep = false;
	cpu2_begin(sleep_once);
	WAIT(falls_asleep);
	allow(100);
}

static void by_ipi(void)
{
	sleep_with(true);
	EXPECT(woken == 0, "it does not sleep");
	ipi(cpu2_id(), FIXED | ICR_ASSERT | VECTOR);
	EXPECT(WAIT(woken), "it sleeps on");
	EXPECT(irq_log[1].count[VECTOR] == 1, "%u interrupts", irq_log[1].count[VECTOR]);
}

/* On a busy host the second CPU may not have come to its HLT: then the NMI is taken before it, and
 * another one has to end it. None is lost. */
static bool woken_by_nmi(void)
{
	for (unsigned i = 0; i < 5; i++) {
		unsigned before = irq_log[1].count[2];

		ipi(cpu2_id(), NMI | ICR_ASSERT);
		if (WAIT(woken))
			return irq_log[1].count[2] == before + 1;
		if (irq_log[1].count[2] != before + 1)
			return false;
	}
	return false;
}

static void by_nmi(void)
{
	sleep_with(true);
	EXPECT(woken_by_nmi(), "IF=1: it sleeps on");
	sleep_with(false);
	EXPECT(woken_by_nmi(), "IF=0: it sleeps on");
}

/* With IF=0 an interrupt waits; after an NMI has ended the HLT and IF is 1, it is taken. */
static void not_with_if_0(void)
{
	sleep_with(false);
	ipi(cpu2_id(), FIXED | ICR_ASSERT | VECTOR);
	delay(3000);
	EXPECT(woken == 0, "it wakes");
	EXPECT(irq_log[1].count[VECTOR] == 0, "it is taken");
	EXPECT(woken_by_nmi(), "an NMI does not wake it");
	EXPECT(WAIT(irq_log[1].count[VECTOR] == 1), "the interrupt is lost");
}

static void raise_tpr(void)
{
	apic_write(APIC_TPR, 0xf0);
}

static void not_below_tpr(void)
{
	EXPECT(cpu2_run(raise_tpr), "no answer");
	sleep_with(true);
	ipi(cpu2_id(), FIXED | ICR_ASSERT | VECTOR);
	delay(3000);
	EXPECT(woken == 0, "it wakes");
	EXPECT(woken_by_nmi(), "an NMI does not wake it");
	EXPECT(irq_log[1].count[VECTOR] == 0, "the interrupt is taken");
}

/* A masked LVT, a masked pin. */
static void not_when_masked(void)
{
	rescue_by_pit();
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR);
	apic_write(APIC_TMICT, apic_timer_hz() / 1000);
	while (!taken(RESCUE) && !taken(VECTOR))
		halt();
	EXPECT(taken(RESCUE) == 1 && taken(VECTOR) == 0, "%u interrupts", taken(VECTOR));
}

const struct check halt_checks[] = {
	{"timer", timer, 0},
	{"deadline", deadline, NEED_DEADLINE},
	{"pending", pending, 0},
	{"edge", edge, 0},
	{"level", level, 0},
	{"extint", extint, 0},
	{"not-when-masked", not_when_masked, 0},
	{"ipi", by_ipi, NEED_CPU2},
	{"nmi", by_nmi, NEED_CPU2},
	{"not-with-if-0", not_with_if_0, NEED_CPU2},
	{"not-below-tpr", not_below_tpr, NEED_CPU2},
	{0},
};
