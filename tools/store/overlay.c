// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>
#include "tools/store/file.h"
#include "tools/store/tool.h"

struct overlay_block {
	struct overlay_block *next;
	uint64_t sector;
	char data[SECTOR_SIZE];
};

#define BUCKETS (sizeof(((struct overlay_dev *)NULL)->blocks) / sizeof(struct overlay_block *))

static struct overlay_block *find(struct overlay_dev *o, uint64_t sector)
{
	struct overlay_block *b = o->blocks[sector % BUCKETS];

	while (b && b->sector != sector)
		b = b->next;
	return b;
}

static void keep(struct overlay_dev *o, uint64_t sector, const char *data)
{
	struct overlay_block *b = find(o, sector);

	if (!b) {
		b = allocate(sizeof(*b));
		b->sector = sector;
		b->next = o->blocks[sector % BUCKETS];
		o->blocks[sector % BUCKETS] = b;
	}
	memcpy(b->data, data, SECTOR_SIZE);
}

struct below {
	struct block_request *above;
	struct overlay_dev *overlay;
};

static void each_sector(struct overlay_dev *o, struct block_request *r)
{
	uint64_t sector = r->sector;

	for (unsigned i = 0; i < r->n_vec; i++) {
		for (size_t at = 0; at < r->vec[i].bytes; at += SECTOR_SIZE, sector++) {
			char *base = (char *)r->vec[i].base + at;
			const struct overlay_block *b;

			if (r->op == BLOCK_WRITE)
				keep(o, sector, base);
			else if ((b = find(o, sector)) != NULL)
				memcpy(base, b->data, SECTOR_SIZE);
		}
	}
}

/* What was written since lies over what has been read below. */
static void read_below(struct block_request *r)
{
	struct below *b = r->owner;

	b->above->status = r->status;
	if (!r->status)
		each_sector(b->overlay, b->above);
	b->above->done(b->above);
	free(b);
	free(r);
}

static void overlay_submit(struct blockdev *dev, struct block_request *r)
{
	struct overlay_dev *o = (struct overlay_dev *)dev;
	struct block_request *x;
	struct below *b;

	if (r->op != BLOCK_READ) {
		if (r->op == BLOCK_WRITE)
			each_sector(o, r);
		r->status = 0;
		r->done(r);
		return;
	}
	x = allocate(sizeof(*x));
	b = allocate(sizeof(*b));
	*b = (struct below){r, o};
	*x = *r;
	x->done = read_below;
	x->owner = b;
	o->below->ops->submit(o->below, x);
}

static void overlay_poll(struct blockdev *dev)
{
	struct overlay_dev *o = (struct overlay_dev *)dev;

	o->below->ops->poll(o->below);
}

static const struct blockdev_ops overlay_ops = {
	.name = "overlay", .submit = overlay_submit, .poll = overlay_poll};

void overlay_init(struct overlay_dev *o, struct blockdev *below)
{
	*o = (struct overlay_dev){.dev = *below, .below = below};
	o->dev.ops = &overlay_ops;
	o->dev.read_only = true;
}

void overlay_free(struct overlay_dev *o)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct overlay_block *b;

		while ((b = o->blocks[i]) != NULL) {
			o->blocks[i] = b->next;
			free(b);
		}
	}
}
