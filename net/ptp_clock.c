// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/ptp_clock.h"
#include <string.h>
#include "net/ptp_bmca.h"

#define NEVER		  UINT64_MAX
#define ANNOUNCE_TIMEOUT  3 /* intervals; J.3.2 */
#define CLASS_NEVER_SLAVE 128
#define COOKIE_SYNC	  (1u << 16)
#define COOKIE_REQUEST	  (2u << 16)

static uint64_t chance(struct ptp_clock *p, uint64_t below)
{
	p->rng = p->rng * 1664525 + 1013904223;
	return (p->rng >> 4) % below;
}

void ptp_init(struct ptp_clock *p, const struct ptp_config *config, uint64_t now, uint64_t shared)
{
	*p = (struct ptp_clock){
		.config = *config,
		.shared = {.local = now, .shared = shared},
		.announce_at = NEVER,
		.sync_at = NEVER,
		.delay_req_at = NEVER,
		.changed = true,
	};
	memcpy(p->port.clock, config->identity, sizeof(p->port.clock));
	p->port.port = 1;
	for (unsigned i = 0; i < sizeof(config->identity); i++)
		p->rng = p->rng * 31 + config->identity[i];
	servo_init(&p->servo, &p->shared, &config->servo);
	p->announce_timeout = now + ANNOUNCE_TIMEOUT * ptp_interval(config->log_announce) +
			      chance(p, ptp_interval(config->log_announce));
}

/* --- state decision, 9.3.3 and figure 26 --- */

static void become(struct ptp_clock *p, enum ptp_state state, uint64_t now)
{
	p->state = state;
	p->changed = true;
	p->sync_waits = p->follow_up_waits = p->request_waits = p->arrival_known = false;
	p->follow_up_due = p->response_due = false;
	p->announce_at = p->sync_at = state == PTP_MASTER ? now : NEVER;
	p->delay_req_at = NEVER;
}

static void follow(struct ptp_clock *p, const struct ptp_foreign *f, uint64_t now)
{
	if (p->state == PTP_SLAVE && ptp_same_port(&p->master, &f->port)) {
		p->grandmaster = f->quality;
		return;
	}
	p->master = f->port;
	p->grandmaster = f->quality;
	p->master_delay = p->config.log_delay_req;
	servo_restart(&p->servo);
	become(p, PTP_SLAVE, now);
	p->delay_req_at = now + chance(p, ptp_interval(p->master_delay));
}

static void decide(struct ptp_clock *p, uint64_t now)
{
	struct ptp_quality own = ptp_own_quality(p);
	const struct ptp_foreign *best = ptp_foreign_best(p, now);

	if (!best)
		return;
	if (!p->config.slave_only && ptp_compare(&own, &p->port, &best->quality, &best->port) < 0) {
		if (p->state != PTP_MASTER)
			become(p, PTP_MASTER, now);
	} else if (p->config.class < CLASS_NEVER_SLAVE && !p->config.slave_only) {
		if (p->state != PTP_PASSIVE)
			become(p, PTP_PASSIVE, now);
	} else {
		follow(p, best, now);
	}
}

/* Nobody announces any more. */
static void time_out(struct ptp_clock *p, uint64_t now)
{
	memset(p->foreign, 0, sizeof(p->foreign));
	p->announce_timeout = NEVER;
	if (p->state == PTP_MASTER)
		return;
	if (!p->config.slave_only)
		become(p, PTP_MASTER, now);
	else if (p->state != PTP_LISTENING)
		become(p, PTP_LISTENING, now);
}

static void take_announce(struct ptp_clock *p, const struct ptp_message *m, uint64_t now)
{
	ptp_foreign_heard(p, m, now);
	if (p->state != PTP_MASTER || ptp_foreign_best(p, now))
		p->announce_timeout = now + ANNOUNCE_TIMEOUT * ptp_interval(m->log_interval) +
				      chance(p, ptp_interval(m->log_interval));
	decide(p, now);
}

/* --- as a slave --- */

/* What a hostile master makes too large is left at that. */
static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* t2 - t1, with the corrections of bridges on the way (11.2). */
static void arrived(struct ptp_clock *p, uint64_t origin, int64_t correction)
{
	uint64_t t2 = shared_at(&p->shared, p->sync_arrival);

	p->master_to_slave = add((int64_t)(t2 - origin), -(correction >> 16));
	p->arrival_known = true;
	if (servo_arrival(&p->servo, p->sync_arrival, p->master_to_slave) == SERVO_STEPPED) {
		p->stepped = true;
		p->arrival_known = p->request_waits = false;
	}
}

