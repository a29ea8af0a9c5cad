// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Costs as a program in the guest sees them. Prints one line each:
 *   bench cpuid_ticks MIN MEAN      round trip of CPUID
 *   bench loop_ticks TICKS          2 M iterations over a volatile counter
 *   bench usleep_us MEAN MIN MAX    100 times usleep(10000), CLOCK_MONOTONIC
 * Arguments choose among cpuid, loop, usleep; none: all of these.
 * And only if asked for:
 *   bench idle_interrupts N         (idle) timer interrupts in ten seconds of sleep, which lie
 *                                   between two writes to port 80h, to be found in a trace of exits
 *   bench now_ns NS TSC             (now) CLOCK_REALTIME, and the TSC then
 */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define CPUID_ROUNDS  10000
#define LOOP_ROUNDS   2000000
#define USLEEP_ROUNDS 100
#define USLEEP_US     10000
#define IDLE_SECONDS  10
#define PORT_MARK     0x80

static void cpuid_cost(void)
{
	uint64_t min = UINT64_MAX, sum = 0;

	for (int i = 0; i < CPUID_ROUNDS; i++) {
		unsigned a, b, c, d;
		uint64_t start = __rdtsc(), ticks;

		__cpuid(0, a, b, c, d);
		ticks = __rdtsc() - start;
		sum += ticks;
		if (ticks < min)
			min = ticks;
	}
	printf("bench cpuid_ticks %llu %llu\n", (unsigned long long)min,
	       (unsigned long long)(sum / CPUID_ROUNDS));
}

static void loop_cost(void)
{
	volatile unsigned counter = 0;
	uint64_t start = __rdtsc();

	for (unsigned i = 0; i < LOOP_ROUNDS; i++)
		counter += i;
	printf("bench loop_ticks %llu\n", (unsigned long long)(__rdtsc() - start));
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void usleep_cost(void)
{
	int64_t sum = 0, min = INT64_MAX, max = 0;

	for (int i = 0; i < USLEEP_ROUNDS; i++) {
		int64_t start = clock_ns(CLOCK_MONOTONIC), ns;

		usleep(USLEEP_US);
		ns = clock_ns(CLOCK_MONOTONIC) - start;
		sum += ns;
		if (ns < min)
			min = ns;
		if (ns > max)
			max = ns;
	}
	printf("bench usleep_us %.3f %.3f %.3f\n", (double)sum / USLEEP_ROUNDS / 1000,
	       (double)min / 1000, (double)max / 1000);
}

static unsigned long timer_interrupts(void)
{
	char line[4096];
	unsigned long sum = 0;
	FILE *f = fopen("/proc/interrupts", "r");

	while (f && fgets(line, sizeof(line), f)) {
		char *p = strstr(line, "LOC:"), *end;

		if (!p)
			continue;
		for (p += 4;; p = end) { /* a column for each CPU */
			unsigned long n = strtoul(p, &end, 10);

			if (end == p)
				break;
			sum += n;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

static void idle(void)
{
	unsigned long before;

	if (ioperm(PORT_MARK, 1, 1) != 0) {
		perror("bench: ioperm");
		return;
	}
	before = timer_interrupts();
	outb(0, PORT_MARK);
	sleep(IDLE_SECONDS);
	outb(0, PORT_MARK);
	printf("bench idle_interrupts %lu\n", timer_interrupts() - before);
}

static void now(void)
{
	int64_t ns = clock_ns(CLOCK_REALTIME);

	printf("bench now_ns %lld %llu\n", (long long)ns, (unsigned long long)__rdtsc());
}

static const struct {
	const char *name;
	void (*run)(void);
	int only_if_named;
} benches[] = {{"cpuid", cpuid_cost, 0},
	       {"loop", loop_cost, 0},
	       {"usleep", usleep_cost, 0},
	       {"idle", idle, 1},
	       {"now", now, 1}};

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
		int wanted = argc < 2 && !benches[i].only_if_named;

		for (int a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], benches[i].name) == 0;
		if (wanted)
			benches[i].run();
	}
	return 0;
}
