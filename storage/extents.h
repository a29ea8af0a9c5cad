/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A map from ranges of guest sectors to where they lie in the store, in memory. What is put in
 * last wins; neighbours that continue each other in both spaces become one extent.
 *
 * Units: sectors of 512 bytes. Bounded: `room` tells whether one more put surely fits. One CPU, no
 * lock, never waits.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXTENT_ZERO UINT64_MAX /* addr: reads as zeros, and hides what lies below */

struct extent {
	uint64_t start, len; /* guest sectors */
	uint64_t addr;	     /* store sector of the first, or EXTENT_ZERO */
};

static inline uint64_t extent_end(const struct extent *e)
{
	return e->start + e->len;
}

/* Cuts off what lies before sector `at`, which is inside. */
static inline void extent_trim(struct extent *e, uint64_t at)
{
	if (e->addr != EXTENT_ZERO)
		e->addr += at - e->start;
	e->len -= at - e->start;
	e->start = at;
}

struct extents;

struct extents *extents_create(size_t bytes); /* NULL: no memory */
void extents_free(struct extents *m);
bool extents_room(const struct extents *m, unsigned puts);
size_t extents_count(const struct extents *m);

/* `replaced` is called for each piece of data (not zeros) that this hides; may be NULL. */
void extents_put(struct extents *m, const struct extent *e,
		 void (*replaced)(void *ctx, uint64_t addr, uint64_t len), void *ctx);
/* The first extent that ends after `sector`; false: none. */
bool extents_find(const struct extents *m, uint64_t sector, struct extent *e);
