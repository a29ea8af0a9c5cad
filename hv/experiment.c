// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/experiment.h"
#include "arch/x86_64/arch.h"
#include "hv/fmt.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/node.h"
#include "hv/vcpu.h"
#include "net/control.h"
#include "net/ctlnet.h"
#include "net/entropy.h"
#include "net/netdev.h"
#include "net/ptp_clock.h"
#include "net/ptp_udp.h"
#include "proto/participant.h"
#include "timevirt/rate.h"

#define MARGIN_NS                                                                      \
	2000000ull /* before T: for the command to get through the stack and be obeyed \
		    */
#define EVENTS 4u
#define NOBODY (-1)
#define NEVER  UINT64_MAX

/* What the node did, until the participant has been told. */
struct event {
	enum { FROZEN, FROZEN_OTHERWISE, FAILED, THAWED } type;
	uint64_t ns, thaw_late;
};

static struct participant participant;
static bool taking_part;
static int coordinator = NOBODY, asker = NOBODY; /* connections */
static struct event events[EVENTS];
static unsigned first_event, n_events;
static uint64_t steps_seen;
static bool ended_seen;
static uint64_t due = NEVER;
static struct log_ratelimit malformed = {.burst = 1};

static uint64_t ns(uint64_t ticks)
{
	return rate_cycles_to_ns(ticks, tsc_hz());
}

static void read_clocks(struct moment *m)
{
	const struct ptp_clock *c = ptp_udp_clock();

	*m = (struct moment){.mono = ptp_udp_local(node_host_ticks()), .bound = WIRE_NEVER};
	if (!c)
		return;
	m->shared = shared_at(&c->shared, m->mono);
	if (m->shared >= WIRE_TIME_END)
		m->shared = 0;
	else if (ptp_locked(c))
		m->bound = ptp_bound(c, m->mono);
	m->drift_ppb = ptp_drift_ppb(c);
}

/* --- actions --- */

static uint64_t ticks_at(uint64_t shared)
{
	return shared == WIRE_NEVER ? HOST_NEVER : ptp_udp_ticks(shared);
}

static void plan(const struct participant_action *a)
{
	struct freeze_plan p = {.at = ticks_at(a->at),
				.for_ticks = HOST_NEVER,
				.left = 1,
				.exit_slot = NO_EXIT_SLOT};

	if (a->until != WIRE_NEVER)
		p.for_ticks = ticks_at(a->until) - p.at;
	if (freeze_arm(&p) != 0)
		log_error("experiment: the node is frozen already");
}

static void send(const struct participant_action *a)
{
	int to = a->reply ? asker : coordinator;
	uint8_t buf[WIRE_MESSAGE_MAX];

	if (to != NOBODY)
		(void)control_send((unsigned)to, CTL_FREEZE, 0, buf, wire_encode(&a->message, buf));
}

static void carry_out(const struct participant_action *a)
{
	switch (a->type) {
	case PARTICIPANT_HOLD:
	case PARTICIPANT_RELEASE:
		ptp_udp_hold(a->type == PARTICIPANT_HOLD);
		return;
	case PARTICIPANT_FREEZE:
		plan(a);
		return;
	case PARTICIPANT_CANCEL:
		freeze_cancel();
		return;
	case PARTICIPANT_THAW:
		(void)thaw_at(ticks_at(a->until)); /* it may have been thawed by hand */
		return;
	default:
		send(a);
		return;
	}
}

static void settle(struct moment *now)
{
	struct participant_action a;
	uint64_t deadline;

	while (participant_next(&participant, now, &a)) {
		carry_out(&a);
		read_clocks(now);
	}
	deadline = participant_deadline(&participant, now);
	due = deadline == NEVER ? NEVER : rate_ns_to_cycles_up(deadline, tsc_hz());
}

/* --- events --- */

static void tell(const struct event *e, const struct moment *now)
{
	switch (e->type) {
	case FROZEN:
		participant_frozen(&participant, e->ns, now);
		return;
	case FROZEN_OTHERWISE:
		participant_busy(&participant, true, now);
		return;
	case FAILED:
		participant_failed(&participant, now);
		return;
	case THAWED:
		participant_thawed(&participant, e->ns, e->thaw_late, now);
		return;
	}
}

