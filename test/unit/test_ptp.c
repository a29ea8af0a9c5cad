/* build: net/ptp_clock.c net/ptp_bmca.c net/ptp_message.c net/servo.c net/shared_clock.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages byte by byte; and two or three clocks on a simulated wire. */
#include <errno.h>
#include "net/ptp_bmca.h"
#include "net/ptp_clock.h"
#include "test/unit/check.h"

#define SECOND UINT64_C(1000000000)
#define CLOCKS 3
#define WIRE   20000 /* ns from one to another */

static struct ptp_clock p[CLOCKS];
static bool there[CLOCKS];		  /* switched on */
static struct shared_clock local[CLOCKS]; /* of true time */
static uint64_t now;			  /* true */
static unsigned stepped[CLOCKS];

static uint64_t local_now(unsigned i)
{
	return shared_at(&local[i], now);
}

static int64_t error_of(unsigned slave, unsigned master)
{
	return (int64_t)(shared_at(&p[slave].shared, local_now(slave)) -
			 shared_at(&p[master].shared, local_now(master)));
}

static void start(unsigned i, uint8_t priority, int64_t ppb, bool slave_only)
{
	struct ptp_config config = {.identity = {1, 2, 3, 0xff, 0xfe, 4, 5, (uint8_t)i},
				    PTP_DEFAULTS};

	config.priority1 = priority;
	config.slave_only = slave_only;
	local[i] = (struct shared_clock){
		.local = now, .shared = (i + 7) * SECOND, .rate = RATE_OF(ppb)};
	ptp_init(&p[i], &config, local_now(i), (i + 1) * 1000 * SECOND);
	there[i] = true;
	stepped[i] = 0;
}

static void deliver(unsigned from, const struct ptp_action *a)
{
	uint64_t left = now;

	if (a->cookie)
		ptp_sent(&p[from], a->cookie, local_now(from));
	now += WIRE;
	for (unsigned i = 0; i < CLOCKS; i++)
		if (there[i] && i != from)
			ptp_receive(&p[i], a->bytes, a->size,
				    a->event ? local_now(i) : PTP_NO_STAMP, local_now(i));
	now = left + WIRE;
}

static void settle(unsigned i)
{
	struct ptp_action a;

	while (ptp_next(&p[i], local_now(i), &a)) {
		if (a.type == PTP_SEND)
			deliver(i, &a);
		else if (a.type == PTP_STEPPED)
			stepped[i]++;
	}
}

static void seconds(unsigned n)
{
	for (uint64_t end = now + n * SECOND; now < end; now += SECOND / 100)
		for (unsigned i = 0; i < CLOCKS; i++)
			if (there[i])
				settle(i);
}

static void begin(void)
{
	now = 5 * SECOND;
	memset(there, 0, sizeof(there));
}

static uint64_t size_of_error(unsigned slave, unsigned master)
{
	int64_t e = error_of(slave, master);

	return (uint64_t)(e < 0 ? -e : e);
}

static void test_follow_up_bytes(void)
{
	static const uint8_t bytes[44] = {
		0x08, 2,    0, 44, 0, 0, 0, 0, 0,    0,	   0,	 0,    0,    1,	   0x80,
		0,    0,    0, 0,  0, 1, 2, 3, 0xff, 0xfe, 4,	 5,    6,    0,	   1,
		0x12, 0x34, 2, 0,  0, 1, 0, 0, 0,    2,	   0x3b, 0x9a, 0xc9, 0xff,
	};
	struct ptp_message m = {.type = PTP_FOLLOW_UP,
				.correction = 0x18000, /* 1.5 ns */
				.source = {{1, 2, 3, 0xff, 0xfe, 4, 5, 6}, 1},
				.sequence = 0x1234,
				.time = ((UINT64_C(1) << 32) + 2) * SECOND + SECOND - 1};
	uint8_t buf[PTP_MESSAGE_MAX];
	struct ptp_message back;

	CHECK_EQ(ptp_encode(&m, buf), sizeof(bytes));
	CHECK(memcmp(buf, bytes, sizeof(bytes)) == 0);
	CHECK_EQ(ptp_decode(buf, sizeof(bytes), &back), 0);
	CHECK(back.time == m.time && back.correction == m.correction && back.sequence == 0x1234 &&
	      ptp_same_port(&back.source, &m.source));
}

