/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host files and block devices as block devices of the store's. A request is carried out inside
 * submit.
 *
 * Units: bytes where a name says so, else sectors of 512 bytes. Errors are fatal: one line on
 * stderr, exit status 2.
 */
#pragma once
#include <sys/types.h>
#include "storage/blockdev.h"

struct file_dev {
	struct blockdev dev;
	const char *path;
	int fd;
	uint64_t offset; /* bytes: where it begins in the file */
};

enum file_use {
	FILE_IMAGE, /* a raw image, all of it; read, and others may read as well */
	FILE_LOOK,  /* a store to be looked at: nobody may be writing it */
	FILE_CHANGE /* a store to be changed: nobody else may have it open */
};

/* `offset`: bytes; `length` bytes, 0: to the end. Whole sectors both. */
void file_open(struct file_dev *f, const char *path, enum file_use use, uint64_t offset,
	       uint64_t length);
void file_close(struct file_dev *f);
/* Sectors from `sector` on that are a hole, and read as zeros, without looking at them. */
uint64_t file_hole(const struct file_dev *f, uint64_t sector);
/* Gives the sectors' space back to the file system, or to the device. */
void file_punch(struct file_dev *f, uint64_t sector, uint64_t n);

/*
 * A device over another that takes writes and keeps them in memory: what is looked at is never
 * written, even where a store has to write in order to be read. `dev.read_only` says so.
 */
struct overlay_dev {
	struct blockdev dev;
	struct blockdev *below;
	struct overlay_block *blocks[4096];
};

void overlay_init(struct overlay_dev *o, struct blockdev *below);
void overlay_free(struct overlay_dev *o);
