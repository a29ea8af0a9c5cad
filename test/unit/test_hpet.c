/* build: hv/hpet.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test/unit/check.h"
#include "test/unit/board.h"
#include "hv/hpet.h"

#define TICK 10 /* ns */
enum { CONF = 0x10, ISR = 0x20, COUNTER = 0xf0 };
enum { LEVEL = 2, ENB = 4, PERIODIC = 8, SETVAL = 0x40, MODE32 = 0x100 };

static unsigned route_changes;

void pit_route_changed(void)
{
	route_changes++;
}

void rtc_route_changed(void)
{
	route_changes++;
}

static uint64_t rd(unsigned reg, unsigned size)
{
	return bus_mmio_read((gpa_t){HPET_BASE + reg}, size);
}

static void wr(unsigned reg, uint64_t v, unsigned size)
{
	bus_mmio_write((gpa_t){HPET_BASE + reg}, size, v);
}

static unsigned conf(unsigned n)
{
	return 0x100 + 0x20 * n;
}

static unsigned cmp(unsigned n)
{
	return 0x108 + 0x20 * n;
}

static void restart(void)
{
	units_reset();
	for (unsigned i = 0; i < GSI_COUNT; i++)
		irq_set(i, false);
	board_count_from_here();
}

static void test_identity(void)
{
	restart();
	CHECK_EQ(rd(0, 8), 10000000ull << 32 | 0x8086a201);
	CHECK_EQ(rd(4, 4), 10000000);
	CHECK_EQ(rd(conf(0), 8), 0x00f0000000000030);
	CHECK_EQ(rd(conf(3), 8), 0);
	wr(0, 0, 8);
	CHECK_EQ(rd(0, 4), 0x8086a201);
}

static void test_counter(void)
{
	restart();
	wr(COUNTER, 0xfffffff0, 8);
	board_run(1000);
	CHECK_EQ(rd(COUNTER, 8), 0xfffffff0);
	wr(CONF, 1, 4);
	board_run(32 * TICK);
	CHECK_EQ(rd(COUNTER, 8), 0x100000010);
	CHECK_EQ(rd(COUNTER + 4, 4), 1);
	wr(COUNTER + 4, 7, 4);
	CHECK_EQ(rd(COUNTER, 8), 0x700000010);
	wr(CONF, 0, 4);
	board_run(1000);
	CHECK_EQ(rd(COUNTER, 8), 0x700000010);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(rd(COUNTER, 8), 0x700000010);
}

static void test_legacy_oneshot(void)
{
	restart();
	route_changes = 0;
	wr(CONF, 3, 4);
	CHECK_EQ(route_changes, 2);
	CHECK(hpet_legacy_routing());
	wr(conf(0), ENB | MODE32, 4);
	wr(cmp(0), rd(COUNTER, 4) + 1000, 4);
	board_run(999 * TICK);
	CHECK_EQ(board.isa_edges[0], 0);
	CHECK(board_round_trip_keeps_time());
	board_run(TICK);
	CHECK_EQ(board.isa_edges[0], 1);
	wr(conf(1), ENB, 4);
	wr(cmp(1), rd(COUNTER, 8) + 5, 8);
	board_run(1000000000);
	CHECK_EQ(board.isa_edges[8], 1);
	CHECK_EQ(board.isa_edges[0], 1);
	/* 32 bits come round: an interrupt at the wrap, another at the match */
	board_run((10ull << 32) - 1000000000 - 1000 * TICK);
	CHECK_EQ(board.isa_edges[0], 2);
	CHECK(board_round_trip_keeps_time());
	board_run(999 * TICK);
	CHECK_EQ(board.isa_edges[0], 2);
	board_run(TICK);
	CHECK_EQ(board.isa_edges[0], 3);
	CHECK_EQ(board.isa_edges[8], 1);
	/* a deadline just missed: a whole turn, and the guest can see it */
	wr(cmp(0), rd(COUNTER, 4) - 1, 4);
	board_count_from_here();
	board_run(1000000);
	CHECK_EQ(board.isa_edges[0], 0);
	wr(cmp(0), rd(COUNTER, 4), 4);
	board_run(1);
	CHECK_EQ(board.isa_edges[0], 1);
}