static void take_sync(struct ptp_clock *p, const struct ptp_message *m, uint64_t stamp)
{
	if (stamp == PTP_NO_STAMP)
		return;
	p->sync_arrival = stamp;
	p->sync_heard = m->sequence;
	p->sync_correction = m->correction;
	p->sync_waits = true;
	if (!(m->flags & PTP_TWO_STEP)) {
		p->sync_waits = false;
		arrived(p, m->time, m->correction);
	} else if (p->follow_up_waits && p->follow_up_heard == m->sequence) {
		p->sync_waits = p->follow_up_waits = false;
		arrived(p, p->sync_origin, add(p->sync_correction, m->correction));
	}
}

static void take_follow_up(struct ptp_clock *p, const struct ptp_message *m)
{
	if (p->sync_waits && p->sync_heard == m->sequence) {
		p->sync_waits = false;
		arrived(p, m->time, add(p->sync_correction, m->correction));
		return;
	}
	p->follow_up_waits = true; /* it has overtaken its Sync */
	p->follow_up_heard = m->sequence;
	p->sync_origin = m->time;
	p->sync_correction = m->correction;
}

/* (t2 - t1 + t4 - t3) / 2 */
static void take_delay_resp(struct ptp_clock *p, const struct ptp_message *m)
{
	int64_t back;

	if (!p->request_waits || m->sequence != p->delay_sequence ||
	    !ptp_same_port(&m->requester, &p->port))
		return;
	p->master_delay = m->log_interval;
	if (p->request_departure == PTP_NO_STAMP)
		return;
	p->request_waits = false;
	back = add((int64_t)(m->time - shared_at(&p->shared, p->request_departure)),
		   -(m->correction >> 16));
	if (p->arrival_known)
		servo_delay(&p->servo, add(p->master_to_slave, back) / 2);
}

static bool send(struct ptp_action *a, const struct ptp_message *m, bool event, uint32_t cookie)
{
	a->type = PTP_SEND;
	a->event = event;
	a->cookie = cookie;
	a->size = ptp_encode(m, a->bytes);
	return true;
}

static struct ptp_message message(const struct ptp_clock *p, enum ptp_type type, uint16_t sequence,
				  int8_t log_interval)
{
	return (struct ptp_message){
		.type = type,
		.domain = p->config.domain,
		.source = p->port,
		.sequence = sequence,
		.log_interval = log_interval,
	};
}

static bool send_request(struct ptp_clock *p, uint64_t now, struct ptp_action *a)
{
	struct ptp_message m = message(p, PTP_DELAY_REQ, ++p->delay_sequence, 0x7f);
	uint64_t mean = ptp_interval(p->master_delay);

	p->delay_req_at = now + 1 + chance(p, 2 * mean); /* 9.5.11.2 */
	p->request_waits = true;
	p->request_departure = PTP_NO_STAMP;
	return send(a, &m, true, COOKIE_REQUEST | p->delay_sequence);
}

/* --- as a master --- */

static bool send_announce(struct ptp_clock *p, uint64_t now, struct ptp_action *a)
{
	struct ptp_message m =
		message(p, PTP_ANNOUNCE, p->announce_sequence++, p->config.log_announce);

	m.flags = p->config.flags;
	m.utc_offset = p->config.utc_offset;
	m.quality = ptp_own_quality(p);
	m.time_source = 0xa0; /* INTERNAL_OSCILLATOR, table 7 */
	p->announce_at = now + ptp_interval(p->config.log_announce);
	return send(a, &m, false, 0);
}

static bool send_sync(struct ptp_clock *p, uint64_t now, struct ptp_action *a)
{
	struct ptp_message m = message(p, PTP_SYNC, ++p->sync_sequence, p->config.log_sync);

	m.flags = PTP_TWO_STEP;
	p->sync_at = now + ptp_interval(p->config.log_sync);
	return send(a, &m, true, COOKIE_SYNC | p->sync_sequence);
}

