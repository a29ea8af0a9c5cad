// SPDX-License-Identifier: GPL-2.0-or-later
/* Memtables become runs, and runs are merged into larger ones. Background fiber only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/dev.h"
#include "storage/store_internal.h"

#define WRITER_PAGES 16u
#define TIER	     4u /* runs of a size before they are merged, and the growth from size to size */

/* --- pages on their way out --- */

struct writer {
	struct store *s;
	struct run *run;
	char *buf;
	uint64_t base;
	uint32_t pages;
};

static int write_out(struct writer *w)
{
	int err = 0;

	if (w->pages)
		err = dev_write(w->s->dev, w->base, w->buf, (size_t)w->pages * PAGE_BYTES);
	w->s->stats.dev_written += (uint64_t)w->pages * PAGE_BYTES;
	w->pages = 0;
	return err;
}

static int count_place(struct run *r, uint32_t segment)
{
	if (r->n_places && r->places[r->n_places - 1].segment == segment) {
		r->places[r->n_places - 1].pages++;
		return 0;
	}
	if (r->n_places == r->places_room) {
		uint32_t room = r->places_room ? 2 * r->places_room : 4;
		struct manifest_place *p = realloc(r->places, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		r->places = p;
		r->places_room = room;
	}
	r->places[r->n_places++] = (struct manifest_place){segment, 1};
	return 0;
}

/* The next page of the index segment, in a new segment if that one is full. */
int index_page_alloc(struct store *s, uint64_t *addr)
{
	uint32_t per_segment = s->super.segment_sectors / PAGE_SECTORS;

	if (s->index_segment == NO_SEGMENT || s->index_pages == per_segment) {
		uint32_t old = s->index_segment;
		int err = segment_alloc(s, OWNER_INDEX, 0, &s->index_segment);

		if (err) {
			s->index_segment = old;
			return err;
		}
		if (old != NO_SEGMENT && !s->segments[old].live)
			segment_release(s, old);
		s->index_pages = 0;
	}
	*addr = segment_sector(s, s->index_segment) + (uint64_t)s->index_pages++ * PAGE_SECTORS;
	s->segments[s->index_segment].live++;
	return 0;
}

void index_page_drop(struct store *s, uint64_t addr)
{
	uint32_t segment = segment_of(s, addr);

	if (!--s->segments[segment].live && segment != s->index_segment)
		segment_release(s, segment);
}

static int write_page(void *ctx, struct page *p, uint64_t *addr)
{
	struct writer *w = ctx;
	int err = index_page_alloc(w->s, addr);

	if (err)
		return err;
	err = count_place(w->run, segment_of(w->s, *addr));
	if (err)
		index_page_drop(w->s, *addr);
	if (!err && w->pages &&
	    (w->pages == WRITER_PAGES || *addr != w->base + (uint64_t)w->pages * PAGE_SECTORS))
		err = write_out(w);
	if (err)
		return err;
	if (!w->pages)
		w->base = *addr;
	p->addr = *addr;
	page_seal(p);
	memcpy(w->buf + (size_t)w->pages++ * PAGE_BYTES, p, PAGE_BYTES);
	return 0;
}

/* --- a run in the making --- */

struct making {
	struct writer w;
	struct run_builder b;
};

static int begin(struct store *s, struct making *m)
{
	struct run *r = calloc(1, sizeof(*r));
	int err;

	*m = (struct making){
		.w = {.s = s, .run = r, .buf = malloc((size_t)WRITER_PAGES * PAGE_BYTES)}};
	err = r && m->w.buf
		      ? run_build_begin(&m->b, (struct page_sink){write_page, &m->w}, s->next_run++)
		      : -ENOMEM;
	if (err) {
		free(r);
		free(m->w.buf);
		return err;
	}
	r->id = m->b.id;
	r->refs = 1;
	r->next = s->runs;
	s->runs = r;
	return 0;
}

/* 0 and the run, with one reference; NULL if it is empty. */
static int end(struct store *s, struct making *m, int err, struct run **run)
{
	struct run *r = m->w.run;
	uint64_t root;
	int end_err = run_build_end(&m->b, &root);

	if (!err)
		err = end_err;
	if (!err)
		err = write_out(&m->w);
	free(m->w.buf);
	r->root = root;
	r->extents = m->b.extents;
	r->data_sectors = m->b.data_sectors;
	r->pages = m->b.pages;
	*run = NULL;
	if (err || !root)
		run_put(s, r);
	else
		*run = r;
	return err;
}

/* --- memtables --- */

static int build_from(struct store *s, const struct memtable *t, struct run **run)
{
	struct making m;
	struct extent e;
	uint64_t at = 0;
	int err = begin(s, &m);

	if (err)
		return err;
	while (!err && extents_find(t->map, at, &e)) {
		err = run_build_add(&m.b, &e);
		at = extent_end(&e);
	}
	return end(s, &m, err, run);
}

/* In a view whose oldest memtable it is, the run takes its place. */
static void replace(struct view *v, struct memtable *t, struct run *r)
{
	if (!v->n_mem || v->mem[v->n_mem - 1] != t)
		return;
	v->n_mem--;
	memtable_put(t);
	if (!r)
		return;
	view_push_run(v, r);
	r->refs++;
}

static int flush_oldest(struct store *s)
{
	struct memtable *t = s->open.mem[s->open.n_mem - 1];
	struct run *r;
	int err;

	t->refs++;
	err = build_from(s, t, &r);
	if (!err) {
		for (struct point *p = s->points; p; p = p->next)
			replace(&p->view, t, r);
		replace(&s->open, t, r);
		if (r)
			run_put(s, r);
	}
	memtable_put(t);
	fiber_queue_wake(&s->memtable_wait);
	return err;
}

int index_flush_memtables(struct store *s)
{
	int err = 0;

	while (!err && s->open.n_mem > 1) {
		if (s->open.n_runs + MEMTABLES_MAX > RUNS_PER_VIEW)
			err = index_merge(s, !index_wants_merge(s));
		if (!err)
			err = flush_oldest(s);
	}
	return err;
}

/* --- merging --- */

/* Sectors by segment that turn out to be hidden; they count once the merged run is in use. */
static void count_dead(const struct store *s, uint32_t *dead, uint64_t addr, uint64_t sectors)
{
	dead[segment_of(s, addr)] += (uint32_t)sectors;
}

static void apply_dead(struct store *s, const uint32_t *dead)
{
	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].owner == s->open_delta) /* a sealed point sees what it has */
			s->segments[i].live -= dead[i];
}

