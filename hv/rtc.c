// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MC146818 real-time clock with 128 bytes of CMOS, at ports 70h/71h (MC146818 data sheet; bit 7 of
 * port 70h is ignored).
 *
 * Everything is derived from the prescaler, which counts 32768 Hz cycles of virtual time; its low
 * 15 bits are the part of the second. While updates are inhibited (SET, or the divider in reset)
 * the time is what stands in the registers.
 */
#include "hv/rtc.h"
#include <stddef.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/hpet.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/rtc_date.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "timevirt/rate.h"

#define RTC_IRQ	     8
#define CYCLE_HZ     32768ull
#define SECOND_SHIFT 15
#define DAY_SECONDS  86400
#define UIP_NS	     2228000 /* t_BUC 244 us before the update cycle, which takes 1984 us */
#define SECONDS_MAX  (1ll << 50)

enum {
	SECONDS = 0x00,
	SECONDS_ALARM = 0x01,
	MINUTES = 0x02,
	MINUTES_ALARM = 0x03,
	HOURS = 0x04,
	HOURS_ALARM = 0x05,
	WEEKDAY = 0x06,
	MONTHDAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	SHUTDOWN = 0x0f,
	EQUIPMENT = 0x14,
	BASE_MEMORY = 0x15, /* KiB */
	EXT_MEMORY = 0x17,  /* KiB above 1 MiB, again at 30h */
	CHECKSUM = 0x2e,    /* of 10h-2Dh */
	EXT_MEMORY_POST = 0x30,
	CENTURY = 0x32,
	MEMORY_16M = 0x34, /* 64 KiB units above 16 MiB */
	MEMORY_4G = 0x5b,  /* 64 KiB units above 4 GiB, 3 bytes */
	CMOS_SIZE = 128,
};
enum { A_UIP = 1 << 7, A_DV = 7 << 4, A_DV_32K = 2 << 4, A_RS = 15 };
enum { B_SET = 1 << 7, B_SQWE = 1 << 3, B_DM = 1 << 2, B_24H = 1 << 1 };
#define REG_D_VALUE 0x80					   /* VRT: the battery is good */
enum { F_IRQ = 1 << 7, F_P = 1 << 6, F_A = 1 << 5, F_U = 1 << 4 }; /* REG_C; the enables in REG_B */
#define F_ALL (F_P | F_A | F_U)

static struct rtc {
	uint8_t cmos[CMOS_SIZE];
	uint8_t index;
	uint8_t wday_shift; /* weekday register less the calendar's, mod 7: the guest may set any
			       day */
	uint64_t phase;	    /* ns that the prescaler is ahead of virtual time, < 1 s */
	uint64_t last;	    /* cycle up to which the flags are set */
	int64_t seconds;    /* the time at second `at` of the prescaler, while updating */
	uint64_t at;
	struct vtimer timer;
} rtc;

static bool dividing(void)
{
	return (rtc.cmos[REG_A] & A_DV) == A_DV_32K;
}

static bool updating(void)
{
	return dividing() && !(rtc.cmos[REG_B] & B_SET);
}

static uint64_t cycle_at(vns_t t)
{
	return rate_ns_to_cycles(t.v + rtc.phase, CYCLE_HZ);
}

/* Virtual time at which the prescaler shows `cycle`. */
static vns_t time_of(uint64_t cycle)
{
	uint64_t ns = rate_cycles_to_ns_up(cycle, CYCLE_HZ);

	return (vns_t){ns == UINT64_MAX ? ns : ns - rtc.phase};
}

static int64_t seconds_at(uint64_t cycle)
{
	return rtc.seconds + (int64_t)((cycle >> SECOND_SHIFT) - rtc.at);
}

/* --- register formats --- */

