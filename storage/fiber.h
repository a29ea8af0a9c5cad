/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fibers: straight-line code that can wait for a device. Each has a small stack of its own and
 * gives up the processor only in fiber_wait and fiber_yield, so data that one CPU's fibers share
 * needs no locks. The same code runs on the host (ASan is told of each switch).
 *
 * Context: fiber_run and everything inside fibers on one CPU. A fiber may run those of another
 * scheduler.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct fiber;
struct fiber_sched;

struct fiber_sched *fiber_sched_create(unsigned stacks, size_t stack_bytes); /* NULL: no memory */
/* The same for good, of memory from `alloc`, which gives some or does not return. */
struct fiber_sched *fiber_sched_create_from(void *(*alloc)(size_t bytes), unsigned stacks,
					    size_t stack_bytes);
void fiber_sched_free(struct fiber_sched *s); /* no fiber is in the middle of anything */
/* Runs fn(arg) on a free stack at the next fiber_run; -EAGAIN: all are taken. */
int fiber_start(struct fiber_sched *s, void (*fn)(void *arg), void *arg);
/* Runs ready fibers, at most `turns` of them: work is cut into slices. True: more are ready. */
bool fiber_run(struct fiber_sched *s, unsigned turns);

/* Inside a fiber: */
struct fiber *fiber_self(void);
int fiber_spawn(void (*fn)(void *arg), void *arg); /* fiber_start on the same scheduler */
void fiber_wait(void);	/* until somebody calls fiber_wake for it; a wake that came first counts */
void fiber_yield(void); /* let others run */
void fiber_wake(struct fiber *f); /* from anywhere on the same CPU */

/* Fibers that wait for the same thing. Zeroed: empty. */
struct fiber_queue {
	struct fiber *first;
};
void fiber_queue_wait(struct fiber_queue *q); /* until the next fiber_queue_wake */
void fiber_queue_wake(struct fiber_queue *q); /* all of them */

/* One fiber at a time. Zeroed: free. */
struct fiber_mutex {
	bool taken;
	struct fiber_queue queue;
};
void fiber_lock(struct fiber_mutex *m);
void fiber_unlock(struct fiber_mutex *m);

/* What a program that uses fibers provides: a fiber wrote below its stack. Does not return. */
__attribute__((noreturn)) void fiber_overflow(void);
