// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The log's head. Writes are copied into one of two windows in memory, several to a record, and get
 * their place in the store at once; a window is written when it is full, or up to a flush.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/crc32c.h"
#include "storage/dev.h"
#include "storage/store_internal.h"

#define NEXT_SECTORS 1u		/* kept in each window for RECORD_NEXT */
#define REST_MIN     16u	/* a shorter rest of a segment belongs to the window before it */
#define WINDOW_MIN   64u	/* sectors */
#define WINDOW_MAX   2048u	/* the larger, the fewer records a long write is cut into */
#define EXTENT_MAX   (1u << 31) /* a record's len has 32 bits */

static struct window *current(struct store *s)
{
	return &s->log.window[s->log.current];
}

static char *at(const struct window *w, uint32_t sector)
{
	return w->buf + (size_t)sector * SECTOR_SIZE;
}

int log_init(struct store *s)
{
	size_t sectors = s->options.cache_bytes / 4 / SECTOR_SIZE;

	if (sectors > WINDOW_MAX)
		sectors = WINDOW_MAX;
	if (sectors < WINDOW_MIN)
		sectors = WINDOW_MIN;
	s->log.window_sectors = (uint32_t)sectors;
	for (unsigned i = 0; i < 2; i++) {
		s->log.window[i].buf = malloc((sectors + REST_MIN) * SECTOR_SIZE);
		if (!s->log.window[i].buf)
			return -ENOMEM;
	}
	return 0;
}

void log_free(struct store *s)
{
	for (unsigned i = 0; i < 2; i++)
		free(s->log.window[i].buf);
}

uint32_t record_checksum(const struct record *r)
{
	struct record copy = *r;

	copy.crc = 0;
	return crc32c(0, &copy, sizeof(copy));
}

bool record_valid(const struct store *s, const struct record *r, uint64_t sequence)
{
	return r->magic == RECORD_MAGIC &&
	       memcmp(&r->store, s->super.uuid, sizeof(r->store)) == 0 && r->sequence == sequence &&
	       r->crc == record_checksum(r);
}

/* --- windows --- */

/* Sectors of the window's segment that lie behind its end. */
static uint32_t left_behind(const struct store *s, const struct window *w)
{
	uint64_t end = segment_sector(s, s->log.segment) + s->super.segment_sectors;

	return (uint32_t)(end - (w->base + w->size));
}

static void open_window(struct store *s, struct window *w, uint64_t base)
{
	uint64_t end = segment_sector(s, s->log.segment) + s->super.segment_sectors;

	w->base = base;
	w->fill = w->written = 0;
	w->size = s->log.window_sectors;
	if (end - base < w->size + REST_MIN)
		w->size = (uint32_t)(end - base);
}

void log_resume(struct store *s, struct log_position at_position)
{
	s->log.segment = at_position.segment;
	s->log.sequence = at_position.sequence;
	s->log.open = NULL;
	open_window(s, current(s), segment_sector(s, at_position.segment) + at_position.offset);
}

static void close_record(struct store *s)
{
	struct record *r = s->log.open;
	const struct window *w = current(s);

	if (!r)
		return;
	r->payload_sectors = w->fill - s->log.payload_at;
	r->crc = record_checksum(r);
	s->log.open = NULL;
}

/* Up to the last closed record. Others may append meanwhile. */
static int write_window(struct store *s, struct window *w)
{
	uint32_t from, to;
	int err;

	while (w->writing)
		fiber_queue_wait(&s->log.wait);
	from = w->written;
	to = w->fill;
	if (w == current(s) && s->log.open)
		to = s->log.payload_at - 1;
	if (from >= to || s->failed)
		return s->failed;
	w->writing = true;
	err = dev_write(s->dev, w->base + from, at(w, from), (size_t)(to - from) * SECTOR_SIZE);
	w->writing = false;
	if (err)
		store_fail(s, err, true); /* the window stays as it is */
	else
		w->written = to;
	s->stats.dev_written += (uint64_t)(to - from) * SECTOR_SIZE;
	fiber_queue_wake(&s->log.wait);
	return err;
}

struct log_position log_position(struct store *s)
{
	const struct window *w = current(s);

	close_record(s);
	return (struct log_position){
		.segment = s->log.segment,
		.offset = (uint32_t)(w->base + w->fill - segment_sector(s, s->log.segment)),
		.sequence = s->log.sequence,
	};
}