static void test_periodic_as_linux_sets_it(void)
{
	restart();
	wr(CONF, 3, 4);
	wr(conf(0), ENB | PERIODIC | SETVAL | MODE32, 4);
	uint32_t now = (uint32_t)rd(COUNTER, 4);

	wr(cmp(0), now + 400000, 4);
	wr(cmp(0), 400000, 4);
	CHECK_EQ(rd(cmp(0), 4), now + 400000);
	board_count_from_here();
	board_run(400000ull * TICK * 1000);
	CHECK_EQ(board.isa_edges[0], 1000);
	CHECK_EQ(rd(cmp(0), 4), (uint32_t)(now + 400000u * 1001));
	CHECK(board_round_trip_keeps_time());
	/* late: one interrupt, same grid */
	board_count_from_here();
	board_run_late(400000ull * TICK * 10 + 5 * TICK);
	CHECK_EQ(board.isa_edges[0], 1);
	board_run(399994ull * TICK);
	CHECK_EQ(board.isa_edges[0], 1);
	board_run(TICK);
	CHECK_EQ(board.isa_edges[0], 2);
}

static void test_periodic_64(void)
{
	restart();
	wr(CONF, 1, 4);
	wr(conf(2), ENB | PERIODIC | SETVAL | 21 << 9, 4);
	wr(cmp(2), rd(COUNTER, 8) + 100000, 8);
	CHECK_EQ(rd(conf(2), 4) & SETVAL, 0);
	wr(cmp(2), 50000, 8);
	board_run(1000000);
	CHECK_EQ(board.gsi_edges[21], 1);
	board_run(5000000);
	CHECK_EQ(board.gsi_edges[21], 11);
}

static void test_level_and_status(void)
{
	restart();
	wr(conf(0), ENB | LEVEL | 20 << 9, 4);
	wr(conf(2), ENB | LEVEL | 20 << 9, 4);
	wr(cmp(0), 100, 8);
	wr(cmp(2), 200, 8);
	wr(CONF, 1, 4);
	board_run(300 * TICK);
	CHECK_EQ(rd(ISR, 4), 5);
	CHECK(board.gsi[20]);
	wr(ISR, 1, 4);
	CHECK(board.gsi[20]);
	wr(ISR, 4, 4);
	CHECK(!board.gsi[20]);
	CHECK_EQ(rd(ISR, 4), 0);
	/* without INT_ENB: status, but no interrupt and no timer */
	wr(conf(0), LEVEL | 20 << 9, 4);
	wr(cmp(0), rd(COUNTER, 8) + 10, 8);
	CHECK_EQ(vtimerq_next(&board.q).v, VNS_NEVER.v);
	board_run(1000);
	CHECK_EQ(rd(ISR, 4), 1);
	CHECK(!board.gsi[20]);
}

static void test_routes(void)
{
	restart();
	wr(conf(0), ENB | 22 << 9, 4);
	CHECK_EQ(rd(conf(0), 4) >> 9 & 31, 22);
	wr(conf(0), ENB | 5 << 9, 4);
	CHECK_EQ(rd(conf(0), 4) >> 9 & 31, 22);
	wr(conf(0), 0xffffffff, 2); /* not 32 bits: dropped */
	CHECK_EQ(rd(conf(0), 4) >> 9 & 31, 22);
}

static void test_fast_period_is_bounded(void)
{
	static const uint64_t periods[] = {0, 1, 2, 3, 100, 1999, 2000};

	for (unsigned i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		restart();
		wr(CONF, 3, 4);
		for (unsigned n = 0; n < 3; n++) {
			wr(conf(n), ENB | PERIODIC | SETVAL | MODE32 | 20 << 9, 4);
			wr(cmp(n), rd(COUNTER, 8) + 10, 4);
			wr(cmp(n), periods[i], 4);
		}
		board_count_from_here();
		board_run(10000000);
		CHECK(board.fires <= 1510 && board.fires > 0);
	}
}

int main(void)
{
	vtimerq_init(&board.q, NULL);
	board.now.v = 987654321;
	hpet_init(&board.q);
	RUN(test_identity);
	RUN(test_counter);
	RUN(test_legacy_oneshot);
	RUN(test_periodic_as_linux_sets_it);
	RUN(test_periodic_64);
	RUN(test_level_and_status);
	RUN(test_routes);
	RUN(test_fast_period_is_bounded);
	return check_result();
}
