/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store on a device in memory that can lose power: what was written since the last flush is then
 * kept, lost or torn, sector by sector, at random. Everything runs in fibers of one scheduler.
 */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "storage/blockdev.h"
#include "storage/fiber.h"
#include "storage/store.h"

#define RIG_STACKS 8
#define RIG_STACK  (128 * 1024) /* ASan's frames are large */

struct ram_dev {
	struct blockdev dev;
	uint8_t *data;
	uint8_t *stable;		 /* as of the last flush, NULL: power never fails */
	uint8_t *dirty;			 /* a byte for each sector written since */
	uint64_t writes, reads, flushes; /* bytes, bytes, number */
	uint64_t cut_after;		 /* writes until the power fails; UINT64_MAX: never */
	int dead_status;		 /* what it answers then; 0: -EIO */
	uint64_t torn; /* it dies in the middle of a sector below this one, which is then neither */
	bool dead, flush_fails;
	struct block_request *queue, **queue_end; /* completed out of order, by poll */
};

static uint64_t rig_seed = 1;

static inline uint64_t rig_random(void)
{
	rig_seed ^= rig_seed << 13;
	rig_seed ^= rig_seed >> 7;
	rig_seed ^= rig_seed << 17;
	return rig_seed;
}

static inline uint64_t rig_below(uint64_t n)
{
	return rig_random() % n;
}

static int ram_dead_status(const struct ram_dev *d)
{
	return d->dead_status ? d->dead_status : -EIO;
}

static void ram_transfer(struct ram_dev *d, struct block_request *r)
{
	uint64_t sector = r->sector, n = 0;

	for (unsigned v = 0; v < r->n_vec; v++)
		n += r->vec[v].bytes / SECTOR_SIZE;
	if (sector > d->dev.sectors || n > d->dev.sectors - sector) {
		(void)fprintf(stderr, "outside of the device: sector %llu\n",
			      (unsigned long long)sector);
		abort();
	}
	for (unsigned v = 0; v < r->n_vec; v++) {
		for (size_t at = 0; at < r->vec[v].bytes; at += SECTOR_SIZE, sector++) {
			char *mem = (char *)r->vec[v].base + at;
			uint8_t *disk = d->data + sector * SECTOR_SIZE;

			if (r->op == BLOCK_READ) {
				memcpy(mem, disk, SECTOR_SIZE);
				d->reads += SECTOR_SIZE;
				continue;
			}
			if (d->cut_after != UINT64_MAX && d->cut_after-- == 0) {
				d->dead = true; /* in the middle of a request */
				r->status = ram_dead_status(d);
				return;
			}
			if (sector < d->torn) {
				memset(d->stable + sector * SECTOR_SIZE, 0xee, SECTOR_SIZE);
				d->dead = true;
				r->status = ram_dead_status(d);
				return;
			}
			memcpy(disk, mem, SECTOR_SIZE);
			d->writes += SECTOR_SIZE;
			if (d->dirty)
				d->dirty[sector] = 1;
		}
	}
}

static void ram_carry_out(struct ram_dev *d, struct block_request *r)
{
	r->status = d->flush_fails && r->op == BLOCK_FLUSH ? -EIO : 0;
	if (d->dead)
		r->status = ram_dead_status(d);
	if (r->status)
		return;
	if (r->op == BLOCK_FLUSH) {
		d->flushes++;
		if (d->stable) {
			for (uint64_t i = 0; i < d->dev.sectors; i++)
				if (d->dirty[i])
					memcpy(d->stable + i * SECTOR_SIZE,
					       d->data + i * SECTOR_SIZE, SECTOR_SIZE);
			memset(d->dirty, 0, d->dev.sectors);
		}
	} else {
		ram_transfer(d, r);
	}
}

static void ram_submit(struct blockdev *dev, struct block_request *r)
{
	struct ram_dev *d = (struct ram_dev *)dev;

	r->next = NULL;
	*d->queue_end = r;
	d->queue_end = &r->next;
}

/* One of those that wait, any: a flush only covers what was completed before it was submitted. */
static void ram_poll(struct blockdev *dev)
{
	struct ram_dev *d = (struct ram_dev *)dev;
	struct block_request **p = &d->queue, *r;

	if (!d->queue)
		return;
	while ((*p)->next && rig_below(3) == 0)
		p = &(*p)->next;
	r = *p;
	*p = r->next;
	if (!r->next)
		d->queue_end = p;
	ram_carry_out(d, r);
	r->done(r);
}

static const struct blockdev_ops ram_ops = {.name = "ram", .submit = ram_submit, .poll = ram_poll};

static inline void ram_init(struct ram_dev *d, uint64_t sectors, bool volatile_cache)
{
	*d = (struct ram_dev){
		.dev = {.ops = &ram_ops, .sectors = sectors, .max_sectors = 2048, .max_vec = 64},
		.data = calloc(sectors, SECTOR_SIZE),
		.cut_after = UINT64_MAX};
	if (volatile_cache) {
		d->stable = calloc(sectors, SECTOR_SIZE);
		d->dirty = calloc(sectors, 1);
	}
	d->queue_end = &d->queue;
}

static inline void ram_free(struct ram_dev *d)
{
	free(d->data);
	free(d->stable);
	free(d->dirty);
}

/* The power was off: of what was not flushed, each sector may be there, or its first words, or
 * nothing of it. */
static inline void ram_power_on(struct ram_dev *d)
{
	for (uint64_t i = 0; i < d->dev.sectors; i++) {
		if (d->dirty[i] && rig_below(3))
			memcpy(d->stable + i * SECTOR_SIZE, d->data + i * SECTOR_SIZE,
			       rig_below(2) ? SECTOR_SIZE : rig_below(SECTOR_SIZE / 8) * 8);
		d->dirty[i] = 0;
	}
	memcpy(d->data, d->stable, d->dev.sectors * SECTOR_SIZE);
	d->dead = false;
	d->cut_after = UINT64_MAX;
	d->queue = NULL;
	d->queue_end = &d->queue;
}

static struct fiber_sched *rig_sched;
static struct ram_dev rig_dev, rig_golden;

void fiber_overflow(void)
{
	abort();
}

/* Runs fibers and devices until `done`, or nothing moves any more. */
static inline bool rig_run(const bool *done)
{
	unsigned idle = 0;

	while (!*done && idle < 1000) {
		bool busy = fiber_run(rig_sched, 4) || rig_dev.queue || rig_golden.queue;

		ram_poll(&rig_dev.dev);
		ram_poll(&rig_golden.dev);
		idle = busy ? 0 : idle + 1;
	}
	return *done;
}

/* The store on these devices; if it does not open, the test's output says why. */
static inline int rig_open(const struct store_options *options, struct store **store)
{
	char why[160] = "";
	int err = store_open(&rig_dev.dev, &rig_golden.dev, options, store, why, sizeof(why));

	if (err)
		printf("open: %s\n", why);
	return err;
}
