/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deadlines of numbered things, the earliest first: a binary heap that knows where each of them is.
 * Equal deadlines come in the order of the numbers, so that a run can be repeated exactly.
 * All memory is the caller's. O(log n) a change.
 */
#pragma once
#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX

struct deadline {
	uint64_t at;	/* of thing i */
	uint32_t place; /* of thing i in the heap, from 1; 0: it has none */
	uint32_t heap;	/* number of the thing at place i + 1 */
};

struct deadlines {
	struct deadline *d; /* `total` of them */
	uint32_t total, used;
};

void deadlines_init(struct deadlines *h, struct deadline *memory, uint32_t total);
void deadline_set(struct deadlines *h, uint32_t i, uint64_t at); /* DEADLINE_NEVER takes it out */
uint64_t deadline_first(const struct deadlines *h, uint32_t *i); /* DEADLINE_NEVER: none */
