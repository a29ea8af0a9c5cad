/* build: net/ptp_clock.c net/ptp_bmca.c net/ptp_message.c net/servo.c net/shared_clock.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PTP clock among hostile ones: any bytes, and well-formed messages of masters that lie, at any
 * time. The clock's rate stays within its limits, a held one does not change, what it sends
 * decodes, and it always says when it wants to be called again.
 */
#include <string.h>
#include "net/ptp_clock.h"
#include "test/fuzz/fuzz.h"

#define SECOND 1000000000ull

static struct ptp_clock p;
static uint64_t now;
static bool held;

static void settle(void)
{
	struct ptp_message m;
	struct ptp_action a;

	for (unsigned n = 0; ptp_next(&p, now, &a); n++) {
		REQUIRE(n < 100);
		if (a.type != PTP_SEND)
			continue;
		REQUIRE(ptp_decode(a.bytes, a.size, &m) == 0 || m.time > SECOND << 33);
		if (a.cookie && (take(1) & 7))
			ptp_sent(&p, a.cookie, take(1) & 7 ? now : take(8));
	}
	REQUIRE(ptp_deadline(&p) > now);
	REQUIRE(p.shared.rate <= RATE_OF(RATE_PPB_MAX) && p.shared.rate >= RATE_OF(-RATE_PPB_MAX));
	(void)ptp_bound(&p, now);
}

/* What a master may say, or a liar. */
static size_t any_message(uint8_t *buf)
{
	static const enum ptp_type types[] = {PTP_SYNC, PTP_FOLLOW_UP, PTP_DELAY_RESP, PTP_ANNOUNCE,
					      PTP_DELAY_REQ};
	struct ptp_message m = {
		.type = types[take(1) % 5],
		.flags = (uint16_t)take(2),
		.source = {.clock = {(uint8_t)(take(1) % 3)}, .port = 1},
		.sequence = (uint16_t)(take(1) % 4),
		.log_interval = (int8_t)take(1),
		.requester = p.port,
	};
	unsigned what = (unsigned)take(1);

	m.time = what & 1 ? take(8) % (SECOND << 33) : shared_at(&p.shared, now) - take(2);
	if (what & 2)
		m.correction = (int64_t)take(8);
	if (what & 4)
		m.quality.priority1 = (uint8_t)take(1);
	if (m.type == PTP_DELAY_RESP && (what & 8))
		m.sequence = p.delay_sequence;
	return ptp_encode(&m, buf);
}

static void step(void)
{
	uint8_t buf[256];
	size_t size;

	switch (take(1) % 8) {
	case 0:
		size = take(1);
		for (size_t i = 0; i < size; i++)
			buf[i] = (uint8_t)take(1);
		ptp_receive(&p, buf, size, now, now);
		break;
	case 1:
		now += take(5);
		break;
	case 2:
		now += SECOND;
		break;
	case 3:
		held = take(1) & 1;
		ptp_hold(&p, held, now);
		break;
	default:
		size = any_message(buf);
		ptp_receive(&p, buf, size, take(1) & 15 ? now : take(8), now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ptp_config config = {.identity = {9, 9}, PTP_DEFAULTS};
	struct shared_clock before;

	fuzz_begin(data, size);
	config.slave_only = take(1) & 1;
	now = SECOND;
	held = false;
	ptp_init(&p, &config, now, 1000 * SECOND);
	while (fuzz_more()) {
		bool was_held = held;

		before = p.shared;
		step();
		if (was_held && held)
			REQUIRE(memcmp(&before, &p.shared, sizeof(before)) == 0);
		settle();
	}
	return 0;
}
