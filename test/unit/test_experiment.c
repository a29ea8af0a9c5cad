/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: hv/experiment.c proto/wire.c proto/participant.c proto/coordinator.c proto/coordinator_phase.c proto/deadlines.c net/shared_clock.c */
/* A node in its experiment, with a freeze that the test plays, under the coordinator's own core:
 * whole epochs, what the operator does meanwhile, and which connection hears of it. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include "arch/x86_64/arch.h"
#include "boot/handoff.h"
#include "hv/experiment.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/node.h"
#include "hv/vcpu.h"
#include "net/control.h"
#include "net/ctlnet.h"
#include "net/ptp_clock.h"
#include "net/ptp_udp.h"
#include "proto/coordinator.h"
#include "test/unit/check.h"

#define MS     1000000ull
#define SHARED 1700000000000000000ull /* ahead of the host's clock by that */
#define MARGIN (20 * MS)

static uint64_t now = 5000 * MS; /* host ticks are ns */
static struct ptp_clock ptp = {.shared = {.shared = SHARED}};
static uint64_t bound, steps, late;
static bool locked, held;
static struct handoff block = {.experiment = 7, .node = 0};
static const char *ended;

static struct {
	struct freeze_plan plan;
	enum freeze_state state;
	uint64_t at, late, wake;
	unsigned freezes, arms, cancels;
	bool fails;
} node;

static struct coordinator coordinator;
static struct coordinator_node nodes[1];
static struct deadline deadlines[1];
static unsigned conn; /* the coordinator's */
static unsigned heard[CONTROL_CONNECTIONS];
static unsigned outcomes[OUTCOME_ABORTED + 1], frozen_events;

/* --- what the node has --- */

uint64_t tsc_hz(void)
{
	return 1000000000;
}

uint64_t node_host_ticks(void)
{
	return now;
}

uint64_t ptp_udp_local(uint64_t ticks)
{
	return ticks;
}

uint64_t ptp_udp_ticks(uint64_t shared)
{
	return shared_to_local(&ptp.shared, shared);
}

const struct ptp_clock *ptp_udp_clock(void)
{
	return &ptp;
}

uint64_t ptp_udp_steps(void)
{
	return steps;
}

void ptp_udp_hold(bool hold)
{
	CHECK(held != hold);
	held = hold;
}

bool ptp_locked(const struct ptp_clock *p)
{
	(void)p;
	return locked;
}

uint64_t ptp_bound(const struct ptp_clock *p, uint64_t at)
{
	(void)p;
	(void)at;
	return bound;
}

uint32_t ptp_drift_ppb(const struct ptp_clock *p)
{
	(void)p;
	return 0;
}

uint64_t entropy_u64(void)
{
	return 12345678901234567ull;
}

uint16_t control_port(void)
{
	return 4789;
}

const struct netdev *ctlnet_card(void)
{
	return NULL;
}

const char *node_guest_ended(void)
{
	return ended;
}

void log_at(enum log_level level, const char *f, ...)
{
	(void)level;
	(void)f;
}

bool log_ratelimited(struct log_ratelimit *r)
{
	(void)r;
	return true;
}

void panic(const char *f, ...)
{
	printf("panic: %s\n", f);
	abort();
}

const char *control_peer(unsigned c, char text[CONTROL_PEER_TEXT])
{
	(void)c;
	text[0] = 0;
	return text;
}

void control_error(unsigned c, uint16_t channel, const char *text)
{
	(void)c, (void)channel;
	CHECK(!text);
}

/* --- the freeze --- */

int freeze_arm(const struct freeze_plan *p)
{
	CHECK(held);
	if (node.state != NODE_RUNNING)
		return -EBUSY;
	node.plan = *p;
	node.arms++;
	return 0;
}

void freeze_cancel(void)
{
	node.plan.at = HOST_NEVER;
	node.cancels++;
}

int thaw_at(uint64_t at)
{
	if (node.state == NODE_RUNNING)
		return -EALREADY;
	node.wake = at + node.late;
	return 0;
}

static void stop(uint64_t at, bool as_planned)
{
	node.state = NODE_FROZEN;
	node.at = at;
	node.late = now - at;
	node.wake = HOST_NEVER;
	node.freezes++;
	experiment_frozen(as_planned, node.late);
}

static void start(void)
{
	node.state = NODE_RUNNING;
	experiment_thawed(now - node.at - node.late, node.wake == HOST_NEVER ? 0 : now - node.wake);
}

