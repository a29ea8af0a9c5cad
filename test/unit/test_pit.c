/* build: hv/pit.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test/unit/check.h"
#include "test/unit/board.h"
#include "hv/hpet.h"
#include "timevirt/rate.h"

#define HZ 1193182ull

static bool legacy;

bool hpet_legacy_routing(void)
{
	return legacy;
}

static void restart(void)
{
	units_reset();
	legacy = false;
	irq_isa_set(0, false);
	board_count_from_here();
}

static void program(unsigned ch, uint8_t mode, uint16_t count)
{
	out8(0x43, (uint8_t)(ch << 6 | 0x30 | mode << 1));
	out8((uint16_t)(0x40 + ch), (uint8_t)count);
	out8((uint16_t)(0x40 + ch), (uint8_t)(count >> 8));
}

static uint16_t latched(unsigned ch)
{
	out8(0x43, (uint8_t)(ch << 6));
	uint16_t lo = in8((uint16_t)(0x40 + ch));

	return (uint16_t)(lo | in8((uint16_t)(0x40 + ch)) << 8);
}

static void run_ticks(uint64_t n)
{
	uint64_t tick = rate_ns_to_cycles(board.now.v, HZ) + n;

	board_run_to(rate_cycles_to_ns_up(tick, HZ));
}

static uint8_t status(unsigned ch)
{
	out8(0x43, (uint8_t)(0xe0 | 2 << ch));
	return in8((uint16_t)(0x40 + ch));
}

static void test_periodic_has_no_drift(void)
{
	restart();
	program(0, 2, 1193);
	uint64_t start = rate_ns_to_cycles(board.now.v, HZ) + 1;

	board_count_from_here();
	board_run_to(rate_cycles_to_ns_up(start + 1193ull * 100000, HZ));
	CHECK_EQ(board.isa_edges[0], 100000);
	/* late by 10.5 periods: one interrupt, and the grid stays */
	board_count_from_here();
	board_run_late(10500000);
	CHECK_EQ(board.isa_edges[0], 1);
	board_run_to(rate_cycles_to_ns_up(start + 1193ull * 100011 - 1, HZ));
	CHECK_EQ(board.isa_edges[0], 1);
	run_ticks(1);
	CHECK_EQ(board.isa_edges[0], 2);
	CHECK(board_round_trip_keeps_time());
}

static void test_mode3_square(void)
{
	restart();
	program(0, 3, 1001);
	run_ticks(1);
	CHECK_EQ(latched(0), 1000);
	CHECK(status(0) & 0x80);
	run_ticks(500);
	CHECK_EQ(latched(0), 0);
	CHECK(status(0) & 0x80);
	run_ticks(1);
	CHECK_EQ(latched(0), 1000);
	CHECK(!(status(0) & 0x80));
	run_ticks(500);
	CHECK(status(0) & 0x80);
	board_count_from_here();
	run_ticks(10010);
	CHECK_EQ(board.isa_edges[0], 10);
}

static void test_mode3_new_count_at_half_period(void)
{
	restart();
	program(0, 3, 1000);
	run_ticks(101);
	out8(0x40, 0xc8); /* 200 */
	out8(0x40, 0);
	CHECK(status(0) & 0x40);
	board_count_from_here();
	run_ticks(399);
	CHECK(status(0) & 0x80);
	run_ticks(1); /* half period: falls, and the low half is 100 ticks */
	CHECK_EQ(status(0) & 0xc0, 0);
	CHECK_EQ(board.isa_edges[0], 0);
	run_ticks(99);
	CHECK(!(status(0) & 0x80));
	run_ticks(1);
	CHECK(status(0) & 0x80);
	CHECK_EQ(board.isa_edges[0], 1);
	run_ticks(200);
	CHECK_EQ(board.isa_edges[0], 2);
}

static void test_mode2_new_count_at_period_end(void)
{
	restart();
	program(0, 2, 1000);
	run_ticks(101);
	out8(0x40, 0x64);
	out8(0x40, 0);
	CHECK_EQ(latched(0), 900);
	board_count_from_here();
	run_ticks(900);
	CHECK_EQ(board.isa_edges[0], 1);
	CHECK_EQ(latched(0), 100);
	run_ticks(1000);
	CHECK_EQ(board.isa_edges[0], 11);
}

static void test_oneshots(void)
{
	restart();
	program(0, 0, 100);
	CHECK(!board.isa[0]);
	run_ticks(100);
	CHECK(!board.isa[0]);
	run_ticks(1);
	CHECK(board.isa[0]);
	run_ticks(100000);
	CHECK_EQ(board.isa_edges[0], 1);
	CHECK_EQ(latched(0), (uint16_t)-100000);
	program(0, 4, 100);
	board_count_from_here();
	run_ticks(101);
	CHECK_EQ(board.isa_edges[0], 0);
	run_ticks(1);
	CHECK_EQ(board.isa_edges[0], 1);
	run_ticks(200000);
	CHECK_EQ(board.isa_edges[0], 1);
	CHECK_EQ(vtimerq_next(&board.q).v, VNS_NEVER.v);
}

