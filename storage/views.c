// SPDX-License-Identifier: GPL-2.0-or-later
/* What a reader sees: memtables, then runs, then the golden image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/store_internal.h"

#define UNKNOWN (UINT64_MAX - 2)

void view_get(struct view *to, const struct view *from)
{
	*to = *from;
	for (unsigned i = 0; i < to->n_mem; i++)
		to->mem[i]->refs++;
	for (unsigned i = 0; i < to->n_runs; i++)
		to->run[i]->refs++;
}

void view_put(struct store *s, struct view *v)
{
	for (unsigned i = 0; i < v->n_mem; i++)
		memtable_put(v->mem[i]);
	for (unsigned i = 0; i < v->n_runs; i++)
		run_put(s, v->run[i]);
	v->n_mem = v->n_runs = 0;
}

void reader_begin(struct store *s, struct reader *r, const struct view *v)
{
	r->phase = s->phase;
	s->readers[r->phase]++;
	view_get(&r->view, v);
}

void reader_end(struct store *s, struct reader *r)
{
	view_put(s, &r->view);
	if (--s->readers[r->phase] == 0)
		fiber_queue_wake(&s->readers_wait);
}

/* Its pages are free once the next checkpoint no longer names it. */
static void free_pages(struct store *s, const struct run *r)
{
	for (uint32_t i = 0; i < r->n_places; i++) {
		struct segment *g = &s->segments[r->places[i].segment];

		g->live -= r->places[i].pages;
		if (!g->live && r->places[i].segment != s->index_segment)
			segment_release(s, r->places[i].segment);
	}
}

void run_put(struct store *s, struct run *r)
{
	struct run **p = &s->runs;

	if (--r->refs)
		return;
	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	free_pages(s, r);
	free(r->places);
	free(r);
}

struct memtable *memtable_new(struct store *s, struct log_position start)
{
	struct memtable *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	m->map = extents_create(s->options.memtable_bytes);
	if (!m->map) {
		free(m);
		return NULL;
	}
	m->start = start;
	m->delta = s->open_delta;
	m->refs = 1;
	return m;
}

void memtable_put(struct memtable *m)
{
	if (--m->refs)
		return;
	extents_free(m->map);
	free(m);
}

bool view_full(const struct view *v)
{
	return v->n_mem == MEMTABLES_MAX || v->n_runs + v->n_mem > RUNS_PER_VIEW;
}

void view_push_memtable(struct view *v, struct memtable *m)
{
	for (unsigned i = v->n_mem++; i > 0; i--)
		v->mem[i] = v->mem[i - 1];
	v->mem[0] = m;
}

void view_push_run(struct view *v, struct run *r)
{
	for (unsigned i = v->n_runs++; i > 0; i--)
		v->run[i] = v->run[i - 1];
	v->run[0] = r;
}

void view_replace_runs(struct view *v, unsigned first, unsigned n, struct run *r)
{
	unsigned to = first;

	if (r)
		v->run[to++] = r;
	for (unsigned from = first + n; from < v->n_runs; from++)
		v->run[to++] = v->run[from];
	v->n_runs = to;
}

static int open_memtable(struct store *s)
{
	struct memtable *m = memtable_new(s, log_position(s));

	if (!m)
		return -ENOMEM;
	view_push_memtable(&s->open, m);
	s->log.tail_sectors = 0;
	return 0;
}

int memtable_switch(struct store *s)
{
	fiber_queue_wake(&s->work_wait);
	if (s->open.n_mem < MEMTABLES_MAX)
		return open_memtable(s);
	fiber_queue_wait(&s->memtable_wait);
	return 1;
}

int memtable_switch_here(struct store *s)
{
	int err = 0;

	while (!err && s->open.n_mem == MEMTABLES_MAX)
		err = index_flush_memtables(s);
	return err ? err : open_memtable(s);
}

/* --- resolving --- */

struct resolution {
	uint64_t sector, *addr;
	unsigned n, unknown;
};

/* What is not yet known and lies in the extent. */
static void fill(struct resolution *r, const struct extent *e)
{
	uint64_t from = e->start > r->sector ? e->start : r->sector;
	uint64_t to = extent_end(e) < r->sector + r->n ? extent_end(e) : r->sector + r->n;

	for (uint64_t i = from; i < to; i++) {
		if (r->addr[i - r->sector] != UNKNOWN)
			continue;
		r->addr[i - r->sector] =
			e->addr == EXTENT_ZERO ? EXTENT_ZERO : e->addr + (i - e->start);
		r->unknown--;
	}
}

static void ask_memtable(struct resolution *r, const struct memtable *m)
{
	uint64_t at = r->sector, end = r->sector + r->n;
	struct extent e;

	while (r->unknown && at < end && extents_find(m->map, at, &e) && e.start < end) {
		fill(r, &e);
		at = extent_end(&e);
	}
}

static int ask_run(struct store *s, struct resolution *r, const struct run *run)
{
	uint64_t end = r->sector + r->n;
	struct run_cursor c;
	struct extent e;
	int err = run_cursor_begin(&c, run, s->cache, r->sector);

	if (err)
		return err;
	while (r->unknown && (err = run_cursor_next(&c, &e)) == 0 && e.start < end)
		fill(r, &e);
	run_cursor_end(&c);
	return err == -ENOENT ? 0 : err;
}

int view_resolve(struct store *s, const struct view *v, uint64_t sector, unsigned n, uint64_t *addr)
{
	struct resolution r = {sector, addr, n, n};
	int err = 0;

	for (unsigned i = 0; i < n; i++)
		addr[i] = UNKNOWN;
	for (unsigned i = 0; i < v->n_mem && r.unknown; i++)
		ask_memtable(&r, v->mem[i]);
	for (unsigned i = 0; i < v->n_runs && r.unknown && !err; i++)
		err = ask_run(s, &r, v->run[i]);
	for (unsigned i = 0; i < n; i++)
		if (addr[i] == UNKNOWN)
			addr[i] = ADDR_GOLDEN;
	return err;
}
