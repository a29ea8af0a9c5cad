/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The nodes of an experiment and the connections to them, as one command has them: chosen nodes are
 * connected to in parallel, asked for their state, and their shared time is agreed upon.
 */
#pragma once
#include "proto/moment.h"
#include "proto/wire.h"
#include "tools/ctl/agree.h"
#include "tools/ctl/experiment.h"
#include "tools/ctl/link.h"

struct session;

struct node {
	struct link link;
	const struct experiment_node *is;
	uint32_t index;
	bool chosen;
	bool started;	 /* has been opened once */
	bool gone;	 /* it could not be reached, or was lost, and is not tried again */
	char wrong[256]; /* why it is not to be used though it can be reached; else empty */
	unsigned tries;	 /* since it was up last */
	uv_timer_t again;

	/* its clock */
	uint64_t asked_seq, asked_at;	/* the latest question: number, mono ns */
	bool heard, timed;		/* a report came; `offset` is there */
	struct interval offset;		/* of shared time to this machine's mono clock */
	uint64_t offset_at, round_trip; /* mono ns; ns */
	struct wire_message report;	/* the latest */
	void *command;			/* what the command keeps for it */
};

/* What a command wants to hear of. */
struct session_ops {
	bool retry; /* lost and unreachable nodes are tried again and again */
	void (*up)(struct session *s, struct node *n);
	/* Nothing follows of `gone` nodes. why: link.why, or wrong. */
	void (*down)(struct session *s, struct node *n);
	void (*report)(struct session *s, struct node *n, const struct wire_message *m);
	void (*record)(struct session *s, struct node *n, const struct ctl_record *r);
	/* Each node is up, or was tried once in vain. Once. */
	void (*settled)(struct session *s);
	/* All nodes that are up have told their time, or have had a second for it. Once. */
	void (*timed)(struct session *s);
	void (*interrupt)(struct session *s); /* SIGINT, SIGTERM; NULL: the program ends */
};

struct session {
	struct experiment e;
	struct node *nodes;	      /* e.node_count */
	uint32_t chosen, up, pending; /* nodes; pending: neither up nor tried in vain */
	uint32_t opening, next;	      /* connections under way; the next to be opened */
	const struct session_ops *ops;
	uv_loop_t loop;
	uv_timer_t end, ask;
	uv_signal_t signals[2];
	bool has_settled, has_timed;
	struct agreement clock; /* of shared time; mono + offset */
	uint64_t clock_at;	/* mono */
	bool clock_bad;		/* no node knows how far its time is off */
};

uint64_t mono_now(void);

/* Reads the experiment file; dies if it is not right. */
void session_load(struct session *s);
/* `names`: NULL or "all": all; else names with commas in between. Dies if there is none such. */
void session_choose(struct session *s, const char *names);
struct node *session_only(struct session *s); /* the one chosen; dies if there are more */
/* Connects, and runs the loop until session_end. Returns what that was given. */
int session_run(struct session *s, const struct session_ops *ops);
void session_end(struct session *s, int status);

/* Asks for the shared time of all nodes that are up; then `timed`. */
void session_ask_time(struct session *s);
struct moment session_now(const struct session *s);
uint32_t session_count_timed(const struct session *s); /* nodes that have told their time */
/* By how much (ns) the node's clock is further from the agreed time than it says it can be, and
 * than was measured; 0 if it is not, or says nothing. */
uint64_t session_stray(const struct session *s, const struct node *n);
/* Nothing if the node is not up. A numbered message is a question whose answer tells the time. */
void session_send(struct session *s, struct node *n, const struct wire_message *m);
/* Why a node can't be used, or NULL. */
const char *node_problem(const struct node *n);
