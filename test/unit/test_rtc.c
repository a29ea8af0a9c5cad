/* build: hv/rtc.c hv/rtc_date.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>
#include "test/unit/check.h"
#include "test/unit/board.h"
#include "hv/hpet.h"
#include "hv/rtc.h"
#include "hv/rtc_date.h"

#define BASE 1709251195 /* 2024-02-29 23:59:55 UTC, a Thursday */
#define SEC  1000000000ull
enum { PIE = 0x40, AIE = 0x20, UIE = 0x10, H24 = 2, DM = 4, SET = 0x80 };

static bool legacy;

bool hpet_legacy_routing(void)
{
	return legacy;
}

static uint8_t rd(uint8_t reg)
{
	out8(0x70, reg | 0x80); /* the NMI bit makes no difference */
	return in8(0x71);
}

static void wr(uint8_t reg, uint8_t v)
{
	out8(0x70, reg);
	out8(0x71, v);
}

static uint64_t stamp(void) /* YYYYMMDDhhmmss in BCD */
{
	static const uint8_t regs[] = {0x32, 9, 8, 7, 4, 2, 0};
	uint64_t v = 0;

	for (unsigned i = 0; i < sizeof(regs); i++)
		v = v << 8 | rd(regs[i]);
	return v;
}

static void restart(void) /* the clock is set to BASE, its second has just begun */
{
	struct rtc_date d = rtc_date_from_seconds(BASE);

	units_reset();
	legacy = false;
	wr(0xb, SET | H24 | DM);
	wr(0xa, 0x76);
	wr(0x32, (uint8_t)(d.year / 100));
	wr(9, (uint8_t)(d.year % 100));
	wr(8, d.month);
	wr(7, d.day);
	wr(6, d.wday);
	wr(4, d.hour);
	wr(2, d.minute);
	wr(0, d.second - 1);
	wr(0xa, 0x26);
	wr(0xb, H24 | DM);
	wr(0xb, H24);
	board_run(SEC / 2);
	(void)rd(0xc);
	board_count_from_here();
}

static void test_dates(void)
{
	bool ok = true;

	for (int64_t s = -3000000000; s < 300000000000; s += 86399 * 37) {
		struct rtc_date d = rtc_date_from_seconds(s);
		time_t t = (time_t)s;
		struct tm tm;

		gmtime_r(&t, &tm);
		ok = ok && d.year == tm.tm_year + 1900 && d.month == tm.tm_mon + 1 &&
		     d.day == tm.tm_mday && d.wday == tm.tm_wday + 1 && d.hour == tm.tm_hour &&
		     d.minute == tm.tm_min && d.second == tm.tm_sec;
		ok = ok && rtc_date_to_seconds(&d) == s;
	}
	CHECK(ok);
}

static void test_power_on(void)
{
	CHECK_EQ(stamp(), 0x20240229235955);
	CHECK_EQ(rd(6), 5);
	CHECK_EQ(rd(0xd), 0x80);
	CHECK_EQ(rd(0xb), H24);
	board_run(5 * SEC - 1);
	CHECK_EQ(stamp(), 0x20240229235959);
	board_run(1);
	CHECK_EQ(stamp(), 0x20240301000000);
	CHECK_EQ(rd(6), 6);
	CHECK_EQ(board.fires, 0);
}

static void test_formats(void)
{
	restart();
	CHECK_EQ(stamp(), 0x20240229235955);
	wr(0xb, 0);
	CHECK_EQ(rd(4), 0x91); /* 11 PM */
	wr(0xb, DM);
	CHECK_EQ(rd(4), 0x8b);
	CHECK_EQ(rd(0), 55);
	CHECK_EQ(rd(0x32), 20);
	wr(0xb, H24 | DM);
	CHECK_EQ(rd(4), 23);
	wr(4, 0);
	wr(0xb, 0);
	CHECK_EQ(rd(4), 0x12); /* midnight */
	CHECK_EQ(rd(7), 0x29);
}

static void test_set(void)
{
	restart();
	wr(0xb, SET | H24 | UIE);
	CHECK_EQ(rd(0xb), SET | H24); /* SET clears UIE */
	board_run(10 * SEC);
	CHECK_EQ(stamp(), 0x20240229235955);
	wr(0, 0x99);
	wr(8, 0xff);
	CHECK_EQ(rd(0), 0x99); /* what is written can be read */
	CHECK_EQ(rd(8), 0xff);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(rd(8), 0xff);
	wr(0, 0x10);
	wr(8, 0x12);
	wr(7, 0x31);
	wr(9, 0x99);
	wr(0x32, 0x19);
	wr(6, 3);
	wr(0xb, H24);
	board_run(50 * SEC);
	CHECK_EQ(stamp(), 0x20000101000000);
	CHECK_EQ(rd(6), 4); /* the weekday the guest chose goes on */
	/* without SET */
	wr(4, 0x22);
	CHECK_EQ(stamp(), 0x20000101220000);
}

static void test_first_update_half_a_second_after_divider_reset(void)
{
	restart();
	wr(0xa, 0x76);
	board_run(7 * SEC + 123456789);
	CHECK_EQ(rd(0), 0x55);
	wr(0xa, 0x26);
	board_run(SEC / 2 - 1);
	CHECK_EQ(rd(0), 0x55);
	CHECK(rd(0xa) & 0x80);
	board_run(1);
	CHECK_EQ(rd(0), 0x56);
	CHECK(!(rd(0xa) & 0x80));
	board_run(SEC - 2228001);
	CHECK(!(rd(0xa) & 0x80));
	board_run(1);
	CHECK(rd(0xa) & 0x80);
}

