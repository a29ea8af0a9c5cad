// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is everything that lies in the store what it has to be? Superblocks, manifest, index, log, in
 * this order, each checksum and each reference. Nothing is written.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "storage/crc32c.h"
#include "storage/dev.h"
#include "storage/store_internal.h"
#include "tools/store/tool.h"

struct bad_range { /* store sectors whose content can't be trusted */
	uint64_t addr, n;
};

struct check {
	struct session *x;
	struct store *s;
	const struct superblock *super;
	unsigned damages, runs, manifest_pages;
	uint64_t pages, extents, records, verified, tail; /* verified: bytes of the log */
	uint32_t *index_pages;				  /* found, by segment */
	json_t *found;					  /* what `damage` said, for JSON */
	struct bad_range *bad;
	unsigned n_bad, bad_room;
	struct progress progress;
};

__attribute__((format(printf, 2, 3))) static void damage(struct check *c, const char *f, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, f);
	(void)vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	if (c->x->o->json)
		(void)json_array_append_new(c->found, json_string(text));
	else
		printf("damage: %s\n", text);
	c->damages++;
}

/* --- superblocks --- */

static bool is_blank(const void *p, size_t n)
{
	const char *c = p;

	return !c[0] && memcmp(c, c + 1, n - 1) == 0;
}

/* The one that counts; false: none. */
static bool find_superblock(const struct session *x, struct superblock *best)
{
	struct superblock b;
	bool some = false;

	for (unsigned i = 0; i < SUPER_COPIES; i++) {
		if (dev_read(x->dev, SUPER_SECTOR(i), &b, sizeof(b)) || !super_valid(&b))
			continue;
		if (!some || b.generation > best->generation)
			*best = b;
		some = true;
	}
	return some;
}

static void check_superblocks(struct check *c)
{
	for (unsigned i = 0; i < SUPER_COPIES; i++) {
		struct superblock b;
		int err = dev_read(c->x->dev, SUPER_SECTOR(i), &b, sizeof(b));

		if (err)
			damage(c, "superblock %u can't be read: %s", i, strerror(-err));
		else if (!super_valid(&b) && !is_blank(&b, sizeof(b)))
			/* blank: formatted, and not opened since */
			damage(c, "superblock %u is %s", i,
			       b.magic == SUPER_MAGIC ? "damaged: its checksum is wrong"
						      : "overwritten: no superblock is there");
	}
}

/* --- the manifest's pages, before anybody relies on them --- */

static bool check_piece(struct check *c, uint64_t addr, const struct manifest_piece *p,
			uint64_t left)
{
	if (p->magic == PIECE_MAGIC && p->bytes && p->bytes <= PAGE_BYTES - sizeof(*p) &&
	    p->bytes <= left)
		return true;
	damage(c, "manifest: page %u, at sector %" PRIu64 ", is none", c->manifest_pages, addr);
	return false;
}

static void check_manifest(struct check *c)
{
	const struct superblock *b = c->super;
	struct manifest_piece *p = allocate(PAGE_BYTES);
	uint64_t addr = b->manifest, left = addr ? b->manifest_bytes : 0;
	uint32_t crc = 0;
	bool whole = true;

	while (left && whole) {
		int err;

		if (addr < b->first_segment || addr > b->sectors - PAGE_SECTORS) {
			damage(c, "manifest: page %u is said to lie at sector %" PRIu64,
			       c->manifest_pages, addr);
			whole = false;
			break;
		}
		err = dev_read(c->x->dev, addr, p, PAGE_BYTES);
		if (err)
			damage(c, "manifest: sector %" PRIu64 " can't be read: %s", addr,
			       strerror(-err));
		whole = !err && check_piece(c, addr, p, left);
		if (!whole)
			break;
		c->manifest_pages++;
		crc = crc32c(crc, p + 1, p->bytes);
		left -= p->bytes;
		addr = p->next;
	}
	if (whole && b->manifest && crc != b->manifest_crc)
		damage(c, "manifest: its checksum is wrong, in %u pages from sector %" PRIu64,
		       c->manifest_pages, b->manifest);
	free(p);
}

/* --- the log --- */

