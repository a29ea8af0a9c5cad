/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared time as a linear function of a local clock that nobody sets (the TSC, in ns), with a slew
 * on top that ends by itself: what is corrected once does not run on when the corrections stay
 * away.
 *
 * Units: local and shared ns; a rate is the fraction by which shared time runs faster than local,
 * in units of 2^-48 (3.6e-15). Exact within 1 ns for a year from the last change; no division.
 * Pure.
 */
#pragma once
#include <stdint.h>

#define RATE_ONE     (INT64_C(1) << 48)
#define RATE_PPB_MAX 1000000					      /* 1000 ppm */
#define RATE_OF(ppb) ((int64_t)(ppb)*INT64_C(281474976711) / 1000000) /* 2^48 / 10^9 each */

struct shared_clock {
	uint64_t local, shared; /* at the last change */
	int64_t rate;
	int64_t slew;	  /* added to the rate, */
	uint64_t slew_ns; /* for so long (local) */
};

uint64_t shared_at(const struct shared_clock *c, uint64_t local);
/* The local time at which the clock shows `shared`, within 1 ns. */
uint64_t shared_to_local(const struct shared_clock *c, uint64_t shared);
/* From local time `local` on; the clock does not jump. A slew that was under way ends. */
void shared_set_rate(struct shared_clock *c, uint64_t local, int64_t rate);
void shared_slew(struct shared_clock *c, uint64_t local, int64_t slew, uint64_t ns);
void shared_step(struct shared_clock *c, uint64_t local, int64_t by);
