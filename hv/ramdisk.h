/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block device in memory (storage/blockdev.h). A poll carries out one request. */
#pragma once
#include <stdbool.h>
#include "storage/blockdev.h"

struct ramdisk {
	struct blockdev dev;
	char *data;
	struct block_request *first, **last; /* that wait */
};

void ramdisk_init(struct ramdisk *d, void *data, uint64_t bytes, bool read_only);
bool ramdisk_poll(struct ramdisk *d); /* false: nothing waited */
