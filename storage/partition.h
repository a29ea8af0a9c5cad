/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stretch of a block device as a block device. Pure. */
#pragma once
#include "storage/blockdev.h"

struct partition {
	struct blockdev dev; /* first */
	struct blockdev *whole;
	uint64_t first; /* sector */
};

/* Both have sectors of the same device. */
bool partition_overlap(const struct partition *a, const struct partition *b);
/* [first, first + sectors) lies on `whole`, which lives as long. */
void partition_init(struct partition *p, struct blockdev *whole, uint64_t first, uint64_t sectors,
		    bool read_only);
