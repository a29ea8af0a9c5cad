/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/fiber.c */
#include <errno.h>
#include <stdlib.h>
#include "storage/fiber.h"
#include "test/unit/check.h"

#define STACKS 4
#define STACK  16384

static struct fiber_sched *s;
static struct fiber *sleeper;
static unsigned steps, order[16];

void fiber_overflow(void)
{
	abort();
}

static void drain(void)
{
	while (fiber_run(s, 1))
		;
}

static void counting(void *arg)
{
	volatile char on_stack[512];

	for (unsigned i = 0; i < 3; i++) {
		on_stack[i] = (char)i;
		order[steps++] = *(unsigned *)arg;
		fiber_yield();
		CHECK_EQ(on_stack[i], i);
	}
}

static void take_turns(void)
{
	unsigned a = 1, b = 2;

	steps = 0;
	CHECK_EQ(fiber_start(s, counting, &a), 0);
	CHECK_EQ(fiber_start(s, counting, &b), 0);
	CHECK_EQ(steps, 0);
	drain();
	CHECK_EQ(steps, 6);
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ(order[i], 1 + i % 2);
}

static void sleeping(void *arg)
{
	sleeper = fiber_self();
	fiber_wait();
	*(unsigned *)arg += 1;
	fiber_wait();
	*(unsigned *)arg += 1;
}

static void wait_and_wake(void)
{
	unsigned woken = 0;

	CHECK_EQ(fiber_start(s, sleeping, &woken), 0);
	drain();
	CHECK_EQ(woken, 0);
	fiber_wake(sleeper);
	fiber_wake(sleeper); /* counts once */
	drain();
	CHECK_EQ(woken, 1);
	fiber_wake(sleeper);
	drain();
	CHECK_EQ(woken, 2);
}

static void waking_itself(void *arg)
{
	fiber_wake(fiber_self()); /* came first */
	fiber_wait();
	*(bool *)arg = true;
}

static void a_wake_that_came_first(void)
{
	bool done = false;

	CHECK_EQ(fiber_start(s, waking_itself, &done), 0);
	drain();
	CHECK(done);
}

static void stacks_run_out_and_come_back(void)
{
	unsigned woken = 0;

	for (unsigned round = 0; round < 3; round++) {
		struct fiber *all[STACKS];

		for (unsigned i = 0; i < STACKS; i++) {
			CHECK_EQ(fiber_start(s, sleeping, &woken), 0);
			drain();
			all[i] = sleeper;
		}
		CHECK_EQ(fiber_start(s, sleeping, &woken), -EAGAIN);
		for (unsigned twice = 0; twice < 2; twice++) {
			for (unsigned i = 0; i < STACKS; i++)
				fiber_wake(all[i]);
			drain();
		}
	}
	CHECK_EQ(woken, 3 * STACKS * 2);
}

static void inner(void *arg)
{
	*(struct fiber **)arg = fiber_self();
	fiber_yield();
}

/* A fiber may run another scheduler's, and is itself again afterwards. */
static void outer(void *arg)
{
	struct fiber *self = fiber_self(), *other = NULL;
	struct fiber_sched *second = fiber_sched_create(1, STACK);

	(void)fiber_start(second, inner, &other);
	while (fiber_run(second, 1))
		fiber_yield();
	*(bool *)arg = fiber_self() == self && other && other != self;
	fiber_sched_free(second);
}

static void schedulers_nest(void)
{
	bool done = false;

	CHECK_EQ(fiber_start(s, outer, &done), 0);
	drain();
	CHECK(done);
}

int main(void)
{
	s = fiber_sched_create(STACKS, STACK);
	if (!CHECK(s != NULL))
		return 1;
	RUN(take_turns);
	RUN(wait_and_wake);
	RUN(a_wake_that_came_first);
	RUN(stacks_run_out_and_come_back);
	RUN(schedulers_nest);
	fiber_sched_free(s);
	return check_result();
}
