// SPDX-License-Identifier: GPL-2.0-or-later
/* A log of every interrupt that a CPU takes, and what checks do instead of a mere EOI. */
#include "test/kernel/judge/judge.h"

struct irq_log irq_log[2];
static void (*handlers[256])(struct trap_frame *f);

static bool hook(struct trap_frame *f)
{
	struct irq_log *l = my_log();
	uint8_t vector = (uint8_t)f->vector;

	if (vector < 32 && vector != 2 && !handlers[vector])
		return false;
	if (l->total < TAKEN_MAX)
		l->first[l->total] = (struct taken){rdtsc(), f->rip, vector};
	l->total++;
	l->count[vector]++;
	if (handlers[vector])
		handlers[vector](f);
	else if (vector != 2 && vector != SPURIOUS)
		apic_eoi();
	return true;
}

void irq_reset(void)
{
	for (unsigned c = 0; c < 2; c++) {
		irq_log[c].total = 0;
		for (unsigned v = 0; v < 256; v++)
			irq_log[c].count[v] = 0;
	}
	for (unsigned v = 0; v < 256; v++)
		handlers[v] = NULL;
}

void irq_handle(uint8_t vector, void (*fn)(struct trap_frame *f))
{
	handlers[vector] = fn;
}

unsigned taken(uint8_t vector)
{
	return my_log()->count[vector];
}

void irq_init(void)
{
	irq_reset();
	trap_hook = hook;
}