static void node_step(void)
{
	uint64_t at = node.plan.at;

	if (node.state == NODE_RUNNING && at != HOST_NEVER && now >= at + late) {
		node.plan.at = HOST_NEVER;
		if (node.fails) {
			experiment_failed();
			return;
		}
		stop(at, true);
		if (node.plan.for_ticks != HOST_NEVER)
			(void)thaw_at(at + node.plan.for_ticks);
	} else if (node.state == NODE_FROZEN && now >= node.wake) {
		start();
	}
}

/* --- the coordinator's side --- */

static struct moment moment(void)
{
	return (struct moment){.mono = now, .shared = now + SHARED};
}

bool control_send(unsigned c, enum ctl_type type, uint16_t channel, const void *payload,
		  size_t size)
{
	struct moment m = moment();
	struct wire_message message;

	CHECK(type == CTL_FREEZE && channel == 0);
	CHECK_EQ(wire_decode(payload, size, &message), 0);
	heard[c]++;
	if (c == conn)
		coordinator_receive(&coordinator, &message, &m);
	return true;
}

static void coordinator_step(void)
{
	struct coordinator_action a;
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct moment m = moment();

	while (coordinator_next(&coordinator, &m, &a)) {
		if (a.send) {
			size_t n = wire_encode(&a.message, buf);

			experiment_receive(conn, buf, n);
			continue;
		}
		if (a.event == EVENT_ENDED)
			outcomes[coordinator.outcome]++;
		frozen_events += a.event == EVENT_FROZEN;
	}
}

static void run(uint64_t ns)
{
	for (uint64_t end = now + ns; now < end; now += MS / 4) {
		node_step();
		if (now >= experiment_due())
			experiment_work();
		coordinator_step();
	}
}

static void attach(unsigned c)
{
	struct coordinator_config config = {
		.experiment = 7,
		.incarnation = (now + SHARED) / 1000,
		.nodes = 1,
		.margin = MARGIN,
		.late_limit = 1000 * MS,
		.late_clean = 10 * MS,
		.bound_max = MS,
		.patience = 2000 * MS,
		.retry_first = 20 * MS,
		.retry_limit = 500 * MS,
		.keep_alive = 1000 * MS,
	};
	struct moment m = moment();

	conn = c;
	coordinator_init(&coordinator, &config, nodes, deadlines, &m);
	run(100 * MS);
	CHECK(coordinator.phase == PHASE_IDLE || coordinator.phase == PHASE_FROZEN);
}

static int freeze(uint64_t in_ms, uint64_t for_ms)
{
	struct moment m = moment();
	uint64_t at = m.shared + in_ms * MS;

	return coordinator_freeze(&coordinator, at, for_ms ? at + for_ms * MS : WIRE_NEVER, &m);
}

static void begin(void)
{
	memset(outcomes, 0, sizeof(outcomes));
	memset(heard, 0, sizeof(heard));
	node.freezes = node.arms = node.cancels = frozen_events = 0;
	node.plan.at = HOST_NEVER;
	node.fails = false;
	bound = 1000;
	late = 0;
	locked = true;
	run(3000 * MS);
	CHECK(node.state == NODE_RUNNING && !held && !experiment_owns_plan());
}

static struct experiment_status status(void)
{
	struct experiment_status s;

	CHECK(experiment_status(&s));
	return s;
}

/* --- tests --- */

static void an_epoch_is_clean(void)
{
	attach(1);
	begin();
	CHECK_EQ(freeze(200, 500), 0);
	run(150 * MS);
	CHECK(held && experiment_owns_plan() && node.arms == 1);
	run(60 * MS);
	CHECK(node.state == NODE_FROZEN);
	CHECK_EQ(status().report.state, STATE_FROZEN);
	run(600 * MS);
	CHECK(node.state == NODE_RUNNING && !held);
	CHECK_EQ(outcomes[OUTCOME_CLEAN], 1);
	CHECK_EQ(status().report.frozen, 500 * MS);
	CHECK_EQ(status().report.result, RESULT_DONE);
	CHECK(heard[1] && !heard[0]);
}

