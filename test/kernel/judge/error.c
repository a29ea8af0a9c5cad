// SPDX-License-Identifier: GPL-2.0-or-later
/* The error status register (SDM vol. 3, "Error Handling"). */
#include "test/kernel/judge/judge.h"

#define VECTOR	     0x68
#define SEND_ILLEGAL (1u << 5)
#define RECV_ILLEGAL (1u << 6)
#define ILLEGAL	     (SEND_ILLEGAL | RECV_ILLEGAL)

/* They would be exceptions; the ones used here have no error code. */
static void delivered(struct trap_frame *f)
{
	(void)f;
	apic_eoi();
}

static void send_illegal(void)
{
	static const uint8_t illegal[] = {0, 5, 15};

	for (unsigned i = 0; i < sizeof(illegal); i++) {
		uint8_t vector = illegal[i];
		uint32_t esr;

		irq_handle(vector, delivered);
		ipi(apic_id(), FIXED | ICR_ASSERT | vector);
		irq_on();
		allow(100);
		asm volatile("cli");
		esr = apic_error();
		EXPECT(esr & SEND_ILLEGAL, "vector %u: ESR %x", vector, esr);
	}
	EXPECT(my_log()->total == 0, "%u interrupts", my_log()->total);
	EXPECT(apic_error() == 0, "ESR is not cleared by its writes");
}

/* An illegal vector in an LVT entry that fires. */
static void receive_illegal(void)
{
	uint32_t esr;

	irq_handle(5, delivered);
	apic_write(APIC_LVT_TIMER, 5);
	apic_write(APIC_TMICT, 1000);
	irq_on();
	allow(500);
	asm volatile("cli");
	esr = apic_error();
	EXPECT(esr == RECV_ILLEGAL, "ESR %x", esr);
	EXPECT(my_log()->total == 0, "%u interrupts", my_log()->total);
}

static void self_illegal(void)
{
	uint32_t esr;

	if (!x2apic)
		return;
	irq_handle(7, delivered);
	wrmsr(MSR_X2APIC + APIC_SELF_IPI / 16, 7);
	allow(100);
	esr = apic_error();
	EXPECT(esr & ILLEGAL, "ESR %x", esr);
}

static void interrupt(void)
{
	irq_handle(4, delivered);
	apic_write(APIC_LVT_ERROR, VECTOR);
	ipi(apic_id(), FIXED | ICR_ASSERT | 4);
	irq_on();
	EXPECT(WAIT(taken(VECTOR) == 1), "%u interrupts", taken(VECTOR));
	asm volatile("cli");
	EXPECT(apic_error() & ILLEGAL, "ESR is empty");
	/* armed again by the write */
	ipi(apic_id(), FIXED | ICR_ASSERT | 4);
	irq_on();
	EXPECT(WAIT(taken(VECTOR) == 2), "%u interrupts after the next error", taken(VECTOR));
}

static void masked(void)
{
	irq_handle(4, delivered);
	apic_write(APIC_LVT_ERROR, LVT_MASKED | VECTOR);
	ipi(apic_id(), FIXED | ICR_ASSERT | 4);
	irq_on();
	allow(100);
	asm volatile("cli");
	EXPECT(taken(VECTOR) == 0, "%u interrupts", taken(VECTOR));
	EXPECT(apic_error() & ILLEGAL, "ESR is empty");
}

/* What was detected comes into the register with a write, and goes with the next. */
static void latched(void)
{
	uint32_t first, second, third;

	irq_handle(4, delivered);
	ipi(apic_id(), FIXED | ICR_ASSERT | 4);
	allow(100);
	apic_write(APIC_ESR, 0);
	first = apic_read(APIC_ESR);
	second = apic_read(APIC_ESR);
	apic_write(APIC_ESR, 0);
	third = apic_read(APIC_ESR);
	EXPECT(first & ILLEGAL, "%x after the write", first);
	EXPECT(second == first, "%x on a second read", second);
	EXPECT(third == 0, "%x after another write", third);
}

const struct check error_checks[] = {
	{"send-illegal", send_illegal, 0},
	{"receive-illegal", receive_illegal, 0},
	{"self-illegal", self_illegal, 0},
	{"interrupt", interrupt, 0},
	{"masked", masked, 0},
	{"latched", latched, 0},
	{0},
};
