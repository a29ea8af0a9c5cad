/* build: proto/wire.c proto/participant.c proto/coordinator.c proto/coordinator_phase.c proto/deadlines.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A coordinator and three participants, each message through the wire format, at once or never. */
#include <errno.h>
#include "proto/coordinator.h"
#include "proto/participant.h"
#include "test/unit/check.h"

#define MS     UINT64_C(1000000)
#define NODES  3
#define MARGIN (10 * MS)

static struct participant p[NODES];
static bool deaf[NODES], dead[NODES];
static uint64_t due[NODES], thaw_due[NODES], start[NODES], extra[NODES]; /* extra: of the freeze */
static struct coordinator c;
static struct coordinator_node nodes[NODES];
static struct deadline deadlines[NODES];
static struct moment now;
static unsigned sent[WIRE_TYPES]; /* commands */
static char events[32];

static void node_act(unsigned i, const struct participant_action *a)
{
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct wire_message m;

	switch (a->type) {
	case PARTICIPANT_FREEZE:
		due[i] = a->at + extra[i];
		thaw_due[i] = a->until;
		break;
	case PARTICIPANT_CANCEL:
		due[i] = WIRE_NEVER;
		break;
	case PARTICIPANT_THAW:
		thaw_due[i] = a->until;
		break;
	case PARTICIPANT_SEND:
		CHECK_EQ(wire_decode(buf, wire_encode(&a->message, buf), &m), 0);
		if (!deaf[i])
			coordinator_receive(&c, &m, &now);
		break;
	default:
		break;
	}
}

static void node_settle(unsigned i)
{
	struct participant_action a;

	if (now.shared >= due[i] && p[i].report.state == STATE_COMMITTED) {
		start[i] = now.shared;
		participant_frozen(&p[i], now.shared - due[i] + extra[i], &now);
		due[i] = WIRE_NEVER;
	}
	if (p[i].report.state == STATE_FROZEN && thaw_due[i] != WIRE_NEVER &&
	    now.shared >= thaw_due[i] + extra[i])
		participant_thawed(&p[i], now.shared - start[i], 0, &now);
	while (!dead[i] && participant_next(&p[i], &now, &a))
		node_act(i, &a);
}

static void settle(void)
{
	struct coordinator_action a;

	for (unsigned i = 0; i < NODES; i++)
		node_settle(i);
	while (coordinator_next(&c, &now, &a)) {
		if (!a.send) {
			events[strlen(events)] = "ACFTES"[a.event];
			continue;
		}
		sent[a.message.type]++;
		if (!deaf[a.node] && !dead[a.node])
			participant_receive(&p[a.node], &a.message, &now);
		node_settle(a.node);
	}
}

static void pass(uint64_t ns)
{
	for (uint64_t end = now.shared + ns; now.shared < end;) {
		now.mono += MS;
		now.shared += MS;
		settle();
	}
}

static void boot(unsigned i, uint64_t number)
{
	struct participant_config config = {
		.experiment = 1, .boot = number, .node = i, .margin = MS};

	participant_init(&p[i], &config);
	due[i] = thaw_due[i] = WIRE_NEVER;
	deaf[i] = dead[i] = false;
	extra[i] = 0;
}

static void attach(uint64_t incarnation)
{
	struct coordinator_config config = {
		.experiment = 1,
		.incarnation = incarnation,
		.nodes = NODES,
		.margin = MARGIN,
		.late_limit = 20 * MS,
		.late_clean = MS / 2,
		.bound_max = 1000,
		.patience = 500 * MS,
		.retry_first = 5 * MS,
		.retry_limit = 50 * MS,
		.keep_alive = 200 * MS,
	};

	memset(sent, 0, sizeof(sent));
	memset(events, 0, sizeof(events));
	coordinator_init(&c, &config, nodes, deadlines, &now);
}

static void begin(void)
{
	now = (struct moment){.mono = MS, .shared = 1000 * MS, .bound = 10};
	for (unsigned i = 0; i < NODES; i++)
		boot(i, 10 + i);
	attach(100);
	settle();
	CHECK_STR(events, "A");
	CHECK_EQ(c.phase, PHASE_IDLE);
}

