/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of the freeze protocol (docs/protocol.md): the coordinator sends commands, a participant
 * answers with reports. One message is one datagram, or one record of a stream; whoever carries it
 * authenticates it. Little-endian, fixed sizes, versioned.
 *
 * Times: ns of the experiment's shared time since its epoch (PTP's), below WIRE_TIME_END, or
 * WIRE_NEVER. Durations: ns. Pure; the decoder survives any bytes.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION	  1
#define WIRE_NEVER	  UINT64_MAX
#define WIRE_TIME_END	  (1ull << 62)
#define WIRE_DURATION_END (1ull << 50) /* 13 days */
#define WIRE_MESSAGE_MAX  168	       /* bytes */

enum wire_type {
	WIRE_QUERY = 1,	  /* report; changes nothing */
	WIRE_ATTACH,	  /* report; from now on obey no earlier coordinator */
	WIRE_SEEN,	  /* reports up to `seen` are known; no answer */
	WIRE_ARM,	  /* get ready to freeze at T */
	WIRE_COMMIT,	  /* all are armed: freeze at T */
	WIRE_ABORT,	  /* no freeze in this epoch */
	WIRE_THAW_ARM,	  /* get ready to thaw at T' */
	WIRE_THAW_COMMIT, /* thaw at T' + d */
	WIRE_REPORT,	  /* a participant's state */
	WIRE_TYPES,
};

enum wire_state { STATE_IDLE, STATE_ARMED, STATE_COMMITTED, STATE_FROZEN, WIRE_STATES };
enum wire_thaw { THAW_NONE, THAW_ARMED, THAW_COMMITTED, WIRE_THAWS };

/* What became of a participant's latest epoch; NONE while it lasts. */
enum wire_result {
	RESULT_NONE,
	RESULT_DONE,	    /* frozen and thawed */
	RESULT_ABORTED,	    /* by the coordinator */
	RESULT_UNCOMMITTED, /* armed, and heard neither commit nor abort: ran on */
	RESULT_MISSED,	    /* the commit came later than the limit, or without arming: ran on */
	RESULT_WITHDRAWN,   /* its clock was stepped, or somebody froze it by hand: ran on */
	RESULT_FAILED,	    /* the node could not be stopped: ran on */
	WIRE_RESULTS,
};

/* Why a command was not carried out. */
enum wire_refusal {
	REFUSAL_NONE,
	REFUSAL_EXPERIMENT, /* the node belongs to another experiment */
	REFUSAL_BOOT,	    /* it was reset since */
	REFUSAL_SUPERSEDED, /* it obeys a later coordinator */
	REFUSAL_STALE,	    /* the epoch is over, here */
	REFUSAL_BUSY,	    /* committed or frozen in another epoch, or by hand; or no guest runs */
	REFUSAL_LATE,	    /* T is nearer than the node's margin */
	REFUSAL_CLOCK,	    /* not locked, or the error by T may exceed the command's bound */
	REFUSAL_UNARMED,    /* commit of what was never armed; thaw of what does not stand open */
	WIRE_REFUSALS,
};

#define REPORT_STEPPED 1u /* the clock was stepped in this epoch */
#define REPORT_FLAGS   1u

struct wire_command {
	uint64_t seen;	     /* number of the latest report known, of this boot */
	uint64_t at;	     /* T */
	uint64_t until;	     /* T', or WIRE_NEVER */
	uint64_t late_limit; /* a node that would freeze later than this does not */
	uint64_t bound_max;  /* largest clock error by T */
};

struct wire_report {
	uint64_t number; /* counts the reports of this boot, from 1 */
	uint64_t obeys;	 /* latest incarnation that it has obeyed */
	uint8_t state, thaw, result, refusal, flags;
	uint64_t at, until, late_limit;	   /* as armed */
	uint64_t now;			   /* its shared time */
	uint64_t bound;			   /* and how far that may be off; WIRE_NEVER: not known */
	uint64_t margin;		   /* how long before T it has to be armed */
	uint64_t late;			   /* d: from T until the node stood */
	uint64_t frozen;		   /* how long it stood */
	uint64_t thaw_late;		   /* of the thaw, after T' + d */
	uint64_t freeze_bound, thaw_bound; /* `bound` when it froze and thawed */
};

struct wire_message {
	enum wire_type type;
	uint64_t experiment;
	uint64_t incarnation; /* of the coordinator: the sender, or who is answered */
	uint64_t epoch;	      /* meant, or the participant's latest; 0: none */
	uint64_t boot;	      /* of the node: meant (0: any), or its own */
	uint32_t node;	      /* index in the experiment */
	uint32_t round;	      /* of thaw arming */
	uint64_t seq; /* counts commands; a report's is that of the command answered, or 0 */
	union {
		struct wire_command command;
		struct wire_report report; /* WIRE_REPORT */
	};
};

/* Bytes written: at most WIRE_MESSAGE_MAX. */
size_t wire_encode(const struct wire_message *m, uint8_t *buf);
/* 0; -EPROTONOSUPPORT: another version; -EBADMSG: malformed, or a value out of its range. */
int wire_decode(const uint8_t *buf, size_t size, struct wire_message *m);

/* In plain words, for messages to people. */
const char *wire_result_text(enum wire_result r);
const char *wire_refusal_text(enum wire_refusal r);
