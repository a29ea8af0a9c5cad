// SPDX-License-Identifier: GPL-2.0-or-later
/* LINT0, to which the 8259's INTR is wired (SDM vol. 3, "Local Vector Table"; MP Specification 1.4,
 * "Virtual Wire Mode"). */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x71
#define IRQ0   (PIC_BASE + 0)

static unsigned isr_in_handler;

static void irq0_handler(struct trap_frame *f)
{
	(void)f;
	for (unsigned w = 0; w < 8; w++)
		isr_in_handler |= apic_read(APIC_ISR + 16 * w);
	pic_eoi(0);
}

static void tick_on_irq0(uint16_t count)
{
	pit_program(0, 2, count);
	pic_unmask(0);
}

static void virtual_wire(void)
{
	uint64_t begin;

	isr_in_handler = 0;
	irq_handle(IRQ0, irq0_handler);
	apic_write(APIC_LVT_LINT0, EXTINT);
	tick_on_irq0(1193); /* a millisecond */
	irq_on();
	begin = rdtsc();
	EXPECT(WAIT(taken(IRQ0) >= 5), "%u interrupts", taken(IRQ0));
	begin = rdtsc() - begin;
	EXPECT(begin >= ticks(4000) && (jitter || begin < ticks(6000)), "five take %lu ticks",
	       begin);
	EXPECT(isr_in_handler == 0, "the local APIC has one in service");
}

/* The local APIC's priorities do not hold up the 8259's interrupts. */
static void beyond_priority(void)
{
	irq_handle(IRQ0, irq0_handler);
	apic_write(APIC_LVT_LINT0, EXTINT);
	apic_write(APIC_TPR, 0xff);
	tick_on_irq0(1193);
	irq_on();
	EXPECT(WAIT(taken(IRQ0) >= 2), "%u interrupts", taken(IRQ0));
}

static void masked(void)
{
	irq_handle(IRQ0, irq0_handler);
	apic_write(APIC_LVT_LINT0, LVT_MASKED | EXTINT);
	tick_on_irq0(1193);
	irq_on();
	delay(3000);
	EXPECT(taken(IRQ0) == 0, "%u interrupts", taken(IRQ0));
	apic_write(APIC_LVT_LINT0, EXTINT); /* the wire is up */
	EXPECT(WAIT(taken(IRQ0)), "none after it is unmasked");
}

static void as_nmi(void)
{
	apic_write(APIC_LVT_LINT0, NMI);
	tick_on_irq0(1193);
	EXPECT(WAIT(taken(2)), "no NMI");
	delay(3000);
	EXPECT(taken(2) == 1, "%u NMIs by one edge",
	       taken(2)); /* INTR stays up: nobody acknowledges */
}

static void as_fixed(void)
{
	apic_write(APIC_LVT_LINT0, FIXED | VECTOR);
	tick_on_irq0(1193);
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	delay(3000);
	EXPECT(taken(VECTOR) == 1, "%u interrupts by one edge", taken(VECTOR));
	EXPECT(!apic_bit(APIC_TMR, VECTOR), "level-triggered");
}

/* Level-triggered: again after each EOI while the wire is up. */
static unsigned remote_irr, times;

static void level_handler(struct trap_frame *f)
{
	(void)f;
	remote_irr += (apic_read(APIC_LVT_LINT0) & LVT_REMOTE_IRR) != 0;
	if (++times == 3)
		pic_mask_all(); /* INTR falls */
	apic_eoi();
}

static void as_level(void)
{
	remote_irr = times = 0;
	irq_handle(VECTOR, level_handler);
	apic_write(APIC_LVT_LINT0, FIXED | LVT_LEVEL | VECTOR);
	tick_on_irq0(1193);
	irq_on();
	EXPECT(WAIT(taken(VECTOR) == 3), "%u interrupts", taken(VECTOR));
	delay(2000);
	EXPECT(taken(VECTOR) == 3, "%u interrupts after the wire fell", taken(VECTOR));
	EXPECT(remote_irr == 3, "remote IRR in %u of 3 handlers", remote_irr);
	EXPECT(!(apic_read(APIC_LVT_LINT0) & LVT_REMOTE_IRR), "remote IRR at the end");
}

const struct check lint_checks[] = {
	{"virtual-wire", virtual_wire, 0},
	{"beyond-priority", beyond_priority, 0},
	{"masked", masked, 0},
	{"nmi", as_nmi, 0},
	{"fixed", as_fixed, 0},
	{"level", as_level, 0},
	{0},
};
