// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/ramdisk.h"
#include <errno.h>
#include <string.h>

#define SECTORS_MAX 32 /* of one request: a poll takes a few microseconds */

static int transfer(struct ramdisk *d, const struct block_request *r)
{
	uint64_t left, at = r->sector;

	if (r->op == BLOCK_FLUSH)
		return 0;
	if (r->op == BLOCK_WRITE && d->dev.read_only)
		return -EROFS;
	for (unsigned i = 0; i < r->n_vec; i++) {
		const struct block_vec *v = &r->vec[i];

		left = at <= d->dev.sectors ? d->dev.sectors - at : 0;
		if (v->bytes / SECTOR_SIZE > left)
			return -ERANGE;
		if (r->op == BLOCK_READ)
			memcpy(v->base, d->data + at * SECTOR_SIZE, v->bytes);
		else
			memcpy(d->data + at * SECTOR_SIZE, v->base, v->bytes);
		at += v->bytes / SECTOR_SIZE;
	}
	return 0;
}

static void submit(struct blockdev *dev, struct block_request *r)
{
	struct ramdisk *d = (struct ramdisk *)dev;

	r->next = NULL;
	*d->last = r;
	d->last = &r->next;
}

bool ramdisk_poll(struct ramdisk *d)
{
	struct block_request *r = d->first;

	if (!r)
		return false;
	d->first = r->next;
	if (!d->first)
		d->last = &d->first;
	r->status = transfer(d, r);
	if (r->status)
		d->dev.count.errors++;
	else
		block_count(&d->dev.count, r, 0);
	r->done(r);
	return true;
}

static void poll(struct blockdev *dev)
{
	(void)ramdisk_poll((struct ramdisk *)dev);
}

static const struct blockdev_ops ops = {.name = "ram", .submit = submit, .poll = poll};

void ramdisk_init(struct ramdisk *d, void *data, uint64_t bytes, bool read_only)
{
	*d = (struct ramdisk){.dev = {.ops = &ops,
				      .sectors = bytes / SECTOR_SIZE,
				      .max_sectors = SECTORS_MAX,
				      .max_vec = 1,
				      .read_only = read_only},
			      .data = data};
	d->last = &d->first;
}
