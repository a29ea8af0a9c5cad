/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node's side of the freeze protocol (docs/protocol.md): a state machine with no clock, no socket
 * and no memory of its own. Events go in; after each of them, and at participant_deadline, the
 * caller carries out what participant_next returns until that is false.
 *
 * The caller's duties: events are told in the order in which they took place, so a freeze that
 * happened is told before a command that came later. An action is carried out at once. Boot numbers
 * of a node never repeat.
 * Context: one CPU at a time.
 */
#pragma once
#include <stdbool.h>
#include "proto/moment.h"
#include "proto/wire.h"

struct participant_config {
	uint64_t experiment;
	uint64_t boot;	 /* different after each reset of the node; not 0 */
	uint32_t node;	 /* index in the experiment */
	uint64_t margin; /* ns before T that it needs to be armed */
};

enum participant_action_type {
	PARTICIPANT_HOLD,    /* the servo neither steps nor changes the rate from here on */
	PARTICIPANT_RELEASE, /* it may again */
	PARTICIPANT_FREEZE,  /* at T, or at once if that is past; thaw at `until` + d */
	PARTICIPANT_CANCEL,  /* that freeze is off */
	PARTICIPANT_THAW,    /* at `until` + d, or at once if that is past */
	PARTICIPANT_SEND,    /* `message`; to whom the last command came from, if `reply`, else to
				the coordinator obeyed last */
};

struct participant_action {
	enum participant_action_type type;
	uint64_t at, until; /* shared ns; `until` may be WIRE_NEVER */
	bool reply;
	struct wire_message message;
};

struct participant {
	struct participant_config config;
	struct wire_report report; /* what it tells: the state of the epoch */
	uint64_t epoch;		   /* that lasts, or the latest; 0: none since boot */
	uint32_t round;		   /* of thaw arming, latest known */
	bool busy;		   /* can't be frozen now */

	/* what the platform has been told */
	bool held, planned, thaw_given;

	bool answer; /* a reply is due: */
	uint64_t answer_seq, answer_incarnation;
	uint8_t answer_refusal;

	/* Reports that nobody asked for: from the report `news` on, the latest change is told. */
	uint64_t news, seen;
	uint64_t tell_at; /* mono; WIRE_NEVER: nothing to tell */
	unsigned told;	  /* times that the latest change was told */
};

void participant_init(struct participant *p, const struct participant_config *config);

/* --- events --- */
void participant_receive(struct participant *p, const struct wire_message *m,
			 const struct moment *now);
void participant_frozen(struct participant *p, uint64_t late, const struct moment *now);
void participant_failed(struct participant *p, const struct moment *now); /* it runs on */
void participant_thawed(struct participant *p, uint64_t frozen, uint64_t thaw_late,
			const struct moment *now);
void participant_stepped(struct participant *p, const struct moment *now); /* its clock */
/* Frozen by hand, or no guest runs: it can't take part. */
void participant_busy(struct participant *p, bool busy, const struct moment *now);

/* The next thing to do; false: nothing until the next event or participant_deadline. */
bool participant_next(struct participant *p, const struct moment *now,
		      struct participant_action *a);
uint64_t participant_deadline(const struct participant *p, const struct moment *now); /* mono ns */