static struct record *begin_record(struct store *s, uint16_t type)
{
	struct window *w = current(s);
	struct record *r = (struct record *)(void *)at(w, w->fill);

	memset(r, 0, sizeof(*r));
	r->magic = RECORD_MAGIC;
	memcpy(&r->store, s->super.uuid, sizeof(r->store));
	r->epoch = s->super.epoch;
	r->sequence = s->log.sequence++;
	r->type = type;
	r->delta = s->open_delta;
	w->fill++;
	s->log.appended++;
	s->log.tail_sectors++;
	return r;
}

/* The other window is free: it takes over at `base`. The one left is written by the caller, with
 * the lock of nobody: appends go on meanwhile. */
static int turn_window(struct store *s, uint64_t base)
{
	struct window *full = current(s), *other = &s->log.window[!s->log.current];

	s->log.current = !s->log.current;
	open_window(s, other, base);
	return write_window(s, full);
}

static bool all_written(const struct window *w)
{
	return !w->writing && w->written == w->fill;
}

/* In the last sector that this segment has left. */
static int next_segment(struct store *s, uint32_t reserve)
{
	struct record *r;
	uint32_t next;
	int err = segment_alloc(s, s->open_delta, reserve, &next);

	if (err)
		return err;
	close_record(s);
	r = begin_record(s, RECORD_NEXT);
	r->next_segment = next;
	r->crc = record_checksum(r);
	s->segments[next].first = s->log.sequence;
	s->log.segment = next;
	s->log.leave_segment = false;
	return turn_window(s, segment_sector(s, next));
}

/* Room for a record's header and one sector, in a segment of the open delta or (`anywhere`) not.
 * May wait, so that all that was known before has to be looked at again: 1. */
static int make_room(struct store *s, uint32_t reserve, bool anywhere)
{
	struct window *w = current(s), *other = &s->log.window[!s->log.current];
	bool leave = s->log.leave_segment && !anywhere;
	int err;

	if (s->failed)
		return s->failed;
	if (w->fill + 2 + NEXT_SECTORS <= w->size && !leave)
		return 0;
	if (!all_written(other)) {
		err = write_window(s, other);
		return err ? err : 1;
	}
	if (leave || !left_behind(s, w)) {
		err = next_segment(s, reserve);
	} else {
		close_record(s);
		err = turn_window(s, w->base + w->fill);
	}
	return err ? err : 1;
}

/* --- appending --- */

static void copy_in(char *to, const struct block_vec *vec, size_t skip, size_t bytes)
{
	while (skip >= vec->bytes)
		skip -= vec++->bytes;
	while (bytes) {
		size_t n = vec->bytes - skip < bytes ? vec->bytes - skip : bytes;

		memcpy(to, (const char *)vec->base + skip, n);
		to += n;
		bytes -= n;
		skip = 0;
		vec++;
	}
}

/* The open record's entry for this extent: a new one, or the last one grows. NULL: it has no more
 * room. */
static struct record_extent *entry(struct record *r, uint64_t start, bool zero)
{
	struct record_extent *last = r->n ? &r->extent[r->n - 1] : NULL;

	if (last && last->zero == zero && last->start + last->len == start &&
	    last->len < EXTENT_MAX)
		return last;
	if (r->n == RECORD_EXTENTS_MAX)
		return NULL;
	r->extent[r->n] = (struct record_extent){.start = start, .zero = zero};
	return &r->extent[r->n++];
}

void log_remember(struct store *s, const struct extent *e)
{
	struct extent *c = &s->copying;

	extents_put(s->open.mem[0]->map, e, segment_dead, s);
	if (e->addr != EXTENT_ZERO)
		segment_live(s, e->addr, e->len, true);
	if (!s->copying_now && e->start < extent_end(c) && c->start < extent_end(e))
		s->copy_spoiled = true;
}

