/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the coordinator's files: coordinator.c (messages), coordinator_phase.c (decisions). */
#pragma once
#include "proto/coordinator.h"

/* Has the node done what the present phase wants of it? */
bool coordinator_node_done(const struct coordinator *c, const struct coordinator_node *n);
/* Is it active in an epoch that is over, or another's? Then it is released. */
bool coordinator_node_stray(const struct coordinator *c, const struct coordinator_node *n);
/* When it answered last it did not know the inherited epoch. The earlier coordinator may have armed
 * it since: a commit settles that. */
bool coordinator_node_left_out(const struct coordinator *c, const struct coordinator_node *n);
void coordinator_set_fate(struct coordinator *c, struct coordinator_node *n,
			  enum coordinator_fate fate);
/* The node's deadline, from what it last said. */
void coordinator_schedule(struct coordinator *c, uint32_t node, const struct moment *now);
void coordinator_enter(struct coordinator *c, enum coordinator_phase phase, uint64_t ends,
		       const struct moment *now);
/* A report has come: what does it mean for the phase? */
void coordinator_judge(struct coordinator *c, struct coordinator_node *n, bool answers);
/* The next decision that is due; true: with an event. */
bool coordinator_decide(struct coordinator *c, const struct moment *now,
			enum coordinator_event *event);
