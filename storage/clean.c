// SPDX-License-Identifier: GPL-2.0-or-later
/* Space: hidden data is found by merging, and what is still seen of a nearly dead segment is
 * copied to the log's head. With the background's lock. */
#include <errno.h>
#include <stdlib.h>
#include "storage/crc32c.h"
#include "storage/dev.h"
#include "storage/store_internal.h"

#define VICTIMS		  16u /* segments copied before their index is merged */
#define WORTH(live, size) ((live) < (size) / 8 * 7)
#define TRIES		  8u
#define PIECE_SECTORS	  2048u /* of a segment in memory, if no record is larger */

/* The still visible parts of an extent of the log, copied. `data`: what lies at e->addr. */
static int copy_live(struct store *s, const struct extent *e, const char *data)
{
	uint64_t addr[RESOLVE_MAX];
	unsigned n = (unsigned)e->len;
	int err;

	s->copying = *e;
	s->copy_spoiled = false;
	err = view_resolve(s, &s->open, e->start, n, addr);
	for (unsigned i = 0, same; i < n && !err; i += same) {
		bool seen = addr[i] == e->addr + i;
		struct extent part = {e->start + i, 1, EXTENT_ZERO};
		struct block_vec vec;

		for (same = 1; i + same < n && (addr[i + same] == e->addr + i + same) == seen;)
			same++;
		if (!seen)
			continue;
		part.len = same;
		vec = (struct block_vec){(void *)(uintptr_t)(data + (size_t)i * SECTOR_SIZE),
					 (size_t)same * SECTOR_SIZE};
		err = log_copy(s, &part, &vec);
		s->stats.cleaned_bytes += (uint64_t)same * SECTOR_SIZE;
	}
	s->copying.len = 0;
	return err;
}

static int copy_extent(struct store *s, struct extent e, const char *data)
{
	int err = 0;

	while (e.len && !err) {
		struct extent piece = e;
		unsigned tries = 0;

		if (piece.len > RESOLVE_MAX)
			piece.len = RESOLVE_MAX;
		do /* the guest wrote there meanwhile: look again */
			err = copy_live(s, &piece, data);
		while (err == -EAGAIN && ++tries < TRIES);
		if (piece.len == e.len)
			break;
		data += (size_t)piece.len * SECTOR_SIZE;
		extent_trim(&e, e.start + piece.len);
	}
	return err;
}

static int copy_record(struct store *s, const struct record *r, uint64_t addr, const char *data)
{
	int err = 0;

	for (unsigned i = 0; i < r->n && !err; i++) {
		const struct record_extent *x = &r->extent[i];

		if (x->zero)
			continue;
		err = copy_extent(s, (struct extent){x->start, x->len, addr}, data);
		addr += x->len;
		data += (size_t)x->len * SECTOR_SIZE;
	}
	return err;
}

/* A piece of a segment in memory. */
struct piece {
	char *buf;
	uint32_t at, n, room; /* sectors, `at` of the segment's start */
};

/* The segment's sectors from `at` on, `n` of them at least; NULL: *err. */
static const char *see(struct store *s, uint32_t segment, struct piece *p, uint32_t at, uint32_t n,
		       int *err)
{
	if (p->buf && at >= p->at && at + n <= p->at + p->n)
		return p->buf + (size_t)(at - p->at) * SECTOR_SIZE;
	if (!p->buf || n > p->room) {
		free(p->buf);
		p->room = n < PIECE_SECTORS ? PIECE_SECTORS : n;
		p->buf = malloc((size_t)p->room * SECTOR_SIZE);
		if (!p->buf) {
			*err = -ENOMEM;
			return NULL;
		}
	}
	p->at = at;
	p->n = s->super.segment_sectors - at < p->room ? s->super.segment_sectors - at : p->room;
	*err = dev_read(s->dev, segment_sector(s, segment) + at, p->buf,
			(size_t)p->n * SECTOR_SIZE);
	if (*err)
		p->n = 0;
	return *err ? NULL : p->buf;
}