static void add_bad(struct check *c, uint64_t addr, uint64_t n)
{
	if (c->n_bad == c->bad_room) {
		c->bad_room = c->bad_room ? 2 * c->bad_room : 16;
		c->bad = realloc(c->bad, c->bad_room * sizeof(*c->bad));
		if (!c->bad)
			die("out of memory");
	}
	c->bad[c->n_bad++] = (struct bad_range){addr, n};
}

static void check_payload(struct check *c, uint32_t segment, uint32_t at, const struct record *r)
{
	uint64_t addr = segment_sector(c->s, segment) + at + 1;

	if (crc32c(0, r + 1, (size_t)r->payload_sectors * SECTOR_SIZE) == r->payload_crc)
		return;
	damage(c,
	       "log: segment %" PRIu32 ", sector %" PRIu32 ": the data of record %" PRIu64
	       " (%" PRIu32 " sectors) are damaged",
	       segment, at, r->sequence, r->payload_sectors);
	add_bad(c, addr, r->payload_sectors);
}

/* Where the records of a segment end: only the one in use ends without one that names the next. */
static uint32_t log_end(const struct check *c, uint32_t segment)
{
	const struct window *w = &c->s->log.window[c->s->log.current];

	if (segment != c->s->log.segment)
		return c->s->super.segment_sectors;
	return (uint32_t)(w->base + w->fill - segment_sector(c->s, segment));
}

static void check_records(struct check *c, uint32_t segment, const char *buf)
{
	uint32_t end = log_end(c, segment), at = 0;
	uint64_t sequence = 0;

	while (at < end) {
		const struct record *r = (const void *)(buf + (size_t)at * SECTOR_SIZE);

		if (!record_valid(c->s, r, at ? sequence : r->sequence) ||
		    r->payload_sectors > c->s->super.segment_sectors - at - 1) {
			damage(c,
			       "log: segment %" PRIu32 ", sector %" PRIu32
			       ": no valid record, and what lies behind it can't be verified",
			       segment, at);
			add_bad(c, segment_sector(c->s, segment) + at, end - at);
			return;
		}
		if (r->type == RECORD_WRITES)
			check_payload(c, segment, at, r);
		c->records++;
		c->tail += r->sequence >= c->super->replay.sequence;
		sequence = r->sequence + 1;
		at += 1 + r->payload_sectors;
		c->verified += (1 + (uint64_t)r->payload_sectors) * SECTOR_SIZE;
		if (r->type == RECORD_NEXT)
			return;
	}
	if (segment != c->s->log.segment)
		damage(c, "log: segment %" PRIu32 " ends without naming the next", segment);
}

static void check_log(struct check *c)
{
	size_t bytes = (size_t)c->s->super.segment_sectors * SECTOR_SIZE;
	char *buf = allocate(bytes);

	for (uint32_t i = 0; i < c->s->super.segments; i++) {
		uint32_t owner = c->s->segments[i].owner;
		int err;

		progress_at(&c->progress, i);
		if (owner == OWNER_FREE || owner == OWNER_INDEX)
			continue;
		err = dev_read(c->x->dev, segment_sector(c->s, i), buf, bytes);
		if (err) {
			damage(c, "log: segment %" PRIu32 " can't be read: %s", i, strerror(-err));
			add_bad(c, segment_sector(c->s, i), c->s->super.segment_sectors);
		} else {
			check_records(c, i, buf);
		}
	}
	free(buf);
}

/* --- the index --- */

struct walk {
	struct check *c;
	const struct run *run;
	uint64_t extents, data_sectors, pages;
	uint64_t from; /* the next extent begins here, or later */
	bool cut_off;
};

static void page_damage(struct walk *w, uint64_t addr, const char *what)
{
	damage(w->c, "index: run %" PRIu64 ", page at sector %" PRIu64 ": %s", w->run->id, addr,
	       what);
}

static bool in_segments(const struct check *c, uint64_t addr, uint64_t n)
{
	const struct superblock *b = &c->s->super;
	uint64_t end = b->first_segment + (uint64_t)b->segments * b->segment_sectors;

	return addr >= b->first_segment && addr < end && n <= end - addr;
}