static void test_periodic(void)
{
	restart();
	wr(0xb, H24 | PIE);
	unsigned seen = 0;

	for (unsigned i = 0; i < 4096; i++) { /* 1024 Hz, read after each */
		board_run_to(vtimerq_next(&board.q).v);
		seen += rd(0xc) == 0xc0 || i % 1024 == 1023;
	}
	CHECK_EQ(seen, 4096);
	CHECK_EQ(board.isa_edges[8], 4096);
	CHECK_EQ(stamp() & 0xff, 0x59); /* exactly 4 s */
	/* not read: one interrupt and silence */
	board_count_from_here();
	board_run(10 * SEC);
	CHECK_EQ(board.isa_edges[8], 1);
	CHECK_EQ(board.fires, 1);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(rd(0xc) & 0xc0, 0xc0);
	CHECK(!board.isa[8]);
	/* flags come without enables; enabling then interrupts at once */
	wr(0xb, H24);
	board_run(SEC);
	board_count_from_here();
	wr(0xb, H24 | UIE);
	CHECK_EQ(board.isa_edges[8], 1);
	CHECK_EQ(rd(0xc), 0xd0);
	CHECK_EQ(rd(0xc), 0);
}

static void test_rates(void)
{
	static const unsigned hz[16] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
					256, 128, 64,  32,   16,   8,	 4,    2};

	for (unsigned rs = 0; rs < 16; rs++) {
		unsigned n = 0;

		restart();
		wr(0xa, (uint8_t)(0x20 | rs));
		wr(0xb, H24 | PIE);
		uint64_t end = board.now.v + SEC;

		(void)rd(0xc);
		while (vtimerq_next(&board.q).v <= end) {
			board_run_to(vtimerq_next(&board.q).v);
			n += rd(0xc) >> 6 & 1;
		}
		CHECK_EQ(n, hz[rs]);
	}
}

static void test_alarm(void)
{
	restart();
	wr(1, 0x30);
	wr(3, 0x00);
	wr(5, 0x00);
	wr(0xb, H24 | AIE);
	board_run(35 * SEC - 1);
	CHECK_EQ(board.isa_edges[8], 0);
	board_run(1);
	CHECK_EQ(board.isa_edges[8], 1);
	CHECK_EQ(board.fires, 1);
	CHECK_EQ(rd(0xc) & 0xa0, 0xa0);
	board_run(86400 * SEC);
	CHECK_EQ(board.isa_edges[8], 2);
	CHECK_EQ(rd(0xc) & 0xa0, 0xa0);
	/* every minute at :10 */
	wr(3, 0xff);
	wr(5, 0xc0);
	wr(1, 0x10);
	board_run(40 * SEC);
	CHECK_EQ(rd(0xc) & 0x20, 0x20);
	board_run(59 * SEC);
	CHECK_EQ(rd(0xc) & 0x20, 0);
	board_run(SEC);
	CHECK_EQ(rd(0xc) & 0x20, 0x20);
	/* never: no timer at all */
	wr(3, 0x61);
	CHECK_EQ(vtimerq_next(&board.q).v, VNS_NEVER.v);
	board_run(100000 * SEC);
	CHECK_EQ(rd(0xc) & 0x20, 0);
}

static void test_cmos(void)
{
	rtc_set_memory(3ull << 30, 3ull << 30);
	CHECK_EQ(rd(0x15) | rd(0x16) << 8, 640);
	CHECK_EQ(rd(0x17) | rd(0x18) << 8, 0xfc00);
	CHECK_EQ(rd(0x34) | rd(0x35) << 8, ((3u << 30) - (16u << 20)) >> 16);
	CHECK_EQ(rd(0x5b) | rd(0x5c) << 8 | rd(0x5d) << 16, (3ull << 30) >> 16);
	wr(0x0f, 0x0a);
	wr(0x7f, 0x77);
	CHECK_EQ(rd(0x0f), 0x0a);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(rd(0x7f), 0x77);
	units_reset();
	CHECK_EQ(rd(0x0f), 0);
	CHECK_EQ(rd(0x7f), 0x77);
	wr(0xd, 0);
	CHECK_EQ(rd(0xd), 0x80);
}

static void test_legacy_routing_silences(void)
{
	restart();
	legacy = true;
	wr(0xb, H24 | UIE);
	board_run(3 * SEC);
	CHECK_EQ(board.isa_edges[8], 0);
	legacy = false;
	rtc_route_changed();
	CHECK_EQ(board.isa_edges[8], 1);
}

int main(void)
{
	vtimerq_init(&board.q, NULL);
	rtc_init(&board.q, BASE);
	RUN(test_dates);
	RUN(test_power_on);
	RUN(test_formats);
	RUN(test_set);
	RUN(test_first_update_half_a_second_after_divider_reset);
	RUN(test_periodic);
	RUN(test_rates);
	RUN(test_alarm);
	RUN(test_cmos);
	RUN(test_legacy_routing_silences);
	return check_result();
}
