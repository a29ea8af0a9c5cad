// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "lib/watch.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

const char *watch_program;
atomic_bool watch_over;
static _Atomic(const char *) failure;
static pthread_t takers[NSIG];

void steps_pause(struct steps *s)
{
	s->fresh = true;
}

void steps_read(struct steps *s, int64_t now)
{
	int64_t step = now - s->last;

	if (s->n++) {
		if (step > s->step && !s->fresh) {
			s->step = step;
			s->step_tsc = tsc_now();
		}
		if (-step > s->back)
			s->back = -step;
	}
	s->fresh = false;
	s->last = now;
}

void steps_merge(struct steps *into, const struct steps *from)
{
	into->n += from->n;
	if (from->step > into->step) {
		into->step = from->step;
		into->step_tsc = from->step_tsc;
	}
	if (from->back > into->back)
		into->back = from->back;
}

void steps_print(const char *name, const struct steps *s)
{
	if (s->back)
		watch_fail("a clock went back");
	printf("%s %s n=%lu step_ns=%ld step_tsc=%lu back_ns=%ld\n", watch_program, name, s->n,
	       s->step, s->step_tsc, s->back);
}

static unsigned bucket_of(uint64_t late)
{
	unsigned octave;

	if (late < 8)
		return (unsigned)late;
	octave = 63u - (unsigned)__builtin_clzll(late);
	return (octave - 2) * 8 + (unsigned)(late >> (octave - 3) & 7);
}

/* The largest value that belongs into a bucket. */
static uint64_t bucket_end(unsigned b)
{
	return b < 8 ? b : ((uint64_t)(b % 8) + 9) * (1ull << (b / 8 - 1)) - 1;
}

void timeouts_add(struct timeouts *t, int64_t deadline, int64_t now)
{
	int64_t late = now - deadline;
	uint64_t tsc = tsc_now();

	if (t->n < t->room)
		t->each[t->n] = (struct timeout){tsc, late};
	t->n++;
	if (-late > t->early)
		t->early = -late;
	if (late > t->late) {
		t->late = late;
		t->late_tsc = tsc;
	}
	t->buckets[bucket_of(late > 0 ? (uint64_t)late : 0)]++;
}

void timeouts_merge(struct timeouts *into, const struct timeouts *from)
{
	into->n += from->n;
	if (from->early > into->early)
		into->early = from->early;
	if (from->late > into->late) {
		into->late = from->late;
		into->late_tsc = from->late_tsc;
	}
	for (unsigned b = 0; b < LATE_BUCKETS; b++)
		into->buckets[b] += from->buckets[b];
}

static uint64_t quantile(const struct timeouts *t, unsigned percent)
{
	uint64_t seen = 0;
	unsigned b = 0;

	for (; b < LATE_BUCKETS - 1; b++) {
		seen += t->buckets[b];
		if (seen * 100 >= t->n * percent)
			break;
	}
	return bucket_end(b);
}

void timeouts_print(const char *name, const struct timeouts *t)
{
	if (t->early)
		watch_fail("a time-out fired early");
	printf("%s %s n=%lu early_ns=%ld late_ns=%ld late_tsc=%lu p50_ns=%lu p99_ns=%lu\n",
	       watch_program, name, t->n, t->early, t->late, t->late_tsc,
	       t->n ? quantile(t, 50) : 0, t->n ? quantile(t, 99) : 0);
}

void beats_begin(struct beats *b, int64_t period)
{
	b->period = period;
	b->seen = 0;
}

void beats_add(struct beats *b, uint64_t count, int64_t now)
{
	int64_t off;

	if (!b->seen)
		b->origin = now - (int64_t)count * b->period;
	b->n += count;
	b->missed += count - 1;
	b->seen += count;
	off = now - b->origin - (int64_t)b->seen * b->period;
	if (b->seen == count)
		b->least = b->most = off;
	if (off < b->least)
		b->least = off;
	if (off > b->most)
		b->most = off;
	if (b->most - b->least > b->late) {
		b->late = b->most - b->least;
		b->late_tsc = tsc_now();
	}
}

void beats_print(const char *name, const struct beats *b)
{
	printf("%s %s n=%lu missed=%lu late_ns=%ld late_tsc=%lu\n", watch_program, name, b->n,
	       b->missed, b->late, b->late_tsc);
}

void drift_add(struct drift *d, int64_t raw, int64_t clock)
{
	int64_t offset = clock - raw;

	if (!d->n++) {
		d->first_at = raw;
		d->first = d->last = d->min = d->max = offset;
	}
	if (llabs(offset - d->last) > d->jump)
		d->jump = llabs(offset - d->last);
	if (offset < d->min)
		d->min = offset;
	if (offset > d->max)
		d->max = offset;
	d->last = offset;
	d->last_at = raw;
}

void drift_print(const char *name, const struct drift *d)
{
	int64_t elapsed = d->last_at - d->first_at;

	printf("%s %s n=%lu jump_ns=%ld wander_ns=%ld drift_ns=%ld drift_ppm=%.3f\n", watch_program,
	       name, d->n, d->jump, d->max - d->min, d->last - d->first,
	       elapsed ? (double)(d->last - d->first) * 1e6 / (double)elapsed : 0.0);
}

void watch_absent(const char *name, const char *why)
{
	printf("%s %s absent: %s\n", watch_program, name, why);
}

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

static void pass_on(int signal)
{
	pthread_kill(takers[signal], signal);
}

void watch_take(int signal)
{
	struct sigaction a = {.sa_handler = pass_on, .sa_flags = SA_RESTART};

	takers[signal] = pthread_self();
	/* not ignored, as a shell does with SIGINT of its background jobs, either: an ignored
	 * signal is never pending */
	sigaction(signal, &a, NULL);
}

void watch_begin(const char *program)
{
	sigset_t set;

	watch_program = program;
	setlinebuf(stdout);
	end_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	watch_take(SIGINT);
	watch_take(SIGTERM);
}

void watch_wait(long seconds)
{
	int64_t end = clock_ns(CLOCK_MONOTONIC) + seconds * NS_PER_SEC;
	sigset_t set;

	end_signals(&set);
	for (;;) {
		int64_t left = end - clock_ns(CLOCK_MONOTONIC);
		struct timespec t = ns_timespec(left > 0 && seconds ? left : NS_PER_SEC);

		if ((seconds && left <= 0) || sigtimedwait(&set, NULL, &t) > 0)
			break;
	}
	watch_over = true;
}

void watch_fail(const char *what)
{
	const char *none = NULL;

	atomic_compare_exchange_strong(&failure, &none, what);
}

int watch_verdict(void)
{
	if (failure)
		printf("%s FAIL %s\n", watch_program, failure);
	else
		printf("%s ok\n", watch_program);
	return failure != NULL;
}

int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

struct timespec ns_timespec(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
}

uint64_t tsc_now(void)
{
	_mm_lfence();
	return __rdtsc();
}

uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % limit;
}

void be_urgent(int priority)
{
	struct sched_param p = {.sched_priority = priority};

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &p))
		watch_fail("no real-time priority: be root");
}

void be_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}