static void check_extent(struct walk *w, uint64_t page, const struct page_extent *e)
{
	const struct check *c = w->c;

	if (e->start < w->from || !e->len || e->start > c->s->super.golden_sectors ||
	    e->len > c->s->super.golden_sectors - e->start)
		page_damage(w, page, "an extent is out of order, or out of the disk");
	w->from = e->start + e->len;
	w->extents++;
	if (e->addr == EXTENT_ZERO)
		return;
	w->data_sectors += e->len;
	if (!in_segments(c, e->addr, e->len)) {
		page_damage(w, page, "an extent lies outside of the store");
		return;
	}
	for (uint32_t i = segment_of(c->s, e->addr); i <= segment_of(c->s, e->addr + e->len - 1);
	     i++)
		if (c->s->segments[i].owner == OWNER_FREE ||
		    c->s->segments[i].owner == OWNER_INDEX) {
			page_damage(w, page, "an extent lies in a segment that holds no log");
			return;
		}
}

/* A tree of pages that share children has more ways than pages: it is not walked to the end. */
static bool too_many(struct walk *w, uint64_t addr)
{
	const struct superblock *b = &w->c->s->super;
	uint64_t most = (uint64_t)b->segments * b->segment_sectors / PAGE_SECTORS;

	if (w->pages < w->run->pages && w->pages < most)
		return false;
	if (!w->cut_off)
		page_damage(w, addr, "the run has more pages than it may have");
	w->cut_off = true;
	return true;
}

static bool page_is(struct walk *w, uint64_t addr, const struct page *p, unsigned above)
{
	if (!page_valid(p, addr))
		page_damage(w, addr, "it is none, or its checksum is wrong");
	else if (p->run != w->run->id)
		page_damage(w, addr, "it belongs to another run");
	else if (p->level >= above || p->n > (p->level ? PAGE_CHILD_MAX : PAGE_LEAF_MAX) || !p->n)
		page_damage(w, addr, "its level or its count is wrong");
	else
		return true;
	return false;
}

/* `above`: the level of the page that names this one. */
static void check_page(struct walk *w, uint64_t addr, unsigned above)
{
	struct page *p;
	int err;

	if (too_many(w, addr))
		return;
	p = allocate(PAGE_BYTES);
	err = in_segments(w->c, addr, PAGE_SECTORS) ? dev_read(w->c->x->dev, addr, p, PAGE_BYTES)
						    : -ERANGE;

	if (err) {
		page_damage(w, addr, err == -ERANGE ? "outside of the store" : strerror(-err));
	} else if (page_is(w, addr, p, above)) {
		w->pages++;
		w->c->index_pages[segment_of(w->c->s, addr)]++;
		for (unsigned i = 0; i < p->n && !w->cut_off; i++) {
			if (p->level)
				check_page(w, p->child[i].addr, p->level);
			else
				check_extent(w, addr, &p->extent[i]);
		}
	}
	free(p);
}

static void check_runs(struct check *c)
{
	for (const struct run *r = c->s->runs; r; r = r->next) {
		struct walk w = {.c = c, .run = r};
		unsigned before = c->damages;

		check_page(&w, r->root, RUN_LEVELS);
		c->runs++;
		c->pages += w.pages;
		c->extents += w.extents;
		if (c->damages == before && (w.pages != r->pages || w.extents != r->extents ||
					     w.data_sectors != r->data_sectors))
			damage(c,
			       "index: run %" PRIu64 " has %" PRIu64 " pages and %" PRIu64
			       " extents; the manifest says %" PRIu32 " and %" PRIu64,
			       r->id, w.pages, w.extents, r->pages, r->extents);
	}
}

/* Whose pages are where, counted from both sides. */
static void check_index_segments(struct check *c)
{
	for (uint32_t i = 0; i < c->s->n_manifest_pages; i++)
		c->index_pages[segment_of(c->s, c->s->manifest_pages[i])]++;
	for (uint32_t i = 0; i < c->s->super.segments; i++) {
		const struct segment *g = &c->s->segments[i];

		if (c->index_pages[i] && g->owner != OWNER_INDEX)
			damage(c,
			       "segment %" PRIu32 " holds pages of the index, and isn't marked so",
			       i);
		else if (g->owner == OWNER_INDEX && g->live != c->index_pages[i])
			damage(c,
			       "segment %" PRIu32 " is said to hold %" PRIu32
			       " pages of the index, and holds %" PRIu32,
			       i, g->live, c->index_pages[i]);
	}
}

/* --- what the damage to the log means --- */

