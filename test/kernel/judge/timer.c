// SPDX-License-Identifier: GPL-2.0-or-later
/* The local APIC's timer, one-shot and periodic (SDM vol. 3, "APIC Timer"). */
#include "test/kernel/judge/judge.h"

#define VECTOR	 0x41
#define EARLY_US 3

static uint32_t counts(uint64_t us)
{
	return (uint32_t)(apic_timer_hz() * us / 1000000);
}

/* Starts the timer. */
static struct moment start(uint32_t lvt, uint32_t count)
{
	apic_write(APIC_LVT_TIMER, lvt);
	return DURING(apic_write(APIC_TMICT, count));
}

static void oneshot(void)
{
	struct moment begin = start(VECTOR, counts(2000));
	int64_t off;

	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	off = off_time(my_log()->first[0].tsc, begin, ticks(2000));
	EXPECT(off == 0, "%ld us off", off);
	EXPECT(apic_read(APIC_TMCCT) == 0, "current count %x after the end", apic_read(APIC_TMCCT));
	EXPECT(apic_read(APIC_TMICT) == counts(2000), "initial count %x", apic_read(APIC_TMICT));
	delay(5000);
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

/* Counts left at `tsc` of a count of `us` that began then. */
static int64_t left_at(uint64_t tsc, uint64_t begin, uint64_t us)
{
	uint64_t gone = tsc - begin;

	return gone < ticks(us) ? (int64_t)((ticks(us) - gone) * counts(us) / ticks(us)) : 0;
}

/* The current count falls evenly from the initial count to 0 and stays there. */
static void count_down(void)
{
	struct moment begin = start(LVT_MASKED | VECTOR, counts(2000));
	int64_t last = counts(2000), slack = counts(EARLY_US) + last / 2000 + 1;

	for (;;) {
		uint64_t before = rdtsc();
		int64_t now = apic_read(APIC_TMCCT);
		int64_t most = left_at(before, begin.to, 2000),
			least = left_at(rdtsc(), begin.from, 2000);

		EXPECT(now <= last, "%ld after %ld", now, last);
		EXPECT(now >= least - slack && now <= most + slack, "%ld left, not %ld to %ld", now,
		       least, most);
		last = now;
		if (before - begin.to > ticks(2500))
			break;
	}
	EXPECT(last == 0, "%ld left at the end", last);
}

static void periodic(void)
{
	const uint64_t us = 1000;
	struct moment begin = start(VECTOR | LVT_PERIODIC, counts(us));
	struct irq_log *log = my_log();
	uint64_t end = begin.to + ticks(10 * us + us / 2);
	unsigned seen;

	irq_on();
	while (rdtsc() < end) {
		uint32_t now = apic_read(APIC_TMCCT);

		EXPECT(now <= counts(us), "current count %u of %u", now, counts(us));
	}
	seen = taken(VECTOR);
	apic_write(APIC_TMICT, 0);
	for (unsigned i = 0; i < seen; i++) { /* in real time some may have been merged */
		int64_t off = off_time(log->first[i].tsc, begin, ticks((i + 1) * us));

		EXPECT(off == 0, "interrupt %u is %ld us off", i + 1, off);
	}
	EXPECT(jitter ? seen >= 1 : seen == 10, "%u interrupts", seen);
}

/* Every divide configuration against the rate without division. */
static void divide(void)
{
	static const uint8_t code[] = {0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa}; /* 1, 2, ... 128 */

	for (unsigned i = 0; i < sizeof(code); i++) {
		struct moment first, last;
		uint64_t hz = apic_timer_hz() >> i, least, most;
		uint32_t a, b;

		apic_write(APIC_TDCR, code[i]);
		EXPECT(apic_read(APIC_TDCR) == code[i], "register holds %x", apic_read(APIC_TDCR));
		start(LVT_MASKED | VECTOR, UINT32_MAX);
		first = DURING(a = apic_read(APIC_TMCCT));
		delay(1000);
		last = DURING(b = apic_read(APIC_TMCCT));
		least = (last.from - first.to) * hz / tsc_hz;
		most = (last.to - first.from) * hz / tsc_hz;
		EXPECT(a - b + least / 1000 + 2 >= least && a - b <= most + most / 1000 + 2,
		       "by %u: %u counts, %lu to %lu wanted", 1u << i, a - b, least, most);
	}
}

static void zero_stops(void)
{
	static const uint32_t mode[] = {0, LVT_PERIODIC};
	uint32_t length = jitter ? 500000 : 3000; /* in real time 3 ms may run out here */

	for (unsigned i = 0; i < 2; i++) {
		start(VECTOR | mode[i], counts(length));
		delay(500);
		EXPECT(apic_read(APIC_TMCCT) != 0, "not running");
		apic_write(APIC_TMICT, 0);
		EXPECT(apic_read(APIC_TMCCT) == 0, "current count %u", apic_read(APIC_TMCCT));
		irq_on();
		delay(length + 2000);
		asm volatile("cli");
		EXPECT(taken(VECTOR) == 0, "%u interrupts after it was stopped", taken(VECTOR));
	}
}

static void restart(void)
{
	struct moment begin;
	int64_t off;

	start(VECTOR, counts(jitter ? 500000 : 3000)); /* as above */
	delay(1500);
	begin = DURING(apic_write(APIC_TMICT, counts(3000)));
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	off = off_time(my_log()->first[0].tsc, begin, ticks(3000));
	EXPECT(off == 0, "%ld us off", off);
}

/* A masked timer runs, and what it did is not made up for. */
static void masked(void)
{
	start(LVT_MASKED | VECTOR, counts(500));
	EXPECT(apic_read(APIC_TMCCT) != 0, "not running");
	irq_on();
	allow(1500);
	EXPECT(apic_read(APIC_TMCCT) == 0, "still %u left", apic_read(APIC_TMCCT));
	apic_write(APIC_LVT_TIMER, VECTOR);
	delay(1000);
	EXPECT(taken(VECTOR) == 0, "an interrupt of before the mask was lifted");
}

/* Two expiries while the interrupt is requested are one. */
static void merged(void)
{
	start(VECTOR | LVT_PERIODIC, counts(500));
	allow(2700);
	EXPECT(apic_bit(APIC_IRR, VECTOR), "no request");
	apic_write(APIC_TMICT, 0);
	irq_moment();
	irq_moment();
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

static void registers(void)
{
	apic_write(APIC_LVT_TIMER, LVT_MASKED | LVT_PERIODIC | 0x52);
	EXPECT(apic_read(APIC_LVT_TIMER) == (LVT_MASKED | LVT_PERIODIC | 0x52), "LVT holds %x",
	       apic_read(APIC_LVT_TIMER));
	apic_write(APIC_LVT_TIMER, LVT_MASKED | 0xa5);
	EXPECT(apic_read(APIC_LVT_TIMER) == (LVT_MASKED | 0xa5), "LVT holds %x",
	       apic_read(APIC_LVT_TIMER));
}

const struct check timer_checks[] = {
	{"one-shot", oneshot, 0},      {"count-down", count_down, 0},
	{"periodic", periodic, 0},     {"divide", divide, 0},
	{"zero-stops", zero_stops, 0}, {"restart", restart, 0},
	{"masked", masked, 0},	       {"merged", merged, 0},
	{"registers", registers, 0},   {0},
};
