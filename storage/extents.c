// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/extents.h"
#include <stdlib.h>
#include <sys/tree.h>

struct node {
	RB_ENTRY(node) link;
	struct extent e;
};

RB_HEAD(tree, node);

struct extents {
	struct tree tree;
	struct node *free; /* chained through link's left */
	size_t used, n;
	struct node nodes[];
};

/* A put needs at most two: itself, and the rest of an extent that it splits. */
#define NODES_PER_PUT 2

static int compare(const struct node *a, const struct node *b)
{
	return a->e.start < b->e.start ? -1 : a->e.start > b->e.start;
}

#define UNUSED_TOO static __attribute__((unused))
RB_GENERATE_INTERNAL(tree, node, link, compare, UNUSED_TOO)

struct extents *extents_create(size_t bytes)
{
	size_t n = bytes / sizeof(struct node);
	struct extents *m = malloc(sizeof(*m) + n * sizeof(struct node));

	if (!m)
		return NULL;
	RB_INIT(&m->tree);
	m->used = 0;
	m->n = n;
	m->free = NULL;
	for (size_t i = n; i-- > 0;) {
		RB_LEFT(&m->nodes[i], link) = m->free;
		m->free = &m->nodes[i];
	}
	return m;
}

void extents_free(struct extents *m)
{
	free(m);
}

bool extents_room(const struct extents *m, unsigned puts)
{
	return m->used + (size_t)puts * NODES_PER_PUT <= m->n;
}

size_t extents_count(const struct extents *m)
{
	return m->used;
}

static void insert(struct extents *m, const struct extent *e)
{
	struct node *x = m->free;

	m->free = RB_LEFT(x, link);
	m->used++;
	x->e = *e;
	RB_INSERT(tree, &m->tree, x);
}

static void take_out(struct extents *m, struct node *x)
{
	RB_REMOVE(tree, &m->tree, x);
	RB_LEFT(x, link) = m->free;
	m->free = x;
	m->used--;
}

/* The first node that ends after `sector`. */
static struct node *first_after(const struct extents *m, uint64_t sector)
{
	struct node *x = RB_ROOT(&m->tree), *best = NULL;

	while (x) {
		if (extent_end(&x->e) > sector) {
			best = x;
			x = RB_LEFT(x, link);
		} else {
			x = RB_RIGHT(x, link);
		}
	}
	return best;
}

/* Makes room for `e`: what it covers goes, what it cuts shrinks. */
static void clear(struct extents *m, const struct extent *e,
		  void (*replaced)(void *ctx, uint64_t addr, uint64_t len), void *ctx)
{
	uint64_t end = extent_end(e);
	struct node *x = first_after(m, e->start), *next;

	for (; x && x->e.start < end; x = next) {
		struct extent old = x->e, rest = old;
		uint64_t from = old.start > e->start ? old.start : e->start;
		uint64_t to = extent_end(&old) < end ? extent_end(&old) : end;

		next = RB_NEXT(tree, &m->tree, x);
		if (replaced && old.addr != EXTENT_ZERO)
			replaced(ctx, old.addr + (from - old.start), to - from);
		if (old.start < e->start)
			x->e.len = e->start - old.start;
		else
			take_out(m, x);
		if (extent_end(&old) > end) {
			extent_trim(&rest, end);
			insert(m, &rest);
		}
	}
}

/* Does b continue a, here and there? */
static bool continues(const struct extent *a, const struct extent *b)
{
	if (extent_end(a) != b->start)
		return false;
	if (a->addr == EXTENT_ZERO || b->addr == EXTENT_ZERO)
		return a->addr == b->addr;
	return a->addr + a->len == b->addr;
}

void extents_put(struct extents *m, const struct extent *e,
		 void (*replaced)(void *ctx, uint64_t addr, uint64_t len), void *ctx)
{
	struct node *before, *after;
	struct extent all = *e;

	clear(m, e, replaced, ctx);
	before = e->start ? first_after(m, e->start - 1) : NULL;
	if (before && continues(&before->e, &all)) {
		all = (struct extent){before->e.start, before->e.len + all.len, before->e.addr};
		take_out(m, before);
	}
	after = first_after(m, extent_end(&all));
	if (after && continues(&all, &after->e)) {
		all.len += after->e.len;
		take_out(m, after);
	}
	insert(m, &all);
}

bool extents_find(const struct extents *m, uint64_t sector, struct extent *e)
{
	const struct node *x = first_after(m, sector);

	if (x)
		*e = x->e;
	return x != NULL;
}
