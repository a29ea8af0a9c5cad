/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of the index, read through a cache of fixed size. A page is 4 KiB and never changes once it
 * is written, so there is nothing to write back. Inside a fiber.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "storage/blockdev.h"

struct page_cache;
struct page;
struct page_area;

/* NULL: no memory. */
struct page_cache *cache_create(struct blockdev *d, size_t bytes, const struct page_area *area);
void cache_free(struct page_cache *c);
/* The page at that store sector, whose checksum is right and that leads nowhere outside of the
 * area; it stays until cache_put. -EIO and the like; -EUCLEAN: what lies there is not that page. */
int cache_get(struct page_cache *c, uint64_t addr, const struct page **p);
void cache_put(struct page_cache *c, const struct page *p);
/* The place is about to be written anew. */
void cache_forget(struct page_cache *c, uint64_t addr, uint64_t sectors);
