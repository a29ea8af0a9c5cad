/* build: proto/wire.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include "proto/wire.h"
#include "test/unit/check.h"

static uint8_t buf[WIRE_MESSAGE_MAX];

static const struct wire_message arming = {
	.type = WIRE_ARM,
	.experiment = 0x1122334455667788,
	.incarnation = 2,
	.epoch = 3,
	.boot = 4,
	.node = 5,
	.round = 6,
	.seq = 7,
	.command = {.seen = 8, .at = 9, .until = WIRE_NEVER, .late_limit = 10, .bound_max = 11},
};

static const struct wire_message frozen = {
	.type = WIRE_REPORT,
	.experiment = 1,
	.epoch = 3,
	.boot = 4,
	.report = {.number = 1,
		   .state = STATE_FROZEN,
		   .thaw = THAW_ARMED,
		   .refusal = REFUSAL_LATE,
		   .flags = REPORT_STEPPED,
		   .until = WIRE_NEVER,
		   .bound = WIRE_NEVER,
		   .late = 12,
		   .thaw_bound = WIRE_NEVER},
};

/* The format, byte by byte, as docs/protocol.md has it. */
static void test_layout(void)
{
	static const uint8_t bytes[96] = {
		'S',	  'F',	    'R',      'Z',	  1,	     WIRE_ARM,	96,
		0,	  0x88,	    0x77,     0x66,	  0x55,	     0x44,	0x33,
		0x22,	  0x11,	    2,	      [24] = 3,	  [32] = 4,  [40] = 5,	[44] = 6,
		[48] = 7, [56] = 8, [64] = 9, [72] = 255, 255,	     255,	255,
		255,	  255,	    255,      255,	  [80] = 10, [88] = 11,
	};

	CHECK_EQ(wire_encode(&arming, buf), sizeof(bytes));
	CHECK(memcmp(buf, bytes, sizeof(bytes)) == 0);
	CHECK_EQ(wire_encode(&frozen, buf), 168);
	CHECK_EQ(buf[5], WIRE_REPORT);
	CHECK_EQ(buf[72], STATE_FROZEN);
	CHECK_EQ(buf[73], THAW_ARMED);
	CHECK_EQ(buf[75], REFUSAL_LATE);
	CHECK_EQ(buf[76], REPORT_STEPPED);
	CHECK_EQ(buf[128], 12);
}

static void test_round_trip(void)
{
	struct wire_message m;

	CHECK_EQ(wire_decode(buf, wire_encode(&arming, buf), &m), 0);
	CHECK(m.type == WIRE_ARM && m.node == 5 && m.command.until == WIRE_NEVER &&
	      m.command.bound_max == 11);
	CHECK_EQ(wire_decode(buf, wire_encode(&frozen, buf), &m), 0);
	CHECK(m.report.state == STATE_FROZEN && m.report.late == 12 &&
	      m.report.thaw_bound == WIRE_NEVER);
}

static int changed(const struct wire_message *m, unsigned at, uint8_t value)
{
	struct wire_message out;
	size_t size = wire_encode(m, buf);

	buf[at] = value;
	return wire_decode(buf, size, &out);
}

static void test_refused(void)
{
	struct wire_message m;
	size_t size = wire_encode(&arming, buf);

	for (size_t n = 0; n < size; n++)
		CHECK_EQ(wire_decode(buf, n, &m), -EBADMSG);
	CHECK_EQ(changed(&arming, 0, 'X'), -EBADMSG);
	CHECK_EQ(changed(&arming, 4, WIRE_VERSION + 1), -EPROTONOSUPPORT);
	CHECK_EQ(changed(&arming, 5, 0), -EBADMSG);
	CHECK_EQ(changed(&arming, 5, WIRE_TYPES), -EBADMSG);
	CHECK_EQ(changed(&arming, 5, WIRE_REPORT), -EBADMSG);
	CHECK_EQ(changed(&arming, 7, 1), -EBADMSG);
	CHECK_EQ(changed(&arming, 24, 0), -EBADMSG);	/* no epoch */
	CHECK_EQ(changed(&arming, 71, 0x40), -EBADMSG); /* T too large */
	CHECK_EQ(changed(&arming, 79, 0x7f), -EBADMSG); /* T' too large, and not "never" */
	CHECK_EQ(changed(&frozen, 72, WIRE_STATES), -EBADMSG);
	CHECK_EQ(changed(&frozen, 72, STATE_IDLE), -EBADMSG); /* a thaw of what runs */
	CHECK_EQ(changed(&frozen, 74, RESULT_DONE), -EBADMSG);
	CHECK_EQ(changed(&frozen, 76, 2), -EBADMSG);
	CHECK_EQ(changed(&frozen, 79, 1), -EBADMSG);
	CHECK_EQ(changed(&frozen, 135, 1), -EBADMSG); /* d too large */
	CHECK_EQ(changed(&frozen, 142, 0xff), 0);     /* frozen for two years and a half */
	CHECK_EQ(changed(&frozen, 143, 0x40), -EBADMSG);
}

static void test_texts(void)
{
	for (unsigned i = 0; i < WIRE_RESULTS; i++)
		CHECK(strlen(wire_result_text((enum wire_result)i)) > 3);
	for (unsigned i = 0; i < WIRE_REFUSALS; i++)
		CHECK(strlen(wire_refusal_text((enum wire_refusal)i)) > 3);
	CHECK_STR(wire_result_text(WIRE_RESULTS), "?");
}

int main(void)
{
	RUN(test_layout);
	RUN(test_round_trip);
	RUN(test_refused);
	RUN(test_texts);
	return check_result();
}
