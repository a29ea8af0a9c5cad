// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Load on every CPU for a while, checked all along:
 *   load SECONDS [FILE]       0: until SIGINT or SIGTERM
 * One thread per CPU computes the same checksum over and over; pairs of threads on neighbouring
 * CPUs play ping-pong through pipes (reschedule IPIs); one thread sleeps 1 ms at a time and watches
 * CLOCK_MONOTONIC and the TSC for steps back; one writes numbered lines to FILE, a hundred a second
 * (a console: its interrupts). Prints what it did, then `load ok` or `load FAIL
 * what`; exit status 0 or 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <x86intrin.h>
#include "lib/watch.h"

#define THREADS_MAX 64
#define WORDS	    4096

static atomic_long rounds, pings, sleeps, max_sleep_us;

static void fail(const char *what)
{
	watch_fail(what);
	kill(getpid(), SIGTERM); /* ends the run */
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

/* Whatever has a time to keep comes first: the kernel's workers that interrupts hand over to, and
 * those who watch the clocks. */
static void give_way(void)
{
	if (setpriority(PRIO_PROCESS, 0, 19) != 0) /* Linux: this thread */
		fail("setpriority");
}

static void *compute(void *arg)
{
	uint64_t *words = malloc(WORDS * sizeof(*words)), first;

	be_on_cpu((int)(long)arg);
	give_way();
	first = checksum(words, 88172645463325252ull);
	while (!watch_over) {
		if (checksum(words, 88172645463325252ull) != first)
			fail("a checksum differs");
		rounds++;
	}
	free(words);
	return NULL;
}

struct end {
	int in, out;
	int cpu;
	int starts;
};

static void *ping(void *arg)
{
	struct end *e = arg;
	char c = 'x';

	be_on_cpu(e->cpu);
	give_way();
	if (e->starts && write(e->out, &c, 1) != 1)
		fail("ping");
	while (!watch_over) {
		if (read(e->in, &c, 1) != 1 || write(e->out, &c, 1) != 1)
			break;
		pings++;
	}
	close(e->out);
	return NULL;
}

static int64_t now_us(void)
{
	return clock_ns(CLOCK_MONOTONIC) / NS_PER_US;
}

static void *talk(void *arg)
{
	int fd = open(arg, O_WRONLY | O_NOCTTY);
	char line[32];

	if (fd < 0)
		fail("the file can't be opened");
	for (int i = 1; !watch_over; i++) {
		int n = snprintf(line, sizeof(line), "load line %d.\n", i);

		if (write(fd, line, (size_t)n) != n)
			fail("the file can't be written");
		usleep(10000);
	}
	return NULL;
}

static void *watch(void *arg)
{
	int64_t last = now_us();
	unsigned aux;
	uint64_t tsc = __rdtscp(&aux);

	(void)arg;
	while (!watch_over) {
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
	static pthread_t threads[THREADS_MAX * 3 + 2];
	static struct end ends[THREADS_MAX * 2];
	long seconds = argc > 1 ? atol(argv[1]) : 60, n = sysconf(_SC_NPROCESSORS_ONLN), k = 0;

	watch_begin("load");
	if (n > THREADS_MAX)
		n = THREADS_MAX;
	for (long i = 0; i < n; i++) {
		int a[2], b[2];

		if (pipe(a) || pipe(b))
			return 1;
		ends[2 * i] = (struct end){a[0], b[1], (int)i, 1};
		ends[2 * i + 1] = (struct end){b[0], a[1], (int)((i + 1) % n), 0};
		pthread_create(&threads[k++], NULL, compute, (void *)i);
		pthread_create(&threads[k++], NULL, ping, &ends[2 * i]);
		pthread_create(&threads[k++], NULL, ping, &ends[2 * i + 1]);
	}
	pthread_create(&threads[k++], NULL, watch, NULL);
	if (argc > 2)
		pthread_create(&threads[k++], NULL, talk, argv[2]);
	watch_wait(seconds);
	for (long i = 0; i < k; i++)
		pthread_join(threads[i], NULL);
	printf("load ran: %ld threads %ld rounds %ld pings %ld sleeps, longest %ld us\n", n, rounds,
	       pings, sleeps, max_sleep_us);
	return watch_verdict();
}