static uint8_t encode(unsigned v)
{
	return (uint8_t)(rtc.cmos[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(uint8_t v)
{
	return rtc.cmos[REG_B] & B_DM ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(unsigned h)
{
	if (rtc.cmos[REG_B] & B_24H)
		return encode(h);
	return (uint8_t)(encode(h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0));
}

static unsigned decode_hour(uint8_t v)
{
	if (rtc.cmos[REG_B] & B_24H)
		return decode(v);
	return decode(v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

static void registers_from(int64_t seconds)
{
	struct rtc_date d = rtc_date_from_seconds(seconds);
	unsigned year = (unsigned)((d.year % 10000 + 10000) % 10000);

	rtc.cmos[SECONDS] = encode(d.second);
	rtc.cmos[MINUTES] = encode(d.minute);
	rtc.cmos[HOURS] = encode_hour(d.hour);
	rtc.cmos[WEEKDAY] = encode((d.wday - 1u + rtc.wday_shift) % 7 + 1);
	rtc.cmos[MONTHDAY] = encode(d.day);
	rtc.cmos[MONTH] = encode(d.month);
	rtc.cmos[YEAR] = encode(year % 100);
	rtc.cmos[CENTURY] = encode(year / 100);
}

static int64_t registers_to(void)
{
	struct rtc_date d = {
		.second = (uint8_t)decode(rtc.cmos[SECONDS]),
		.minute = (uint8_t)decode(rtc.cmos[MINUTES]),
		.hour = (uint8_t)decode_hour(rtc.cmos[HOURS]),
		.day = (uint8_t)decode(rtc.cmos[MONTHDAY]),
		.month = (uint8_t)decode(rtc.cmos[MONTH]),
		.year = (int32_t)(decode(rtc.cmos[CENTURY]) * 100 + decode(rtc.cmos[YEAR])),
	};
	int64_t seconds = rtc_date_to_seconds(&d);
	unsigned calendar = rtc_date_from_seconds(seconds).wday;

	rtc.wday_shift = (uint8_t)((decode(rtc.cmos[WEEKDAY]) + 7 - calendar) % 7);
	return seconds;
}

static bool is_time(unsigned reg)
{
	return reg == CENTURY || (reg <= YEAR && (reg % 2 == 0 || reg > HOURS_ALARM));
}

/* --- alarm --- */

struct alarm {
	unsigned hour, minute, second; /* ANY: don't care */
};
#define ANY 0xffu

static unsigned alarm_field(unsigned reg)
{
	uint8_t v = rtc.cmos[reg];

	if ((v & 0xc0) == 0xc0)
		return ANY;
	return reg == HOURS_ALARM ? decode_hour(v) : decode(v);
}

static bool hits(unsigned want, unsigned v)
{
	return want == ANY || want == v;
}

/* First matching second of the day at or after `from`, -1: none. All fields are in range or ANY. */
static int alarm_in_day(const struct alarm *a, unsigned from)
{
	unsigned h = from / 3600, m = from / 60 % 60, s = from % 60;

	for (; h < 24; h++, m = s = 0) {
		if (!hits(a->hour, h))
			continue;
		for (; m < 60; m++, s = 0) {
			if (!hits(a->minute, m))
				continue;
			for (; s < 60; s++) {
				if (hits(a->second, s))
					return (int)(h * 3600 + m * 60 + s);
			}
		}
	}
	return -1;
}

/* Seconds from `seconds` to the next match after it, 0: never. */
static unsigned alarm_distance(int64_t seconds)
{
	struct alarm a = {alarm_field(HOURS_ALARM), alarm_field(MINUTES_ALARM),
			  alarm_field(SECONDS_ALARM)};
	unsigned from = (unsigned)(((seconds + 1) % DAY_SECONDS + DAY_SECONDS) % DAY_SECONDS);
	int found;

	if ((a.hour != ANY && a.hour > 23) || (a.minute != ANY && a.minute > 59) ||
	    (a.second != ANY && a.second > 59))
		return 0;
	found = alarm_in_day(&a, from);
	if (found >= 0)
		return (unsigned)found - from + 1;
	return DAY_SECONDS - from + (unsigned)alarm_in_day(&a, 0) + 1;
}

/* --- flags and interrupt --- */

/* log2 of the periodic interrupt's period in cycles, 0: off */
static unsigned periodic_shift(void)
{
	unsigned rs = rtc.cmos[REG_A] & A_RS;

	if (rs == 0 || !dividing())
		return 0;
	return rs <= 2 ? rs + 6 : rs - 1;
}

/* Set the flags for all that happened up to `now`. */
static void catch_up(vns_t now)
{
	uint64_t cycle = cycle_at(now), passed;
	unsigned shift = periodic_shift(), distance;

	if (!dividing() || cycle <= rtc.last)
		return;
	if (shift && cycle >> shift != rtc.last >> shift)
		rtc.cmos[REG_C] |= F_P;
	passed = (cycle >> SECOND_SHIFT) - (rtc.last >> SECOND_SHIFT);
	if (updating() && passed) {
		distance = alarm_distance(seconds_at(rtc.last));
		rtc.cmos[REG_C] |= F_U;
		if (distance && distance <= passed)
			rtc.cmos[REG_C] |= F_A;
	}
	rtc.last = cycle;
}

static void drive(void)
{
	uint8_t c = rtc.cmos[REG_C] & F_ALL;

	rtc.cmos[REG_C] = c | (c & rtc.cmos[REG_B] ? F_IRQ : 0);
	if (!hpet_legacy_routing())
		irq_isa_set(RTC_IRQ, rtc.cmos[REG_C] & F_IRQ);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Cycle of the next event that raises the interrupt. A flag that is up waits for register C to be
 * read. */
static uint64_t next_event(void)
{
	uint8_t wait = rtc.cmos[REG_B] & ~rtc.cmos[REG_C];
	unsigned shift = periodic_shift(), distance;
	uint64_t next = UINT64_MAX, second = rtc.last >> SECOND_SHIFT;

	if (rtc.cmos[REG_C] & F_IRQ)
		return next;
	if (wait & F_P && shift)
		next = ((rtc.last >> shift) + 1) << shift;
	if (wait & F_U && updating())
		next = earlier(next, (second + 1) << SECOND_SHIFT);
	if (wait & F_A && updating()) {
		distance = alarm_distance(seconds_at(rtc.last));
		if (distance)
			next = earlier(next, (second + distance) << SECOND_SHIFT);
	}
	return next;
}

static void update(vns_t now)
{
	catch_up(now);
	drive();
	vtimer_arm(&rtc.timer, time_of(next_event()));
}

static void rtc_fire(struct vtimer *t, vns_t now)
{
	(void)t;
	spin_lock(&platform_lock);
	update(now);
	spin_unlock(&platform_lock);
}

void rtc_route_changed(void)
{
	drive();
}

/* --- registers --- */

/* Updates stop: the time stays in the registers. */
static void hold(void)
{
	registers_from(seconds_at(rtc.last));
}

/* Updates go on from what stands in the registers. */
static void release(void)
{
	rtc.seconds = registers_to();
	rtc.at = rtc.last >> SECOND_SHIFT;
}

/* Registers A and B decide whether the time is updated. Flags are caught up. */
static void control_write(unsigned reg, uint8_t v, vns_t now)
{
	bool was_updating = updating(), was_dividing = dividing();

	if (was_updating)
		hold();
	rtc.cmos[reg] = v;
	if (dividing() &&
	    !was_dividing) { /* the first update comes half a second after the divider's reset */
		rtc.phase = (NSEC_PER_SEC + NSEC_PER_SEC / 2 - now.v % NSEC_PER_SEC) % NSEC_PER_SEC;
		rtc.last = cycle_at(now);
	}
	if (!updating())
		return;
	if (!was_updating) {
		release();
	} else { /* only the format or a rate changed: the time is unaffected */
		rtc.seconds = seconds_at(rtc.last);
		rtc.at = rtc.last >> SECOND_SHIFT;
	}
}

static bool update_in_progress(vns_t now)
{
	uint64_t next = ((cycle_at(now) >> SECOND_SHIFT) + 1) << SECOND_SHIFT;

	return updating() && time_of(next).v - now.v <= UIP_NS;
}

static uint8_t cmos_read(unsigned reg, vns_t now)
{
	uint8_t v;

	update(now);
	if (reg == REG_A)
		return rtc.cmos[REG_A] | (update_in_progress(now) ? A_UIP : 0);
	if (is_time(reg) && updating())
		hold();
	v = rtc.cmos[reg];
	if (reg == REG_C) {
		rtc.cmos[REG_C] = 0;
		update(now);
	}
	return v;
}

static void cmos_write(unsigned reg, uint8_t v, vns_t now)
{
	update(now);
	switch (reg) {
	case REG_A:
		control_write(reg, v & ~A_UIP, now);
		break;
	case REG_B: /* "the SET bit going high clears the UIE bit" */
		control_write(reg, v & B_SET ? v & ~F_U : v, now);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		if (is_time(reg) && updating()) {
			hold();
			rtc.cmos[reg] = v;
			release();
		}
		rtc.cmos[reg] = v;
	}
	update(now);
}

static void rtc_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	(void)size;
	*val = offset ? cmos_read(rtc.index, node_now()) : rtc.index;
}

static void rtc_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	(void)size;
	if (offset)
		cmos_write(rtc.index, (uint8_t)val, node_now());
	else
		rtc.index = val & 0x7f;
}

/* --- unit --- */

/* The battery keeps time and CMOS; the RESET pin clears enables and flags; firmware would have
 * cleared the shutdown code. */
static void rtc_reset(void *dev)
{
	(void)dev;
	rtc.index = 0;
	rtc.cmos[REG_B] &= (uint8_t) ~(F_ALL | B_SQWE);
	rtc.cmos[REG_C] = 0;
	rtc.cmos[SHUTDOWN] = 0;
	vtimer_cancel(&rtc.timer);
}

static int rtc_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put(w, rtc.cmos, sizeof(rtc.cmos));
	state_put8(w, rtc.index);
	state_put8(w, rtc.wday_shift);
	state_put64(w, rtc.phase);
	state_put64(w, rtc.last);
	state_put64(w, (uint64_t)rtc.seconds);
	state_put64(w, rtc.at);
	return w->err;
}

static void rtc_load(void *dev, struct state_reader *r)
{
	struct rtc n = {0};
	uint8_t flags;

	(void)dev;
	state_get(r, n.cmos, sizeof(n.cmos));
	n.index = state_get8(r);
	n.wday_shift = state_get8(r);
	n.phase = state_get64(r);
	n.last = state_get64(r);
	n.seconds = (int64_t)state_get64(r);
	n.at = state_get64(r);
	flags = n.cmos[REG_C] & F_ALL;
	state_require(r, !(n.cmos[REG_A] & A_UIP), "register A");
	state_require(r, n.cmos[REG_C] == (flags | (flags & n.cmos[REG_B] ? F_IRQ : 0)),
		      "register C");
	state_require(r, n.cmos[REG_D] == REG_D_VALUE, "register D");
	state_require(r, n.index < CMOS_SIZE, "index");
	state_require(r, n.wday_shift < 7, "wday_shift");
	state_require(r, n.phase < NSEC_PER_SEC, "phase");
	state_require(r, !(n.last >> 60), "last");
	state_require(r, n.at <= SECONDS_MAX, "at");
	state_require(r, n.seconds >= -SECONDS_MAX && n.seconds <= SECONDS_MAX, "seconds");
	if (!state_commit(r))
		return;
	memcpy(&rtc, &n, offsetof(struct rtc, timer));
	vtimer_arm(&rtc.timer, time_of(next_event()));
}

static void rtc_scramble(void *dev)
{
	(void)dev;
	vtimer_cancel(&rtc.timer);
	memset(&rtc, 0xa5, offsetof(struct rtc, timer));
}

static const struct bus_region rtc_ports = {.name = "rtc",
					    .base = 0x70,
					    .size = 2,
					    .max_size = 1,
					    .read = rtc_read,
					    .write = rtc_write};
static const struct unit rtc_unit = {.name = "rtc",
				     .version = 1,
				     .reset = rtc_reset,
				     .save = rtc_save,
				     .load = rtc_load,
				     .scramble = rtc_scramble};

static void put(unsigned reg, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		rtc.cmos[reg + i] = (uint8_t)(v >> 8 * i);
}

void rtc_set_memory(uint64_t low, uint64_t high)
{
	uint64_t ext = low > 1 << 20 ? (low >> 10) - 1024 : 0;
	uint64_t above = low > 16 << 20 ? (low >> 16) - 256 : 0;
	unsigned sum = 0;

	put(EXT_MEMORY, ext < 0xfc00 ? ext : 0xfc00, 2);
	put(EXT_MEMORY_POST, ext < 0xfc00 ? ext : 0xfc00, 2);
	put(MEMORY_16M, above < 0xffff ? above : 0xffff, 2);
	put(MEMORY_4G, high >> 16, 3);
	for (unsigned i = 0x10; i < CHECKSUM; i++)
		sum += rtc.cmos[i];
	rtc.cmos[CHECKSUM] = (uint8_t)(sum >> 8);
	rtc.cmos[CHECKSUM + 1] = (uint8_t)sum;
}

void rtc_init(struct vtimerq *q, uint64_t unix_seconds)
{
	vtimer_init(&rtc.timer, q, rtc_fire);
	rtc.seconds = (int64_t)(unix_seconds % SECONDS_MAX);
	rtc.cmos[REG_A] = A_DV_32K | 6; /* 1024 Hz */
	rtc.cmos[REG_B] = B_24H;
	rtc.cmos[REG_D] = REG_D_VALUE;
	rtc.cmos[EQUIPMENT] = 0x02; /* a coprocessor */
	put(BASE_MEMORY, 640, 2);
	rtc_set_memory(0, 0);
	ASSERT(bus_add_io(&rtc_ports) == 0 && unit_register(&rtc_unit) == 0);
}
