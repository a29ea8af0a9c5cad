/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of net/entropy.c: the same numbers in each run, from `random_state` on. */
#pragma once
#include "net/entropy.h"

static uint64_t random_state = 1;

int entropy_random(void *unused, unsigned char *out, size_t n)
{
	(void)unused;
	for (size_t i = 0; i < n; i++) {
		random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
		out[i] = (unsigned char)(random_state >> 56);
	}
	return 0;
}
