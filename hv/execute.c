// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/execute.h"
#include "arch/x86_64/arch.h"
#include "hv/command.h"
#include "hv/freeze.h"
#include "hv/vcpu.h"
#include "storage/fiber.h"

#define STACK	 32768
#define SLICE_US 20
#define PAUSE_US 1000 /* the guest's, from slice to slice; while frozen as short as a slice */

static struct fiber_sched *sched;
static struct execution *first, **last = &first; /* that wait */
static struct execution *running;		 /* NULL: none */
static struct fiber *self;			 /* it runs in */
static uint64_t slice_end;			 /* host tick */
static uint64_t next_slice = HOST_NEVER;	 /* the same */

void execute_init(void)
{
	sched = fiber_sched_create_from(heap_alloc, 1, STACK);
}

static uint64_t ticks(uint64_t us)
{
	return tsc_hz() / 1000000 * us;
}

static void run(void *arg)
{
	struct execution *e = arg;
	bool ok;

	self = fiber_self();
	ok = command_run(e->line);
	while (e->flush && !e->flush(e))
		fiber_yield();
	running = NULL;
	e->done(e, ok);
}

static void begin(void)
{
	struct execution *e = first;

	if (!e || running || fiber_start(sched, run, e) != 0)
		return;
	first = e->next;
	if (!first)
		last = &first;
	running = e;
	next_slice = 0;
}

void execute_submit(struct execution *e)
{
	e->next = NULL;
	*last = e;
	last = &e->next;
	begin();
}

bool execute_withdraw(struct execution *e)
{
	for (struct execution **p = &first; *p; p = &(*p)->next) {
		if (*p != e)
			continue;
		*p = e->next;
		if (!*p)
			last = p;
		return true;
	}
	return false;
}

uint64_t execute_due(void)
{
	return next_slice;
}

void execute_slice(void)
{
	if (next_slice == HOST_NEVER)
		return;
	slice_end = node_host_ticks() + ticks(SLICE_US);
	(void)fiber_run(sched, 1);
	next_slice = HOST_NEVER;
	begin(); /* the fiber that has ended is free only now */
	if (running)
		next_slice = node_host_ticks() +
			     ticks(freeze_state() == NODE_RUNNING ? PAUSE_US : SLICE_US);
}

struct execution *execute_current(void)
{
	return running && fiber_self() == self ? running : NULL;
}

void execute_pause(void)
{
	if (execute_current() && node_host_ticks() >= slice_end)
		fiber_yield();
}