static void test_clean(void)
{
	begin();
	CHECK_EQ(coordinator_freeze(&c, now.shared + MARGIN, WIRE_NEVER, &now), -EINVAL);
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, now.shared + 50 * MS, &now), -EINVAL);
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), -EBUSY);
	settle();
	CHECK_STR(events, "AC");
	pass(60 * MS);
	CHECK_STR(events, "ACF");
	CHECK(c.phase == PHASE_FROZEN && c.spoiled == 0);
	CHECK_EQ(coordinator_abort(&c), -EBUSY);
	CHECK_EQ(coordinator_thaw(&c, now.shared + 20 * MS, false, &now), 0);
	pass(30 * MS);
	CHECK_STR(events, "ACFE");
	CHECK_EQ(c.outcome, OUTCOME_CLEAN);
	CHECK_EQ(sent[WIRE_ATTACH] + sent[WIRE_ARM] + sent[WIRE_COMMIT] + sent[WIRE_THAW_ARM] +
			 sent[WIRE_THAW_COMMIT],
		 5 * NODES); /* nothing is repeated for nothing */
}

static void test_missing_acknowledgement(void)
{
	begin();
	deaf[1] = true;
	CHECK_EQ(coordinator_freeze(&c, now.shared + 100 * MS, WIRE_NEVER, &now), 0);
	pass(89 * MS);
	CHECK_EQ(c.phase, PHASE_ARMING);
	CHECK_EQ(sent[WIRE_ABORT], 0);
	pass(MS);
	CHECK_EQ(c.phase, PHASE_ABORTING);
	CHECK(p[0].report.result == RESULT_ABORTED && p[2].report.result == RESULT_ABORTED);
	CHECK_EQ(nodes[1].fate, FATE_SILENT);
	pass(100 * MS);
	deaf[1] = false; /* it is still told */
	pass(100 * MS);
	CHECK_EQ(p[1].report.result, RESULT_ABORTED);
	CHECK_STR(events, "AE");
	CHECK_EQ(c.outcome, OUTCOME_ABORTED);
}

static void test_refusal(void)
{
	begin();
	participant_busy(&p[2], true, &now);
	CHECK_EQ(coordinator_freeze(&c, now.shared + 100 * MS, WIRE_NEVER, &now), 0);
	settle();
	CHECK_STR(events, "AE");
	CHECK(nodes[2].fate == FATE_REFUSED && nodes[2].refused == REFUSAL_BUSY);
	CHECK_EQ(sent[WIRE_COMMIT], 0);
	CHECK_EQ(c.outcome, OUTCOME_ABORTED);
}

static void test_late(void)
{
	begin();
	extra[1] = 3 * MS;
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, now.shared + 90 * MS, &now), 0);
	pass(100 * MS);
	CHECK_STR(events, "ACFE");
	CHECK_EQ(c.outcome, OUTCOME_LATE);
	CHECK_EQ(c.late, 3 * MS);
}

static void test_reset_while_frozen(void)
{
	begin();
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	pass(60 * MS);
	boot(1, 50);
	pass(500 * MS);
	CHECK_EQ(coordinator_thaw(&c, now.shared + 20 * MS, false, &now), 0);
	pass(30 * MS);
	CHECK_STR(events, "ACFE");
	CHECK(c.outcome == OUTCOME_PARTIAL && c.spoiled == 1 && nodes[1].fate == FATE_RESET);
}

static void test_thaw_without_an_answer(void)
{
	begin();
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	pass(60 * MS);
	deaf[0] = true;
	CHECK_EQ(coordinator_thaw(&c, now.shared + 50 * MS, false, &now), 0);
	pass(60 * MS);
	CHECK_STR(events, "ACFT");
	for (unsigned i = 0; i < NODES; i++)
		CHECK_EQ(p[i].report.state, STATE_FROZEN);
	CHECK_EQ(coordinator_thaw(&c, now.shared + 50 * MS, true, &now), 0);
	pass(700 * MS);
	CHECK_STR(events, "ACFTE");
	CHECK(c.outcome == OUTCOME_PARTIAL && nodes[0].fate == FATE_SILENT);
	CHECK(p[1].report.state == STATE_IDLE && p[0].report.state == STATE_FROZEN);
	deaf[0] = false; /* it is looked for, and released */
	pass(500 * MS);
	CHECK_EQ(p[0].report.state, STATE_IDLE);
}

