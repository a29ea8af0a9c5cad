/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs: immutable sorted maps of extents on the device, static B+trees of pages (storage/page.h).
 * Shared by the open delta and sealed points, counted by reference. Inside a fiber.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "storage/cache.h"
#include "storage/extents.h"
#include "storage/page.h"
#include "storage/store_format.h"

struct run {
	uint64_t id;
	uint64_t root; /* sector of the root page */
	uint64_t extents;
	uint64_t data_sectors; /* of extents that are not zeros */
	uint32_t pages;
	unsigned refs;
	struct run *next; /* in the store's list of all */
	uint32_t n_places;
	uint32_t places_room;
	struct manifest_place *places; /* pages by segment */
};

#define RUN_LEVELS 6 /* 169 * 254 ^ 5 extents */

/* Where new pages go. */
struct page_sink {
	int (*write)(void *ctx, struct page *p, uint64_t *addr); /* fills in addr, seals, writes */
	void *ctx;
};

struct run_builder {
	struct page_sink sink;
	uint64_t id, extents, data_sectors;
	uint32_t pages;
	unsigned levels; /* in use */
	struct page *level[RUN_LEVELS];
};

int run_build_begin(struct run_builder *b, struct page_sink sink, uint64_t id); /* -ENOMEM */
/* In ascending order, not overlapping. */
int run_build_add(struct run_builder *b, const struct extent *e);
/* Frees the builder in any case. *root is 0 if there was nothing. */
int run_build_end(struct run_builder *b, uint64_t *root);

/* The first extent that ends after `sector`; -ENOENT: none. */
int run_find(const struct run *r, struct page_cache *c, uint64_t sector, struct extent *e);

/* All extents in order, a leaf at a time. */
struct run_cursor {
	const struct run *run;
	struct page_cache *cache;
	const struct page *leaf; /* held */
	unsigned i;
	uint64_t bound; /* start of the next leaf, UINT64_MAX: none */
	uint64_t from;	/* where the extent before it ended */
};
int run_cursor_begin(struct run_cursor *c, const struct run *r, struct page_cache *cache,
		     uint64_t sector);
/* -ENOENT: the end; -EUCLEAN: a leaf is not where its parent says. */
int run_cursor_next(struct run_cursor *c, struct extent *e);
void run_cursor_end(struct run_cursor *c);
