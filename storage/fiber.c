// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/fiber.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define CANARY 0x6b636174732066ffull /* at the stack's low end */

struct fiber {
	void *sp; /* while it does not run */
	struct fiber *next;
	struct fiber_sched *sched;
	void (*fn)(void *arg);
	void *arg;
	uint64_t *stack;	   /* lowest address */
	void *fake;		   /* ASan's */
	struct fiber *next_waiter; /* in a fiber_queue */
	bool used, waiting, woken, queued;
};

struct fiber_sched {
	struct fiber *ready, **ready_end;
	struct fiber *free;
	void *sp; /* of whoever called fiber_run */
	void *fake;
	const void *caller_stack; /* ASan's */
	size_t caller_bytes;
	size_t stack_bytes;
	unsigned n;
	struct fiber fibers[];
};

static struct fiber *current; /* there is one storage CPU */

/* Saves the callee-saved registers on this stack and goes on on the other (System V ABI, AMD64,
 * 3.2.1). */
void fiber_switch(void **save, void *to);
asm(".text\n"
    ".global fiber_switch\n"
    ".type fiber_switch, @function\n"
    "fiber_switch:\n\t"
    "push %rbp\n\t"
    "push %rbx\n\t"
    "push %r12\n\t"
    "push %r13\n\t"
    "push %r14\n\t"
    "push %r15\n\t"
    "mov %rsp, (%rdi)\n\t"
    "mov %rsi, %rsp\n\t"
    "pop %r15\n\t"
    "pop %r14\n\t"
    "pop %r13\n\t"
    "pop %r12\n\t"
    "pop %rbx\n\t"
    "pop %rbp\n\t"
    "ret\n"
    ".size fiber_switch, . - fiber_switch\n");

#define SAVED_REGISTERS 6

static void before_switch(void **fake, const void *stack, size_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(fake, stack, bytes);
#else
	(void)fake;
	(void)stack;
	(void)bytes;
#endif
}

static void after_switch(void *fake, const void **stack, size_t *bytes)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, stack, bytes);
#else
	(void)fake;
	(void)stack;
	(void)bytes;
#endif
}

static void leave(struct fiber *f, bool for_good)
{
	struct fiber_sched *s = f->sched;

	before_switch(for_good ? NULL : &f->fake, s->caller_stack, s->caller_bytes);
	fiber_switch(&f->sp, s->sp);
	after_switch(f->fake, &s->caller_stack, &s->caller_bytes);
}

/* The first function on a fiber's stack. */
static void first(void)
{
	struct fiber *f = current;

	after_switch(NULL, &f->sched->caller_stack, &f->sched->caller_bytes);
	f->fn(f->arg);
	f->used = false;
	f->next = f->sched->free;
	f->sched->free = f;
	leave(f, true);
	__builtin_unreachable();
}

static struct fiber_sched *create(void *(*alloc)(size_t bytes), unsigned stacks, size_t stack_bytes)
{
	size_t bytes = sizeof(struct fiber_sched) + stacks * sizeof(struct fiber);
	struct fiber_sched *s = alloc(bytes);

	if (!s)
		return NULL;
	memset(s, 0, bytes);
	s->n = stacks;
	s->stack_bytes = stack_bytes;
	s->ready_end = &s->ready;
	for (unsigned i = 0; i < stacks; i++) {
		struct fiber *f = &s->fibers[i];

		f->stack = alloc(stack_bytes);
		if (!f->stack)
			break;
		f->stack[0] = CANARY;
		f->sched = s;
		f->next = s->free;
		s->free = f;
	}
	return s;
}

struct fiber_sched *fiber_sched_create(unsigned stacks, size_t stack_bytes)
{
	struct fiber_sched *s = create(malloc, stacks, stack_bytes);

	if (s && stacks && !s->fibers[stacks - 1].stack) {
		fiber_sched_free(s);
		return NULL;
	}
	return s;
}

struct fiber_sched *fiber_sched_create_from(void *(*alloc)(size_t bytes), unsigned stacks,
					    size_t stack_bytes)
{
	return create(alloc, stacks, stack_bytes);
}

void fiber_sched_free(struct fiber_sched *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->fibers[i].stack);
	free(s);
}

static void make_ready(struct fiber *f)
{
	struct fiber_sched *s = f->sched;

	f->next = NULL;
	*s->ready_end = f;
	s->ready_end = &f->next;
}

int fiber_start(struct fiber_sched *s, void (*fn)(void *arg), void *arg)
{
	struct fiber *f = s->free;
	void **sp;

	if (!f)
		return -EAGAIN;
	s->free = f->next;
	f->fn = fn;
	f->arg = arg;
	f->used = true;
	f->waiting = f->woken = false;
	/* as if it had called fiber_switch from `first`: aligned to 16 before the call */
	sp = (void **)((char *)f->stack + s->stack_bytes - 16);
	*--sp = NULL; /* `first` has no caller */
	*--sp = (void *)first;
	for (int i = 0; i < SAVED_REGISTERS; i++)
		*--sp = NULL;
	f->sp = sp;
	make_ready(f);
	return 0;
}

int fiber_spawn(void (*fn)(void *arg), void *arg)
{
	return fiber_start(current->sched, fn, arg);
}

static void enter(struct fiber_sched *s, struct fiber *f)
{
	struct fiber *outer = current; /* of another scheduler */

	current = f;
	before_switch(&s->fake, f->stack, s->stack_bytes);
	fiber_switch(&s->sp, f->sp);
	after_switch(s->fake, NULL, NULL);
	current = outer;
	if (f->stack[0] != CANARY)
		fiber_overflow();
}

bool fiber_run(struct fiber_sched *s, unsigned turns)
{
	for (; turns && s->ready; turns--) {
		struct fiber *f = s->ready;

		s->ready = f->next;
		if (!s->ready)
			s->ready_end = &s->ready;
		enter(s, f);
	}
	return s->ready != NULL;
}

struct fiber *fiber_self(void)
{
	return current;
}

void fiber_wait(void)
{
	struct fiber *f = current;

	if (!f->woken) {
		f->waiting = true;
		leave(f, false);
	}
	f->woken = false;
}

void fiber_yield(void)
{
	make_ready(current);
	leave(current, false);
}

void fiber_wake(struct fiber *f)
{
	f->woken = true;
	if (f->waiting) {
		f->waiting = false;
		make_ready(f);
	}
}

/* --- waiting for the same thing --- */

void fiber_queue_wait(struct fiber_queue *q)
{
	struct fiber *f = current;

	f->next_waiter = q->first;
	f->queued = true;
	q->first = f;
	while (f->queued)
		fiber_wait();
}

void fiber_queue_wake(struct fiber_queue *q)
{
	struct fiber *f = q->first;

	q->first = NULL;
	for (; f; f = f->next_waiter) {
		f->queued = false;
		fiber_wake(f);
	}
}

void fiber_lock(struct fiber_mutex *m)
{
	while (m->taken)
		fiber_queue_wait(&m->queue);
	m->taken = true;
}

void fiber_unlock(struct fiber_mutex *m)
{
	m->taken = false;
	fiber_queue_wake(&m->queue);
}
