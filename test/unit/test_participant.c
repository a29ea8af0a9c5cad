/* build: proto/wire.c proto/participant.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/participant.h"
#include "test/unit/check.h"

#define MS     UINT64_C(1000000)
#define BOOT   77
#define COORD  1000
#define T      (1000 * MS)
#define LIMIT  (20 * MS)
#define BOUND  1000
#define MARGIN (2 * MS)

static struct participant p;
static struct moment now;
static char did[64]; /* one letter for each action */
static struct wire_report last;
static uint64_t last_epoch, freeze_at, freeze_until;

static void settle(void)
{
	static const char letters[] = {'h', 'r', 'F', 'C', 'T', 's'};
	struct participant_action a;
	size_t n = 0;

	memset(did, 0, sizeof(did));
	while (participant_next(&p, &now, &a) && n < sizeof(did) - 1) {
		did[n++] = letters[a.type];
		if (a.type == PARTICIPANT_SEND) {
			last = a.message.report;
			last_epoch = a.message.epoch;
		} else if (a.type == PARTICIPANT_FREEZE || a.type == PARTICIPANT_THAW) {
			freeze_at = a.at;
			freeze_until = a.until;
		}
	}
}

static void start(void)
{
	static const struct participant_config config = {
		.experiment = 1, .boot = BOOT, .node = 3, .margin = MARGIN};

	participant_init(&p, &config);
	now = (struct moment){.mono = 5, .shared = T - 100 * MS, .bound = BOUND / 2};
	settle();
}

static struct wire_message message(enum wire_type type, uint64_t epoch, uint64_t until)
{
	return (struct wire_message){
		.type = type,
		.experiment = 1,
		.incarnation = COORD,
		.epoch = epoch,
		.boot = BOOT,
		.node = 3,
		.seq = 1,
		.command = {.at = T, .until = until, .late_limit = LIMIT, .bound_max = BOUND},
	};
}

static void send(const struct wire_message *m)
{
	participant_receive(&p, m, &now);
	settle();
}

static void command(enum wire_type type, uint64_t epoch, uint64_t until)
{
	struct wire_message m = message(type, epoch, until);

	send(&m);
}

static void pass(uint64_t shared)
{
	now.mono += shared - now.shared;
	now.shared = shared;
	settle();
}

static void frozen(uint64_t late)
{
	now.mono += T + late - now.shared;
	now.shared = T + late;
	participant_frozen(&p, late, &now);
	settle();
}

static void test_open_freeze(void)
{
	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	CHECK_STR(did, "hs");
	CHECK_EQ(last.state, STATE_ARMED);
	CHECK_EQ(last.margin, MARGIN);
	CHECK_EQ(last.bound, BOUND / 2);
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	CHECK_STR(did, "Fs");
	CHECK(freeze_at == T && freeze_until == WIRE_NEVER);
	frozen(7);
	CHECK_STR(did, "s");
	CHECK(last.state == STATE_FROZEN && last.late == 7);
	command(WIRE_THAW_ARM, 1, T + 50 * MS);
	CHECK_STR(did, "s");
	CHECK_EQ(last.thaw, THAW_ARMED);
	command(WIRE_THAW_COMMIT, 1, T + 50 * MS);
	CHECK_STR(did, "Ts");
	CHECK_EQ(freeze_until, T + 50 * MS);
	participant_thawed(&p, 50 * MS, 3, &now);
	settle();
	CHECK_STR(did, "rs");
	CHECK(last.state == STATE_IDLE && last.result == RESULT_DONE && last.frozen == 50 * MS &&
	      last.thaw_late == 3);
}

static void test_frozen_for_weeks(void)
{
	const uint64_t weeks = 30ull * 86400 * 1000 * MS;

	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	frozen(0);
	participant_thawed(&p, weeks, 0, &now);
	settle();
	CHECK_EQ(last.frozen, weeks);
}

static void test_freeze_with_end(void)
{
	start();
	command(WIRE_ARM, 1, T + 50 * MS);
	command(WIRE_COMMIT, 1, T + 50 * MS);
	CHECK(freeze_at == T && freeze_until == T + 50 * MS);
	frozen(0);
	CHECK_EQ(last.thaw, THAW_COMMITTED);
	command(WIRE_THAW_COMMIT, 1, T + 60 * MS); /* another T' */
	CHECK_STR(did, "s");
	CHECK_EQ(last.refusal, REFUSAL_BUSY);
	command(WIRE_THAW_COMMIT, 1, T + 50 * MS);
	CHECK_STR(did, "s");
	CHECK_EQ(last.refusal, REFUSAL_NONE);
}

