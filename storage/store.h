/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The branching store: a read-only golden image under a chain of deltas, each a redo log on one
 * block device (docs/store-format.md). Branching, sealing and rolling back take constant time.
 *
 * Units: guest sectors of 512 bytes; blocks of 4 KiB. Context: inside a fiber of the storage CPU
 * (storage/fiber.h); calls of different fibers may interleave where they wait. Errors are negative
 * errno: -EIO the back end failed, -ENOSPC the store is full (nothing acknowledged is lost),
 * -EUCLEAN the bytes on disk are wrong, -EINVAL.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "storage/blockdev.h"

#define STORE_NAME_MAX 63

struct store;

struct store_options {
	size_t cache_bytes;    /* of index pages; 0: 16 MiB. Half as much again, at most 2 MiB, for
				* what is on its way into the log */
	size_t memtable_bytes; /* 0: 2 MiB */
	uint32_t segment_sectors; /* format only; 0: chosen by the device's size */
	uint64_t seed;		  /* format only: for the UUID, different each time */
};

/* Writes an empty store for this golden image. -EEXIST: the device holds something that is neither
 * empty nor (with `force`) a store. */
int store_format(struct blockdev *dev, struct blockdev *golden, const struct store_options *o,
		 bool force);
/* Recovers: last index checkpoint, then the log's tail, cut off where it is torn. `why` gets one
 * line if it fails: what is wrong and what to do. A store on a read-only device can be looked at,
 * as long as what its log's tail says fits in memory; whatever would change it fails with -EROFS.
 * Without `golden` (NULL) reading what lies in the image fails with -ENODEV. */
int store_open(struct blockdev *dev, struct blockdev *golden, const struct store_options *o,
	       struct store **s, char *why, size_t why_size);
int store_close(struct store *s); /* flushes, checkpoints, frees; nobody uses it any more */

uint64_t store_sectors(const struct store *s);
int store_read(struct store *s, uint64_t sector, const struct block_vec *vec, unsigned n);
int store_write(struct store *s, uint64_t sector, const struct block_vec *vec, unsigned n);
int store_discard(struct store *s, uint64_t sector, uint64_t n); /* reads zero afterwards */
int store_write_zeroes(struct store *s, uint64_t sector, uint64_t n);
int store_flush(struct store *s); /* everything acknowledged before the call is stable */

/* After the log could not be written, writes fail; from now on they are tried again, if nothing is
 * lost by it. 0, or why not. */
int store_retry(struct store *s);

/* --- branches --- */
int store_seal(struct store *s, const char *name); /* -EEXIST; stable on return */
/* The open delta is dropped, and a new one opened on top of the sealed point (NULL: of the golden
 * image). -ENOENT. */
int store_rollback(struct store *s, const char *name);
/* Another branch: the open delta is sealed as `keep` first, then a new one opened on `name`. */
int store_branch(struct store *s, const char *name, const char *keep);
/* The sealed point disappears from the tree; what its children see does not change. -EBUSY: it has
 * several. */
int store_merge(struct store *s, const char *name);

struct store_point {
	char name[STORE_NAME_MAX + 1];
	uint32_t id, parent; /* 0: the golden image */
	uint64_t bytes;	     /* of its own delta */
	bool open;
};
int store_point(const struct store *s, unsigned nth, struct store_point *p); /* -ENOENT */

/* All space that hidden data take in the open delta becomes free, whatever it costs. */
int store_compact(struct store *s);

/* --- looking into the tree --- */

/* As store_read, of a sealed point or the open delta, by number; 0: the golden image. -ENOENT. */
int store_read_point(struct store *s, uint32_t id, uint64_t sector, const struct block_vec *vec,
		     unsigned n);

struct store_stretch {
	uint64_t sector, n;
	bool zero; /* it reads as zeros, and holds no data */
};
/* The first stretch from `sector` on that `id` has elsewhere than `base` has it, at most 128 KiB of
 * it: of a point and its parent, what the point's own delta holds. -ENOENT: no more; or no such
 * point. */
int store_difference(struct store *s, uint32_t id, uint32_t base, uint64_t sector,
		     struct store_stretch *d);

struct store_stats {
	uint64_t guest_written, guest_read, dev_written, dev_read; /* bytes */
	uint64_t free_bytes, live_bytes, dead_bytes;
	uint64_t flushes, checkpoints, merges, cleaned_segments, cleaned_bytes;
	uint64_t damaged_segments; /* found when their live data was to be copied: left as they are
				    */
};
void store_stats(const struct store *s, struct store_stats *st);