static void tell_all(struct moment *now)
{
	bool ended = node_guest_ended() != NULL;

	for (; n_events; n_events--)
		tell(&events[first_event++ % EVENTS], now);
	if (ptp_udp_steps() != steps_seen)
		participant_stepped(&participant, now);
	steps_seen = ptp_udp_steps();
	if (ended)
		participant_busy(&participant, true, now);
	ended_seen = ended;
}

static void add(struct event e)
{
	if (!taking_part)
		return;
	if (n_events == EVENTS) {
		struct moment now;

		read_clocks(&now);
		tell_all(&now);
	}
	events[(first_event + n_events++) % EVENTS] = e;
	due = 0;
}

void experiment_frozen(bool as_planned, uint64_t late)
{
	bool ours = as_planned && participant.report.state == STATE_COMMITTED;

	add((struct event){.type = ours ? FROZEN : FROZEN_OTHERWISE, .ns = ns(late)});
}

void experiment_failed(void)
{
	add((struct event){.type = FAILED});
}

void experiment_thawed(uint64_t frozen, uint64_t thaw_late)
{
	add((struct event){.type = THAWED, .ns = ns(frozen), .thaw_late = ns(thaw_late)});
}

uint64_t experiment_due(void)
{
	/* the clock was set, or the guest has ended: seen at the next exit */
	if (taking_part && (ptp_udp_steps() != steps_seen || (node_guest_ended() && !ended_seen)))
		return 0;
	return due;
}

void experiment_work(void)
{
	struct moment now;

	if (!taking_part)
		return;
	read_clocks(&now);
	tell_all(&now);
	settle(&now);
}

/* --- from the control connection --- */

void experiment_receive(unsigned conn, const void *message, size_t size)
{
	struct wire_message m;
	struct moment now;
	char peer[CONTROL_PEER_TEXT];

	if (!taking_part) {
		control_error(conn, 0,
			      "this node is in no experiment: give it experiment= and node=");
		return;
	}
	if (wire_decode(message, size, &m) != 0) {
		if (log_ratelimited(&malformed))
			log_warn("control: %s: a malformed message of the freeze protocol",
				 control_peer(conn, peer));
		return;
	}
	read_clocks(&now);
	tell_all(&now);
	asker = (int)conn;
	participant_receive(&participant, &m, &now);
	if (m.type != WIRE_QUERY && m.type != WIRE_REPORT &&
	    participant.report.obeys == m.incarnation)
		coordinator = (int)conn;
	settle(&now);
}

void experiment_forget(unsigned conn)
{
	if (coordinator == (int)conn)
		coordinator = NOBODY;
	if (asker == (int)conn)
		asker = NOBODY;
}

/* --- what is known --- */

bool experiment_owns_plan(void)
{
	return taking_part && participant.report.state >= STATE_COMMITTED;
}

void experiment_identity(struct experiment_identity *id)
{
	static const uint8_t none[6];
	const struct netdev *card = ctlnet_card();
	const uint8_t *m = card ? card->mac : none;

	*id = (struct experiment_identity){.boot = participant.config.boot,
					   .experiment = participant.config.experiment,
					   .margin = MARGIN_NS,
					   .node = participant.config.node};
	(void)fmt(id->name, sizeof(id->name), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
		  m[3], m[4], m[5]);
}

bool experiment_status(struct experiment_status *s)
{
	struct moment now;

	if (!taking_part)
		return false;
	read_clocks(&now);
	*s = (struct experiment_status){.report = participant.report,
					.epoch = participant.epoch,
					.busy = participant.busy,
					.coordinator = coordinator != NOBODY};
	s->report.now = now.shared;
	s->report.bound = now.bound;
	return true;
}

/* Below 2^53: clients read it from JSON, where larger numbers may be rounded. */
static uint64_t boot_number(void)
{
	uint64_t v = entropy_u64() >> 11;

	return v ? v : 1;
}

void experiment_init(const struct handoff *h)
{
	struct participant_config config = {
		.experiment = h->experiment, .node = h->node, .margin = MARGIN_NS};

	config.boot = boot_number();
	participant_init(&participant, &config);
	taking_part = h->experiment && control_port();
	if (h->experiment && !taking_part)
		log_error("experiment: %llu: no control server, so nobody can freeze this node: "
			  "give it "
			  "a control card and control_key=",
			  (unsigned long long)h->experiment);
}
