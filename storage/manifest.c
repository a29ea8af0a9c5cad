// SPDX-License-Identifier: GPL-2.0-or-later
/* The checkpoint: what a store consists of, written in pieces into index segments, and the
 * superblock that names it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/crc32c.h"
#include "storage/dev.h"
#include "storage/store_internal.h"

/* --- superblock --- */

uint32_t super_checksum(const struct superblock *b)
{
	struct superblock copy = *b;

	copy.crc = 0;
	return crc32c(0, &copy, sizeof(copy));
}

bool super_valid(const struct superblock *b)
{
	return b->magic == SUPER_MAGIC && b->crc == super_checksum(b);
}

int super_write(struct store *s)
{
	int err;

	s->super.generation++;
	s->super.crc = super_checksum(&s->super);
	err = dev_write(s->dev, SUPER_SECTOR(s->super.generation % SUPER_COPIES), &s->super,
			sizeof(s->super));
	s->stats.dev_written += sizeof(s->super);
	if (!err)
		err = store_sync(s);
	if (err) /* the next one goes to the same place: the other copy is the one that is whole */
		s->super.generation--;
	return err;
}

/* --- serializing --- */

struct blob {
	char *data;
	size_t n, room;
	int err;
};

static void put(struct blob *b, const void *data, size_t n)
{
	if (b->n + n > b->room && !b->err) {
		size_t room = 2 * (b->n + n);
		char *p = realloc(b->data, room);

		if (!p) {
			b->err = -ENOMEM;
			return;
		}
		b->data = p;
		b->room = room;
	}
	if (b->err)
		return;
	memcpy(b->data + b->n, data, n);
	b->n += n;
}

static void put_runs(struct blob *b, const struct store *s, struct manifest *m)
{
	for (const struct run *r = s->runs; r; r = r->next) {
		struct manifest_run x = {.id = r->id,
					 .root = r->root,
					 .extents = r->extents,
					 .data_sectors = r->data_sectors,
					 .pages = r->pages,
					 .n_places = r->n_places};

		put(b, &x, sizeof(x));
		put(b, r->places, r->n_places * sizeof(r->places[0]));
		m->n_runs++;
	}
}

static void put_points(struct blob *b, const struct store *s, struct manifest *m)
{
	for (const struct point *p = s->points; p; p = p->next) {
		struct manifest_point x = {
			.delta = p->delta, .parent = p->parent, .n_runs = p->view.n_runs};

		memcpy(x.name, p->name, sizeof(x.name));
		for (unsigned i = 0; i < p->view.n_runs; i++)
			x.run[i] = p->view.run[i]->id;
		put(b, &x, sizeof(x));
		m->n_points++;
	}
}

/* What the active memtable holds comes again with the replay: it does not count yet. */
static void uncount_memtable(const struct store *s, uint32_t *live)
{
	struct extent e;

	for (uint64_t at = 0; extents_find(s->open.mem[0]->map, at, &e); at = extent_end(&e))
		if (e.addr != EXTENT_ZERO)
			live[segment_of(s, e.addr)] -= (uint32_t)e.len;
}

static uint32_t described_owner(const struct store *s, uint32_t i)
{
	const struct segment *g = &s->segments[i];
	const struct log_position *start = &s->open.mem[0]->start;

	if (g->pending == LEAVING)
		return OWNER_FREE;
	/* the replay takes it anew */
	if (g->owner != OWNER_INDEX && g->first > start->sequence && i != start->segment)
		return OWNER_FREE;
	return g->owner;
}

static void put_segments(struct blob *b, const struct store *s, struct manifest *m,
			 const uint32_t *live)
{
	struct manifest_segments x = {0};

	for (uint32_t i = 0; i < s->super.segments; i++) {
		uint32_t owner = described_owner(s, i);
		uint32_t count = owner == OWNER_FREE ? 0 : live[i];

		if (x.count && x.owner == owner && x.live == count) {
			x.count++;
			continue;
		}
		if (x.count && x.owner != OWNER_FREE) {
			put(b, &x, sizeof(x));
			m->n_segments++;
		}
		x = (struct manifest_segments){i, 1, owner, count};
	}
	if (x.owner != OWNER_FREE) {
		put(b, &x, sizeof(x));
		m->n_segments++;
	}
}

