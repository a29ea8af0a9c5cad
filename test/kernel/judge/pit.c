// SPDX-License-Identifier: GPL-2.0-or-later
/* The 8254 (data sheet): channel 0 by its interrupts, channel 2 by port 61h and its counts. */
#include "test/kernel/judge/judge.h"

#define VECTOR	0x7b
#define P61	0x61
#define GATE2	1
#define OUT2	0x20
#define CONTROL 0x43

static uint64_t in_ticks(uint64_t counts)
{
	return counts * tsc_hz / PIT_HZ;
}

static void route(void)
{
	ioapic_route(PIT_PIN, FIXED | VECTOR, (uint8_t)apic_id());
}

/* n interrupts, one every `count` counts, the first due at `due`. */
static void expect_periods(struct moment begin, uint64_t count, unsigned n)
{
	irq_on();
	EXPECT(WAIT(taken(VECTOR) >= n), "%u interrupts", taken(VECTOR));
	asm volatile("cli");
	for (unsigned i = 0; i < n; i++) {
		uint64_t span = in_ticks((i + 1) * count);
		int64_t off = off_time(my_log()->first[i].tsc, begin, span);

		EXPECT(off == 0, "interrupt %u is %ld us off", i + 1, off);
	}
}

static void rate_generator(void)
{
	struct moment begin = DURING(pit_program(0, 2, 2386));

	route();
	expect_periods(begin, 2386, 8);
}

static void square_wave(void)
{
	struct moment begin = DURING(pit_program(0, 3, 2386));

	route();
	expect_periods(begin, 2386, 8);
}

static void odd_square_wave(void)
{
	struct moment begin = DURING(pit_program(0, 3, 2387));

	route();
	expect_periods(begin, 2387, 8);
}

static void terminal_count(void)
{
	route();
	expect_periods(DURING(pit_program(0, 0, 2386)), 2386, 1);
	irq_on();
	delay(5000);
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

static uint64_t counted(void)
{
	return 0xffff - pit_latch(0);
}

/* Mode 2 counts by one, mode 3 by two. */
static void rates(void)
{
	struct rate r;

	pit_program(0, 2, 0);
	delay(50);
	r = rate_of(counted, 0xffff, 20000);
	EXPECT(rate_near(r, PIT_HZ), "mode 2: %lu Hz", r.hz);
	pit_program(0, 3, 0);
	delay(50);
	r = rate_of(counted, 0xffff, 10000);
	EXPECT(rate_near(r, 2ull * PIT_HZ), "mode 3: %lu Hz", r.hz);
	pit_program(2, 0, 0xffff);
}

/* OUT of channel 2 rises `count` after the gate was opened. */
static void expect_out(struct moment opened, uint64_t count)
{
	int64_t off;

	EXPECT(WAIT(inb(P61) & OUT2), "OUT does not rise");
	off = off_time(rdtsc(), opened, in_ticks(count));
	EXPECT(off == 0, "%ld us off", off);
}

/* Channel 2, mode 0: OUT rises when the count has been gone through with the gate open. */
static void gate(void)
{
	outb(P61, 0);
	pit_program(2, 0, 5966); /* 5 ms */
	delay(500);
	EXPECT(!(inb(P61) & OUT2), "OUT is high at the start");
	expect_out(DURING(outb(P61, GATE2)), 5966);
	delay(100);
	EXPECT(inb(P61) & OUT2, "OUT falls again");
}

/* With the gate closed mode 0 pauses. */
static void gate_closed(void)
{
	uint16_t left;

	outb(P61, GATE2);
	pit_program(2, 0, 0xffff);
	delay(2000);
	outb(P61, 0);
	left = pit_latch(2);
	delay(2000);
	EXPECT(pit_latch(2) == left, "it counts with the gate closed");
	EXPECT(left < 0xffff - 2000, "%u left", left);
	expect_out(DURING(outb(P61, GATE2)), left);
}

/* A latched count stands still until it is read; a latched status comes first. */
static void read_back(void)
{
	uint8_t status, low, high;
	uint16_t first, second;

	pit_program(0, 2, 0);
	delay(100);
	outb(CONTROL, 0xc2); /* read-back: count and status of channel 0 */
	delay(500);
	status = inb(0x40);
	low = inb(0x40);
	high = inb(0x40);
	first = (uint16_t)(high << 8 | low);
	second = pit_latch(0);
	EXPECT((status & 0x3f) == (3 << 4 | 2 << 1), "status %x", status);
	EXPECT(!(status & 0x40), "null count long after the load");
	EXPECT((uint16_t)(first - second) >= 500, "the latched count went on: %u, then %u", first,
	       second);
}

static void null_count(void)
{
	uint8_t status;

	outb(CONTROL, 0x80 | 1 << 4); /* channel 2, low byte only, mode 0 */
	outb(CONTROL, 0xe8);	      /* status of channel 2 */
	status = inb(0x42);
	EXPECT((status & 0x7f) == (0x40 | 1 << 4), "status %x without a count", status);
}

static void latch_holds(void)
{
	uint8_t low, high;
	uint16_t first;

	pit_program(0, 2, 0);
	delay(100);
	outb(CONTROL, 0);
	delay(1000);
	outb(CONTROL, 0); /* ignored: the first is not read yet */
	low = inb(0x40);
	high = inb(0x40);
	first = (uint16_t)(high << 8 | low);
	EXPECT((uint16_t)(first - pit_latch(0)) >= 1000, "a second latch command took effect");
}

/* Mode 2: a new count takes over at the end of the period. */
static void next_period(void)
{
	struct moment begin = DURING(pit_program(0, 2, 2386));
	int64_t off;

	route();
	delay(100);
	outb(0x40, (uint8_t)4772);
	outb(0x40, 4772 >> 8);
	irq_on();
	EXPECT(WAIT(taken(VECTOR) >= 2), "%u interrupts", taken(VECTOR));
	off = off_time(my_log()->first[0].tsc, begin, in_ticks(2386));
	EXPECT(off == 0, "the first period: %ld us off", off);
	off = off_time(my_log()->first[1].tsc, begin, in_ticks(2386 + 4772));
	EXPECT(off == 0, "the second period: %ld us off", off);
}

static void bcd(void)
{
	uint16_t count;

	outb(CONTROL, 3 << 4 | 2 << 1 | 1);
	outb(0x40, 0x00);
	outb(0x40, 0x90); /* 9000 */
	delay(1000);
	count = pit_latch(0);
	EXPECT((jitter || count > 0x7000) && count < 0x8000, "%x left of 9000h after 1193", count);
	for (unsigned shift = 0; shift < 16; shift += 4)
		EXPECT((count >> shift & 15) < 10, "%x is not BCD", count);
}

const struct check pit_checks[] = {
	{"rates", rates, 0},
	{"rate-generator", rate_generator, 0},
	{"square-wave", square_wave, 0},
	{"odd-square-wave", odd_square_wave, 0},
	{"terminal-count", terminal_count, 0},
	{"gate", gate, 0},
	{"gate-closed", gate_closed, 0},
	{"read-back", read_back, 0},
	{"null-count", null_count, 0},
	{"latch-holds", latch_holds, 0},
	{"next-period", next_period, 0},
	{"bcd", bcd, 0},
	{0},
};
