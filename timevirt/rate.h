/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exact conversion between nanoseconds and the cycles of a counter that starts at virtual time 0.
 *
 * The quotient is split at whole seconds; the remainder's product then fits 64 bits for any rate up
 * to 18 GHz, so that every result is the exact floor or ceiling without a 128-bit division. Results
 * saturate to UINT64_MAX.
 */
#pragma once
#include <stdint.h>

#define RATE_SECOND 1000000000ull
#define RATE_MAX_HZ 18000000000ull

/* floor(x * to / from), or the ceiling; from, to <= RATE_MAX_HZ and one of them is RATE_SECOND. */
static inline uint64_t rate_convert(uint64_t x, uint64_t from, uint64_t to, int up)
{
	uint64_t whole, part = x % from * to;

	part = part / from + (up && part % from);
	if (__builtin_mul_overflow(x / from, to, &whole) ||
	    __builtin_add_overflow(whole, part, &whole))
		return UINT64_MAX;
	return whole;
}

static inline uint64_t rate_ns_to_cycles(uint64_t ns, uint64_t hz)
{
	return rate_convert(ns, RATE_SECOND, hz, 0);
}

static inline uint64_t rate_ns_to_cycles_up(uint64_t ns, uint64_t hz)
{
	return rate_convert(ns, RATE_SECOND, hz, 1);
}

static inline uint64_t rate_cycles_to_ns(uint64_t cycles, uint64_t hz)
{
	return rate_convert(cycles, hz, RATE_SECOND, 0);
}

/* The first nanosecond at which the counter shows `cycles`. */
static inline uint64_t rate_cycles_to_ns_up(uint64_t cycles, uint64_t hz)
{
	return rate_convert(cycles, hz, RATE_SECOND, 1);
}
