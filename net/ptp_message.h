/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of the Precision Time Protocol: IEEE 1588-2008 clause 13, with the UDP/IPv4 mapping of
 * its annex D. Those of an end-to-end clock; others, and TLVs behind them, are skipped. Pure; the
 * decoder survives any bytes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PTP_PORT_EVENT	 319 /* Sync, Delay_Req */
#define PTP_PORT_GENERAL 320
#define PTP_GROUP	 0xe0000181u /* 224.0.1.129 */

#define PTP_MESSAGE_MAX 64 /* of those that are sent */

enum ptp_type { /* table 19 */
		PTP_SYNC = 0x0,
		PTP_DELAY_REQ = 0x1,
		PTP_FOLLOW_UP = 0x8,
		PTP_DELAY_RESP = 0x9,
		PTP_ANNOUNCE = 0xb,
};

struct ptp_identity { /* of a port; table 19 ff. */
	uint8_t clock[8];
	uint16_t port;
};

/* flagField, 13.3.2.6; the first octet is the high one */
#define PTP_ALTERNATE_MASTER 0x0100
#define PTP_TWO_STEP	     0x0200
#define PTP_UTC_VALID	     0x0004
#define PTP_TIMESCALE	     0x0008

struct ptp_quality { /* what the best-master algorithm compares, table 28 */
	uint8_t priority1, class, accuracy;
	uint16_t variance; /* offsetScaledLogVariance */
	uint8_t priority2;
	uint8_t grandmaster[8];
	uint16_t steps_removed;
};

struct ptp_message {
	enum ptp_type type;
	uint8_t domain;
	uint16_t flags;
	int64_t correction; /* ns * 2^16 */
	struct ptp_identity source;
	uint16_t sequence;
	int8_t log_interval; /* log2 of seconds */
	uint64_t time;	     /* originTimestamp, preciseOriginTimestamp, receiveTimestamp; ns */
	struct ptp_identity requester; /* Delay_Resp */
	struct ptp_quality quality;    /* Announce */
	uint8_t time_source;	       /* Announce */
	int16_t utc_offset;	       /* Announce, s */
};

size_t ptp_encode(const struct ptp_message *m, uint8_t *buf); /* bytes */
/* 0; -EPROTONOSUPPORT: another version, or a message that is none of these; -EBADMSG: malformed. */
int ptp_decode(const uint8_t *buf, size_t size, struct ptp_message *m);

/* 2^log seconds in ns; what a hostile message names is kept within reason: 8 ms to 64 s. */
uint64_t ptp_interval(int8_t log);
bool ptp_same_port(const struct ptp_identity *a, const struct ptp_identity *b);
