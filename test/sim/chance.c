// SPDX-License-Identifier: GPL-2.0-or-later
/* Pseudo-random numbers (splitmix64), and the run's story. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "test/sim/sim.h"

static uint64_t state, fingerprint;

void chance_reset(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15u + 1;
	fingerprint = 0xcbf29ce484222325u;
}

uint64_t chance_next(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t below(uint64_t n)
{
	return n ? chance_next() % n : 0;
}

uint64_t between(uint64_t lo, uint64_t hi)
{
	return lo + below(hi - lo + 1);
}

bool one_in(uint32_t n)
{
	return below(n) == 0;
}

bool percent(uint32_t p)
{
	return below(100) < p;
}

void trace(const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (int i = 0; i < n && i < (int)sizeof(line) - 1; i++)
		fingerprint = (fingerprint ^ (uint8_t)line[i]) * 0x100000001b3u;
	fingerprint = (fingerprint ^ now) * 0x100000001b3u;
	if (verbose)
		printf("%14" PRIu64 " us  %s\n", (now - START) / 1000, line);
}

uint64_t trace_fingerprint(void)
{
	return fingerprint;
}