/* Its data behind it, too: what is damaged must not get a fresh checksum. */
static bool data_whole(const struct record *r)
{
	uint64_t sectors = 0;

	if (r->type != RECORD_WRITES)
		return true;
	for (unsigned i = 0; i < r->n && i < RECORD_EXTENTS_MAX; i++)
		sectors += r->extent[i].zero ? 0 : r->extent[i].len;
	return r->n <= RECORD_EXTENTS_MAX && sectors == r->payload_sectors &&
	       crc32c(0, r + 1, (size_t)r->payload_sectors * SECTOR_SIZE) == r->payload_crc;
}

/* The record at `at` with its data; NULL: *err, or 0 if there is none that is whole. */
static const struct record *record_at(struct store *s, uint32_t segment, struct piece *p,
				      uint32_t at, uint64_t sequence, int *err)
{
	const struct record *r = (const void *)see(s, segment, p, at, 1, err);

	if (!r || !record_valid(s, r, at ? sequence : r->sequence) ||
	    r->payload_sectors > s->super.segment_sectors - at - 1)
		return NULL;
	r = (const void *)see(s, segment, p, at, 1 + r->payload_sectors, err);
	return r && data_whole(r) ? r : NULL;
}

/* The records of a segment, one after the other from its start. What lies behind a damaged one
 * stays where it is, and so does the segment: stasis-store check names the sectors. */
static int copy_segment(struct store *s, uint32_t segment)
{
	uint64_t base = segment_sector(s, segment), sequence = 0;
	struct piece p = {0};
	uint32_t at = 0;
	int err = 0;

	while (!err && at < s->super.segment_sectors) {
		const struct record *r = record_at(s, segment, &p, at, sequence, &err);

		if (!r) {
			s->stats.damaged_segments += !err;
			break;
		}
		if (r->type == RECORD_NEXT)
			break;
		if (r->type == RECORD_WRITES)
			err = copy_record(s, r, base + at + 1, (const char *)(r + 1));
		sequence = r->sequence + 1;
		at += 1 + r->payload_sectors;
		fiber_yield();
	}
	free(p.buf);
	return err;
}

/* Of the open delta, behind the tail, with the least in it. */
static uint32_t victim(const struct store *s)
{
	uint32_t best = NO_SEGMENT;

	for (uint32_t i = 0; i < s->super.segments; i++) {
		const struct segment *g = &s->segments[i];

		if (g->owner != s->open_delta || g->pending || g->cleaned ||
		    segment_in_tail(s, i) || !WORTH(g->live, s->super.segment_sectors))
			continue;
		if (best == NO_SEGMENT || g->live < s->segments[best].live)
			best = i;
	}
	return best;
}

static int copy_victims(struct store *s)
{
	int err = 0;

	for (unsigned n = 0; n < VICTIMS && !err; n++) {
		uint32_t v = victim(s);

		if (v == NO_SEGMENT)
			break;
		if (s->segments[v].live)
			err = copy_segment(s, v);
		if (err)
			break;
		s->stats.cleaned_segments++;
		s->segments[v].cleaned = true;
	}
	return err;
}

/* The tail moves on, hidden data is found, empty segments are released. */
static int settle(struct store *s)
{
	int err = index_gather(s);

	if (err)
		return err;
	err = checkpoint(s); /* before it, what is in the tail can't be released */
	if (err)
		return err;
	segments_reap(s);
	return checkpoint(s);
}

int space_find(struct store *s)
{
	uint32_t before = s->free_segments;
	int err = settle(s);

	if (!err && s->free_segments < s->super.segments / 8 + 2 * RESERVE_SEGMENTS) {
		err = copy_victims(s);
		if (!err || err == -EAGAIN)
			err = log_flush(s);
		if (!err)
			err = settle(s);
	}
	s->space_wanted = false;
	if (err)
		return err;
	return s->free_segments > before ? 0 : 1;
}

/* Until another round brings nothing. */
static int compact(struct store *s)
{
	uint32_t before;
	int err;

	do {
		before = s->free_segments;
		err = copy_victims(s);
		if (!err || err == -EAGAIN)
			err = log_flush(s);
		if (!err)
			err = settle(s);
	} while (!err && s->free_segments > before);
	return err;
}

int store_compact(struct store *s)
{
	int err;

	tree_lock(s);
	err = settle(s);
	if (!err)
		err = compact(s);
	if (!err) /* what the last index left */
		err = checkpoint(s);
	tree_unlock(s);
	return err;
}
