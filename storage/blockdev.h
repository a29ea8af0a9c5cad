/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block device of the hypervisor's: what the store lies on, and the golden image. RAM, AHCI,
 * NVMe, PIIX IDE, NBD, and on the host a file: all look like this.
 *
 * Units: sectors of 512 bytes. Context: the storage CPU's loop; a back end may complete a request
 * inside submit or later, inside poll. Completion order is free. A request's memory and its buffers
 * belong to the back end until `done` is called. FLUSH: everything whose `done` was called before
 * the flush was submitted is stable afterwards (the device's own cache included).
 */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR_SIZE 512u

#ifndef EUCLEAN /* newlib has no such number */
#define EUCLEAN 117
#endif

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

struct block_vec {
	void *base;   /* hypervisor memory, or guest RAM through the direct map */
	size_t bytes; /* a multiple of SECTOR_SIZE */
};

struct block_request {
	enum block_op op;
	uint64_t sector;
	struct block_vec *vec; /* unused for FLUSH */
	unsigned n_vec;
	int status; /* 0, -EIO, -ENOSPC, -ETIMEDOUT, -ENODEV, -EROFS, -ERANGE */
	void (*done)(struct block_request *r); /* status is set */
	void *owner;
	struct block_request *next; /* for the back end */
};

struct blockdev;
struct blockdev_ops {
	const char *name; /* "ram", "ahci", ... */
	void (*submit)(struct blockdev *d, struct block_request *r);
	void (*poll)(struct blockdev *d); /* calls `done` of what has been completed */
};

struct block_counters {
	uint64_t reads, writes, flushes; /* that succeeded */
	uint64_t read_bytes, written_bytes;
	uint64_t errors, timeouts;
	uint64_t resets; /* of the device, or connections made again */
	uint64_t latency_max_us;
};

struct blockdev {
	const struct blockdev_ops *ops;
	uint64_t sectors;
	uint32_t max_sectors; /* of one request */
	unsigned max_vec;
	bool read_only;
	struct block_counters count;
};

/* A request that succeeded after so many microseconds. */
static inline void block_count(struct block_counters *c, const struct block_request *r, uint64_t us)
{
	uint64_t bytes = 0;

	if (us > c->latency_max_us)
		c->latency_max_us = us;
	for (unsigned i = 0; r->op != BLOCK_FLUSH && i < r->n_vec; i++)
		bytes += r->vec[i].bytes;
	c->reads += r->op == BLOCK_READ;
	c->writes += r->op == BLOCK_WRITE;
	c->flushes += r->op == BLOCK_FLUSH;
	*(r->op == BLOCK_READ ? &c->read_bytes : &c->written_bytes) += bytes;
}
