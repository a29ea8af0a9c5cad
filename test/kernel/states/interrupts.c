// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts that are pending, held back, or in service. */
#include "test/kernel/states/states.h"

/* The order in which vectors were taken. */
static void expect_order(const uint8_t *want, unsigned n)
{
	const struct irq_log *l = my_log();

	EXPECT(l->total == n, "%u interrupts, wanted %u", l->total, n);
	for (unsigned i = 0; i < n; i++)
		EXPECT(l->first[i].vector == want[i], "interrupt %u is %x, wanted %x", i + 1,
		       l->first[i].vector, want[i]);
	EXPECT(apic_idle(), "something is left in IRR or ISR");
}

/* In IRR with interrupts off: each comes once, the highest first. */
static void pending(void)
{
	static const uint8_t order[] = {HIGH, MIDDLE, LOW};

	ipi_self(LOW);
	ipi_self(HIGH);
	ipi_self(MIDDLE);
	ipi_self(MIDDLE);
	here();
	EXPECT(apic_bit(APIC_IRR, LOW) && apic_bit(APIC_IRR, MIDDLE) && apic_bit(APIC_IRR, HIGH),
	       "not all are in IRR");
	EXPECT(my_log()->total == 0, "one came with interrupts off");
	let_in();
	expect_order(order, 3);
}

/* The 8259's, through LINT0. */
static void pending_extint(void)
{
	apic_write(APIC_LVT_LINT0, EXTINT);
	pic_init();
	pit_program(0, 0, 100);
	pic_unmask(0);
	delay(1000);
	here();
	EXPECT(my_log()->total == 0, "it came with interrupts off");
	let_in();
	EXPECT(taken(PIC_BASE) == 1 && my_log()->total == 1, "%u interrupts", my_log()->total);
	pic_eoi(0);
	let_in();
	EXPECT(my_log()->total == 1, "again after EOI");
}

/* Held back by TPR with interrupts on; lowering it lets them in, no sooner. */
static void held_back(void)
{
	static const uint8_t order[] = {HIGH, MIDDLE, LOW};
	bool cr8 = argument("cr8", 0);

	apic_write(APIC_TPR, MIDDLE & 0xf0);
	ipi_self(LOW);
	ipi_self(MIDDLE);
	irq_on();
	here();
	EXPECT(my_log()->total == 0, "vector %x in spite of TPR", my_log()->first[0].vector);
	ipi_self(HIGH);
	EXPECT(WAIT(taken(HIGH)), "what TPR does not hold back is lost");
	EXPECT(my_log()->total == 1, "vector %x in spite of TPR", my_log()->first[1].vector);
	here();
	if (cr8)
		write_cr8((LOW >> 4) - 1);
	else
		apic_write(APIC_TPR, 0);
	asm volatile("nop; nop");
	asm volatile("cli");
	write_cr8(0);
	expect_order(order, 3);
}

static bool isr_seen, irr_seen;

/* In service, with the same one, a lower and a higher one pending. */
static void serve(struct trap_frame *f)
{
	(void)f;
	if (taken(MIDDLE) == 1) {
		ipi_self(MIDDLE);
		ipi_self(LOW);
		here();
		isr_seen = apic_bit(APIC_ISR, MIDDLE) && !apic_bit(APIC_ISR, LOW);
		irr_seen = apic_bit(APIC_IRR, MIDDLE) && apic_bit(APIC_IRR, LOW);
		irq_on();
		asm volatile("nop; nop");
		ipi_self(HIGH); /* nested */
		delay(20);
		here();
		asm volatile("cli");
	}
	apic_eoi();
}

static void in_service(void)
{
	static const uint8_t order[] = {MIDDLE, HIGH, MIDDLE, LOW};

	isr_seen = irr_seen = false;
	irq_handle(MIDDLE, serve);
	ipi_self(MIDDLE);
	let_in();
	EXPECT(isr_seen, "it is not the one in service after the thaw");
	EXPECT(irr_seen, "not all are pending after the thaw");
	expect_order(order, 4);
}

/* --- level-triggered: the HPET's timer 0 --- */

#define HPET_CONF   0x010
#define HPET_ISR    0x020
#define HPET_COUNT  0x0f0
#define HPET_T0	    0x100
#define HPET_T0_CMP 0x108
enum { HPET_LEVEL = 1 << 1, HPET_ENABLE = 1 << 2, HPET_ROUTE_SHIFT = 9, HPET_ROUTES_SHIFT = 32 };

static unsigned pin;
static bool remote_seen, remote_gone;

static void serve_level(struct trap_frame *f)
{
	(void)f;
	if (taken(DEVICE) == 2) /* the first time, the line stays up */
		hpet_write(HPET_ISR, 1);
	here();
	remote_seen &= (ioapic_entry(pin) & RTE_REMOTE_IRR) != 0;
	apic_eoi();
}

static void level(void)
{
	pin = (unsigned)__builtin_ctz((unsigned)(hpet_read(HPET_T0) >> HPET_ROUTES_SHIFT));
	remote_seen = true;
	irq_handle(DEVICE, serve_level);
	ioapic_route(pin, RTE_LEVEL | DEVICE, (uint8_t)apic_id());
	hpet_write(HPET_COUNT, 0);
	hpet_write(HPET_T0, pin << HPET_ROUTE_SHIFT | HPET_ENABLE | HPET_LEVEL);
	hpet_write(HPET_T0_CMP, 1000);
	hpet_write(HPET_CONF, 1);
	delay(500);
	irq_on();
	EXPECT(WAIT(taken(DEVICE) == 2), "came %u times", taken(DEVICE));
	delay(100);
	remote_gone = !(ioapic_entry(pin) & RTE_REMOTE_IRR);
	EXPECT(my_log()->total == 2, "came %u times", my_log()->total);
	EXPECT(remote_seen && remote_gone, "remote IRR not as it should be");
	EXPECT(apic_idle(), "something is left in IRR or ISR");
}

const struct scenario interrupt_scenarios[] = {
	{"pending", pending},	  {"pending-extint", pending_extint},
	{"held-back", held_back}, {"in-service", in_service},
	{"level", level},	  {0}};
