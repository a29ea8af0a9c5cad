// SPDX-License-Identifier: GPL-2.0-or-later
/* What status and time say of the experiment and of shared time. */
#include "arch/x86_64/arch.h"
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/experiment.h"
#include "hv/vcpu.h"
#include "net/ptp_clock.h"
#include "net/ptp_udp.h"

#define RATE_UNIT_NUM 1000000ll /* shared_clock.h's rate to ppb */
#define RATE_UNIT_DEN 281474976711ll

static const char *const states[WIRE_STATES] = {"idle", "armed", "committed", "frozen"};
static const char *const results[WIRE_RESULTS] = {"none",   "done",	 "aborted", "uncommitted",
						  "missed", "withdrawn", "failed"};
static const char *const ptp_states[] = {"listening", "master", "passive", "slave"};

static void time_or_null(const char *name, uint64_t v)
{
	if (v == UINT64_MAX)
		out(",\"%s\":null", name);
	else
		out(",\"%s\":%llu", name, (ull)v);
}

void experiment_json(void)
{
	struct experiment_identity id;
	struct experiment_status s;

	if (!experiment_status(&s)) {
		out(",\"experiment\":null");
		return;
	}
	experiment_identity(&id);
	out(",\"experiment\":{\"number\":%llu,\"node\":%u,\"boot\":%llu,\"margin_ns\":%llu",
	    (ull)id.experiment, id.node, (ull)id.boot, (ull)id.margin);
	out(",\"coordinator\":%s,\"epoch\":%llu,\"epoch_state\":\"%s\",\"result\":\"%s\"",
	    s.coordinator ? "true" : "false", (ull)s.epoch, states[s.report.state],
	    results[s.report.result]);
	time_or_null("freeze_at_ns", s.epoch ? s.report.at : UINT64_MAX);
	time_or_null("thaw_at_ns", s.epoch ? s.report.until : UINT64_MAX);
	out(",\"late_ns\":%llu,\"stood_ns\":%llu,\"late_thaw_ns\":%llu}", (ull)s.report.late,
	    (ull)s.report.frozen, (ull)s.report.thaw_late);
}

void experiment_text(void)
{
	struct experiment_identity id;
	struct experiment_status s;

	if (!experiment_status(&s))
		return;
	experiment_identity(&id);
	out("experiment  %llu, node %u, boot %llu; coordinator %s\n", (ull)id.experiment, id.node,
	    (ull)id.boot, s.coordinator ? "connected" : "not connected");
	if (!s.epoch)
		return;
	out("epoch       %llu: %s", (ull)s.epoch, states[s.report.state]);
	if (s.report.state == STATE_IDLE)
		out(", %s\n", wire_result_text((enum wire_result)s.report.result));
	else
		out(", T %llu ns\n", (ull)s.report.at);
}

static void master_text(const struct ptp_clock *c, char text[24])
{
	static const char digits[] = "0123456789abcdef";
	char *p = text;

	for (unsigned i = 0; i < sizeof(c->master.clock); i++) {
		*p++ = digits[c->master.clock[i] >> 4];
		*p++ = digits[c->master.clock[i] & 15];
		if (i == 2 || i == 4)
			*p++ = '.';
	}
	*p = 0;
}

static int64_t frequency_ppb(const struct ptp_clock *c)
{
	return c->shared.rate * RATE_UNIT_NUM / RATE_UNIT_DEN;
}

void shared_time_json(void)
{
	const struct ptp_clock *c = ptp_udp_clock();
	uint64_t now = ptp_udp_local(node_host_ticks());
	char master[24];

	if (!c) {
		out(",\"shared\":null");
		return;
	}
	master_text(c, master);
	out(",\"shared\":{\"shared_ns\":%llu,\"ptp\":\"%s\",\"locked\":%s,\"held\":%s",
	    (ull)shared_at(&c->shared, now), ptp_states[c->state], ptp_locked(c) ? "true" : "false",
	    c->servo.held ? "true" : "false");
	if (c->state == PTP_SLAVE)
		out(",\"master\":\"%s\",\"offset_ns\":%lld,\"delay_ns\":%llu", master,
		    (long long)c->servo.offset, (ull)c->servo.delay);
	else
		out(",\"master\":null,\"offset_ns\":null,\"delay_ns\":null");
	out(",\"frequency_ppb\":%lld", (long long)frequency_ppb(c));
	time_or_null("bound_ns", ptp_bound(c, now));
	out(",\"steps\":%llu}", (ull)ptp_udp_steps());
}

void shared_time_text(void)
{
	const struct ptp_clock *c = ptp_udp_clock();
	uint64_t now = ptp_udp_local(node_host_ticks());
	char master[24];

	if (!c)
		return;
	master_text(c, master);
	out("shared time   %llu ns, PTP %s%s%s, %s\n", (ull)shared_at(&c->shared, now),
	    ptp_states[c->state], c->state == PTP_SLAVE ? " of " : "",
	    c->state == PTP_SLAVE ? master : "", ptp_locked(c) ? "locked" : "not locked");
	if (c->state != PTP_SLAVE)
		return;
	out("              offset %lld ns, path %llu ns, frequency %lld ppb",
	    (long long)c->servo.offset, (ull)c->servo.delay, (long long)frequency_ppb(c));
	if (ptp_bound(c, now) != SERVO_NO_BOUND)
		out(", at most %llu ns off", (ull)ptp_bound(c, now));
	out("\n");
}
