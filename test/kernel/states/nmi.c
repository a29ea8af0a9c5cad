// SPDX-License-Identifier: GPL-2.0-or-later
/* NMIs: not nested, one latched while another is handled. */
#include "test/kernel/states/states.h"

static unsigned depth, deepest, more;

static void handler(struct trap_frame *f)
{
	(void)f;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (taken(2) == 1) {
		for (unsigned i = 0; i < more; i++)
			nmi_self();
		here();
	}
	depth--;
}

/* In the handler `more` others come. */
static void in_handler(unsigned others)
{
	depth = deepest = 0;
	more = others;
	irq_handle(2, handler);
	nmi_self();
	EXPECT(WAIT(taken(2) >= 1), "no NMI");
	delay(200);
	EXPECT(deepest == 1, "nested %u deep", deepest);
	EXPECT(taken(2) == (others ? 2 : 1), "%u NMIs", taken(2));
	nmi_self();
	delay(200);
	EXPECT(taken(2) == (others ? 3 : 2), "no NMI after the handler");
}

static void alone(void)
{
	in_handler(0);
}

static void latched(void)
{
	in_handler(1);
}

/* Only one is. */
static void latched_once(void)
{
	in_handler(3);
}

/* An interrupt within the handler, taken and ended there. */
static void interrupt_inside(struct trap_frame *f)
{
	(void)f;
	if (taken(2) != 1)
		return;
	nmi_self();
	ipi_self(MIDDLE);
	here();
	/* its IRET lets the latched NMI in, for the processor has one blocking only */
	let_in();
}

static void and_interrupt(void)
{
	irq_handle(2, interrupt_inside);
	nmi_self();
	EXPECT(WAIT(taken(2) >= 1), "no NMI");
	delay(200);
	EXPECT(taken(2) == 2 && taken(MIDDLE) == 1, "%u NMIs, %u interrupts", taken(2),
	       taken(MIDDLE));
	EXPECT(my_log()->first[1].vector == MIDDLE && my_log()->first[2].vector == 2,
	       "in another order");
}

const struct scenario nmi_scenarios[] = {{"nmi", alone},
					 {"nmi-latched", latched},
					 {"nmi-latched-once", latched_once},
					 {"nmi-and-interrupt", and_interrupt},
					 {0}};
