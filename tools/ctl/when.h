/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moments as people type them. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* The wire's times end in 2116; what lasts a year from one of these is before that. */
#define WHEN_END ((1ull << 62) - 366ull * 86400 * 1000000000)

struct when {
	bool wall;   /* of this machine's clock; else of the experiment's shared time */
	uint64_t ns; /* since 1970; or of shared time; below WHEN_END */
};

/* Sixteen digits or more: ns of shared time. Else the wall clock: [YYYY-MM-DD
 * ]HH:MM[:SS[.FRACTION]] (a T may stand for the blank), local time, or UTC with a Z behind it;
 * without a date the next such time after `now` (of the wall clock). -EINVAL: none of them, a day
 * that is in no calendar, or too far. */
int when_parse(const char *text, time_t now, struct when *w);