struct source {
	struct run_cursor cursor;
	struct extent e;
	bool some;
};

static int advance(struct source *x)
{
	int err = run_cursor_next(&x->cursor, &x->e);

	x->some = err == 0;
	return err == -ENOENT ? 0 : err;
}

/* What this source has before `end` is hidden, or has been taken. */
static int skip_to(struct source *x, uint64_t end)
{
	int err = 0;

	while (!err && x->some && extent_end(&x->e) <= end)
		err = advance(x);
	if (!err && x->some && x->e.start < end)
		extent_trim(&x->e, end);
	return err;
}

/* Dead data: the parts of an older source that a newer one hides, in [from, to). */
static int bury(struct store *s, uint32_t *dead, struct source *x, uint64_t from, uint64_t to)
{
	int err = 0;

	while (!err && x->some && x->e.start < to) {
		uint64_t start = x->e.start > from ? x->e.start : from;
		uint64_t stop = extent_end(&x->e) < to ? extent_end(&x->e) : to;

		if (x->e.addr != EXTENT_ZERO && start < stop)
			count_dead(s, dead, x->e.addr + (start - x->e.start), stop - start);
		err = skip_to(x, stop);
	}
	return err;
}

/* The next piece of the merged map; sources are newest first. False: the end, or an error. */
static bool next_piece(struct store *s, uint32_t *dead, struct source *x, unsigned n,
		       struct extent *piece, int *err)
{
	unsigned winner = n;
	uint64_t stop;

