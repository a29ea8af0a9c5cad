// SPDX-License-Identifier: GPL-2.0-or-later
#include "proto/wire.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const uint8_t magic[4] = {'S', 'F', 'R', 'Z'};

enum range { ANY, TIME, TIME_OR_NEVER, DURATION, DURATION_OR_NEVER };

/* The processor is little-endian, and so is the format. */
struct field {
	uint16_t in_memory, on_wire; /* offsets */
	uint8_t bytes;
	uint8_t range; /* enum range */
};

#define OFFSET_VERSION 4
#define OFFSET_TYPE    5
#define OFFSET_SIZE    6

#define FIELD(member, on_wire, range)                                      \
	{                                                                  \
		offsetof(struct wire_message, member), on_wire,            \
			sizeof(((struct wire_message *)0)->member), range, \
	}

static const struct field header[] = {
	FIELD(experiment, 8, ANY), FIELD(incarnation, 16, ANY), FIELD(epoch, 24, ANY),
	FIELD(boot, 32, ANY),	   FIELD(node, 40, ANY),	FIELD(round, 44, ANY),
	FIELD(seq, 48, ANY),
};

#define COMMAND_BYTES 96
static const struct field command[] = {
	FIELD(command.seen, 56, ANY),
	FIELD(command.at, 64, TIME),
	FIELD(command.until, 72, TIME_OR_NEVER),
	FIELD(command.late_limit, 80, DURATION),
	FIELD(command.bound_max, 88, DURATION),
};

#define REPORT_BYTES 168
#define REPORT_ZERO  77 /* three bytes */
static const struct field report[] = {
	FIELD(report.number, 56, ANY),
	FIELD(report.obeys, 64, ANY),
	FIELD(report.state, 72, ANY),
	FIELD(report.thaw, 73, ANY),
	FIELD(report.result, 74, ANY),
	FIELD(report.refusal, 75, ANY),
	FIELD(report.flags, 76, ANY),
	FIELD(report.at, 80, TIME),
	FIELD(report.until, 88, TIME_OR_NEVER),
	FIELD(report.late_limit, 96, DURATION),
	FIELD(report.now, 104, TIME),
	FIELD(report.bound, 112, DURATION_OR_NEVER),
	FIELD(report.margin, 120, DURATION),
	FIELD(report.late, 128, DURATION),
	FIELD(report.frozen, 136, TIME), /* an open freeze may last for long */
	FIELD(report.thaw_late, 144, DURATION),
	FIELD(report.freeze_bound, 152, DURATION_OR_NEVER),
	FIELD(report.thaw_bound, 160, DURATION_OR_NEVER),
};
_Static_assert(REPORT_BYTES == WIRE_MESSAGE_MAX, "the largest message");

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void put(const struct wire_message *m, uint8_t *buf, const struct field *f, size_t n)
{
	for (; n; n--, f++)
		memcpy(buf + f->on_wire, (const uint8_t *)m + f->in_memory, f->bytes);
}

static bool in_range(enum range range, uint64_t v)
{
	switch (range) {
	case TIME:
		return v < WIRE_TIME_END;
	case TIME_OR_NEVER:
		return v < WIRE_TIME_END || v == WIRE_NEVER;
	case DURATION:
		return v < WIRE_DURATION_END;
	case DURATION_OR_NEVER:
		return v < WIRE_DURATION_END || v == WIRE_NEVER;
	default:
		return true;
	}
}

static bool get(struct wire_message *m, const uint8_t *buf, const struct field *f, size_t n)
{
	for (; n; n--, f++) {
		uint64_t v = 0;

		memcpy(&v, buf + f->on_wire, f->bytes);
		if (!in_range((enum range)f->range, v))
			return false;
		memcpy((uint8_t *)m + f->in_memory, &v, f->bytes);
	}
	return true;
}

static size_t size_of(unsigned type)
{
	return type == WIRE_REPORT ? REPORT_BYTES : COMMAND_BYTES;
}