static void test_repetition_changes_nothing(void)
{
	start();
	for (int i = 0; i < 3; i++) {
		command(WIRE_ARM, 1, WIRE_NEVER);
		CHECK_STR(did, i ? "s" : "hs");
	}
	for (int i = 0; i < 3; i++) {
		command(WIRE_COMMIT, 1, WIRE_NEVER);
		CHECK_STR(did, i ? "s" : "Fs");
	}
	command(WIRE_ARM, 1, WIRE_NEVER); /* overtaken by the commit */
	CHECK_STR(did, "s");
	CHECK(last.state == STATE_COMMITTED && last.refusal == REFUSAL_NONE);
}

static void test_late_commit(void)
{
	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	pass(T + LIMIT);
	CHECK_STR(did, "");
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	CHECK_STR(did, "Fs");
}

static void test_too_late_commit(void)
{
	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	CHECK_EQ(participant_deadline(&p, &now) - now.mono, T + LIMIT + 1 - now.shared);
	now.mono += T + LIMIT + 1 - now.shared;
	now.shared = T + LIMIT + 1;
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	CHECK_STR(did, "rs");
	CHECK(last.state == STATE_IDLE && last.result == RESULT_MISSED);
}

static void test_neither_commit_nor_abort(void)
{
	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	pass(T + LIMIT + 1);
	CHECK_STR(did, "rs"); /* and it tells */
	CHECK_EQ(last.result, RESULT_UNCOMMITTED);
}

static void test_abort(void)
{
	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	command(WIRE_ABORT, 1, WIRE_NEVER);
	CHECK_STR(did, "Crs");
	CHECK_EQ(last.result, RESULT_ABORTED);
	command(WIRE_ABORT, 1, WIRE_NEVER);
	CHECK_EQ(last.refusal, REFUSAL_NONE);
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	CHECK_STR(did, "s");
	CHECK_EQ(last.refusal, REFUSAL_STALE);
	command(WIRE_ABORT, 2, WIRE_NEVER); /* overtakes its arming */
	command(WIRE_ARM, 2, WIRE_NEVER);
	CHECK_STR(did, "s");
	CHECK_EQ(last.refusal, REFUSAL_STALE);
	command(WIRE_ARM, 3, WIRE_NEVER);
	command(WIRE_COMMIT, 3, WIRE_NEVER);
	frozen(0);
	command(WIRE_ABORT, 3, WIRE_NEVER);
	CHECK_STR(did, "s");
	CHECK(last.state == STATE_FROZEN && last.refusal == REFUSAL_BUSY);
}

static uint8_t refusal_of(struct wire_message m)
{
	send(&m);
	return last.refusal;
}

static void test_refusals(void)
{
	struct wire_message m;

	start();
	m = message(WIRE_ARM, 1, WIRE_NEVER);
	m.experiment = 2;
	CHECK_EQ(refusal_of(m), REFUSAL_EXPERIMENT);
	m = message(WIRE_ARM, 1, WIRE_NEVER);
	m.boot = 0;
	CHECK_EQ(refusal_of(m), REFUSAL_BOOT);
	m = message(WIRE_ARM, 1, WIRE_NEVER);
	m.command.at = now.shared + MARGIN - 1;
	CHECK_EQ(refusal_of(m), REFUSAL_LATE);
	m = message(WIRE_ARM, 1, WIRE_NEVER);
	m.command.bound_max = BOUND / 2 - 1;
	CHECK_EQ(refusal_of(m), REFUSAL_CLOCK);
	now.drift_ppb = BOUND; /* the error grows until T' */
	m = message(WIRE_ARM, 1, T + 1);
	CHECK_EQ(refusal_of(m), REFUSAL_CLOCK);
	now.drift_ppb = 0;
	now.bound = WIRE_NEVER;
	CHECK_EQ(refusal_of(message(WIRE_ARM, 1, WIRE_NEVER)), REFUSAL_CLOCK);
	now.bound = BOUND / 2;
	participant_busy(&p, true, &now);
	CHECK_EQ(refusal_of(message(WIRE_ARM, 1, WIRE_NEVER)), REFUSAL_BUSY);
	participant_busy(&p, false, &now);
	CHECK_EQ(refusal_of(message(WIRE_THAW_COMMIT, 1, T + 1)), REFUSAL_UNARMED);
	CHECK_EQ(last_epoch, 0);
	CHECK_EQ(refusal_of(message(WIRE_ARM, 1, WIRE_NEVER)), REFUSAL_NONE);
	m = message(WIRE_COMMIT, 1, WIRE_NEVER);
	m.command.at++;
	CHECK_EQ(refusal_of(m), REFUSAL_UNARMED);
	m = message(WIRE_COMMIT, 1, WIRE_NEVER);
	m.incarnation--;
	CHECK_EQ(refusal_of(m), REFUSAL_SUPERSEDED);
	CHECK_EQ(refusal_of(message(WIRE_COMMIT, 1, WIRE_NEVER)), REFUSAL_NONE);
	CHECK_EQ(refusal_of(message(WIRE_ARM, 2, WIRE_NEVER)), REFUSAL_BUSY);
}