static int describe(struct store *s, struct blob *b)
{
	uint32_t *live = calloc(s->super.segments, sizeof(*live));
	struct manifest m = {.magic = MANIFEST_MAGIC,
			     .open_delta = s->open_delta,
			     .open_parent = s->open_parent,
			     .next_delta = s->next_delta,
			     .next_run = s->next_run,
			     .open_runs = s->open.n_runs};

	if (!live)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->super.segments; i++)
		live[i] = s->segments[i].live;
	uncount_memtable(s, live);
	for (uint32_t i = 0; i < s->n_manifest_pages; i++)
		live[segment_of(s, s->manifest_pages[i])]--; /* this one takes its place */
	for (unsigned i = 0; i < s->open.n_runs; i++)
		m.open_run[i] = s->open.run[i]->id;
	put(b, &m, sizeof(m));
	put_runs(b, s, &m);
	put_points(b, s, &m);
	put_segments(b, s, &m, live);
	free(live);
	m.bytes = (uint32_t)b->n;
	if (!b->err)
		memcpy(b->data, &m, sizeof(m));
	return b->err;
}

/* --- pieces --- */

static void drop_pages(struct store *s, const uint64_t *addr, size_t n)
{
	for (size_t i = 0; i < n; i++)
		index_page_drop(s, addr[i]);
}

/* A page for each piece. The description that is written says nothing of them: they are
 * the superblock's, and count when it is read. */
static int find_places(struct store *s, uint64_t *addr, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = index_page_alloc(s, &addr[i]);

		if (err) {
			drop_pages(s, addr, i);
			return err;
		}
	}
	return 0;
}

#define PIECE_BYTES (PAGE_BYTES - sizeof(struct manifest_piece))

static int write_pieces(struct store *s, const struct blob *b, const uint64_t *addr, size_t n)
{
	char *page = malloc(PAGE_BYTES);
	size_t done = 0;
	int err = page ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++) {
		size_t bytes = b->n - done < PIECE_BYTES ? b->n - done : PIECE_BYTES;
		struct manifest_piece head = {
			PIECE_MAGIC, (uint32_t)bytes, i + 1 < n ? addr[i + 1] : 0, {0}};

		memset(page, 0, PAGE_BYTES);
		memcpy(page, &head, sizeof(head));
		memcpy(page + sizeof(head), b->data + done, bytes);
		done += bytes;
		err = dev_write(s->dev, addr[i], page, PAGE_BYTES);
		s->stats.dev_written += PAGE_BYTES;
	}
	free(page);
	return err;
}

/* All of it, and what it describes, is on the device. */
static int write_places(struct store *s, const struct blob *b, const uint64_t *addr, size_t n)
{
	int err = write_pieces(s, b, addr, n);

	if (!err)
		err = store_sync(s);
	if (err)
		drop_pages(s, addr, n);
	return err;
}

static int write_manifest(struct store *s, const struct blob *b, struct log_position replay)
{
	size_t n = (b->n + PIECE_BYTES - 1) / PIECE_BYTES;
	uint64_t *addr = malloc(n * sizeof(*addr));
	int err = addr ? find_places(s, addr, n) : -ENOMEM;

	if (!err)
		err = write_places(s, b, addr, n);
	if (err) {
		free(addr);
		return err;
	}
	s->super.manifest = addr[0];
	s->super.manifest_bytes = (uint32_t)b->n;
	s->super.manifest_crc = crc32c(0, b->data, b->n);
	s->super.replay = replay;
	drop_pages(s, s->manifest_pages, s->n_manifest_pages); /* the one before */
	free(s->manifest_pages);
	s->manifest_pages = addr;
	s->n_manifest_pages = (uint32_t)n;
	return super_write(s);
}

int checkpoint(struct store *s)
{
	struct log_position replay;
	struct blob b = {0};
	int err = index_flush_memtables(s); /* a seal may have come since */

	if (err)
		return err;
	replay = s->open.mem[0]->start;
	segments_mark(s);
	err = describe(s, &b);
	if (!err) /* the records before `replay` are never read again, but what they hold is */
		err = log_write(s);
	if (!err)
		err = write_manifest(s, &b, replay);
	free(b.data);
	if (err)
		return err;
	s->stats.checkpoints++;
	segments_settle(s);
	return 0;
}

