// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_LEAF	   UINT64_MAX
#define EXTENT_MAX (UINT32_MAX & ~7u) /* a page's len has 32 bits */

/* --- building --- */

static struct page *new_page(uint64_t run, unsigned level)
{
	struct page *p = calloc(1, PAGE_BYTES);

	if (!p)
		return NULL;
	p->magic = PAGE_MAGIC;
	p->run = run;
	p->level = (uint16_t)level;
	return p;
}

int run_build_begin(struct run_builder *b, struct page_sink sink, uint64_t id)
{
	*b = (struct run_builder){.sink = sink, .id = id, .levels = 1};
	b->level[0] = new_page(id, 0);
	return b->level[0] ? 0 : -ENOMEM;
}

static uint64_t first_start(const struct page *p)
{
	return p->level ? p->child[0].start : p->extent[0].start;
}

/* Writes the page of a level and enters it above. */
static int flush_level(struct run_builder *b, unsigned level);

static int add_child(struct run_builder *b, unsigned level, struct page_child c)
{
	struct page *p;
	int err;

	if (level == RUN_LEVELS)
		return -EFBIG;
	if (level == b->levels) {
		b->level[level] = new_page(b->id, level);
		if (!b->level[level])
			return -ENOMEM;
		b->levels++;
	}
	p = b->level[level];
	if (p->n == PAGE_CHILD_MAX) {
		err = flush_level(b, level);
		if (err)
			return err;
	}
	p->child[p->n++] = c;
	return 0;
}

static int flush_level(struct run_builder *b, unsigned level)
{
	struct page *p = b->level[level];
	struct page_child c = {.start = first_start(p)};
	int err = b->sink.write(b->sink.ctx, p, &c.addr);

	if (err)
		return err;
	b->pages++;
	memset((char *)p + offsetof(struct page, extent), 0,
	       PAGE_BYTES - offsetof(struct page, extent));
	p->n = 0;
	return add_child(b, level + 1, c);
}

static int add_piece(struct run_builder *b, const struct extent *e)
{
	struct page *p = b->level[0];
	int err;

	if (p->n == PAGE_LEAF_MAX) {
		err = flush_level(b, 0);
		if (err)
			return err;
	}
	p->extent[p->n++] =
		(struct page_extent){.start = e->start, .addr = e->addr, .len = (uint32_t)e->len};
	b->extents++;
	if (e->addr != EXTENT_ZERO)
		b->data_sectors += e->len;
	return 0;
}

int run_build_add(struct run_builder *b, const struct extent *e)
{
	struct extent rest = *e;
	int err = 0;

	while (rest.len > EXTENT_MAX && !err) {
		struct extent piece = rest;

		piece.len = EXTENT_MAX;
		err = add_piece(b, &piece);
		extent_trim(&rest, rest.start + EXTENT_MAX);
	}
	return err ? err : add_piece(b, &rest);
}

/* A level that has one child only, and nothing above it, needs no page: the child is the root. */
int run_build_end(struct run_builder *b, uint64_t *root)
{
	int err = 0;

	*root = 0;
	if (b->extents) {
		for (unsigned i = 0; i < b->levels && !err; i++) {
			const struct page *p = b->level[i];

			if (i && i + 1 == b->levels && p->n == 1) {
				*root = p->child[0].addr;
				break;
			}
			if (p->n)
				err = flush_level(b, i);
		}
	}
	for (unsigned i = 0; i < RUN_LEVELS; i++)
		free(b->level[i]);
	return err;
}

/* --- reading --- */

/* The last child that starts at or before the sector, or the first. */
static unsigned which_child(const struct page *p, uint64_t sector)
{
	unsigned low = 0, high = p->n;

	while (high - low > 1) {
		unsigned mid = (low + high) / 2;

		if (p->child[mid].start <= sector)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* The leaf in which an extent that covers the sector would be. *bound: where the next one starts.
 */
static int descend(const struct run *r, struct page_cache *c, uint64_t sector,
		   const struct page **leaf, uint64_t *bound)
{
	uint64_t addr = r->root;
	unsigned above = RUN_LEVELS;

	*bound = NO_LEAF;
	for (;;) {
		const struct page *p;
		int err = cache_get(c, addr, &p);
		unsigned i;

		if (err)
			return err;
		if (p->run != r->id || p->level >= above) {
			cache_put(c, p);
			return -EUCLEAN;
		}
		if (p->level == 0) {
			*leaf = p;
			return 0;
		}
		above = p->level;
		i = which_child(p, sector);
		addr = p->child[i].addr;
		if (i + 1u < p->n)
			*bound = p->child[i + 1].start;
		cache_put(c, p);
	}
}

static void get_extent(const struct page *p, unsigned i, struct extent *e)
{
	*e = (struct extent){p->extent[i].start, p->extent[i].len, p->extent[i].addr};
}

/* The first in the leaf that ends after the sector; p->n: none. */
static unsigned in_leaf(const struct page *p, uint64_t sector)
{
	unsigned low = 0, high = p->n;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (p->extent[mid].start + p->extent[mid].len > sector)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Leaf and place of the first extent that ends after the sector. */
static int seek(const struct run *r, struct page_cache *c, uint64_t sector,
		const struct page **leaf, unsigned *i, uint64_t *bound)
{
	int err = descend(r, c, sector, leaf, bound);

	if (err)
		return err;
	*i = in_leaf(*leaf, sector);
	if (*i < (*leaf)->n)
		return 0;
	cache_put(c, *leaf);
	if (*bound == NO_LEAF)
		return -ENOENT;
	err = descend(r, c, *bound, leaf, bound);
	*i = 0;
	return err;
}

int run_find(const struct run *r, struct page_cache *c, uint64_t sector, struct extent *e)
{
	const struct page *leaf;
	uint64_t bound;
	unsigned i;
	int err = seek(r, c, sector, &leaf, &i, &bound);

	if (err)
		return err;
	get_extent(leaf, i, e);
	cache_put(c, leaf);
	return 0;
}

int run_cursor_begin(struct run_cursor *c, const struct run *r, struct page_cache *cache,
		     uint64_t sector)
{
	int err;

	*c = (struct run_cursor){.run = r, .cache = cache};
	err = seek(r, cache, sector, &c->leaf, &c->i, &c->bound);
	if (err)
		c->leaf = NULL;
	if (err == -ENOENT) { /* an empty rest */
		c->bound = NO_LEAF;
		return 0;
	}
	return err;
}

int run_cursor_next(struct run_cursor *c, struct extent *e)
{
	if (c->leaf && c->i == c->leaf->n) {
		uint64_t next = c->bound;
		int err;

		run_cursor_end(c);
		if (next == NO_LEAF)
			return -ENOENT;
		err = descend(c->run, c->cache, next, &c->leaf, &c->bound);
		if (err) {
			c->leaf = NULL;
			return err;
		}
		c->i = 0;
	}
	if (!c->leaf)
		return -ENOENT;
	get_extent(c->leaf, c->i++, e);
	if (e->start < c->from)
		return -EUCLEAN;
	c->from = extent_end(e);
	return 0;
}

void run_cursor_end(struct run_cursor *c)
{
	if (c->leaf)
		cache_put(c->cache, c->leaf);
	c->leaf = NULL;
}
