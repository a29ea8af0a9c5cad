// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/agree.h"
#include <stdlib.h>
#include "tools/ctl/text.h"

struct edge {
	int64_t at;
	int begins; /* 1, or -1: ends */
};

/* At one place intervals begin before others end: touching is overlapping. */
static int compare(const void *x, const void *y)
{
	const struct edge *a = x, *b = y;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return b->begins - a->begins;
}

struct agreement agree(const struct interval *intervals, uint32_t n)
{
	struct agreement best = {0};
	struct edge *edges = allocate(2 * (size_t)n * sizeof(*edges));
	uint32_t depth = 0;

	for (uint32_t i = 0; i < n; i++) {
		edges[2 * (size_t)i] = (struct edge){intervals[i].low, 1};
		edges[2 * (size_t)i + 1] = (struct edge){intervals[i].high, -1};
	}
	qsort(edges, 2 * (size_t)n, sizeof(*edges), compare);
	for (size_t i = 0; i < 2 * (size_t)n; i++) {
		depth += (uint32_t)edges[i].begins;
		/* the deepest overlap lasts until the next edge, which is an end */
		if (depth > best.votes) {
			uint64_t width = (uint64_t)edges[i + 1].at - (uint64_t)edges[i].at;

			best.votes = depth;
			best.error = width / 2;
			best.offset = (int64_t)((uint64_t)edges[i].at + width / 2);
		}
	}
	free(edges);
	return best;
}
