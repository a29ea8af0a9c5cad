// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/dev.h"
#include "storage/fiber.h"

void dev_batch_init(struct dev_batch *b)
{
	*b = (struct dev_batch){.waiter = fiber_self()};
}

static void done(struct block_request *r)
{
	struct dev_batch *b = r->owner;

	if (r->status && !b->status)
		b->status = r->status;
	if (--b->pending == 0)
		fiber_wake(b->waiter);
}

void dev_batch_submit(struct dev_batch *b, struct blockdev *d, struct block_request *r)
{
	r->done = done;
	r->owner = b;
	r->next = NULL;
	b->pending++;
	d->ops->submit(d, r);
}

int dev_batch_wait(struct dev_batch *b)
{
	/* a wake may be left over from a batch that was done before it was waited for */
	while (b->pending)
		fiber_wait();
	return b->status;
}

static int one(struct blockdev *d, enum block_op op, uint64_t sector, void *buf, size_t bytes)
{
	struct block_vec vec = {.base = buf, .bytes = bytes};
	struct block_request r = {
		.op = op, .sector = sector, .vec = &vec, .n_vec = op == BLOCK_FLUSH ? 0 : 1};
	struct dev_batch b;

	dev_batch_init(&b);
	dev_batch_submit(&b, d, &r);
	return dev_batch_wait(&b);
}

/* No more at once than the device takes. */
static int in_pieces(struct blockdev *d, enum block_op op, uint64_t sector, void *buf, size_t bytes)
{
	size_t most = (size_t)d->max_sectors * SECTOR_SIZE;
	int err = 0;

	while (bytes && !err) {
		size_t n = bytes < most ? bytes : most;

		err = one(d, op, sector, buf, n);
		sector += n / SECTOR_SIZE;
		buf = (char *)buf + n;
		bytes -= n;
	}
	return err;
}

int dev_read(struct blockdev *d, uint64_t sector, void *buf, size_t bytes)
{
	return in_pieces(d, BLOCK_READ, sector, buf, bytes);
}

int dev_write(struct blockdev *d, uint64_t sector, const void *buf, size_t bytes)
{
	return in_pieces(d, BLOCK_WRITE, sector, (void *)(uintptr_t)buf, bytes);
}

int dev_flush(struct blockdev *d)
{
	return one(d, BLOCK_FLUSH, 0, NULL, 0);
}
