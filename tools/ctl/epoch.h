/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator of the freeze protocol (proto/coordinator.h) on the connections of a session. */
#pragma once
#include "proto/coordinator.h"
#include "tools/ctl/session.h"

struct epoch;

struct epoch_ops {
	void (*event)(struct epoch *e, enum coordinator_event event);
	void (*turn)(struct epoch *e); /* after whatever happened: a chance to show progress */
};

struct epoch {
	struct session *s;
	const struct epoch_ops *ops;
	struct coordinator c;
	struct coordinator_node *nodes; /* by index */
	struct deadline *deadlines;
	uv_timer_t timer;
	bool running; /* begun */
	bool pumping;
};

/* Begins to attach. The session must be timed. */
void epoch_begin(struct epoch *e, struct session *s, const struct epoch_ops *ops);
/* To be called after requests to e->c, but not from `event`. */
void epoch_pump(struct epoch *e);
void epoch_receive(struct epoch *e, const struct wire_message *m);
const char *outcome_name(enum coordinator_outcome o);
