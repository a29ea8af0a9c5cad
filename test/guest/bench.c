// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Costs as a program in the guest sees them. Prints one line each:
 *   bench cpuid_ticks MIN MEAN      round trip of CPUID
 *   bench loop_ticks TICKS          2 M iterations over a volatile counter
 *   bench usleep_us MEAN MIN MAX    100 times usleep(10000), CLOCK_MONOTONIC
 * Arguments choose among cpuid, loop, usleep; none: all.
 */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define CPUID_ROUNDS  10000
#define LOOP_ROUNDS   2000000
#define USLEEP_ROUNDS 100
#define USLEEP_US     10000

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

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void usleep_cost(void)
{
	int64_t sum = 0, min = INT64_MAX, max = 0;

	for (int i = 0; i < USLEEP_ROUNDS; i++) {
		int64_t start = now_ns(), ns;

		usleep(USLEEP_US);
		ns = now_ns() - start;
		sum += ns;
		if (ns < min)
			min = ns;
		if (ns > max)
			max = ns;
	}
	printf("bench usleep_us %.3f %.3f %.3f\n", (double)sum / USLEEP_ROUNDS / 1000,
	       (double)min / 1000, (double)max / 1000);
}

static const struct {
	const char *name;
	void (*run)(void);
} benches[] = {{"cpuid", cpuid_cost}, {"loop", loop_cost}, {"usleep", usleep_cost}};

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
		int wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], benches[i].name) == 0;
		if (wanted)
			benches[i].run();
	}
	return 0;
}
