// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The two loops with which transparent checkpoints are judged, one record per iteration:
 *   evalloops sleep ITERATIONS           usleep(10 ms), gettimeofday
 *   evalloops cpu ITERATIONS ROUNDS      ROUNDS additions to a volatile counter, gettimeofday
 * Records stay in memory until the end; then `evalloops KIND TSC`, the TSC at the start, and one
 * line per iteration: its length in us by gettimeofday, and in ticks of the TSC.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SLEEP_US       10000
#define ITERATIONS_MAX 1000000

struct moment {
	int64_t us;
	uint64_t tsc;
};

static struct moment now(void)
{
	struct timeval t;

	gettimeofday(&t, NULL);
	return (struct moment){(int64_t)t.tv_sec * 1000000 + t.tv_usec, __rdtsc()};
}

static void work(unsigned long rounds)
{
	volatile unsigned long counter = 0;

	for (unsigned long i = 0; i < rounds; i++)
		counter += i;
}

/* rounds = 0: sleep */
static void run(struct moment *m, long n, unsigned long rounds)
{
	m[0] = now();
	for (long i = 1; i <= n; i++) {
		if (rounds)
			work(rounds);
		else
			usleep(SLEEP_US);
		m[i] = now();
	}
}

static void report(const char *kind, const struct moment *m, long n)
{
	printf("evalloops %s %llu\n", kind, (unsigned long long)m[0].tsc);
	for (long i = 1; i <= n; i++)
		printf("%lld %llu\n", (long long)(m[i].us - m[i - 1].us),
		       (unsigned long long)(m[i].tsc - m[i - 1].tsc));
}

int main(int argc, char **argv)
{
	int cpu = argc == 4 && strcmp(argv[1], "cpu") == 0;
	long n = argc > 2 ? atol(argv[2]) : 0;
	unsigned long rounds = cpu ? strtoul(argv[3], NULL, 10) : 0;
	struct moment *m;

	if ((cpu ? !rounds : argc != 3 || strcmp(argv[1], "sleep") != 0) || n < 1 ||
	    n > ITERATIONS_MAX) {
		fputs("usage: evalloops sleep ITERATIONS | evalloops cpu ITERATIONS ROUNDS\n",
		      stderr);
		return 2;
	}
	m = malloc((size_t)(n + 1) * sizeof(*m));
	if (!m || mlockall(MCL_CURRENT | MCL_FUTURE)) {
		perror("evalloops");
		return 1;
	}
	memset(m, 0, (size_t)(n + 1) * sizeof(*m)); /* no page fault inside an iteration */
	run(m, n, rounds);
	report(argv[1], m, n);
	free(m);
	return 0;
}
