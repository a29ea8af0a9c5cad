/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node in its experiment: the participant of the freeze protocol (proto/participant.h), carried
 * by the control connection, with the node's freeze and shared time as its hands and clock. Boot
 * CPU.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "proto/wire.h"

struct handoff;

void experiment_init(const struct handoff *h); /* boot; the control network is up */

/* --- from the control connection --- */
void experiment_receive(unsigned conn, const void *message, size_t size);
void experiment_forget(unsigned conn); /* it is closed */

/* --- from hv/freeze.c: what happened, in host ticks; carried on by experiment_work --- */
void experiment_frozen(bool as_planned, uint64_t late);
void experiment_failed(void);
void experiment_thawed(uint64_t frozen, uint64_t thaw_late);

/* --- for the loop --- */
uint64_t experiment_due(void); /* tick at which experiment_work has to be called */
void experiment_work(void);

/* A freeze is planned by the experiment, or it has frozen the node: not the operator's to change.
 */
bool experiment_owns_plan(void);

struct experiment_identity {
	char name[18]; /* the control card's address */
	uint64_t boot, experiment, margin;
	unsigned node;
};
void experiment_identity(struct experiment_identity *id);

struct experiment_status {
	struct wire_report report;
	uint64_t epoch;
	bool busy;
	bool coordinator; /* its connection is open */
};
bool experiment_status(struct experiment_status *s); /* false: the node is in no experiment */