	for (unsigned i = 0; i < n;
	     i++) /* the earliest; of those that begin together, the newest */
		if (x[i].some && (winner == n || x[i].e.start < x[winner].e.start))
			winner = i;
	if (winner == n)
		return false;
	stop = extent_end(&x[winner].e);
	for (unsigned i = 0; i < winner; i++)
		if (x[i].some && x[i].e.start < stop)
			stop = x[i].e.start;
	*piece = x[winner].e;
	piece->len = stop - piece->start;
	*err = skip_to(&x[winner], stop);
	for (unsigned i = winner + 1; i < n && !*err; i++)
		*err = bury(s, dead, &x[i], piece->start, stop);
	return !*err;
}

static bool joins(const struct extent *a, const struct extent *b)
{
	return a->len && extent_end(a) == b->start &&
	       (a->addr == EXTENT_ZERO ? b->addr == EXTENT_ZERO
				       : b->addr == a->addr + a->len && b->addr != EXTENT_ZERO);
}

static int merge_sources(struct store *s, uint32_t *dead, struct source *x, unsigned n,
			 struct run_builder *b)
{
	struct extent last = {0}, piece;
	unsigned since_yield = 0;
	int err = 0;

	while (!err && next_piece(s, dead, x, n, &piece, &err)) {
		if (joins(&last, &piece)) {
			last.len += piece.len;
		} else {
			if (last.len)
				err = run_build_add(b, &last);
			last = piece;
		}
		if (++since_yield % PAGE_LEAF_MAX == 0)
			fiber_yield();
		if (s->cancel && !err)
			err = -ECANCELED;
	}
	if (!err && last.len)
		err = run_build_add(b, &last);
	return err;
}

static int merge_range(struct store *s, uint32_t *dead, unsigned first, unsigned n,
		       struct run **run)
{
	struct source *x = calloc(n, sizeof(*x));
	struct making m;
	unsigned opened = 0;
	int err = x ? begin(s, &m) : -ENOMEM;

	if (err) {
		free(x);
		return err;
	}
	for (; opened < n && !err; opened++) {
		err = run_cursor_begin(&x[opened].cursor, s->open.run[first + opened], s->cache, 0);
		if (!err)
			err = advance(&x[opened]);
	}
	if (!err)
		err = merge_sources(s, dead, x, n, &m.b);
	for (unsigned i = 0; i < opened; i++)
		run_cursor_end(&x[i].cursor);
	free(x);
	return end(s, &m, err, run);
}

/* Size class of a run: each TIER times the one before. */
static unsigned tier(const struct run *r)
{
	unsigned t = 0;

	for (uint64_t n = r->extents / PAGE_LEAF_MAX; n >= TIER; n /= TIER)
		t++;
	return t;
}

/* Neighbours, newest first, that are to become one: TIER of a size or smaller. */
static bool choose(const struct store *s, bool all, unsigned *first, unsigned *n)
{
	const struct view *v = &s->open;

	*first = 0;
	*n = v->n_runs;
	if (all)
		return *n > 1;
	for (unsigned size = 0; size < RUNS_PER_VIEW; size++) {
		unsigned i = 0;

		while (i < v->n_runs && tier(v->run[i]) <= size)
			i++;
		if (i >= TIER) {
			*n = i;
			return true;
		}
		if (i == v->n_runs)
			return false;
	}
	return false;
}

bool index_wants_merge(const struct store *s)
{
	unsigned first, n;

	return choose(s, false, &first, &n);
}

int index_merge(struct store *s, bool all)
{
	struct view *v = &s->open;
	unsigned first, n;
	uint32_t *dead;
	struct run *r;
	int err;

	if (!choose(s, all, &first, &n))
		return 1;
	dead = calloc(s->super.segments, sizeof(*dead));
	err = dead ? merge_range(s, dead, first, n, &r) : -ENOMEM;
	if (!err)
		apply_dead(s, dead);
	free(dead);
	if (err)
		return err;
	s->stats.merges++;
	for (unsigned i = first; i < first + n; i++)
		run_put(s, v->run[i]);
	view_replace_runs(v, first, n, r);
	fiber_queue_wake(&s->memtable_wait);
	return 0;
}

int index_gather(struct store *s)
{
	int err = memtable_switch_here(s);

	if (!err)
		err = index_flush_memtables(s);
	if (!err && s->open.n_runs > 1)
		err = index_merge(s, true);
	return err;
}