static void test_latch_and_read_back(void)
{
	restart();
	program(0, 2, 0x1234);
	run_ticks(1);
	out8(0x43, 0x00);
	run_ticks(50);
	out8(0x43, 0x00); /* a second latch is ignored */
	CHECK_EQ(in8(0x40), 0x34);
	CHECK_EQ(in8(0x40), 0x12);
	/* both status and count: status comes first */
	out8(0x43, 0xc2);
	CHECK_EQ(in8(0x40), 0xb4);
	CHECK_EQ(in8(0x40), (0x1234 - 50) & 0xff);
	CHECK_EQ(in8(0x40), (0x1234 - 50) >> 8);
	/* low byte only, high byte only */
	out8(0x43, 0x14);
	out8(0x40, 0x80);
	run_ticks(1);
	CHECK_EQ(in8(0x40), 0x80);
	out8(0x43, 0x24);
	out8(0x40, 0x80);
	run_ticks(1);
	CHECK_EQ(in8(0x40), 0x80);
	CHECK_EQ(in8(0x40), 0x80);
	run_ticks(1);
	CHECK_EQ(in8(0x40), 0x7f);
	CHECK_EQ(in8(0x43), 0xff);
}

static void test_bcd(void)
{
	restart();
	out8(0x43, 0x35);
	out8(0x40, 0x00);
	out8(0x40, 0x10); /* 1000 */
	run_ticks(1);
	CHECK_EQ(latched(0), 0x1000);
	run_ticks(1);
	CHECK_EQ(latched(0), 0x0999);
	board_count_from_here();
	run_ticks(999);
	CHECK_EQ(board.isa_edges[0], 1);
	out8(0x43, 0x31);
	out8(0x40, 0);
	out8(0x40, 0); /* 10000 */
	run_ticks(2);
	CHECK_EQ(latched(0), 0x9999);
}

static void test_channel2(void)
{
	restart();
	CHECK_EQ(in8(0x61) & 0x23, 0);
	out8(0x61, 1);
	program(2, 0, 1000);
	CHECK(!(in8(0x61) & 0x20));
	run_ticks(501);
	out8(0x61, 0); /* the gate stops it */
	run_ticks(5000);
	CHECK_EQ(latched(2), 500);
	CHECK(board_round_trip_keeps_time());
	out8(0x61, 1);
	run_ticks(499);
	CHECK(!(in8(0x61) & 0x20));
	run_ticks(1);
	CHECK(in8(0x61) & 0x20);
	/* mode 1: low for the count after the gate's rise */
	program(2, 1, 10);
	CHECK(in8(0x61) & 0x20);
	out8(0x61, 0);
	out8(0x61, 1);
	run_ticks(1);
	CHECK(!(in8(0x61) & 0x20));
	run_ticks(10);
	CHECK(in8(0x61) & 0x20);
	/* mode 5: a strobe of one tick */
	program(2, 5, 10);
	out8(0x61, 0);
	out8(0x61, 1);
	run_ticks(11);
	CHECK(!(in8(0x61) & 0x20));
	run_ticks(1);
	CHECK(in8(0x61) & 0x20);
	/* mode 3: the gate holds OUT up and restarts the period */
	program(2, 3, 100);
	run_ticks(60);
	CHECK(!(in8(0x61) & 0x20));
	out8(0x61, 0);
	CHECK(in8(0x61) & 0x20);
	out8(0x61, 1);
	run_ticks(1);
	CHECK_EQ(latched(2), 100);
}

static void test_refresh_toggles(void)
{
	unsigned changes = 0;
	uint8_t last = in8(0x61) & 0x10;

	for (int i = 0; i < 1000; i++) {
		board_run(1000);
		changes += (in8(0x61) & 0x10) != last;
		last = in8(0x61) & 0x10;
	}
	CHECK(changes >= 65 && changes <= 67);
}

static void test_fast_period_is_bounded(void)
{
	restart();
	for (unsigned n = 1; n < 30; n++) {
		program(0, 2, (uint16_t)n);
		board_count_from_here();
		board_run(10000000);
		CHECK(board.fires <= 510 && board.fires > 0);
	}
}

static void test_legacy_routing_silences(void)
{
	restart();
	program(0, 2, 1193);
	run_ticks(5000);
	legacy = true;
	pit_route_changed();
	board_count_from_here();
	run_ticks(100000);
	CHECK_EQ(board.isa_edges[0], 0);
	CHECK_EQ(board.fires, 0);
	legacy = false;
	pit_route_changed();
	run_ticks(1193 * 10);
	CHECK_EQ(board.isa_edges[0], 10);
}

int main(void)
{
	vtimerq_init(&board.q, NULL);
	board.now.v = 12345678901;
	pit_init(&board.q);
	RUN(test_periodic_has_no_drift);
	RUN(test_mode3_square);
	RUN(test_mode3_new_count_at_half_period);
	RUN(test_mode2_new_count_at_period_end);
	RUN(test_oneshots);
	RUN(test_latch_and_read_back);
	RUN(test_bcd);
	RUN(test_channel2);
	RUN(test_refresh_toggles);
	RUN(test_fast_period_is_bounded);
	RUN(test_legacy_routing_silences);
	return check_result();
}
