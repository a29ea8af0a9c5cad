/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ordinary clock of IEEE 1588-2008: one port, default profile (annex J.3: end-to-end delay,
 * two-step), UDP/IPv4. Slave of the best master it hears, master if there is none. Events go in;
 * after each, and at ptp_deadline, the caller carries out what ptp_next returns until that is
 * false. Pure.
 *
 * Units: ns of a local clock that nobody sets; time stamps are taken on it as near to the wire as
 * can be. Context: one CPU at a time.
 */
#pragma once
#include "net/ptp_message.h"
#include "net/servo.h"

#define PTP_FOREIGN_MASTERS 5	       /* 9.3.2.4.5 asks for that many */
#define PTP_NO_STAMP	    UINT64_MAX /* the card or the driver failed to give one */

struct ptp_config {
	uint8_t identity[8]; /* clockIdentity, of the MAC: 7.5.2.2.2 */
	uint8_t domain;
	uint8_t priority1, class, accuracy, priority2;
	uint16_t variance;
	bool slave_only;
	int8_t log_announce, log_sync, log_delay_req; /* log2 of seconds */
	uint16_t flags; /* of an own Announce: what is known of the timescale */
	int16_t utc_offset;
	struct servo_config servo;
};
/* J.3.2; class 248: nothing is known about the time that it gives as a master. */
#define PTP_DEFAULTS                                                                            \
	.priority1 = 128, .class = 248, .accuracy = 0xfe, .variance = 0xffff, .priority2 = 128, \
	.log_announce = 1, .log_sync = 0, .log_delay_req = 0, .servo = SERVO_DEFAULTS

enum ptp_state { /* 9.2.5 */
		 PTP_LISTENING,
		 PTP_MASTER,
		 PTP_PASSIVE, /* class below 128, and another is better: it is silent */
		 PTP_SLAVE,
};

enum ptp_action_type {
	PTP_SEND,    /* to PTP_GROUP */
	PTP_STEPPED, /* the clock was set */
	PTP_CHANGED, /* the state, or the master */
};

struct ptp_action {
	enum ptp_action_type type;
	bool event;	 /* PTP_SEND: from and to PTP_PORT_EVENT, else PTP_PORT_GENERAL */
	uint32_t cookie; /* not 0: ptp_sent wants it, and when the message left */
	uint8_t bytes[PTP_MESSAGE_MAX];
	size_t size;
};

struct ptp_foreign {
	struct ptp_identity port;
	struct ptp_quality quality;
	uint64_t heard[2]; /* local times of the latest Announces, newest first; 0: none */
	uint16_t sequence;
	int8_t log_interval;
};

struct ptp_clock {
	struct ptp_config config;
	struct ptp_identity port;
	struct shared_clock shared;
	struct servo servo;
	enum ptp_state state;
	struct ptp_foreign foreign[PTP_FOREIGN_MASTERS];
	struct ptp_identity master; /* PTP_SLAVE: whom it follows */
	struct ptp_quality grandmaster;
	bool changed, stepped;
	uint32_t rng;

	/* local times; UINT64_MAX: never */
	uint64_t announce_timeout, announce_at, sync_at, delay_req_at;
	uint16_t announce_sequence, sync_sequence, delay_sequence;

	/* as a slave */
	int8_t master_sync, master_delay; /* log2 of its intervals */
	bool sync_waits, follow_up_waits, request_waits;
	uint16_t sync_heard, follow_up_heard;
	uint64_t sync_arrival;	 /* local */
	uint64_t sync_origin;	 /* master's: t1 */
	int64_t sync_correction; /* ns * 2^16 */
	int64_t master_to_slave; /* t2 - t1, of the latest Sync */
	bool arrival_known;
	uint64_t request_departure; /* local: t3 */

	/* as a master: Follow_Up and Delay_Resp that are due */
	bool follow_up_due, response_due;
	uint64_t sync_departure;
	uint16_t follow_up_sequence;
	struct ptp_message response;

	uint64_t ignored; /* messages that were malformed, or nobody's */
};

/* `now`: local. `shared`: what the clock shows then, until a master says better. */
void ptp_init(struct ptp_clock *p, const struct ptp_config *config, uint64_t now, uint64_t shared);
/* From the network, with the local time of its arrival (events need it; PTP_NO_STAMP). */
void ptp_receive(struct ptp_clock *p, const uint8_t *buf, size_t size, uint64_t stamp,
		 uint64_t now);
void ptp_sent(struct ptp_clock *p, uint32_t cookie, uint64_t stamp);
void ptp_hold(struct ptp_clock *p, bool held, uint64_t now); /* the servo; see net/servo.h */

bool ptp_next(struct ptp_clock *p, uint64_t now, struct ptp_action *a);
uint64_t ptp_deadline(const struct ptp_clock *p);

/* How far shared time may be off from the master's at local time `now`; 0 for a master.
 * SERVO_NO_BOUND: no idea. */
uint64_t ptp_bound(const struct ptp_clock *p, uint64_t now);
/* How fast that grows without measurements; 0 for a master: its time is the time. */
uint32_t ptp_drift_ppb(const struct ptp_clock *p);
bool ptp_locked(const struct ptp_clock *p); /* a slave's servo, or a master */