/* --- reading it --- */

static bool page_place(const struct store *s, uint64_t addr)
{
	const struct page_area area = page_area(s);

	return page_in(&area, addr);
}

static int read_pieces(struct store *s, char *data, size_t bytes)
{
	struct manifest_piece *page = malloc(PAGE_BYTES);
	uint64_t addr = s->super.manifest;
	size_t n = (bytes + PIECE_BYTES - 1) / PIECE_BYTES, done = 0;
	int err = page ? 0 : -ENOMEM;

	s->manifest_pages = malloc(n * sizeof(uint64_t));
	if (!s->manifest_pages)
		err = -ENOMEM;
	while (!err && done < bytes) {
		if (!page_place(s, addr) || s->n_manifest_pages == n) {
			err = -EUCLEAN;
			break;
		}
		err = dev_read(s->dev, addr, page, PAGE_BYTES);
		if (err)
			break;
		if (page->magic != PIECE_MAGIC || page->bytes > PIECE_BYTES ||
		    page->bytes > bytes - done || !page->bytes) {
			err = -EUCLEAN;
			break;
		}
		s->manifest_pages[s->n_manifest_pages++] = addr;
		memcpy(data + done, page + 1, page->bytes);
		done += page->bytes;
		addr = page->next;
	}
	free(page);
	return err;
}

struct parser {
	const char *at, *end;
};

static const void *take(struct parser *p, size_t n)
{
	const char *x = p->at;

	if ((size_t)(p->end - p->at) < n)
		return NULL;
	p->at += n;
	return x;
}

static struct run *find_run(const struct store *s, uint64_t id)
{
	struct run *r = s->runs;

	while (r && r->id != id)
		r = r->next;
	return r;
}

static int take_run(struct store *s, struct parser *p)
{
	struct manifest_run x;
	const void *at = take(p, sizeof(x)), *places;
	struct run *r;

	if (!at)
		return -EUCLEAN;
	memcpy(&x, at, sizeof(x));
	places = take(p, (size_t)x.n_places * sizeof(struct manifest_place));
	if (!places || find_run(s, x.id) || !x.root)
		return -EUCLEAN;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->next = s->runs;
	s->runs = r;
	r->id = x.id;
	r->root = x.root;
	r->extents = x.extents;
	r->data_sectors = x.data_sectors;
	r->pages = x.pages;
	r->places = malloc(x.n_places * sizeof(r->places[0]) + 1);
	if (!r->places)
		return -ENOMEM;
	r->n_places = r->places_room = x.n_places;
	memcpy(r->places, places, x.n_places * sizeof(r->places[0]));
	for (uint32_t i = 0; i < r->n_places; i++)
		if (r->places[i].segment >= s->super.segments)
			return -EUCLEAN;
	return r->id < s->next_run && page_place(s, r->root) ? 0 : -EUCLEAN;
}

static int take_view(struct store *s, struct view *v, const uint64_t *ids, uint32_t n)
{
	if (n > RUNS_PER_VIEW)
		return -EUCLEAN;
	for (uint32_t i = 0; i < n; i++) {
		struct run *r = find_run(s, ids[i]);

		if (!r)
			return -EUCLEAN;
		r->refs++;
		v->run[v->n_runs++] = r;
	}
	return 0;
}

static const struct point *find_delta(const struct store *s, uint32_t delta)
{
	const struct point *p = s->points;

	while (p && p->delta != delta)
		p = p->next;
	return p;
}

/* A point comes behind its parent, so that there are no circles. */
static bool point_sound(const struct store *s, const struct manifest_point *m)
{
	if (!m->name[0] || m->name[STORE_NAME_MAX] || !m->delta || m->delta >= s->next_delta ||
	    m->delta == s->open_delta || (m->parent && !find_delta(s, m->parent)))
		return false;
	for (const struct point *p = s->points; p; p = p->next)
		if (p->delta == m->delta || strcmp(p->name, m->name) == 0)
			return false;
	return true;
}

