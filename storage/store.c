// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and writing, and the background fiber. */
#include "storage/store.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/dev.h"
#include "storage/store_internal.h"

uint64_t store_sectors(const struct store *s)
{
	return s->super.golden_sectors;
}

static bool in_range(const struct store *s, uint64_t sector, uint64_t n)
{
	return sector <= s->super.golden_sectors && n <= s->super.golden_sectors - sector;
}

static uint64_t vec_sectors(const struct block_vec *vec, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += vec[i].bytes;
	return bytes % SECTOR_SIZE ? UINT64_MAX : bytes / SECTOR_SIZE;
}

/* --- reading --- */

struct place { /* in a list of buffers */
	const struct block_vec *vec;
	size_t skip;
};

/* The next stretch of at most `bytes` that lies in one buffer. */
static char *stretch(struct place *p, size_t *bytes)
{
	char *base;

	while (p->skip == p->vec->bytes) {
		p->vec++;
		p->skip = 0;
	}
	base = (char *)p->vec->base + p->skip;
	if (*bytes > p->vec->bytes - p->skip)
		*bytes = p->vec->bytes - p->skip;
	p->skip += *bytes;
	return base;
}

#define PARALLEL 16 /* device reads of one piece */

struct reading {
	struct dev_batch batch;
	struct block_request request[PARALLEL];
	struct block_vec vec[PARALLEL];
	unsigned used;
	int err;
};

static void read_from(struct reading *r, struct blockdev *d, uint64_t sector, char *to,
		      size_t bytes)
{
	unsigned i = r->used;

	if (i == PARALLEL) {
		r->err = dev_batch_wait(&r->batch);
		dev_batch_init(&r->batch);
		i = r->used = 0;
	}
	if (!d && !r->err)
		r->err = -ENODEV; /* the golden image is not at hand */
	if (r->err)
		return;
	r->vec[i] = (struct block_vec){to, bytes};
	r->request[i] = (struct block_request){
		.op = BLOCK_READ, .sector = sector, .vec = &r->vec[i], .n_vec = 1};
	r->used++;
	dev_batch_submit(&r->batch, d, &r->request[i]);
}

static bool continues(uint64_t addr, uint64_t next)
{
	if (addr == ADDR_GOLDEN || addr == EXTENT_ZERO)
		return next == addr;
	return next == addr + 1;
}

/* `n` sectors that lie one after the other, wherever. */
static void read_stretch(struct store *s, struct reading *r, uint64_t sector, uint64_t addr,
			 uint64_t n, struct place *to)
{
	while (n) {
		size_t bytes = n * SECTOR_SIZE;
		const char *data = NULL;
		uint64_t in_memory = 0;
		char *base;

		if (addr < ADDR_GOLDEN && log_peek(s, addr, &data, &in_memory) &&
		    bytes > in_memory * SECTOR_SIZE)
			bytes = in_memory * SECTOR_SIZE;
		base = stretch(to, &bytes);
		if (addr == EXTENT_ZERO)
			memset(base, 0, bytes);
		else if (data)
			memcpy(base, data, bytes);
		else
			read_from(r, addr == ADDR_GOLDEN ? s->golden : s->dev,
				  addr == ADDR_GOLDEN ? sector : addr, base, bytes);
		n -= bytes / SECTOR_SIZE;
		sector += bytes / SECTOR_SIZE;
		if (addr < ADDR_GOLDEN)
			addr += bytes / SECTOR_SIZE;
	}
}

static int read_piece(struct store *s, const struct view *v, uint64_t sector, unsigned n,
		      struct place *to)
{
	uint64_t addr[RESOLVE_MAX];
	struct reading *r = malloc(sizeof(*r));
	int err = r ? view_resolve(s, v, sector, n, addr) : -ENOMEM;

	if (err) {
		free(r);
		return err;
	}
	dev_batch_init(&r->batch);
	r->used = 0;
	r->err = 0;
	for (unsigned i = 0, same; i < n; i += same) {
		for (same = 1; i + same < n && continues(addr[i + same - 1], addr[i + same]);)
			same++;
		read_stretch(s, r, sector + i, addr[i], same, to);
	}
	err = dev_batch_wait(&r->batch);
	if (r->err)
		err = r->err;
	free(r);
	return err;
}

/* Only as far as a device takes at once: buffers are no longer than a piece. */
int view_read(struct store *s, const struct view *from, uint64_t sector,
	      const struct block_vec *vec, unsigned n)
{
	uint64_t sectors = vec_sectors(vec, n);
	struct place to = {vec, 0};
	struct reader r;
	int err = 0;

	if (!in_range(s, sector, sectors))
		return -EINVAL;
	reader_begin(s, &r, from);
	while (sectors && !err) {
		unsigned piece = sectors < RESOLVE_MAX ? (unsigned)sectors : RESOLVE_MAX;

		err = read_piece(s, &r.view, sector, piece, &to);
		sector += piece;
		sectors -= piece;
	}
	reader_end(s, &r);
	return err;
}

