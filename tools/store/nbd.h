/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files of any format that QEMU knows, through qemu-nbd as a child process and libnbd: the
 * formats are theirs. Units: bytes. Errors are fatal.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
	struct nbd_handle *nbd;
	const char *path;
	uint64_t bytes;
};

/* A new qcow2 file of that size; `backing` NULL: none. */
void image_create(const char *path, uint64_t bytes, const char *backing,
		  const char *backing_format);
/* `format` NULL: what qemu-img finds. */
void image_open(struct image *m, const char *path, const char *format, bool writable);
void image_read(struct image *m, uint64_t at, void *buf, size_t n);
void image_write(struct image *m, uint64_t at, const void *buf, size_t n);
void image_zero(struct image *m, uint64_t at, uint64_t n); /* and hides what lies below */
/* Bytes from `at` on that are alike: they read as zeros without a look at them, or may not. */
uint64_t image_extent(struct image *m, uint64_t at, bool *zero);
void image_close(struct image *m); /* what was written is stable */
