/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What time is it, if many say so and some may be wrong? Marzullo's algorithm (RFC 5905, 11.2.1):
 * the place where most intervals overlap. Pure. */
#pragma once
#include <stdint.h>

struct interval {
	int64_t low, high; /* the offset of shared time lies between */
};

struct agreement {
	int64_t offset; /* the middle of the overlap */
	uint64_t error; /* half of its width */
	uint32_t votes; /* intervals that have all of it */
};

/* `n` intervals, low <= high; votes is 0 if there are none. O(n log n). */
struct agreement agree(const struct interval *intervals, uint32_t n);
