// SPDX-License-Identifier: GPL-2.0-or-later
/* An image file as a new point: only what differs from the point, or the golden image, below it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "tools/store/nbd.h"
#include "tools/store/tool.h"

#define PIECE_SECTORS 2048u
#define BLOCK_SECTORS 8u /* 4 KiB: differences are found in these */

static void written(const struct session *x, int err)
{
	if (err == -ENOSPC)
		die("%s is full: what has been imported is in the open delta, unsealed. Make room "
		    "(compact, or a larger store), and import again with --drop",
		    x->o->store);
	if (err)
		die("%s can't be written: %s", x->o->store, strerror(-err));
}

/* --- before --- */

/* The delta that is open goes on under a name, or not at all. */
static void leave_open_delta(struct session *x)
{
	const struct options *o = x->o;
	int err;

	if (o->keep && o->drop)
		die("--keep and --drop: one of them");
	if (!o->keep && !o->drop && !open_is_empty(x))
		die("the open delta holds something: --keep NAME seals it, --drop throws it away");
	if (o->keep && open_is_empty(x))
		die("the open delta is empty: there is nothing to --keep");
	if (o->base)
		(void)find_point(x, o->base);
	err = o->keep ? store_branch(x->store, o->base, o->keep)
		      : store_rollback(x->store, o->base);
	if (err == -EEXIST)
		die("there is a point '%s' already", o->keep);
	written(x, err);
}

static void check_name(struct session *x)
{
	unsigned n;
	struct store_point *p = list_points(x, &n);

	if (!x->o->point)
		die("the new point needs a name: --point NAME");
	if (!*x->o->point || strlen(x->o->point) > STORE_NAME_MAX)
		die("a point's name has 1 to %d bytes", STORE_NAME_MAX);
	for (unsigned i = 0; i < n; i++)
		if (!p[i].open && strcmp(p[i].name, x->o->point) == 0)
			die("there is a point '%s' already", x->o->point);
	free(p);
}

/* --- the copy --- */

struct import {
	struct session *x;
	struct image image;
	char *here, *there; /* a piece of the store, and of the image */
	uint32_t open;	    /* the delta that takes the differences */
	uint64_t differing; /* bytes */
};

static bool is_zero(const char *p, size_t n)
{
	return !p[0] && memcmp(p, p + 1, n - 1) == 0;
}

/* 0: alike; 1: other data; 2: now zeros. */
static int compare_block(const struct import *m, uint64_t at, uint64_t n)
{
	const char *there = m->there + at * SECTOR_SIZE;

	if (memcmp(there, m->here + at * SECTOR_SIZE, n * SECTOR_SIZE) == 0)
		return 0;
	return is_zero(there, n * SECTOR_SIZE) ? 2 : 1;
}

static void write_stretch(struct import *m, uint64_t sector, uint64_t at, uint64_t n, int kind)
{
	struct block_vec vec = {m->there + at * SECTOR_SIZE, n * SECTOR_SIZE};

	if (!kind)
		return;
	m->differing += n * SECTOR_SIZE;
	written(m->x, kind == 1 ? store_write(m->x->store, sector + at, &vec, 1)
				: store_write_zeroes(m->x->store, sector + at, n));
}

static void write_differences(struct import *m, uint64_t sector, uint64_t n)
{
	uint64_t from = 0;
	int kind = 0;

	for (uint64_t at = 0; at < n; at += BLOCK_SECTORS) {
		uint64_t block = n - at < BLOCK_SECTORS ? n - at : BLOCK_SECTORS;
		int now = compare_block(m, at, block);

		if (now != kind) {
			write_stretch(m, sector, from, at - from, kind);
			from = at;
			kind = now;
		}
	}
	write_stretch(m, sector, from, n - from, kind);
}

/* Sectors that read as zeros on both sides without a look at them. */
static uint64_t both_holes(struct import *m, uint64_t sector, uint64_t zeros)
{
	uint64_t hole = file_hole(&m->x->golden, sector);
	struct store_stretch d;

	if (hole > zeros)
		hole = zeros;
	if (hole && store_difference(m->x->store, m->open, 0, sector, &d) == 0 &&
	    d.sector - sector < hole)
		hole = d.sector - sector;
	return hole;
}

static void import_piece(struct import *m, uint64_t sector, uint64_t n, bool zeros)
{
	struct block_vec vec = {m->here, n * SECTOR_SIZE};
	int err = store_read(m->x->store, sector, &vec, 1);

	if (err)
		die("sector %" PRIu64 " of the store can't be read: %s", sector, strerror(-err));
	if (zeros)
		memset(m->there, 0, n * SECTOR_SIZE);
	else
		image_read(&m->image, sector * SECTOR_SIZE, m->there, n * SECTOR_SIZE);
	write_differences(m, sector, n);
}

static void import_all(struct import *m)
{
	uint64_t sectors = store_sectors(m->x->store);
	struct progress p;

	progress_begin(&p, m->x->o, "import", sectors * SECTOR_SIZE);
	for (uint64_t at = 0; at < sectors;) {
		bool zeros;
		uint64_t end = at + image_extent(&m->image, at * SECTOR_SIZE, &zeros) / SECTOR_SIZE;

		end += end == at; /* an extent of less than a sector */
		while (at < end) {
			uint64_t n = zeros ? both_holes(m, at, end - at) : 0;

			if (n < PIECE_SECTORS) {
				n = end - at < PIECE_SECTORS ? end - at : PIECE_SECTORS;
				import_piece(m, at, n, zeros);
			}
			at += n;
			progress_at(&p, at * SECTOR_SIZE);
		}
	}
	progress_end(&p);
}

int command_import(struct session *x)
{
	struct import m = {.x = x,
			   .here = allocate((size_t)PIECE_SECTORS * SECTOR_SIZE),
			   .there = allocate((size_t)PIECE_SECTORS * SECTOR_SIZE)};
	char size[SIZE_TEXT];

	check_name(x);
	image_open(&m.image, x->o->file, x->o->format, false);
	if (m.image.bytes != store_sectors(x->store) * SECTOR_SIZE)
		die("%s is a disk of %" PRIu64 " bytes, and this store's has %" PRIu64
		    ": bring it to that size first (qemu-img resize)",
		    x->o->file, m.image.bytes, store_sectors(x->store) * SECTOR_SIZE);
	leave_open_delta(x);
	m.open = find_point(x, NULL).id;
	import_all(&m);
	image_close(&m.image);
	written(x, store_seal(x->store, x->o->point));
	printf("%s differ\n", size_text(size, m.differing));
	free(m.here);
	free(m.there);
	return EXIT_OK;
}
