/* build: proto/wire.c proto/participant.c proto/coordinator.c proto/coordinator_phase.c proto/deadlines.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages from hostile peers: any bytes to the decoder, and any well-formed messages in any order
 * to a participant and a coordinator, between events of the platform. What decodes is encoded as
 * the same bytes; the participant never arms one freeze on another, holds its servo exactly while
 * it is in an epoch, and gives each T' once; the coordinator's books balance.
 */
#include <string.h>
#include "proto/coordinator.h"
#include "proto/participant.h"
#include "test/fuzz/fuzz.h"

#define NODES 3
#define MS    1000000ull

static struct participant p;
static struct coordinator c;
static struct coordinator_node nodes[NODES];
static struct deadline deadlines[NODES];
static struct moment now;
static bool held, planned, frozen, thaw_known;

static void participant_settle(void)
{
	struct participant_action a;
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct wire_message m;

	while (participant_next(&p, &now, &a)) {
		switch (a.type) {
		case PARTICIPANT_HOLD:
		case PARTICIPANT_RELEASE:
			REQUIRE(held != (a.type == PARTICIPANT_HOLD));
			held = !held;
			break;
		case PARTICIPANT_FREEZE:
			REQUIRE(held && !planned && !frozen && a.until > a.at);
			planned = true;
			thaw_known = a.until != WIRE_NEVER;
			break;
		case PARTICIPANT_CANCEL:
			REQUIRE(planned);
			planned = false;
			break;
		case PARTICIPANT_THAW:
			REQUIRE(frozen && !thaw_known);
			thaw_known = true;
			break;
		case PARTICIPANT_SEND:
			REQUIRE(wire_decode(buf, wire_encode(&a.message, buf), &m) == 0);
		}
	}
	REQUIRE(held == (p.report.state != STATE_IDLE));
	REQUIRE(planned == (p.report.state == STATE_COMMITTED));
	REQUIRE(frozen == (p.report.state == STATE_FROZEN));
	REQUIRE(participant_deadline(&p, &now) > now.mono);
}

static void coordinator_settle(void)
{
	struct coordinator_action a;
	uint32_t pending = 0, spoiled = 0;
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct wire_message m;

	for (unsigned n = 0; coordinator_next(&c, &now, &a); n++) {
		REQUIRE(n < 1000);
		if (a.send)
			REQUIRE(wire_decode(buf, wire_encode(&a.message, buf), &m) == 0);
	}
	for (unsigned i = 0; i < NODES; i++) {
		pending += !nodes[i].done;
		spoiled += nodes[i].fate != FATE_NONE;
	}
	REQUIRE(c.phase == PHASE_SUPERSEDED || pending == c.pending);
	REQUIRE(spoiled == c.spoiled);
	REQUIRE(coordinator_deadline(&c) > now.mono);
}

/* A message that may well be meant for them. */
static void any_message(struct wire_message *m)
{
	uint8_t bytes[WIRE_MESSAGE_MAX] = {0};
	unsigned type = 1 + (unsigned)take(1) % (WIRE_TYPES - 1);
	size_t size = wire_encode(&(struct wire_message){.type = (enum wire_type)type}, bytes);
	unsigned fields = (unsigned)take(1) % 16;

	memcpy(bytes + 8, &(uint64_t){1}, 8);
	bytes[16] = (uint8_t)take(1) % 4 + 100; /* incarnation */
	bytes[24] = (uint8_t)take(1) % 8 + 100; /* epoch */
	bytes[32] = (uint8_t)take(1) % 3;	/* boot */
	bytes[40] = type == WIRE_REPORT ? (uint8_t)take(1) % 4 : 0;
	bytes[48] = (uint8_t)take(1); /* sequence number */
	for (; fields; fields--) {
		unsigned at = 44 + (unsigned)take(1) % (unsigned)(size - 44);

		bytes[at] = (uint8_t)take(1);
	}
	if (wire_decode(bytes, size, m) != 0)
		*m = (struct wire_message){.type = WIRE_QUERY, .experiment = 1};
}

static void platform(unsigned event)
{
	uint64_t ns = take(8);

	switch (event) {
	case 0:
		if (planned) {
			planned = false;
			frozen = true;
			participant_frozen(&p, ns, &now);
		}
		break;
	case 1:
		if (planned) {
			planned = false;
			participant_failed(&p, &now);
		}
		break;
	case 2:
		if (frozen) {
			frozen = thaw_known = false;
			participant_thawed(&p, ns, take(8), &now);
		}
		break;
	case 3:
		participant_stepped(&p, &now);
		break;
	default:
		if (!frozen)
			participant_busy(&p, ns & 1, &now);
	}
}

static void step(void)
{
	struct wire_message m;
	unsigned what = (unsigned)take(1) % 16;

	if (what < 4) {
		any_message(&m);
		participant_receive(&p, &m, &now);
	} else if (what < 8) {
		any_message(&m);
		coordinator_receive(&c, &m, &now);
	} else if (what < 11) {
		platform((unsigned)take(1) % 5);
	} else if (what < 14) {
		uint64_t ns = take(what == 11 ? 6 : 3);

		now.mono += ns;
		now.shared += ns;
	} else if (what == 14) {
		(void)coordinator_freeze(&c, now.shared + take(4),
					 take(1) & 1 ? WIRE_NEVER : take(8), &now);
	} else {
		(void)coordinator_thaw(&c, now.shared + take(4), take(1) & 1, &now);
	}
	participant_settle();
	coordinator_settle();
}

static void any_bytes(const uint8_t *data, size_t size)
{
	uint8_t again[WIRE_MESSAGE_MAX];
	struct wire_message m;

	if (wire_decode(data, size, &m) == 0)
		REQUIRE(wire_encode(&m, again) == size && memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct participant_config pc = {.experiment = 1, .boot = 1, .margin = MS};
	static const struct coordinator_config cc = {
		.experiment = 1,
		.incarnation = 101,
		.nodes = NODES,
		.margin = MS,
		.late_limit = MS,
		.bound_max = MS,
		.patience = 100 * MS,
		.retry_first = MS,
		.retry_limit = 10 * MS,
		.keep_alive = 100 * MS,
	};

	any_bytes(data, size);
	now = (struct moment){.mono = MS, .shared = 1000 * MS, .bound = 100};
	held = planned = frozen = thaw_known = false;
	participant_init(&p, &pc);
	coordinator_init(&c, &cc, nodes, deadlines, &now);
	fuzz_begin(data, size);
	while (fuzz_more())
		step();
	return 0;
}
