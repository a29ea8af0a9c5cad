// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Load on every CPU for a while, checked all along:
 *   load SECONDS
 * One thread per CPU computes the same checksum over and over; pairs of threads on neighbouring
 * CPUs play ping-pong through pipes (reschedule IPIs); one thread sleeps 1 ms at a time and watches
 * CLOCK_MONOTONIC and the TSC for steps back. Prints `load ok THREADS ROUNDS PINGS SLEEPS
 * MAX_SLEEP_US` or `load FAIL what`; exit status 0 or 1.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define THREADS_MAX 64
#define WORDS	    4096

static atomic_bool done;
static atomic_long rounds, pings, sleeps, max_sleep_us;
static _Atomic(const char *) failure;

static void fail(const char *what)
{
	const char *none = NULL;

	atomic_compare_exchange_strong(&failure, &none, what);
	done = true;
}

static void pin(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static uint64_t checksum(uint64_t *words, uint64_t seed)
{
	uint64_t sum = 0, x = seed;

	for (int i = 0; i < WORDS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
	for (int i = 0; i < WORDS; i++) {
		sum = (sum << 5 | sum >> 59) ^ words[i];
		sum += (uint64_t)((double)(words[i] >> 12) * 1.25);
	}
	return sum;
}

static void *compute(void *arg)
{
	uint64_t *words = malloc(WORDS * sizeof(*words)), first;

	pin((long)arg);
	first = checksum(words, 88172645463325252ull);
	while (!done) {
		if (checksum(words, 88172645463325252ull) != first)
			fail("a checksum differs");
		rounds++;
	}
	free(words);
	return NULL;
}

struct end {
	int in, out;
	long cpu;
	int starts;
};

static void *ping(void *arg)
{
	struct end *e = arg;
	char c = 'x';

	pin(e->cpu);
	if (e->starts && write(e->out, &c, 1) != 1)
		fail("ping");
	while (!done) {
		if (read(e->in, &c, 1) != 1 || write(e->out, &c, 1) != 1)
			break;
		pings++;
	}
	close(e->out);
	return NULL;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void *watch(void *arg)
{
	int64_t last = now_us();
	unsigned aux;
	uint64_t tsc = __rdtscp(&aux);

	(void)arg;
	while (!done) {
		int64_t now;
		uint64_t t;

		usleep(1000);
		now = now_us();
		t = __rdtscp(&aux);
		if (now < last + 1000)
			fail("a sleep of 1 ms ended early, or the clock went back");
		if (t < tsc)
			fail("the TSC went back");
		if (now - last > max_sleep_us)
			max_sleep_us = now - last;
		last = now;
		tsc = t;
		sleeps++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static pthread_t threads[THREADS_MAX * 3 + 1];
	static struct end ends[THREADS_MAX * 2];
	long seconds = argc > 1 ? atol(argv[1]) : 60, n = sysconf(_SC_NPROCESSORS_ONLN), k = 0;

	if (n > THREADS_MAX)
		n = THREADS_MAX;
	for (long i = 0; i < n; i++) {
		int a[2], b[2];

		if (pipe(a) || pipe(b))
			return 1;
		ends[2 * i] = (struct end){a[0], b[1], i, 1};
		ends[2 * i + 1] = (struct end){b[0], a[1], (i + 1) % n, 0};
		pthread_create(&threads[k++], NULL, compute, (void *)i);
		pthread_create(&threads[k++], NULL, ping, &ends[2 * i]);
		pthread_create(&threads[k++], NULL, ping, &ends[2 * i + 1]);
	}
	pthread_create(&threads[k++], NULL, watch, NULL);
	for (int64_t end = now_us() + seconds * 1000000; now_us() < end && !done;)
		usleep(100000);
	done = true;
	for (long i = 0; i < k; i++)
		pthread_join(threads[i], NULL);
	if (failure) {
		printf("load FAIL %s\n", failure);
		return 1;
	}
	printf("load ok %ld threads %ld rounds %ld pings %ld sleeps, longest %ld us\n", n, rounds,
	       pings, sleeps, max_sleep_us);
	return 0;
}