static void test_announce_round_trip(void)
{
	struct ptp_message back,
		m = {
			.type = PTP_ANNOUNCE,
			.domain = 7,
			.flags = PTP_TIMESCALE | PTP_UTC_VALID,
			.log_interval = -2,
			.utc_offset = -37,
			.time_source = 0x20,
			.quality = {1, 6, 0x21, 0x4e5d, 2, {8, 7, 6, 5, 4, 3, 2, 1}, 300},
		};
	uint8_t buf[PTP_MESSAGE_MAX + 40];

	CHECK_EQ(ptp_encode(&m, buf), 64);
	CHECK_EQ(ptp_decode(buf, sizeof(buf), &back), 0); /* padded by the network */
	CHECK(back.domain == 7 && back.flags == m.flags && back.log_interval == -2 &&
	      back.utc_offset == -37 && back.time_source == 0x20);
	CHECK(memcmp(&back.quality, &m.quality, sizeof(m.quality)) == 0);
}

static int changed(unsigned at, uint8_t value)
{
	struct ptp_message m = {.type = PTP_DELAY_RESP}, back;
	uint8_t buf[PTP_MESSAGE_MAX];
	size_t size = ptp_encode(&m, buf);

	buf[at] = value;
	return ptp_decode(buf, size, &back);
}

static void test_refused(void)
{
	struct ptp_message m = {.type = PTP_SYNC}, back;
	uint8_t buf[PTP_MESSAGE_MAX];
	size_t size = ptp_encode(&m, buf);

	for (size_t n = 0; n < size; n++)
		CHECK(ptp_decode(buf, n, &back) != 0);
	CHECK_EQ(changed(1, 1), -EPROTONOSUPPORT);
	CHECK_EQ(changed(1, 0x12), 0); /* minor version */
	CHECK_EQ(changed(0, 0xd), -EPROTONOSUPPORT);
	CHECK_EQ(changed(0, PTP_ANNOUNCE), -EBADMSG); /* shorter than one */
	CHECK_EQ(changed(3, 55), -EBADMSG);
	CHECK_EQ(changed(40, 0x3c), -EBADMSG); /* ns >= 10^9 */
	CHECK_EQ(changed(34, 1), -EBADMSG);    /* seconds beyond all reason */
}

static void test_best_master(void)
{
	struct ptp_quality a = {.priority1 = 128, .class = 248, .grandmaster = {1}}, b = a;
	struct ptp_identity x = {{1}, 1}, y = {{2}, 1};

	b.grandmaster[0] = 2;
	CHECK(ptp_compare(&a, &x, &b, &y) < 0);
	b.priority2 = 0;
	a.priority2 = 1;
	CHECK(ptp_compare(&a, &x, &b, &y) > 0);
	a.variance = 0;
	b.variance = 1;
	CHECK(ptp_compare(&a, &x, &b, &y) < 0);
	b.class = 6;
	CHECK(ptp_compare(&a, &x, &b, &y) > 0);
	a.priority1 = 1;
	CHECK(ptp_compare(&a, &x, &b, &y) < 0);
	b = a; /* the same grandmaster, by two ways */
	b.steps_removed = 1;
	CHECK(ptp_compare(&a, &x, &b, &y) < 0);
	b = a;
	CHECK(ptp_compare(&a, &x, &b, &y) < 0);
}

static void test_slave_locks(void)
{
	begin();
	start(0, 10, 0, false);
	start(1, 128, 50000, false);
	start(2, 128, -70000, true);
	seconds(40);
	CHECK_EQ(p[0].state, PTP_MASTER);
	for (unsigned i = 1; i < CLOCKS; i++) {
		CHECK_EQ(p[i].state, PTP_SLAVE);
		CHECK(ptp_locked(&p[i]));
		CHECK_EQ(stepped[i], 1);
		CHECK(size_of_error(i, 0) < 1000);
		CHECK(size_of_error(i, 0) <= ptp_bound(&p[i], local_now(i)));
		CHECK(ptp_bound(&p[i], local_now(i)) < 100000);
	}
	CHECK_EQ(ptp_bound(&p[0], local_now(0)), 0);
	CHECK_EQ(ptp_drift_ppb(&p[0]), 0);
	CHECK(ptp_drift_ppb(&p[1]) >= 200 && ptp_drift_ppb(&p[1]) < 2000);
}