static void an_open_freeze_is_thawed_by_another_coordinator(void)
{
	struct moment m;

	begin();
	CHECK_EQ(freeze(200, 0), 0);
	run(1000 * MS);
	CHECK(node.state == NODE_FROZEN && frozen_events == 1);
	experiment_forget(1); /* its connection is cut */
	CHECK(!status().coordinator);
	attach(2);
	CHECK(status().coordinator && coordinator.phase == PHASE_FROZEN);
	m = moment();
	CHECK_EQ(coordinator_thaw(&coordinator, m.shared + 200 * MS, false, &m), 0);
	run(1000 * MS);
	CHECK(node.state == NODE_RUNNING && node.freezes == 1);
	CHECK_EQ(outcomes[OUTCOME_CLEAN], 1);
	CHECK(heard[2]);
}

static void lateness_is_told_and_made_up_for(void)
{
	begin();
	late = 50 * MS;
	CHECK_EQ(freeze(200, 300), 0);
	run(1000 * MS);
	CHECK_EQ(outcomes[OUTCOME_LATE], 1);
	CHECK_EQ(status().report.late, 50 * MS);
	CHECK_EQ(status().report.frozen, 300 * MS);
}

static void a_node_frozen_by_hand_withdraws(void)
{
	begin();
	CHECK_EQ(freeze(500, 300), 0);
	run(300 * MS);
	CHECK(experiment_owns_plan());
	stop(now, false);
	run(20 * MS);
	CHECK(node.cancels == 1 && !held && status().busy);
	start();
	run(3000 * MS);
	CHECK_EQ(outcomes[OUTCOME_PARTIAL], 1);
	CHECK(node.freezes == 1 && !status().busy);
}

static void a_stop_that_fails_is_told(void)
{
	begin();
	node.fails = true;
	CHECK_EQ(freeze(200, 300), 0);
	run(3000 * MS);
	CHECK_EQ(outcomes[OUTCOME_PARTIAL], 1);
	CHECK_EQ(status().report.result, RESULT_FAILED);
	CHECK(!held);
}

static void a_clock_that_is_set_ends_the_arming(void)
{
	begin();
	CHECK_EQ(freeze(500, 300), 0);
	run(300 * MS);
	steps++;
	run(3000 * MS);
	CHECK_EQ(node.freezes, 0);
	CHECK_EQ(node.cancels, 1);
	CHECK_EQ(status().report.result, RESULT_WITHDRAWN);
}

static void a_bad_clock_is_refused(void)
{
	begin();
	locked = false;
	CHECK_EQ(freeze(200, 300), 0);
	run(1000 * MS);
	CHECK_EQ(outcomes[OUTCOME_ABORTED], 1);
	begin();
	bound = 2 * MS;
	CHECK_EQ(freeze(200, 300), 0);
	run(1000 * MS);
	CHECK_EQ(outcomes[OUTCOME_ABORTED], 1);
	CHECK_EQ(node.arms, 0);
}

static void many_freezes_by_hand_are_followed(void)
{
	begin();
	for (unsigned i = 0; i < 1000; i++) { /* as a self-test does: nobody looks in between */
		stop(now, false);
		now += 1000;
		start();
	}
	run(10 * MS);
	CHECK(!status().busy);
	CHECK_EQ(freeze(200, 300), 0);
	run(1000 * MS);
	CHECK_EQ(outcomes[OUTCOME_CLEAN], 1);
}

static void malformed_messages_change_nothing(void)
{
	uint8_t garbage[WIRE_MESSAGE_MAX + 1] = {'S', 'F', 'R', 'Z', 1, 4};

	begin();
	for (size_t n = 0; n <= sizeof(garbage); n++)
		experiment_receive(3, garbage, n);
	CHECK_EQ(heard[3], 0);
	CHECK(!held);
}

static void a_node_whose_guest_has_ended_refuses(void)
{
	begin();
	ended = "triple fault";
	CHECK_EQ(freeze(200, 300), 0);
	run(1000 * MS);
	CHECK_EQ(outcomes[OUTCOME_ABORTED], 1);
	CHECK_EQ(node.arms, 0);
}

int main(void)
{
	experiment_init(&block);
	RUN(an_epoch_is_clean);
	RUN(an_open_freeze_is_thawed_by_another_coordinator);
	RUN(lateness_is_told_and_made_up_for);
	RUN(a_node_frozen_by_hand_withdraws);
	RUN(a_stop_that_fails_is_told);
	RUN(a_clock_that_is_set_ends_the_arming);
	RUN(a_bad_clock_is_refused);
	RUN(many_freezes_by_hand_are_followed);
	RUN(malformed_messages_change_nothing);
	RUN(a_node_whose_guest_has_ended_refuses);
	return check_result();
}