static bool send_follow_up(struct ptp_clock *p, struct ptp_action *a)
{
	struct ptp_message m = message(p, PTP_FOLLOW_UP, p->follow_up_sequence, p->config.log_sync);

	p->follow_up_due = false;
	m.time = shared_at(&p->shared, p->sync_departure);
	return send(a, &m, false, 0);
}

static void take_request(struct ptp_clock *p, const struct ptp_message *m, uint64_t stamp)
{
	if (stamp == PTP_NO_STAMP)
		return;
	p->response = message(p, PTP_DELAY_RESP, m->sequence, p->config.log_delay_req);
	p->response.time = shared_at(&p->shared, stamp);
	p->response.correction = m->correction;
	p->response.requester = m->source;
	p->response_due = true;
}

/* --- events --- */

static void take(struct ptp_clock *p, const struct ptp_message *m, uint64_t stamp, uint64_t now)
{
	bool from_master = p->state == PTP_SLAVE && ptp_same_port(&m->source, &p->master);

	if (m->type == PTP_ANNOUNCE)
		take_announce(p, m, now);
	else if (m->type == PTP_DELAY_REQ && p->state == PTP_MASTER)
		take_request(p, m, stamp);
	else if (!from_master)
		return;
	else if (m->type == PTP_SYNC)
		take_sync(p, m, stamp);
	else if (m->type == PTP_FOLLOW_UP)
		take_follow_up(p, m);
	else if (m->type == PTP_DELAY_RESP)
		take_delay_resp(p, m);
}

void ptp_receive(struct ptp_clock *p, const uint8_t *buf, size_t size, uint64_t stamp, uint64_t now)
{
	struct ptp_message m;

	if (ptp_decode(buf, size, &m) != 0 || m.domain != p->config.domain ||
	    memcmp(m.source.clock, p->port.clock, sizeof(m.source.clock)) == 0) {
		p->ignored++;
		return;
	}
	take(p, &m, stamp, now);
}

void ptp_sent(struct ptp_clock *p, uint32_t cookie, uint64_t stamp)
{
	uint16_t sequence = (uint16_t)cookie;

	if (stamp == PTP_NO_STAMP)
		return;
	if (p->state == PTP_MASTER && cookie == (COOKIE_SYNC | p->sync_sequence)) {
		p->follow_up_due = true;
		p->follow_up_sequence = sequence;
		p->sync_departure = stamp;
	} else if (p->request_waits && cookie == (COOKIE_REQUEST | p->delay_sequence)) {
		p->request_departure = stamp;
	}
}

void ptp_hold(struct ptp_clock *p, bool held, uint64_t now)
{
	servo_hold(&p->servo, held, now);
}

/* --- what is to be done --- */

static bool flag(bool *what, enum ptp_action_type type, struct ptp_action *a)
{
	bool was = *what;

	*what = false;
	a->type = type;
	return was;
}

bool ptp_next(struct ptp_clock *p, uint64_t now, struct ptp_action *a)
{
	*a = (struct ptp_action){0};
	if (now >= p->announce_timeout)
		time_out(p, now);
	if (flag(&p->changed, PTP_CHANGED, a) || flag(&p->stepped, PTP_STEPPED, a))
		return true;
	if (p->follow_up_due)
		return send_follow_up(p, a);
	if (p->response_due) {
		p->response_due = false;
		return send(a, &p->response, false, 0);
	}
	if (now >= p->announce_at)
		return send_announce(p, now, a);
	if (now >= p->sync_at)
		return send_sync(p, now, a);
	if (now >= p->delay_req_at)
		return send_request(p, now, a);
	return false;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t ptp_deadline(const struct ptp_clock *p)
{
	return sooner(sooner(p->announce_timeout, p->announce_at),
		      sooner(p->sync_at, p->delay_req_at));
}

uint64_t ptp_bound(const struct ptp_clock *p, uint64_t now)
{
	return p->state == PTP_MASTER ? 0 : servo_bound(&p->servo, now);
}

uint32_t ptp_drift_ppb(const struct ptp_clock *p)
{
	return p->state == PTP_MASTER ? 0 : servo_drift_ppb(&p->servo);
}

bool ptp_locked(const struct ptp_clock *p)
{
	return p->state == PTP_MASTER || (p->state == PTP_SLAVE && p->servo.state == SERVO_LOCKED);
}
