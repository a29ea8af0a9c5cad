/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the guest's disk lies: what the configuration names is found, looked at, opened, and handed
 * to hv/disk.h. Context: the boot CPU, boot, unless it says otherwise.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct handoff;
struct block_counters;

void disk_init(const struct handoff *h); /* nothing if no disk was asked for */
const char *disk_missing(void);		 /* why one that was asked for can't be had; NULL */
bool disk_memory_poll(void);		 /* a piece of work for what lies in memory; false: none */

/* A command. Makes a store where store= says: in a partition of the store's type, in an export, or
 * in the first partition of a disk that is empty, which gets a GPT. What is there already is only
 * replaced with `erase`, and only a store or a partition of that type. Negative: `why`. */
int disk_format(bool erase, char *why, size_t size);

/* A command: the two back ends. False: there is none. */
struct disk_side {
	const char *place; /* until the next call */
	const struct block_counters *count;
};
bool disk_side_golden(struct disk_side *s);
bool disk_side_store(struct disk_side *s);
