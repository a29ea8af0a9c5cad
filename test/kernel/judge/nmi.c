// SPDX-License-Identifier: GPL-2.0-or-later
/* NMIs: blocked from their delivery to the next IRET, one latched (SDM vol. 3, "Nonmaskable
 * Interrupt (NMI)", "Handling Multiple NMIs"). */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x5d
#define SOFT   0x90 /* INT n: its IRET unblocks, too */

static unsigned depth, deepest, in_first, in_soft;

static void send_nmi(void)
{
	ipi(apic_id(), NMI | ICR_ASSERT);
	allow(20);
}

static void two_more(struct trap_frame *f)
{
	(void)f;
	if (++depth > deepest)
		deepest = depth;
	if (taken(2) == 1) {
		send_nmi();
		send_nmi();
		in_first = taken(2);
	}
	depth--;
}

static void blocked(void)
{
	depth = deepest = in_first = 0;
	irq_handle(2, two_more);
	send_nmi();
	allow(100);
	EXPECT(in_first == 1, "%u NMIs within the first's handler", in_first);
	EXPECT(taken(2) == 2, "%u NMIs, of three sent", taken(2));
	EXPECT(deepest == 1, "handlers nested");
}

static void soft(struct trap_frame *f)
{
	(void)f;
	in_soft = taken(2);
}

static void unblock(struct trap_frame *f)
{
	(void)f;
	if (taken(2) > 1)
		return;
	send_nmi();
	in_first = taken(2);
	asm volatile("int %0" : : "i"(SOFT));
	deepest = taken(2);
}

/* Any IRET unblocks, also that of another handler. */
static void any_iret(void)
{
	in_first = in_soft = deepest = 0;
	irq_handle(2, unblock);
	irq_handle(SOFT, soft);
	send_nmi();
	allow(100);
	EXPECT(in_first == 1, "%u before the IRET", in_first);
	EXPECT(in_soft == 1, "%u in the other handler", in_soft);
	EXPECT(deepest == 2, "%u after its IRET", deepest);
}

static void cause_ud(struct trap_frame *f)
{
	(void)f;
	if (taken(2) > 1)
		return;
	send_nmi();
	in_first = taken(2);
	asm volatile("ud2");
	deepest = taken(2);
}

static void skip_ud(struct trap_frame *f)
{
	in_soft = taken(2);
	f->rip += 2;
}

static void after_exception(void)
{
	in_first = in_soft = deepest = 0;
	irq_handle(2, cause_ud);
	irq_handle(6, skip_ud);
	send_nmi();
	EXPECT(in_first == 1, "%u before the exception", in_first);
	EXPECT(in_soft == 1, "%u in the exception's handler", in_soft);
	EXPECT(deepest == 2, "%u after its IRET", deepest);
}

/* IF means nothing to an NMI; it leaves IF and the interrupt that waits alone. */
static unsigned irq_in_nmi;

static void look(struct trap_frame *f)
{
	(void)f;
	irq_moment();
	irq_in_nmi += taken(VECTOR);
}

static void beside_interrupts(void)
{
	irq_in_nmi = 0;
	ipi(apic_id(), FIXED | ICR_ASSERT | VECTOR);
	WAIT(apic_bit(APIC_IRR, VECTOR));
	send_nmi();
	EXPECT(taken(2) == 1 && taken(VECTOR) == 0, "%u NMIs, %u interrupts with IF=0", taken(2),
	       taken(VECTOR));
	irq_moment();
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
	/* NMIs block no interrupts, but the gate clears IF: in the handler it is up to software */
	irq_handle(2, look);
	ipi(apic_id(), FIXED | ICR_ASSERT | VECTOR);
	WAIT(apic_bit(APIC_IRR, VECTOR));
	send_nmi();
	EXPECT(irq_in_nmi == 2, "no interrupt within the NMI's handler");
}

/* One after the other, each is delivered. */
static void many(void)
{
	for (unsigned i = 1; i <= 100; i++) {
		send_nmi();
		EXPECT(taken(2) == i, "%u NMIs of %u", taken(2), i);
	}
}

const struct check nmi_checks[] = {
	{"blocked", blocked, 0},
	{"any-iret", any_iret, 0},
	{"after-exception", after_exception, 0},
	{"beside-interrupts", beside_interrupts, 0},
	{"many", many, 0},
	{0},
};