int store_read(struct store *s, uint64_t sector, const struct block_vec *vec, unsigned n)
{
	uint64_t sectors = vec_sectors(vec, n);

	if (in_range(s, sector, sectors))
		s->stats.guest_read += sectors * SECTOR_SIZE;
	return view_read(s, &s->open, sector, vec, n);
}

/* --- writing --- */

static int append(struct store *s, uint64_t sector, uint64_t n, const struct block_vec *vec)
{
	struct extent where = {sector, n, EXTENT_ZERO};
	uint32_t reserve = vec ? RESERVE_SEGMENTS : RESERVE_SEGMENTS / 2;

	if (!in_range(s, sector, n))
		return -EINVAL;
	for (unsigned tries = 0;; tries++) {
		int err = log_append(s, &where, vec, 0, reserve);

		if (err != -ENOSPC || tries == SPACE_TRIES)
			return err;
		make_space(s); /* what was appended already is appended again: the same data */
	}
}

int store_write(struct store *s, uint64_t sector, const struct block_vec *vec, unsigned n)
{
	uint64_t sectors = vec_sectors(vec, n);

	if (sectors == UINT64_MAX)
		return -EINVAL;
	s->stats.guest_written += sectors * SECTOR_SIZE;
	return append(s, sector, sectors, vec);
}

int store_discard(struct store *s, uint64_t sector, uint64_t n)
{
	return append(s, sector, n, NULL);
}

int store_write_zeroes(struct store *s, uint64_t sector, uint64_t n)
{
	return append(s, sector, n, NULL);
}

int store_flush(struct store *s)
{
	return log_flush(s);
}

/* --- errors --- */

void store_fail(struct store *s, int err, bool retry)
{
	s->failed = err;
	s->failed_for_good |= !retry;
}

int store_sync(struct store *s)
{
	int err = dev_flush(s->dev);

	if (err) /* a device that answered has dropped what it could not write */
		store_fail(s, err, err == -ETIMEDOUT || err == -ENODEV);
	return err;
}

int store_retry(struct store *s)
{
	if (!s->failed_for_good)
		s->failed = 0;
	return s->failed;
}

/* --- the background --- */

/* Is the open delta short of space? Then hidden data has to be found, and segments emptied. */
static bool short_of_space(const struct store *s)
{
	return s->free_segments < s->super.segments / 8 + 2 * RESERVE_SEGMENTS;
}

/* 0: something was done; 1: there was nothing. */
static int work(struct store *s)
{
	bool flushed = s->open.n_mem > 1;
	int err = 0;

	if (flushed) {
		err = index_flush_memtables(s);
		if (!err)
			segments_reap(s);
		if (!err)
			err = checkpoint(s);
		return err;
	}
	if (index_wants_merge(s)) {
		err = index_merge(s, false);
		segments_reap(s);
		return err;
	}
	return short_of_space(s) ? space_find(s) : 1;
}

void store_background(void *arg)
{
	struct store *s = arg;

	while (!s->closing) {
		int err;

		fiber_lock(&s->background);
		err = s->closing ? 1 : work(s);
		fiber_unlock(&s->background);
		/* what there is stays until something has taken its place on the device */
		if (err < 0 && err != -ECANCELED && err != -ENOSPC)
			store_fail(s, err, true);
		s->work_done = err == 0;
		fiber_queue_wake(&s->space_wait);
		if (err && !s->closing)
			fiber_queue_wait(&s->work_wait);
		else
			fiber_yield();
	}
	s->background_gone = true;
}

/* A write found no segment: whatever can be done about it is done by the background fiber. */
void make_space(struct store *s)
{
	s->space_wanted = true;
	fiber_queue_wake(&s->work_wait);
	fiber_queue_wait(&s->space_wait);
}

void store_stats(const struct store *s, struct store_stats *st)
{
	uint64_t live = 0, used = s->super.segments - s->free_segments;

	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].owner == OWNER_INDEX)
			live += (uint64_t)s->segments[i].live * PAGE_SECTORS;
		else if (s->segments[i].owner != OWNER_FREE)
			live += s->segments[i].live;
	*st = s->stats;
	st->free_bytes = (uint64_t)s->free_segments * s->super.segment_sectors * SECTOR_SIZE;
	st->live_bytes = live * SECTOR_SIZE;
	st->dead_bytes = used * s->super.segment_sectors * SECTOR_SIZE - st->live_bytes;
}
