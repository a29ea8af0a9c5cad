/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's side of the freeze protocol (docs/protocol.md): a state machine with no clock,
 * no socket and no memory of its own. Events and requests go in; after each of them, and at
 * coordinator_deadline, the caller carries out what coordinator_next returns until that is false.
 *
 * It starts by asking all nodes for their state (attaching), and takes up what an earlier
 * coordinator has left: an epoch that some node was told to commit is brought to its end, one that
 * was only armed is called off. Requests are possible in the phases that they name, else -EBUSY.
 *
 * Cost: O(log n) an event, and O(n) when a phase begins; sizeof(struct coordinator_node) +
 * sizeof(struct deadline) a node. Context: one thread.
 */
#pragma once
#include <stdbool.h>
#include "proto/deadlines.h"
#include "proto/moment.h"
#include "proto/wire.h"

struct coordinator_config {
	uint64_t experiment;
	uint64_t incarnation; /* larger than that of any coordinator before, by more than the epochs
				 that it began: the time in us will do. Epochs count from here */
	uint32_t nodes;
	uint64_t margin;      /* ns before T (and T') by which all must have acknowledged */
	uint64_t late_limit;  /* a node that would freeze later than this after T runs on */
	uint64_t late_clean;  /* up to here a freeze is as good as on time */
	uint64_t bound_max;   /* of a node's clock error by T */
	uint64_t patience;    /* for a node that says nothing when it should */
	uint64_t retry_first; /* until the first repetition; then twice as long each time */
	uint64_t retry_limit;
	uint64_t keep_alive; /* between questions to nodes that run, or stand open */
	uint64_t pace;	     /* between first messages to different nodes */
};

enum coordinator_phase {
	PHASE_ATTACHING,
	PHASE_IDLE,
	PHASE_ARMING,
	PHASE_ABORTING,
	PHASE_COMMITTING, /* until all stand */
	PHASE_FROZEN,	  /* open: until there is a T' */
	PHASE_THAW_ARMING,
	PHASE_THAWING,
	PHASE_SUPERSEDED, /* a later coordinator is at work; this one does nothing any more */
};

enum coordinator_outcome {
	OUTCOME_NONE,
	OUTCOME_CLEAN,	 /* may be used as a checkpoint */
	OUTCOME_LATE,	 /* all were frozen; one by more than late_clean too late, or too long */
	OUTCOME_PARTIAL, /* see the nodes' fates */
	OUTCOME_ABORTED, /* no node was frozen */
};

/* Why a node spoils the epoch. */
enum coordinator_fate {
	FATE_NONE,
	FATE_REFUSED, /* `refused` */
	FATE_SILENT,  /* not heard of when it mattered; may be frozen */
	FATE_RESET,   /* since it was armed */
	FATE_RAN_ON,  /* `result` */
	FATE_CLOCK,   /* its clock was stepped, or its error too large */
	FATE_ALONE,   /* frozen or thawed at another time than the others were told */
};

enum coordinator_event {
	EVENT_ATTACHED,	   /* the phase says what was found */
	EVENT_COMMITTED,   /* all are armed: no way back */
	EVENT_FROZEN,	   /* all that could stand; `spoiled` did not, as far as is known */
	EVENT_THAW_FAILED, /* acknowledgements were missing: still frozen, try again */
	EVENT_ENDED,	   /* `outcome` */
	EVENT_SUPERSEDED,
};

/* What is known of a node. */
struct coordinator_node {
	uint64_t boot, armed_boot; /* now, and when the epoch began; 0: not known */
	uint64_t number, echo;	   /* of its latest report; latest command that it answered */
	uint64_t epoch, at, until, late_limit;
	uint64_t late, frozen, freeze_bound, thaw_bound;
	uint32_t round, tries;
	uint64_t asked_seq; /* first command of the kind `asked` */
	uint8_t asked;	    /* enum wire_type of the latest command, SEEN excepted */
	uint8_t state, thaw, result, refusal, flags;
	uint8_t refused;  /* why it refused to arm */
	uint8_t fate;	  /* in the current or latest epoch */
	bool done;	  /* as far as the phase wants it */
	bool acknowledge; /* it has told something unasked */
};

struct coordinator_action {
	bool send; /* `message` to `node`; else `event` */
	uint32_t node;
	struct wire_message message;
	enum coordinator_event event;
};

struct coordinator {
	struct coordinator_config config;
	struct coordinator_node *nodes;
	struct deadlines due;
	enum coordinator_phase phase;
	uint64_t phase_seq;  /* the first command of this phase */
	uint64_t phase_ends; /* mono: patience, or T - margin */
	uint32_t pending;    /* nodes that are not done */
	uint64_t seq;
	bool inherited;	     /* the epoch is an earlier coordinator's */
	bool failing;	     /* the arming can't succeed any more */
	bool force;	     /* thaw without those that do not acknowledge */
	bool thaw_committed; /* an earlier coordinator has committed this T' */
	bool announced;	     /* that it was superseded */

	uint64_t highest; /* epoch so far */
	uint64_t epoch, at, until, late_limit;
	uint32_t round;
	enum coordinator_outcome outcome;
	uint64_t late;	  /* largest lateness or excess of frozen time in the epoch that ended */
	uint32_t spoiled; /* nodes with a fate */
};

/* Starts attaching. `nodes` and `deadlines`: config->nodes of each. */
void coordinator_init(struct coordinator *c, const struct coordinator_config *config,
		      struct coordinator_node *nodes, struct deadline *deadlines,
		      const struct moment *now);

void coordinator_receive(struct coordinator *c, const struct wire_message *m,
			 const struct moment *now);

/* PHASE_IDLE. `until`: T', or WIRE_NEVER: open until coordinator_thaw. -EINVAL: T is nearer than
 * the margin, or T' is not after T. A node that was not heard of, or was reset since, makes the
 * epoch fail; keep_alive later it is known. */
int coordinator_freeze(struct coordinator *c, uint64_t at, uint64_t until,
		       const struct moment *now);
int coordinator_abort(struct coordinator *c); /* PHASE_ARMING */
/* PHASE_FROZEN. With `force` the others thaw without the nodes that don't acknowledge in time;
 * those are told as soon as they answer. -EINVAL: T' is nearer than the margin. */
int coordinator_thaw(struct coordinator *c, uint64_t until, bool force, const struct moment *now);

bool coordinator_next(struct coordinator *c, const struct moment *now,
		      struct coordinator_action *a);
uint64_t coordinator_deadline(const struct coordinator *c); /* mono ns */

const char *coordinator_fate_text(enum coordinator_fate f);