static void test_later_coordinator(void)
{
	struct wire_message m;

	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	m = message(WIRE_QUERY, 0, 0);
	m.incarnation = COORD + 5;
	m.boot = 0;
	send(&m);
	CHECK_EQ(last.obeys, COORD); /* a question changes nothing */
	m.type = WIRE_ATTACH;
	send(&m);
	CHECK_EQ(last.obeys, COORD + 5);
	CHECK_EQ(refusal_of(message(WIRE_COMMIT, 1, WIRE_NEVER)), REFUSAL_SUPERSEDED);
	m = message(WIRE_COMMIT, 1, WIRE_NEVER);
	m.incarnation = COORD + 5;
	CHECK_EQ(refusal_of(m), REFUSAL_NONE);
}

static void test_stepped_clock(void)
{
	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	participant_stepped(&p, &now);
	settle();
	CHECK_STR(did, "rs");
	CHECK(last.result == RESULT_WITHDRAWN && last.flags == REPORT_STEPPED);
	command(WIRE_ARM, 2, WIRE_NEVER);
	CHECK_EQ(last.flags, 0);
	command(WIRE_COMMIT, 2, WIRE_NEVER);
	participant_stepped(&p, &now);
	settle();
	CHECK_STR(did, "Crs");
	command(WIRE_ARM, 3, WIRE_NEVER);
	command(WIRE_COMMIT, 3, WIRE_NEVER);
	frozen(0);
	participant_stepped(&p, &now);
	settle();
	CHECK_STR(did, "s");
	CHECK(last.state == STATE_FROZEN && last.flags == REPORT_STEPPED);
}

static void test_frozen_node_makes_itself_known(void)
{
	struct wire_message seen;
	uint64_t before;

	start();
	command(WIRE_ARM, 1, WIRE_NEVER);
	command(WIRE_COMMIT, 1, WIRE_NEVER);
	frozen(0);
	for (int i = 0; i < 40; i++) { /* nobody answers: it goes on, ever more slowly */
		before = now.mono;
		pass(now.shared + participant_deadline(&p, &now) - now.mono);
		CHECK_STR(did, "s");
		CHECK(now.mono - before <= 10000 * MS);
	}
	seen = message(WIRE_SEEN, 1, WIRE_NEVER);
	seen.command.seen = last.number;
	send(&seen);
	CHECK_STR(did, "");
	CHECK_EQ(participant_deadline(&p, &now), now.mono + 10000 * MS);
}

static void test_left_out(void)
{
	start();
	command(WIRE_COMMIT, 4, WIRE_NEVER);
	CHECK_STR(did, "s");
	CHECK(last_epoch == 4 && last.result == RESULT_MISSED);
	command(WIRE_ARM, 4, WIRE_NEVER);
	CHECK_EQ(last.refusal, REFUSAL_STALE);
}

int main(void)
{
	RUN(test_open_freeze);
	RUN(test_frozen_for_weeks);
	RUN(test_freeze_with_end);
	RUN(test_repetition_changes_nothing);
	RUN(test_late_commit);
	RUN(test_too_late_commit);
	RUN(test_neither_commit_nor_abort);
	RUN(test_abort);
	RUN(test_refusals);
	RUN(test_later_coordinator);
	RUN(test_stepped_clock);
	RUN(test_frozen_node_makes_itself_known);
	RUN(test_left_out);
	return check_result();
}
