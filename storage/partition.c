// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/partition.h"
#include <errno.h>

/* The whole device checks its own end only: what lies behind the partition is not ours. */
static int check(const struct partition *p, const struct block_request *r)
{
	uint64_t sectors = 0;

	if (r->op == BLOCK_FLUSH)
		return 0;
	if (r->op == BLOCK_WRITE && p->dev.read_only)
		return -EROFS;
	for (unsigned i = 0; i < r->n_vec; i++)
		sectors += r->vec[i].bytes / SECTOR_SIZE;
	if (r->sector > p->dev.sectors || sectors > p->dev.sectors - r->sector)
		return -ERANGE;
	return 0;
}

static void submit(struct blockdev *dev, struct block_request *r)
{
	struct partition *p = (struct partition *)dev;

	r->status = check(p, r);
	if (r->status) {
		r->done(r);
		return;
	}
	r->sector += p->first;
	p->whole->ops->submit(p->whole, r);
}

static void poll(struct blockdev *dev)
{
	struct partition *p = (struct partition *)dev;

	p->whole->ops->poll(p->whole);
}

static const struct blockdev_ops ops = {.name = "partition", .submit = submit, .poll = poll};

void partition_init(struct partition *p, struct blockdev *whole, uint64_t first, uint64_t sectors,
		    bool read_only)
{
	*p = (struct partition){.dev = {.ops = &ops,
					.sectors = sectors,
					.max_sectors = whole->max_sectors,
					.max_vec = whole->max_vec,
					.read_only = read_only},
				.whole = whole,
				.first = first};
}

bool partition_overlap(const struct partition *a, const struct partition *b)
{
	return a->whole == b->whole && a->first < b->first + b->dev.sectors &&
	       b->first < a->first + a->dev.sectors;
}
