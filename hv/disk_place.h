/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the name of a place (boot/handoff.h) to a block device. A golden image is any disk or
 * partition, read only; a store is a partition of the store's type, so that nothing else is ever
 * written to: by its number, or the only one on its disk. An export of an NBD server is taken
 * whole.
 *
 * Context: a fiber of the boot CPU, but disk_place_remote: not in a fiber.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "boot/handoff.h"
#include "storage/partition.h"

#define PLACE_TEXT 112

/* -ENODEV, -ENOENT, -EUCLEAN, -EPERM: `why` says what is wrong and what to do. */
int disk_place_golden(const struct disk_place *p, struct partition *part, char *why, size_t size);
int disk_place_store(const struct disk_place *p, struct partition *part, char *why, size_t size);
/* For a place with a server: connects, a minute at most. -ENODEV: `why`. */
int disk_place_remote(const struct disk_place *p, struct partition *part, bool read_only, char *why,
		      size_t size);
/* As it is written in the configuration; "memory" if it is none. */
const char *disk_place_text(const struct disk_place *p, char text[PLACE_TEXT]);
