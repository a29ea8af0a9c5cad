/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "timevirt/vtimer.h"
#include <stddef.h>

static uint64_t load_deadline(const vns_t *t)
{
	return __atomic_load_n(&t->v, __ATOMIC_ACQUIRE);
}

static void store_deadline(vns_t *t, vns_t deadline)
{
	__atomic_store_n(&t->v, deadline.v, __ATOMIC_RELEASE);
}

static void update_earliest(struct vtimerq *q)
{
	store_deadline(&q->earliest, q->head ? q->head->deadline : VNS_NEVER);
}

/* Caller holds the lock, as for insert() and next_due(). */
static void detach(struct vtimer *t)
{
	struct vtimer **link = &t->queue->head;

	if (t->deadline.v == VNS_NEVER.v)
		return;
	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	t->next = NULL;
	store_deadline(&t->deadline, VNS_NEVER);
}

/* Equal deadlines fire in the order in which they were armed. */
static void insert(struct vtimer *t, vns_t deadline)
{
	struct vtimer **link = &t->queue->head;

	while (*link && (*link)->deadline.v <= deadline.v)
		link = &(*link)->next;
	t->next = *link;
	*link = t;
	store_deadline(&t->deadline, deadline);
}

static struct vtimer *next_due(struct vtimerq *q, vns_t now)
{
	struct vtimer *t = q->head;

	while (t && t->deadline.v <= now.v && t->run == q->run)
		t = t->next;
	return t && t->deadline.v <= now.v ? t : NULL;
}

void vtimerq_init(struct vtimerq *q, void (*kick)(struct vtimerq *q))
{
	*q = (struct vtimerq){.lock = SPINLOCK_INIT, .earliest = VNS_NEVER, .kick = kick};
}

void vtimer_init(struct vtimer *t, struct vtimerq *q, void (*fire)(struct vtimer *t, vns_t now))
{
	*t = (struct vtimer){.queue = q, .deadline = VNS_NEVER, .fire = fire};
}

void vtimer_arm(struct vtimer *t, vns_t deadline)
{
	struct vtimerq *q = t->queue;
	bool nearer;

	spin_lock(&q->lock);
	uint64_t before = q->earliest.v;

	detach(t);
	if (deadline.v != VNS_NEVER.v)
		insert(t, deadline);
	update_earliest(q);
	nearer = q->earliest.v < before;
	spin_unlock(&q->lock);
	if (nearer && q->kick)
		q->kick(q);
}

void vtimer_cancel(struct vtimer *t)
{
	vtimer_arm(t, VNS_NEVER);
}

bool vtimer_armed(const struct vtimer *t)
{
	return load_deadline(&t->deadline) != VNS_NEVER.v;
}

vns_t vtimerq_next(const struct vtimerq *q)
{
	return (vns_t){load_deadline(&q->earliest)};
}

void vtimerq_run(struct vtimerq *q, vns_t now)
{
	struct vtimer *t;

	if (vtimerq_next(q).v > now.v)
		return;
	spin_lock(&q->lock);
	if (++q->run == 0) /* 0 marks a timer that never fired */
		q->run = 1;
	while ((t = next_due(q, now)) != NULL) {
		detach(t);
		update_earliest(q);
		t->run = q->run;
		spin_unlock(&q->lock);
		t->fire(t, now);
		spin_lock(&q->lock);
	}
	spin_unlock(&q->lock);
}
