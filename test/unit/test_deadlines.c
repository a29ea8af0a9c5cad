/* build: proto/deadlines.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/deadlines.h"
#include "test/unit/check.h"

#define N 200

static struct deadline memory[N];
static struct deadlines h;

/* The smallest by looking at all of them. */
static uint32_t first_of(const uint64_t *at)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < N; i++)
		if (at[i] < at[best])
			best = i;
	return best;
}

static void test_against_a_plain_search(void)
{
	uint64_t at[N];
	uint32_t seed = 1, i, found;

	deadlines_init(&h, memory, N);
	for (i = 0; i < N; i++)
		at[i] = DEADLINE_NEVER;
	CHECK_EQ(deadline_first(&h, &found), DEADLINE_NEVER);
	for (unsigned n = 0; n < 20000; n++) {
		seed = seed * 1664525 + 1013904223;
		i = (seed >> 8) % N;
		at[i] = seed & 0x80 ? DEADLINE_NEVER : (seed >> 16) % 1000;
		deadline_set(&h, i, at[i]);
		i = first_of(at);
		if (!CHECK_EQ(deadline_first(&h, &found), at[i]))
			return;
		if (at[i] != DEADLINE_NEVER && !CHECK_EQ(found, i))
			return;
	}
}

int main(void)
{
	RUN(test_against_a_plain_search);
	return check_result();
}
