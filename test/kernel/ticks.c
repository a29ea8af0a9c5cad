// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A kernel without interrupts that times a fixed loop by RDTSC again and again, and does nothing
 * else: whatever a round takes more than another comes from outside. Command line: rounds=N
 * passes=P. `ticks: starts`, the rounds, `ticks: ends`; after a key, `ticks: round START TICKS` for
 * each round, `ticks: done`, and power-off.
 */
#include "test/kernel/kernel.h"

#define ROUNDS_MAX 4096
#define COM1_LSR   0x3fd
#define LSR_DR	   1 /* a byte has come */

static struct round {
	uint64_t start, ticks;
} rounds[ROUNDS_MAX];

static uint64_t passes(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		sum += i;
		asm volatile("" : "+r"(sum));
	}
	return sum;
}

void test_main(void)
{
	uint64_t n = option_number("rounds", 100), p = option_number("passes", 1000000);

	if (n > ROUNDS_MAX)
		n = ROUNDS_MAX;
	print("ticks: starts\n");
	/* Round 0 fetches code, data and nested page tables; it doesn't count. */
	for (uint64_t i = 0; i <= n; i++) {
		struct round *r = &rounds[i ? i - 1 : 0];

		r->start = rdtsc();
		passes(p);
		r->ticks = rdtsc() - r->start;
	}
	print("ticks: ends\n");
	while (!(inb(COM1_LSR) & LSR_DR))
		;
	for (uint64_t i = 0; i < n; i++)
		print("ticks: round %lu %lu\n", rounds[i].start, rounds[i].ticks);
	print("ticks: done\n");
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}
