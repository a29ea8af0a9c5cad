/* build: hv/pm.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test/unit/check.h"
#include "test/unit/board.h"
#include "timevirt/rate.h"

#define HZ 3579545ull
enum { STS = PM_BASE, EN = PM_BASE + 2, CNT = PM_BASE + 4, TMR = PM_BASE + 8 };

static void test_timer_is_exact(void)
{
	for (uint64_t s = 1; s < 100000; s = s * 3 + 1) {
		board_run_to(s * NSEC_PER_SEC);
		CHECK_EQ(bus_io_read(TMR, 4), (uint32_t)(s * HZ));
	}
	bus_io_write(TMR, 4, 0);
	CHECK(bus_io_read(TMR, 4) != 0);
	CHECK_EQ(bus_io_read(TMR + 1, 1), bus_io_read(TMR, 4) >> 8 & 0xff);
}

static void test_overflow(void)
{
	units_reset();
	uint64_t half = (rate_ns_to_cycles(board.now.v, HZ) >> 31) + 1;

	bus_io_write(EN, 2, 1);
	board_count_from_here();
	board_run_to(rate_cycles_to_ns_up(half << 31, HZ) - 1);
	CHECK(!board.isa[9]);
	CHECK(board_round_trip_keeps_time());
	board_run(1);
	CHECK(board.isa[9]);
	CHECK_EQ(bus_io_read(STS, 2), 1);
	board_run(3600 * NSEC_PER_SEC); /* no more until it is looked at */
	CHECK_EQ(board.fires, 1);
	bus_io_write(STS, 2, 1);
	CHECK(!board.isa[9]);
	CHECK_EQ(bus_io_read(STS, 4), 1 << 16);
	/* without the enable the status still comes */
	bus_io_write(EN, 2, 0);
	board_run(600 * NSEC_PER_SEC);
	CHECK_EQ(bus_io_read(STS, 2), 1);
	CHECK(!board.isa[9]);
	bus_io_write(EN, 1, 1);
	CHECK(board.isa[9]);
}

static void test_control(void)
{
	units_reset();
	CHECK_EQ(bus_io_read(CNT, 2), 1); /* SCI_EN: always ACPI mode */
	bus_io_write(CNT, 2, 0);
	CHECK_EQ(bus_io_read(CNT, 2), 1);
	bus_io_write(CNT, 2, 3 << 10 | 1 << 13);
	CHECK_EQ(board.poweroffs, 0);
	bus_io_write(CNT, 2, 5 << 10);
	CHECK_EQ(board.poweroffs, 0);
	CHECK_EQ(bus_io_read(CNT, 2), 5 << 10 | 1);
	bus_io_write(CNT, 2, 5 << 10 | 1 << 13);
	CHECK_EQ(board.poweroffs, 1);
	bus_io_write(CNT + 1, 1, 5 << 2 | 1 << 5);
	CHECK_EQ(board.poweroffs, 2);
	bus_io_write(EN, 2, 0xffff);
	CHECK_EQ(bus_io_read(EN, 2), 0x0721);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(bus_io_read(EN, 2), 0x0721);
}

int main(void)
{
	vtimerq_init(&board.q, NULL);
	pm_init(&board.q);
	RUN(test_timer_is_exact);
	RUN(test_overflow);
	RUN(test_control);
	return check_result();
}