size_t wire_encode(const struct wire_message *m, uint8_t *buf)
{
	size_t size = size_of(m->type);

	memset(buf, 0, size);
	memcpy(buf, magic, sizeof(magic));
	buf[OFFSET_VERSION] = WIRE_VERSION;
	buf[OFFSET_TYPE] = (uint8_t)m->type;
	buf[OFFSET_SIZE] = (uint8_t)size;
	put(m, buf, header, COUNT(header));
	if (m->type == WIRE_REPORT)
		put(m, buf, report, COUNT(report));
	else
		put(m, buf, command, COUNT(command));
	return size;
}

static bool report_valid(const struct wire_report *r, const uint8_t *zero)
{
	return r->state < WIRE_STATES && r->thaw < WIRE_THAWS && r->result < WIRE_RESULTS &&
	       r->refusal < WIRE_REFUSALS && !(r->flags & ~REPORT_FLAGS) &&
	       (r->thaw == THAW_NONE || r->state == STATE_FROZEN) &&
	       (r->state == STATE_IDLE || r->result == RESULT_NONE) && !zero[0] && !zero[1] &&
	       !zero[2];
}

static bool command_valid(const struct wire_message *m)
{
	const struct wire_command *c = &m->command;

	switch (m->type) {
	case WIRE_ARM:
		return m->epoch && c->until > c->at;
	case WIRE_COMMIT:
	case WIRE_ABORT:
		return m->epoch;
	case WIRE_THAW_ARM:
	case WIRE_THAW_COMMIT:
		return m->epoch && c->until != WIRE_NEVER;
	default:
		return true;
	}
}

int wire_decode(const uint8_t *buf, size_t size, struct wire_message *m)
{
	unsigned type;

	*m = (struct wire_message){0};
	if (size < COMMAND_BYTES || memcmp(buf, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	if (buf[OFFSET_VERSION] != WIRE_VERSION)
		return -EPROTONOSUPPORT;
	type = buf[OFFSET_TYPE];
	if (type < WIRE_QUERY || type >= WIRE_TYPES || size != size_of(type) ||
	    buf[OFFSET_SIZE] != size || buf[OFFSET_SIZE + 1])
		return -EBADMSG;
	m->type = (enum wire_type)type;
	if (!get(m, buf, header, COUNT(header)))
		return -EBADMSG;
	if (type != WIRE_REPORT)
		return get(m, buf, command, COUNT(command)) && command_valid(m) ? 0 : -EBADMSG;
	return get(m, buf, report, COUNT(report)) && report_valid(&m->report, buf + REPORT_ZERO)
		       ? 0
		       : -EBADMSG;
}

const char *wire_result_text(enum wire_result r)
{
	static const char *const text[WIRE_RESULTS] = {
		[RESULT_NONE] = "the epoch lasts",
		[RESULT_DONE] = "frozen and thawed",
		[RESULT_ABORTED] = "called off by the coordinator",
		[RESULT_UNCOMMITTED] = "armed, but heard neither commit nor abort: ran on",
		[RESULT_MISSED] = "heard the commit too late: ran on",
		[RESULT_WITHDRAWN] = "its clock was stepped, or it was frozen by hand: ran on",
		[RESULT_FAILED] = "could not be stopped: ran on",
	};

	return r < WIRE_RESULTS ? text[r] : "?";
}

const char *wire_refusal_text(enum wire_refusal r)
{
	static const char *const text[WIRE_REFUSALS] = {
		[REFUSAL_NONE] = "carried out",
		[REFUSAL_EXPERIMENT] = "the node belongs to another experiment",
		[REFUSAL_BOOT] = "the node was reset",
		[REFUSAL_SUPERSEDED] = "the node obeys a coordinator that was started later",
		[REFUSAL_STALE] = "the epoch is over at the node",
		[REFUSAL_BUSY] = "the node is in another epoch, frozen by hand, or has no guest",
		[REFUSAL_LATE] = "the deadline is nearer than the node's margin",
		[REFUSAL_CLOCK] = "the node's clock is not good enough",
		[REFUSAL_UNARMED] = "the node is not armed for that",
	};

	return r < WIRE_REFUSALS ? text[r] : "?";
}