static void test_master_vanishes(void)
{
	uint64_t bound;

	begin();
	start(0, 10, 0, false);
	start(1, 128, 50000, true);
	seconds(60);
	there[0] = false;
	bound = ptp_bound(&p[1], local_now(1));
	seconds(60);
	CHECK_EQ(p[1].state, PTP_LISTENING);
	CHECK(!ptp_locked(&p[1]));
	CHECK(ptp_bound(&p[1], local_now(1)) > bound);
	CHECK(size_of_error(1, 0) <= ptp_bound(&p[1], local_now(1)));
	there[0] = true;
	seconds(60);
	CHECK(ptp_locked(&p[1]) && size_of_error(1, 0) < 1000);
}

static void test_next_best_takes_over(void)
{
	begin();
	start(0, 10, 0, false);
	start(1, 20, 3000, false);
	start(2, 30, -3000, false);
	seconds(40);
	there[0] = false;
	seconds(60);
	CHECK_EQ(p[1].state, PTP_MASTER);
	CHECK_EQ(p[2].state, PTP_SLAVE);
	CHECK(ptp_same_port(&p[2].master, &p[1].port));
	CHECK(ptp_locked(&p[2]) && size_of_error(2, 1) < 1000);
	start(0, 10, 0, false); /* with another time */
	seconds(60);
	CHECK_EQ(p[1].state, PTP_SLAVE);
	CHECK(ptp_locked(&p[1]) && size_of_error(1, 0) < 1000);
}

static void test_grandmaster_class_is_passive(void)
{
	begin();
	start(0, 10, 0, false);
	start(1, 128, 0, false);
	p[1].config.class = 6;
	seconds(20);
	CHECK_EQ(p[1].state, PTP_PASSIVE);
	there[0] = false;
	seconds(20);
	CHECK_EQ(p[1].state, PTP_MASTER);
}

static void test_held(void)
{
	struct shared_clock before;

	begin();
	start(0, 10, 0, false);
	start(1, 128, 50000, true);
	seconds(60);
	ptp_hold(&p[1], true, local_now(1));
	before = p[1].shared;
	p[0].shared.shared += SECOND;
	seconds(60);
	CHECK(memcmp(&before, &p[1].shared, sizeof(before)) == 0);
	CHECK_EQ(stepped[1], 1);
}

/* Nobody else's messages count: of another domain, its own, from who is not the master. */
static void test_strangers(void)
{
	struct ptp_message m = {.type = PTP_FOLLOW_UP, .source = {{9}, 1}, .time = 1};
	struct shared_clock before;
	uint8_t buf[PTP_MESSAGE_MAX];

	begin();
	start(0, 10, 0, false);
	start(1, 128, 0, true);
	seconds(60);
	before = p[1].shared;
	for (unsigned i = 0; i < 100; i++) {
		m.sequence = (uint16_t)i;
		m.type = i % 2 ? PTP_SYNC : PTP_FOLLOW_UP;
		ptp_receive(&p[1], buf, ptp_encode(&m, buf), local_now(1), local_now(1));
	}
	CHECK(memcmp(&before, &p[1].shared, sizeof(before)) == 0);
	m.source = p[0].port;
	m.domain = 5;
	m.type = PTP_SYNC;
	ptp_receive(&p[1], buf, ptp_encode(&m, buf), local_now(1), local_now(1));
	CHECK_EQ(p[1].ignored, 1);
	CHECK(memcmp(&before, &p[1].shared, sizeof(before)) == 0);
}

int main(void)
{
	RUN(test_follow_up_bytes);
	RUN(test_announce_round_trip);
	RUN(test_refused);
	RUN(test_best_master);
	RUN(test_slave_locks);
	RUN(test_master_vanishes);
	RUN(test_next_best_takes_over);
	RUN(test_grandmaster_class_is_passive);
	RUN(test_held);
	RUN(test_strangers);
	return check_result();
}
