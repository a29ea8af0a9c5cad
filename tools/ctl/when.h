/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moments as people type them. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct when {
	bool wall;   /* of this machine's clock; else of the experiment's shared time */
	uint64_t ns; /* since 1970; or of shared time */
};

/* Sixteen digits or more: ns of shared time. Else the wall clock: [YYYY-MM-DD
 * ]HH:MM[:SS[.FRACTION]] (a T may stand for the blank), local time, or UTC with a Z behind it;
 * without a date the next such time after `now` (of the wall clock). -EINVAL: none of them. */
int when_parse(const char *text, time_t now, struct when *w);