static int take_point(struct store *s, struct parser *p)
{
	const void *at = take(p, sizeof(struct manifest_point));
	struct point **last = &s->points, *x;
	struct manifest_point m;

	if (!at)
		return -EUCLEAN;
	memcpy(&m, at, sizeof(m));
	if (!point_sound(s, &m))
		return -EUCLEAN;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	while (*last)
		last = &(*last)->next;
	*last = x;
	memcpy(x->name, m.name, sizeof(x->name));
	x->delta = m.delta;
	x->parent = m.parent;
	return take_view(s, &x->view, m.run, m.n_runs);
}

static int take_segments(struct store *s, struct parser *p)
{
	const void *at = take(p, sizeof(struct manifest_segments));
	struct manifest_segments m;

	if (!at)
		return -EUCLEAN;
	memcpy(&m, at, sizeof(m));
	if (m.first > s->super.segments || m.count > s->super.segments - m.first ||
	    m.owner == OWNER_FREE || (m.owner != OWNER_INDEX && m.owner >= s->next_delta))
		return -EUCLEAN;
	for (uint32_t i = m.first; i < m.first + m.count; i++) {
		if (s->segments[i].owner != OWNER_FREE) /* two say so */
			return -EUCLEAN;
		s->segments[i] = (struct segment){.owner = m.owner, .live = m.live};
		s->free_segments--;
	}
	return 0;
}

/* All pages of runs lie in segments of the index, which know of them. */
static int count_index_pages(struct store *s)
{
	uint64_t *pages = calloc(s->super.segments, sizeof(*pages));
	int err = pages ? 0 : -ENOMEM;

	for (const struct run *r = s->runs; r && !err; r = r->next)
		for (uint32_t i = 0; i < r->n_places; i++)
			pages[r->places[i].segment] += r->places[i].pages;
	for (uint32_t i = 0; i < s->super.segments && !err; i++)
		if (pages[i] &&
		    (s->segments[i].owner != OWNER_INDEX || pages[i] > s->segments[i].live))
			err = -EUCLEAN;
	free(pages);
	return err;
}

static int parse(struct store *s, const char *data, size_t bytes)
{
	struct parser p = {data, data + bytes};
	struct manifest m;
	const void *at = take(&p, sizeof(m));
	int err = 0;

	if (!at)
		return -EUCLEAN;
	memcpy(&m, at, sizeof(m));
	if (m.magic != MANIFEST_MAGIC || m.bytes != bytes || m.n_points > POINTS_MAX ||
	    !m.open_delta || m.open_delta >= m.next_delta || m.next_delta > DELTA_LIMIT)
		return -EUCLEAN;
	s->open_delta = m.open_delta;
	s->open_parent = m.open_parent;
	s->next_delta = m.next_delta;
	s->next_run = m.next_run;
	for (uint32_t i = 0; i < m.n_runs && !err; i++)
		err = take_run(s, &p);
	for (uint32_t i = 0; i < m.n_points && !err; i++)
		err = take_point(s, &p);
	for (uint32_t i = 0; i < m.n_segments && !err; i++)
		err = take_segments(s, &p);
	if (!err && m.open_parent && !find_delta(s, m.open_parent))
		err = -EUCLEAN;
	if (!err)
		err = take_view(s, &s->open, m.open_run, m.open_runs);
	return err ? err : count_index_pages(s);
}

int manifest_load(struct store *s)
{
	size_t bytes = s->super.manifest_bytes;
	char *data;
	int err;

	if (bytes / SECTOR_SIZE > page_area(s).sectors)
		return -EUCLEAN;
	data = malloc(bytes + 1);
	err = data ? read_pieces(s, data, bytes) : -ENOMEM;
	if (!err && crc32c(0, data, bytes) != s->super.manifest_crc)
		err = -EUCLEAN;
	if (!err)
		err = parse(s, data, bytes);
	free(data);
	if (err)
		return err;
	/* its own pages, which it does not describe */
	for (uint32_t i = 0; i < s->n_manifest_pages; i++) {
		struct segment *g = &s->segments[segment_of(s, s->manifest_pages[i])];

		if (g->owner == OWNER_FREE)
			s->free_segments--;
		else if (g->owner != OWNER_INDEX)
			return -EUCLEAN;
		g->owner = OWNER_INDEX;
		g->live++;
	}
	return 0;
}