/* As much as fits the current window; no waiting. Sectors taken. */
static uint64_t append_piece(struct store *s, const struct extent *where,
			     const struct block_vec *vec, size_t skip)
{
	struct window *w = current(s);
	struct extent e = {where->start, where->len, EXTENT_ZERO};
	struct record_extent *x;

	if (!s->log.open) {
		s->log.open = begin_record(s, RECORD_WRITES);
		s->log.payload_at = w->fill;
	}
	x = entry(s->log.open, e.start, !vec);
	if (!x) {
		close_record(s);
		return 0;
	}
	if (vec) {
		uint32_t room = w->size - NEXT_SECTORS - w->fill;

		if (e.len > room)
			e.len = room;
		e.addr = w->base + w->fill;
		copy_in(at(w, w->fill), vec, skip, (size_t)e.len * SECTOR_SIZE);
		s->log.open->payload_crc = crc32c(s->log.open->payload_crc, at(w, w->fill),
						  (size_t)e.len * SECTOR_SIZE);
		w->fill += (uint32_t)e.len;
		s->log.tail_sectors += e.len;
	}
	if (e.len > EXTENT_MAX)
		e.len = EXTENT_MAX;
	x->len += (uint32_t)e.len;
	log_remember(s, &e);
	return e.len;
}

static bool tail_full(const struct store *s)
{
	return !extents_room(s->open.mem[0]->map, 1) || s->log.tail_sectors > TAIL_SECTORS_MAX;
}

static int append_all(struct store *s, const struct extent *where, const struct block_vec *vec,
		      size_t skip, uint32_t reserve, bool copy)
{
	struct extent rest = {where->start, where->len, EXTENT_ZERO};

	while (rest.len) {
		uint64_t n;
		int err = make_room(s, reserve, false);

		if (err < 0)
			return err;
		if (err)
			continue;
		if (tail_full(s)) {
			err = copy ? memtable_switch_here(s) : memtable_switch(s);
			if (err < 0)
				return err;
			continue;
		}
		if (copy && s->copy_spoiled)
			return -EAGAIN;
		s->copying_now = copy;
		n = append_piece(s, &rest, vec, skip);
		s->copying_now = false;
		skip += n * SECTOR_SIZE;
		rest.start += n;
		rest.len -= n;
	}
	return 0;
}

int log_append(struct store *s, const struct extent *where, const struct block_vec *vec,
	       size_t skip, uint32_t reserve)
{
	return append_all(s, where, vec, skip, reserve, false);
}

int log_copy(struct store *s, const struct extent *where, const struct block_vec *vec)
{
	return append_all(s, where, vec, 0, RESERVE_SEGMENTS / 2, true);
}

int log_seal_room(struct store *s)
{
	return make_room(s, RESERVE_SEGMENTS / 2, true);
}

void log_seal(struct store *s, const char *name, uint32_t next_delta)
{
	struct record *r;

	close_record(s);
	r = begin_record(s, RECORD_SEAL);
	strncpy(r->seal.name, name, STORE_NAME_MAX);
	r->seal.next_delta = next_delta;
	r->crc = record_checksum(r);
	s->log.leave_segment = true;
}

/* --- flush --- */

int log_write(struct store *s)
{
	/* the windows may turn meanwhile, but one is not opened anew before it is written */
	struct window *last = current(s), *before = &s->log.window[!s->log.current];
	int err;

	close_record(s);
	err = write_window(s, before);
	return err ? err : write_window(s, last);
}

static int flush_all(struct store *s)
{
	uint64_t target = s->log.appended;
	int err = log_write(s);

	s->stats.flushes++;
	if (err)
		return err;
	err = store_sync(s);
	if (!err)
		s->log.stable = target;
	return err;
}

int log_flush(struct store *s)
{
	uint64_t target = s->log.appended;
	int err;

	while (s->log.flushing && s->log.stable < target)
		fiber_queue_wait(&s->log.wait);
	if (s->failed)
		return s->failed;
	if (s->log.stable >= target)
		return 0;
	s->log.flushing = true;
	err = flush_all(s);
	s->log.flushing = false;
	fiber_queue_wake(&s->log.wait);
	return err;
}

void log_forget(struct store *s, uint64_t sector, uint64_t sectors)
{
	for (unsigned i = 0; i < 2; i++) {
		struct window *w = &s->log.window[i];

		if (i != s->log.current && w->base >= sector && w->base < sector + sectors)
			w->fill = w->written = 0;
	}
}

bool log_peek(const struct store *s, uint64_t addr, const char **data, uint64_t *sectors)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct window *w = &s->log.window[i];

		if (addr < w->base || addr >= w->base + w->fill)
			continue;
		*data = at(w, (uint32_t)(addr - w->base));
		*sectors = w->base + w->fill - addr;
		return true;
	}
	return false;
}
