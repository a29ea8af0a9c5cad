// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/ptp_message.h"
#include <errno.h>
#include <string.h>

#define VERSION	     2
#define HEADER	     34
#define ANNOUNCE     64
#define SYNC	     44 /* and Delay_Req, Follow_Up */
#define DELAY_RESP   54
#define NSEC_PER_SEC 1000000000u
#define SECONDS_END  (1ull << 33) /* so that ns fit 63 bits */

/* --- big-endian fields --- */

static void put(uint8_t *at, unsigned bytes, uint64_t v)
{
	while (bytes--) {
		at[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *at++;
	return v;
}

static void put_port(uint8_t *at, const struct ptp_identity *p)
{
	memcpy(at, p->clock, sizeof(p->clock));
	put(at + 8, 2, p->port);
}

static void get_port(const uint8_t *at, struct ptp_identity *p)
{
	memcpy(p->clock, at, sizeof(p->clock));
	p->port = (uint16_t)get(at + 8, 2);
}

static void put_time(uint8_t *at, uint64_t ns)
{
	put(at, 6, ns / NSEC_PER_SEC);
	put(at + 6, 4, ns % NSEC_PER_SEC);
}

static bool get_time(const uint8_t *at, uint64_t *ns)
{
	uint64_t seconds = get(at, 6), rest = get(at + 6, 4);

	*ns = seconds * NSEC_PER_SEC + rest;
	return seconds < SECONDS_END && rest < NSEC_PER_SEC;
}

/* --- messages --- */

static size_t size_of(unsigned type)
{
	switch (type) {
	case PTP_SYNC:
	case PTP_DELAY_REQ:
	case PTP_FOLLOW_UP:
		return SYNC;
	case PTP_DELAY_RESP:
		return DELAY_RESP;
	case PTP_ANNOUNCE:
		return ANNOUNCE;
	default:
		return 0;
	}
}

/* controlField, table 23: what version 1 of the protocol called the type. */
static uint8_t control(enum ptp_type type)
{
	switch (type) {
	case PTP_SYNC:
		return 0;
	case PTP_DELAY_REQ:
		return 1;
	case PTP_FOLLOW_UP:
		return 2;
	case PTP_DELAY_RESP:
		return 3;
	default:
		return 5;
	}
}

static void put_announce(uint8_t *buf, const struct ptp_message *m)
{
	const struct ptp_quality *q = &m->quality;

	put(buf + 44, 2, (uint16_t)m->utc_offset);
	buf[47] = q->priority1;
	buf[48] = q->class;
	buf[49] = q->accuracy;
	put(buf + 50, 2, q->variance);
	buf[52] = q->priority2;
	memcpy(buf + 53, q->grandmaster, sizeof(q->grandmaster));
	put(buf + 61, 2, q->steps_removed);
	buf[63] = m->time_source;
}

static void get_announce(const uint8_t *buf, struct ptp_message *m)
{
	struct ptp_quality *q = &m->quality;

	m->utc_offset = (int16_t)get(buf + 44, 2);
	q->priority1 = buf[47];
	q->class = buf[48];
	q->accuracy = buf[49];
	q->variance = (uint16_t)get(buf + 50, 2);
	q->priority2 = buf[52];
	memcpy(q->grandmaster, buf + 53, sizeof(q->grandmaster));
	q->steps_removed = (uint16_t)get(buf + 61, 2);
	m->time_source = buf[63];
}

size_t ptp_encode(const struct ptp_message *m, uint8_t *buf)
{
	size_t size = size_of(m->type);

	memset(buf, 0, size);
	buf[0] = (uint8_t)m->type;
	buf[1] = VERSION;
	put(buf + 2, 2, size);
	buf[4] = m->domain;
	put(buf + 6, 2, m->flags);
	put(buf + 8, 8, (uint64_t)m->correction);
	put_port(buf + 20, &m->source);
	put(buf + 30, 2, m->sequence);
	buf[32] = control(m->type);
	buf[33] = (uint8_t)m->log_interval;
	put_time(buf + HEADER, m->time);
	if (m->type == PTP_DELAY_RESP)
		put_port(buf + 44, &m->requester);
	if (m->type == PTP_ANNOUNCE)
		put_announce(buf, m);
	return size;
}

int ptp_decode(const uint8_t *buf, size_t size, struct ptp_message *m)
{
	size_t length, wanted;

	*m = (struct ptp_message){0};
	if (size < HEADER)
		return -EBADMSG;
	wanted = size_of(buf[0] & 0xf);
	if ((buf[1] & 0xf) != VERSION || !wanted)
		return -EPROTONOSUPPORT;
	length = get(buf + 2, 2);
	if (length < wanted || length > size)
		return -EBADMSG;
	m->type = (enum ptp_type)(buf[0] & 0xf);
	m->domain = buf[4];
	m->flags = (uint16_t)get(buf + 6, 2);
	m->correction = (int64_t)get(buf + 8, 8);
	get_port(buf + 20, &m->source);
	m->sequence = (uint16_t)get(buf + 30, 2);
	m->log_interval = (int8_t)buf[33];
	if (!get_time(buf + HEADER, &m->time))
		return -EBADMSG;
	if (m->type == PTP_DELAY_RESP)
		get_port(buf + 44, &m->requester);
	if (m->type == PTP_ANNOUNCE)
		get_announce(buf, m);
	return 0;
}

uint64_t ptp_interval(int8_t log)
{
	if (log < -7)
		log = -7;
	if (log > 6)
		log = 6;
	return log < 0 ? (uint64_t)NSEC_PER_SEC >> -log : (uint64_t)NSEC_PER_SEC << log;
}

bool ptp_same_port(const struct ptp_identity *a, const struct ptp_identity *b)
{
	return memcmp(a->clock, b->clock, sizeof(a->clock)) == 0 && a->port == b->port;
}
