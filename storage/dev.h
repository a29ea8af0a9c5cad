/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block device as a fiber sees it: calls that return when the device has answered. */
#pragma once
#include "storage/blockdev.h"

/* Inside a fiber. 0 or the request's status. */
int dev_read(struct blockdev *d, uint64_t sector, void *buf, size_t bytes);
int dev_write(struct blockdev *d, uint64_t sector, const void *buf, size_t bytes);
int dev_flush(struct blockdev *d);

/* Several at once: submit each, then wait for all. */
struct dev_batch {
	unsigned pending;
	int status; /* the first error */
	struct fiber *waiter;
};
void dev_batch_init(struct dev_batch *b);
/* `r`, its vector and its buffers live until dev_batch_wait returns. */
void dev_batch_submit(struct dev_batch *b, struct blockdev *d, struct block_request *r);
int dev_batch_wait(struct dev_batch *b);
