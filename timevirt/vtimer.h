/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers in virtual time. Each physical CPU has one queue; the queue's earliest deadline is what
 * its one physical timer is programmed for (hv/vcpu.c). Deadlines live in virtual time, so a
 * stopped clock stops them all.
 *
 * Context: arm/cancel from any CPU (the queue has its own lock, innermost); `fire` runs on the
 * queue's CPU with no lock held, and must itself check (under its device's lock) that the timer is
 * still wanted: a cancel from another CPU may have raced with it.
 */
#pragma once
#include <stdbool.h>
#include "arch/x86_64/spinlock.h"
#include "timevirt/vclock.h"

struct vtimerq;

struct vtimer {
	struct vtimer *next;
	struct vtimerq *queue;
	vns_t deadline; /* VNS_NEVER while not armed */
	uint32_t run;	/* vtimerq.run at which it fired last */
	void (*fire)(struct vtimer *t, vns_t now);
};

struct vtimerq {
	struct spinlock lock;
	struct vtimer *head;		 /* earliest first */
	vns_t earliest;			 /* the head's deadline, for vtimerq_next */
	uint32_t run;			 /* counts vtimerq_run calls; never 0 while one runs */
	void (*kick)(struct vtimerq *q); /* called without the lock when the earliest deadline moved
					    nearer; may be NULL */
};

void vtimerq_init(struct vtimerq *q, void (*kick)(struct vtimerq *q));
void vtimer_init(struct vtimer *t, struct vtimerq *q, void (*fire)(struct vtimer *t, vns_t now));
void vtimer_arm(struct vtimer *t, vns_t deadline); /* re-arming moves it; VNS_NEVER cancels */
void vtimer_cancel(struct vtimer *t);
bool vtimer_armed(const struct vtimer *t);
vns_t vtimerq_next(const struct vtimerq *q); /* earliest deadline or VNS_NEVER; lock-free read of
						the head's copy */
void vtimerq_run(
	struct vtimerq *q,
	vns_t now); /* fire all with deadline <= now; bounded: each timer at most once per call */
