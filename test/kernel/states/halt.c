// SPDX-License-Identifier: GPL-2.0-or-later
/* HLT: it ends for what ends it, once. */
#include "test/kernel/states/states.h"

#define WAIT_US 2000

/* By the local APIC's timer. */
static void timer(void)
{
	uint64_t due = start_timer(TIMER, argument("us", WAIT_US));

	here();
	seq_halt();
	say("rip", (uint64_t)halt_done);
	EXPECT(taken(TIMER) == 1 && my_log()->total == 1, "%u interrupts", my_log()->total);
	EXPECT(my_log()->first[0].rip == (uint64_t)halt_done, "from %lx", my_log()->first[0].rip);
	check_due(TIMER, due);
}

/* An interrupt that TPR holds back does not end it; the timer does. */
static void held_back(void)
{
	uint64_t due;

	apic_write(APIC_TPR, LOW);
	ipi_self(LOW);
	due = start_timer(TIMER, argument("us", WAIT_US));
	here();
	seq_halt();
	say("rip", (uint64_t)halt_done);
	EXPECT(my_log()->total == 1, "%u interrupts", my_log()->total);
	check_due(TIMER, due);
	EXPECT(apic_bit(APIC_IRR, LOW), "what TPR holds back is gone");
	apic_write(APIC_TPR, 0);
	let_in();
	EXPECT(taken(LOW) == 1, "vector %x came %u times", LOW, taken(LOW));
}

static uint16_t pit_count;
static unsigned too_early;

/* In real time the NMI may be there before the HLT, and nothing else would end that. */
static void another_if_too_early(struct trap_frame *f)
{
	if (f->rip == (uint64_t)halt_blind_done)
		return;
	too_early++;
	pit_program(0, 0, pit_count);
}

/* With interrupts off, a pending one does not end it; an NMI (by the PIT's wire) does. */
static void nmi(void)
{
	uint64_t us = argument("us", WAIT_US), due;
	const struct irq_log *l = my_log();

	ipi_self(LOW);
	ioapic_route(PIT_PIN, NMI, (uint8_t)apic_id());
	pit_count = (uint16_t)(us * PIT_HZ / 1000000 + 1);
	too_early = 0;
	if (jitter)
		irq_handle(2, another_if_too_early);
	due = rdtsc() + ticks(us);
	pit_program(0, 0, pit_count);
	here();
	seq_halt_blind();
	say("rip", (uint64_t)halt_blind_done);
	EXPECT(l->total == 1 + too_early, "%u interrupts and NMIs", l->total);
	if (!too_early) {
		EXPECT(l->first[0].rip == (uint64_t)halt_blind_done, "from %lx", l->first[0].rip);
		check_due(2, due);
	}
	let_in();
	EXPECT(taken(LOW) == 1, "vector %x came %u times", LOW, taken(LOW));
}

/* An interrupt that is pending already ends it at once. */
static void at_once(void)
{
	uint64_t before;

	ipi_self(LOW);
	here();
	before = rdtsc();
	seq_halt();
	say("took", rdtsc() - before);
	EXPECT(taken(LOW) == 1 && my_log()->total == 1, "%u interrupts", my_log()->total);
	EXPECT(my_log()->first[0].rip == (uint64_t)halt_done, "from %lx", my_log()->first[0].rip);
}

const struct scenario halt_scenarios[] = {{"halt", timer},
					  {"halt-held-back", held_back},
					  {"halt-nmi", nmi},
					  {"halt-at-once", at_once},
					  {0}};