static void test_inherits_a_committed_epoch(void)
{
	begin();
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	deaf[0] = true;
	settle();
	deaf[0] = false;
	for (unsigned i = 0; i < NODES; i++) /* it dies before the third hears */
		dead[i] = i == 2;
	pass(6 * MS);
	CHECK_EQ(c.phase, PHASE_ARMING);
	begin();
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	settle();
	pass(60 * MS);
	attach(200);
	pass(2 * MS);
	CHECK_STR(events, "AF");
	CHECK(c.phase == PHASE_FROZEN && c.epoch == 101 && c.spoiled == 0);
	CHECK_EQ(coordinator_thaw(&c, now.shared + 20 * MS, false, &now), 0);
	pass(30 * MS);
	CHECK_STR(events, "AFE");
	CHECK_EQ(c.outcome, OUTCOME_CLEAN);
}

static void test_calls_off_what_was_only_armed(void)
{
	begin();
	deaf[1] = true;
	CHECK_EQ(coordinator_freeze(&c, now.shared + 500 * MS, WIRE_NEVER, &now), 0);
	pass(10 * MS);
	CHECK_EQ(p[0].report.state, STATE_ARMED);
	deaf[1] = false;
	attach(200);
	pass(5 * MS);
	CHECK_STR(events, "AE");
	CHECK(c.outcome == OUTCOME_ABORTED && p[0].report.result == RESULT_ABORTED);
}

/* After T nobody knows whether it was frozen before it was reset. */
static void test_inherited_epoch_of_a_reset_node(void)
{
	begin();
	deaf[1] = true;
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	settle();
	boot(1, 50);
	now.mono += 55 * MS; /* T is past, the limit is not */
	now.shared += 55 * MS;
	attach(200);
	pass(5 * MS);
	CHECK_STR(events, "AE");
	CHECK(c.outcome == OUTCOME_PARTIAL && nodes[1].fate == FATE_RESET);
	CHECK_EQ(p[0].report.result, RESULT_ABORTED);
}

static void test_node_that_was_reset_is_found(void)
{
	begin();
	boot(1, 50);
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	settle();
	CHECK_STR(events, "AE"); /* a later coordinator could have had it meanwhile */
	CHECK(c.outcome == OUTCOME_ABORTED && nodes[1].fate == FATE_RESET);
	boot(1, 51);
	pass(300 * MS); /* it is asked */
	CHECK_EQ(coordinator_freeze(&c, now.shared + 50 * MS, WIRE_NEVER, &now), 0);
	settle();
	CHECK_STR(events, "AEC");
}

static void test_superseded(void)
{
	struct wire_message later = {
		.type = WIRE_ATTACH, .experiment = 1, .incarnation = 999, .node = 1};

	begin();
	participant_receive(&p[1], &later, &now);
	deaf[1] = true; /* its answer is not for this one */
	node_settle(1);
	deaf[1] = false;
	CHECK_EQ(coordinator_freeze(&c, now.shared + 100 * MS, WIRE_NEVER, &now), 0);
	pass(200 * MS);
	CHECK_STR(events, "AS");
	CHECK_EQ(sent[WIRE_COMMIT], 0);
	CHECK_EQ(p[0].report.result, RESULT_UNCOMMITTED);
	CHECK_EQ(coordinator_deadline(&c), DEADLINE_NEVER);
}

int main(void)
{
	RUN(test_clean);
	RUN(test_missing_acknowledgement);
	RUN(test_refusal);
	RUN(test_late);
	RUN(test_reset_while_frozen);
	RUN(test_thaw_without_an_answer);
	RUN(test_inherits_a_committed_epoch);
	RUN(test_calls_off_what_was_only_armed);
	RUN(test_inherited_epoch_of_a_reset_node);
	RUN(test_node_that_was_reset_is_found);
	RUN(test_superseded);
	return check_result();
}
