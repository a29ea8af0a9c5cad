// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TSC between CPUs:
 *   tscwarp [SECONDS]        default 1, for each of the two parts
 * First all CPUs take turns under a lock, each looking whether its TSC is behind what the one
 * before saw; then the CPUs hand a token back and forth in pairs, which bounds how far their TSCs
 * are apart: the way there takes as long as the way back. The same for CLOCK_MONOTONIC_RAW. Lines:
 *   tscwarp all n=TURNS back_ticks=LARGEST back_ns=LARGEST
 *   tscwarp A-B n=ROUNDS there_ticks=LEAST back_ticks=LEAST offset_ticks=HALF THE DIFFERENCE
 * Then `tscwarp ok`, `tscwarp absent: one CPU`, or `tscwarp FAIL what` with status 1.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <x86intrin.h>
#include "lib/watch.h"

#define CPUS_MAX 64

/* What comes after must not be done before the TSC is read. */
static uint64_t tsc_fenced(void)
{
	uint64_t t = tsc_now();

	_mm_lfence();
	return t;
}

/* --- all, under a lock --- */

static struct {
	atomic_flag taken;
	uint64_t tsc, turns, back_ticks;
	int64_t ns, back_ns;
} turn __attribute__((aligned(64))) = {.taken = ATOMIC_FLAG_INIT};

static void one_turn(void)
{
	uint64_t tsc;
	int64_t ns;

	while (atomic_flag_test_and_set_explicit(&turn.taken, memory_order_acquire))
		_mm_pause();
	tsc = tsc_fenced();
	ns = clock_ns(CLOCK_MONOTONIC_RAW);
	if (tsc < turn.tsc && turn.tsc - tsc > turn.back_ticks)
		turn.back_ticks = turn.tsc - tsc;
	if (ns < turn.ns && turn.ns - ns > turn.back_ns)
		turn.back_ns = turn.ns - ns;
	turn.tsc = tsc;
	turn.ns = ns;
	turn.turns++;
	atomic_flag_clear_explicit(&turn.taken, memory_order_release);
}

static void *take_turns(void *arg)
{
	be_on_cpu((int)(long)arg);
	while (!watch_over)
		one_turn();
	return NULL;
}

/* --- in pairs --- */

#define NOBODY 0 /* the token's values: whose move it is, and the TSC of who moved last */
static struct {
	_Atomic uint64_t there, back;
} token __attribute__((aligned(64)));

static struct pair {
	int a, b;
	uint64_t rounds, there, back; /* least ticks from a to b and from b to a */
} * pair;

static void *answer(void *unused)
{
	uint64_t sent;

	(void)unused;
	be_on_cpu(pair->b);
	while (!watch_over) {
		sent = atomic_load_explicit(&token.there, memory_order_acquire);
		if (sent == NOBODY)
			continue;
		atomic_store_explicit(&token.there, NOBODY, memory_order_relaxed);
		atomic_store_explicit(&token.back, tsc_fenced(), memory_order_release);
	}
	return NULL;
}

static void least(uint64_t *min, uint64_t from, uint64_t to)
{
	/* as signed numbers: a TSC that is behind makes a negative way */
	if ((int64_t)(to - from) < (int64_t)*min)
		*min = to - from;
}

static void ask(void)
{
	uint64_t sent, got, end;

	be_on_cpu(pair->a);
	while (!watch_over) {
		sent = tsc_fenced();
		atomic_store_explicit(&token.there, sent, memory_order_release);
		while ((got = atomic_load_explicit(&token.back, memory_order_acquire)) == NOBODY)
			if (watch_over)
				return;
		end = tsc_fenced();
		atomic_store_explicit(&token.back, NOBODY, memory_order_relaxed);
		least(&pair->there, sent, got);
		least(&pair->back, got, end);
		pair->rounds++;
	}
}

static void *end_later(void *arg)
{
	watch_wait((long)arg);
	return NULL;
}

static void measure_all(int n, long seconds)
{
	pthread_t threads[CPUS_MAX];

	for (long i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, take_turns, (void *)i);
	watch_wait(seconds);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	printf("tscwarp all n=%lu back_ticks=%lu back_ns=%ld\n", turn.turns, turn.back_ticks,
	       turn.back_ns);
	if (turn.back_ticks || turn.back_ns)
		watch_fail("a CPU's clock is behind another's");
}

static void measure_pair(struct pair *p, long seconds)
{
	pthread_t other, timer;

	pair = p;
	watch_over = false;
	token.there = token.back = NOBODY;
	pthread_create(&timer, NULL, end_later, (void *)seconds);
	pthread_create(&other, NULL, answer, NULL);
	ask();
	pthread_join(other, NULL);
	pthread_join(timer, NULL);
	printf("tscwarp %d-%d n=%lu there_ticks=%ld back_ticks=%ld offset_ticks=%ld\n", p->a, p->b,
	       p->rounds, (int64_t)p->there, (int64_t)p->back,
	       ((int64_t)p->there - (int64_t)p->back) / 2);
	if ((int64_t)p->there < 0 || (int64_t)p->back < 0)
		watch_fail("a token arrived before it was sent");
}

int main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 1;
	int n = (int)sysconf(_SC_NPROCESSORS_ONLN);

	watch_begin("tscwarp");
	if (n < 2) {
		printf("tscwarp absent: one CPU\n");
		return 0;
	}
	if (n > CPUS_MAX)
		n = CPUS_MAX;
	measure_all(n, seconds);
	for (int b = 1; b < n; b++) {
		struct pair p = {.a = 0, .b = b, .there = INT64_MAX, .back = INT64_MAX};

		measure_pair(&p, seconds);
	}
	return watch_verdict();
}
