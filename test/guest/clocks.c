// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Watches the clocks of the kernel and the TSC:
 *   clocks [SECONDS]        default: until SIGINT or SIGTERM
 * One thread per CPU reads all quick clocks as fast as it can, in bursts that the load does not
 * interrupt, and notes the largest step of each from one reading to the next. One more thread reads
 * what takes a system call or a file, and compares it with CLOCK_MONOTONIC_RAW. Lines:
 *   clocks NAME n=READINGS step_ns=LARGEST step_tsc=WHEN back_ns=LARGEST
 *   clocks NAME n=COMPARISONS jump_ns=.. wander_ns=.. drift_ns=.. drift_ppm=..
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/times.h>
#include <unistd.h>
#include "lib/watch.h"

#define CPUS_MAX 64
/* A quarter of each CPU, since the load shall run, too, and the kernel stops real-time threads that
 * leave nothing over. Behind the threads of `timeouts`, which a burst would make late. */
#define BURST_NS (250 * NS_PER_US)
#define PAUSE_NS (2 * NS_PER_MS) /* at most */
#define PRIORITY 10

static int64_t read_clock(clockid_t clock)
{
	return clock_ns(clock);
}

static int64_t read_timeofday(clockid_t unused)
{
	struct timeval t;

	(void)unused;
	gettimeofday(&t, NULL);
	return t.tv_sec * NS_PER_SEC + t.tv_usec * NS_PER_US;
}

static int64_t read_tsc(clockid_t unused)
{
	(void)unused;
	return (int64_t)tsc_now();
}

enum { TSC };
static const struct quick {
	const char *name;
	int64_t (*read)(clockid_t clock);
	clockid_t clock;
} quick[] = {
	[TSC] = {"tsc", read_tsc, 0},
	{"realtime", read_clock, CLOCK_REALTIME},
	{"monotonic", read_clock, CLOCK_MONOTONIC},
	{"monotonic_raw", read_clock, CLOCK_MONOTONIC_RAW},
	{"boottime", read_clock, CLOCK_BOOTTIME},
	{"tai", read_clock, CLOCK_TAI},
	{"realtime_coarse", read_clock, CLOCK_REALTIME_COARSE},
	{"monotonic_coarse", read_clock, CLOCK_MONOTONIC_COARSE},
	{"thread_cputime", read_clock, CLOCK_THREAD_CPUTIME_ID},
	{"gettimeofday", read_timeofday, 0},
};
#define QUICK (sizeof(quick) / sizeof(quick[0]))

static struct reader {
	pthread_t thread;
	int cpu;
	struct steps steps[QUICK];
} readers[CPUS_MAX];

static void *read_quick(void *arg)
{
	struct reader *r = arg;
	uint64_t seed = 88172645463325252ull + (unsigned)r->cpu;

	be_on_cpu(r->cpu);
	be_urgent(PRIORITY);
	while (!watch_over) {
		int64_t end = clock_ns(CLOCK_MONOTONIC) + BURST_NS;
		struct timespec pause =
			ns_timespec((int64_t)random_below(&seed, (uint64_t)PAUSE_NS));

		for (size_t i = 0; i < QUICK; i++)
			steps_pause(&r->steps[i]);
		while (clock_ns(CLOCK_MONOTONIC) < end)
			for (size_t i = 0; i < QUICK; i++)
				steps_read(&r->steps[i], quick[i].read(quick[i].clock));
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* --- clocks behind system calls and files --- */

/* jiffies, in the unit of programs. */
static int64_t read_times(void)
{
	static long hz;
	struct tms t;

	if (!hz)
		hz = sysconf(_SC_CLK_TCK);
	return times(&t) * (NS_PER_SEC / hz);
}

/* The number behind a word at the beginning of a file. No more is read than that takes: the kernel
 * makes a file of /proc piece by piece as it is read, and for some pieces it keeps the CPU long. */
static double number_after(const char *path, const char *word)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = -1;
	char text[97];
	const char *found;
	double number;

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = 0;
	found = strstr(text, word);
	if (!found || sscanf(found + strlen(word), "%lf", &number) != 1) {
		watch_fail(path);
		return 0;
	}
	return number;
}

static int64_t read_uptime(void)
{
	return (int64_t)(number_after("/proc/uptime", "") * 100 + 0.5) * 10 * NS_PER_MS;
}

static int64_t read_timer_list(void)
{
	return (int64_t)number_after("/proc/timer_list", "now at ");
}

static struct slow {
	const char *name;
	int64_t (*read)(void);
	struct steps steps;
	struct drift drift;
} slow[] = {
	{.name = "times", .read = read_times},
	{.name = "uptime", .read = read_uptime},
	{.name = "timer_list", .read = read_timer_list},
};
#define SLOW	       (sizeof(slow) / sizeof(slow[0]))
#define SLOW_PERIOD_NS (50 * NS_PER_MS)
#define SLOW_PRIORITY  5

static void *read_slow(void *unused)
{
	struct timespec pause = ns_timespec(SLOW_PERIOD_NS);

	(void)unused;
	be_urgent(SLOW_PRIORITY);
	while (!watch_over) {
		for (size_t i = 0; i < SLOW; i++) {
			int64_t value = slow[i].read();

			steps_read(&slow[i].steps, value);
			drift_add(&slow[i].drift, clock_ns(CLOCK_MONOTONIC_RAW), value);
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void report(int n, double ns_per_tick)
{
	for (size_t i = 0; i < QUICK; i++) {
		struct steps all = {0};

		for (int cpu = 0; cpu < n; cpu++)
			steps_merge(&all, &readers[cpu].steps[i]);
		if (i == TSC) {
			all.step = (int64_t)((double)all.step * ns_per_tick);
			all.back = all.back ? (int64_t)((double)all.back * ns_per_tick) + 1 : 0;
		}
		steps_print(quick[i].name, &all);
	}
	for (size_t i = 0; i < SLOW; i++) {
		steps_print(slow[i].name, &slow[i].steps);
		drift_print(slow[i].name, &slow[i].drift);
	}
}

int main(int argc, char **argv)
{
	int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	int64_t start;
	uint64_t start_tsc;
	pthread_t slow_thread;

	if (n > CPUS_MAX)
		n = CPUS_MAX;
	watch_begin("clocks");
	start = clock_ns(CLOCK_MONOTONIC_RAW);
	start_tsc = tsc_now();
	for (int i = 0; i < n; i++) {
		readers[i].cpu = i;
		pthread_create(&readers[i].thread, NULL, read_quick, &readers[i]);
	}
	pthread_create(&slow_thread, NULL, read_slow, NULL);
	watch_wait(argc > 1 ? atol(argv[1]) : 0);
	for (int i = 0; i < n; i++)
		pthread_join(readers[i].thread, NULL);
	pthread_join(slow_thread, NULL);
	report(n,
	       (double)(clock_ns(CLOCK_MONOTONIC_RAW) - start) / (double)(tsc_now() - start_tsc));
	return watch_verdict();
}
