/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands from the prompt and from the control network, one at a time, in the order in which they
 * were given. Each runs in a fiber, in slices of 20 us and the time of one more out(), with 1 ms
 * for the guest in between: its CPU is not its own.
 *
 * Context: the boot CPU.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct execution {
	char *line; /* is changed; both are the caller's until `done` */
	/* How many bytes of the output it has taken; 0: it waits for room. */
	size_t (*write)(struct execution *e, const char *s, size_t n);
	bool (*flush)(struct execution *e); /* before `done`; false: it waits for room. Or NULL */
	void (*done)(struct execution *e, bool ok); /* may submit another */
	struct execution *next;
};

void execute_init(void); /* boot */
void execute_submit(struct execution *e);
/* One that has not begun is taken back; false: it runs, or is done. */
bool execute_withdraw(struct execution *e);
/* Host tick at which execute_slice is due; HOST_NEVER. */
uint64_t execute_due(void);
void execute_slice(void);
/* In a command's fiber: whose; else NULL. */
struct execution *execute_current(void);
/* In a command's fiber: lets the guest go on if the slice is over. */
void execute_pause(void);
