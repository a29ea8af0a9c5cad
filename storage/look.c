// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking into sealed points: what they read as, and in what they differ. */
#include <errno.h>
#include "storage/store_internal.h"

static const struct view golden_view; /* nothing over the image */

static const struct view *find_view(const struct store *s, uint32_t id)
{
	const struct point *p = s->points;

	if (!id)
		return &golden_view;
	if (id == s->open_delta)
		return &s->open;
	while (p && p->delta != id)
		p = p->next;
	return p ? &p->view : NULL;
}

int store_read_point(struct store *s, uint32_t id, uint64_t sector, const struct block_vec *vec,
		     unsigned n)
{
	const struct view *v = find_view(s, id);

	return v ? view_read(s, v, sector, vec, n) : -ENOENT;
}

/* The first sector from `sector` on that the view says something about; UINT64_MAX: none. */
static int next_known(struct store *s, const struct view *v, uint64_t sector, uint64_t *next)
{
	struct extent e;

	for (unsigned i = 0; i < v->n_mem; i++)
		if (extents_find(v->mem[i]->map, sector, &e) && e.start < *next)
			*next = e.start;
	for (unsigned i = 0; i < v->n_runs; i++) {
		int err = run_find(v->run[i], s->cache, sector, &e);

		if (err && err != -ENOENT)
			return err;
		if (!err && e.start < *next)
			*next = e.start;
	}
	if (*next < sector)
		*next = sector;
	return 0;
}

/* In the `n` sectors from `sector` on; false: none. */
static bool first_difference(const uint64_t *a, const uint64_t *b, uint64_t sector, unsigned n,
			     struct store_stretch *d)
{
	unsigned i = 0, first;

	while (i < n && a[i] == b[i])
		i++;
	if (i == n)
		return false;
	first = i;
	d->zero = a[first] == EXTENT_ZERO;
	while (i < n && a[i] != b[i] && (a[i] == EXTENT_ZERO) == d->zero)
		i++;
	d->sector = sector + first;
	d->n = i - first;
	return true;
}

static int find_difference(struct store *s, const struct view *a, const struct view *b,
			   uint64_t sector, struct store_stretch *d)
{
	uint64_t in_a[RESOLVE_MAX], in_b[RESOLVE_MAX], end = s->super.golden_sectors;

	for (;;) {
		uint64_t next = UINT64_MAX;
		unsigned n = RESOLVE_MAX;
		int err = next_known(s, a, sector, &next);

		if (!err)
			err = next_known(s, b, sector, &next);
		if (err)
			return err;
		if (next >= end)
			return -ENOENT;
		if (n > end - next)
			n = (unsigned)(end - next);
		err = view_resolve(s, a, next, n, in_a);
		if (!err)
			err = view_resolve(s, b, next, n, in_b);
		if (err)
			return err;
		if (first_difference(in_a, in_b, next, n, d))
			return 0;
		sector = next + n;
	}
}

int store_difference(struct store *s, uint32_t id, uint32_t base, uint64_t sector,
		     struct store_stretch *d)
{
	const struct view *a = find_view(s, id), *b = find_view(s, base);
	struct reader ra, rb;
	int err;

	if (!a || !b)
		return -ENOENT;
	reader_begin(s, &ra, a);
	reader_begin(s, &rb, b);
	err = find_difference(s, &ra.view, &rb.view, sector, d);
	reader_end(s, &rb);
	reader_end(s, &ra);
	return err;
}
