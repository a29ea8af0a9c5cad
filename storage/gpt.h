/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GUID partition table (UEFI 2.10, chapter 5). Tables are hostile: nothing is believed that a
 * checksum and a range check don't confirm. gpt_check_header and gpt_take are pure.
 *
 * Units: sectors of 512 bytes; partitions are numbered from 1.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "storage/blockdev.h"

#define GPT_PARTITIONS_MAX 128u
#define GPT_NAME_MAX	   36u /* UTF-16 units */
#define GPT_ENTRIES_BYTES  (64u << 10)

/* A partition that belongs to a store: 5f7a9c1e-3b64-4d0f-8e21-c6d2a95b1470, as on disk. */
#define GPT_STORE_TYPE                                                                        \
	{                                                                                     \
		0x1e, 0x9c, 0x7a, 0x5f, 0x64, 0x3b, 0x0f, 0x4d, 0x8e, 0x21, 0xc6, 0xd2, 0xa9, \
			0x5b, 0x14, 0x70                                                      \
	}

struct gpt_partition {
	unsigned number;
	bool store; /* its type is GPT_STORE_TYPE */
	uint64_t first, sectors;
	char name[GPT_NAME_MAX + 1]; /* what is not ASCII is ? */
};

struct gpt {
	unsigned n;
	struct gpt_partition partition[GPT_PARTITIONS_MAX];
};

struct gpt_header { /* what of it counts */
	uint64_t entries_sector, first_usable, last_usable;
	uint32_t entries, entry_bytes, entries_crc;
};

/* The header that lies at `sector` of a disk. -ENOENT: there is none; -EUCLEAN: it is damaged. */
int gpt_check_header(const void *bytes, uint64_t sector, uint64_t disk_sectors,
		     struct gpt_header *out);
/* Its entries, entries * entry_bytes of them. -EUCLEAN: checksum, a partition outside of what is
 * usable, two that overlap. */
int gpt_take(const struct gpt_header *h, const void *entries, struct gpt *g);

/* In a fiber. The primary table, or the backup if that is damaged (`*backup`). -ENOENT: this disk
 * has no table; -EUCLEAN: both are damaged; or what the disk says. */
int gpt_read(struct blockdev *d, struct gpt *g, bool *backup);
/* In a fiber. A table with one partition over all of the disk, of the store's type. -EEXIST: the
 * disk is not empty; -EINVAL: it is too small. `seed`: different each time. */
int gpt_make_store(struct blockdev *d, uint64_t seed);