static bool is_bad(const struct check *c, uint64_t addr)
{
	for (unsigned i = 0; i < c->n_bad; i++)
		if (addr >= c->bad[i].addr && addr < c->bad[i].addr + c->bad[i].n)
			return true;
	return false;
}

static void name_stretch(struct check *c, const struct store_point *p, const struct view *v,
			 const struct store_stretch *d)
{
	uint64_t addr[RESOLVE_MAX];

	if (d->zero || view_resolve(c->s, v, d->sector, (unsigned)d->n, addr))
		return;
	for (uint64_t i = 0, n; i < d->n; i += n) {
		for (n = 0; i + n < d->n && is_bad(c, addr[i + n]);)
			n++;
		if (n)
			damage(c, "disk: sectors %" PRIu64 " to %" PRIu64 " as of %s%s%s",
			       d->sector + i, d->sector + i + n - 1,
			       p->open ? "the open delta" : "'", p->name, p->open ? "" : "'");
		n += !n;
	}
}

/* Which sectors of the guest's disk are affected, in the delta that holds them. */
static void name_lost_sectors(struct check *c)
{
	unsigned n;
	struct store_point *p = list_points(c->x, &n);
	const struct point *at = c->s->points;

	for (unsigned i = 0; i < n && c->n_bad; i++) {
		const struct view *v = at ? &at->view : &c->s->open;
		struct store_stretch d = {0};

		while (!store_difference(c->s, p[i].id, p[i].parent, d.sector + d.n, &d))
			name_stretch(c, &p[i], v, &d);
		at = at ? at->next : NULL;
	}
	free(p);
}

/* --- all of it --- */

static void report(const struct check *c)
{
	char size[SIZE_TEXT];

	if (c->x->o->json) {
		print_json(json_pack(
			"{s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "damage", c->found,
			"clean", !c->damages, "manifest_pages", (json_int_t)c->manifest_pages,
			"runs", (json_int_t)c->runs, "index_pages", (json_int_t)c->pages, "extents",
			(json_int_t)c->extents, "records", (json_int_t)c->records, "tail_records",
			(json_int_t)c->tail, "log_bytes", (json_int_t)c->verified));
		return;
	}
	printf("manifest   %u pages\n", c->manifest_pages);
	printf("index      %u runs, %" PRIu64 " pages, %" PRIu64 " extents\n", c->runs, c->pages,
	       c->extents);
	printf("log        %" PRIu64 " records, %s; %" PRIu64 " since the last checkpoint\n",
	       c->records, size_text(size, c->verified), c->tail);
	if (c->damages)
		printf("DAMAGED: %u findings. Export the points that are not named; then format "
		       "the store anew, "
		       "and import them.\n",
		       c->damages);
	else
		printf("clean\n");
}

static void check_opened(struct check *c)
{
	c->s = c->x->store;
	c->index_pages = allocate(c->s->super.segments * sizeof(*c->index_pages));
	progress_begin(&c->progress, c->x->o, "log", c->s->super.segments);
	check_log(c);
	progress_end(&c->progress);
	check_runs(c);
	check_index_segments(c);
	name_lost_sectors(c);
	free(c->index_pages);
	free(c->bad);
}

/* What can't be opened can't be verified any further, nor exported. */
static int unopened(struct check *c, const char *why)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "%s: %s", c->x->o->store, why);
	warn("%s: %s", c->x->o->store, why);
	if (c->x->o->json)
		print_json(json_pack("{s:o, s:o}", "error", json_text(text), "damage", c->found));
	return EXIT_TROUBLE;
}

int command_check(struct session *x)
{
	struct superblock super = {0};
	struct check c = {.x = x, .super = &super, .found = json_array()};
	/* else there is nothing that could be damaged, and session_open says why */
	bool whole = find_superblock(x, &super) && super.version == STORE_VERSION &&
		     super.sectors <= x->dev->sectors;
	int err;

	if (whole) {
		check_superblocks(&c);
		check_manifest(&c);
	}
	err = session_open(x);
	if (err)
		return unopened(&c, whole && err == -EUCLEAN
					    ? "what leads to the data is damaged: nothing can be "
					      "exported; restore the store from a copy"
					    : x->why);
	check_opened(&c);
	report(&c);
	return c.damages ? EXIT_DIFFERS : EXIT_OK;
}
