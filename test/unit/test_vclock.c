/* build: timevirt/vclock.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include "test/unit/check.h"
#include "timevirt/rate.h"
#include "timevirt/vclock.h"

typedef unsigned __int128 u128;

#define YEARS_100 3155760000000000000ull /* ns */

static const uint64_t rates[] = {
	50000000,   50000001,	99999999,   100000000,	333333333,
	999999999,  1000000000, 1000000001, 1193182000, 2399999999,
	2400000000, 2893299999, 3579545000, 5999999999, 6000000000,
};

static uint64_t seed = 1;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* floor or ceiling of x * to / from in 128 bits, saturated */
static uint64_t reference(uint64_t x, uint64_t from, uint64_t to, bool up)
{
	u128 v = ((u128)x * to + (up ? from - 1 : 0)) / from;

	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static bool matches(const struct vclock *c, uint64_t x)
{
	uint64_t ns = vclock_ticks_to_ns(c, x).v, up = vclock_ticks_to_ns_up(c, x).v;
	uint64_t ticks = vclock_ns_to_ticks_up(c, (vns_t){x});

	return ns == reference(x, c->hz, NSEC_PER_SEC, false) &&
	       up == reference(x, c->hz, NSEC_PER_SEC, true) &&
	       ticks == (x == VNS_NEVER.v ? UINT64_MAX : reference(x, NSEC_PER_SEC, c->hz, true));
}

static void test_exact(void)
{
	struct vclock c;
	bool ok = true;

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		vclock_init(&c, rates[i], 0, 0);
		for (unsigned n = 0; n < 100000; n++)
			ok = ok && matches(&c, n < 1000 ? n : rnd() >> (rnd() & 63));
		for (unsigned n = 0; n < 1000; n++)
			ok = ok && matches(&c, YEARS_100 - n) && matches(&c, UINT64_MAX - n) &&
			     matches(&c, rates[i] * n) && matches(&c, rates[i] * n - 1);
	}
	CHECK(ok);
}

static void test_round_trip(void)
{
	struct vclock c;
	bool ok = true;

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		vclock_init(&c, rates[i], 0, 0);
		for (unsigned n = 0; n < 100000; n++) {
			uint64_t ns = rnd() % YEARS_100;
			uint64_t ticks = vclock_ns_to_ticks_up(&c, (vns_t){ns});

			if (ticks == UINT64_MAX)
				continue;
			/* the deadline's tick is the first one at which the time is reached */
			ok = ok && vclock_ticks_to_ns(&c, ticks).v >= ns;
			ok = ok && (!ticks || vclock_ticks_to_ns(&c, ticks - 1).v < ns);
		}
	}
	CHECK(ok);
}

static void test_saturation(void)
{
	struct vclock c;

	CHECK(vclock_init(&c, 48999999, 0, 0) == -ERANGE);
	CHECK(vclock_init(&c, 6000000001, 0, 0) == -ERANGE);
	CHECK(vclock_init(&c, 50000000, 0, 0) == 0);
	CHECK(vclock_ticks_to_ns(&c, UINT64_MAX).v == VNS_NEVER.v);
	CHECK(vclock_ns_to_ticks_up(&c, VNS_NEVER) == UINT64_MAX);
	CHECK(vclock_host_deadline(&c, VNS_NEVER) == UINT64_MAX);
	CHECK(vclock_init(&c, 6000000000, 0, 0) == 0);
	CHECK(vclock_ns_to_ticks_up(&c, (vns_t){c.max_ns}) != 0);
	CHECK(vclock_ns_to_ticks_up(&c, (vns_t){c.max_ns + 1}) == UINT64_MAX);
	CHECK(vclock_host_deadline(&c, (vns_t){c.max_ns + 1}) == UINT64_MAX);
	CHECK(rate_ns_to_cycles(UINT64_MAX, RATE_MAX_HZ) == UINT64_MAX);
	vclock_init(&c, 1000000000, UINT64_MAX - 100, 0);
	CHECK(vclock_host_deadline(&c, (vns_t){100}) == UINT64_MAX);
	CHECK(vclock_host_deadline(&c, (vns_t){101}) == UINT64_MAX);
	CHECK(vclock_host_deadline(&c, (vns_t){99}) == UINT64_MAX - 1);
}

static void test_stop_start(void)
{
	struct vclock c;

	vclock_init(&c, 1000000000, 5000, 0);
	CHECK(vclock_ns(&c, 5000).v == 0);
	CHECK(vclock_ns(&c, 4990).v == 0); /* never below the start */
	CHECK(vclock_ns(&c, 5100).v == 100);
	CHECK(c.offset + 5100 == 100);
	vclock_stop(&c, 5200);
	CHECK(vclock_ns(&c, 9000).v == 200);
	CHECK(vclock_host_deadline(&c, (vns_t){300}) == UINT64_MAX);
	vclock_start(&c, 10000);
	CHECK(vclock_ns(&c, 9999).v == 200);
	CHECK(vclock_ns(&c, 10001).v == 201);
	CHECK(vclock_host_deadline(&c, (vns_t){300}) == 10100);
	CHECK(vclock_host_deadline(&c, (vns_t){10}) == 10000); /* long past: at the start */
	vclock_stop(&c, 10000);
	vclock_set(&c, 1ull << 63);
	CHECK(vclock_ticks(&c, 1) == 1ull << 63);
	vclock_start(&c, 7);
	CHECK(vclock_host_deadline(&c, (vns_t){(1ull << 63) + 5}) == 12);
	vclock_start(&c, 9); /* it runs already */
	CHECK(vclock_ticks(&c, 9) == (1ull << 63) + 2);
}

int main(void)
{
	RUN(test_exact);
	RUN(test_round_trip);
	RUN(test_saturation);
	RUN(test_stop_start);
	return check_result();
}
