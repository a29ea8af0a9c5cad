/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page of a run (docs/store-format.md, "Index pages"): a static B+tree, leaves of extents. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PAGE_MAGIC   0x67705353u /* "SSpg" */
#define PAGE_BYTES   4096u
#define PAGE_SECTORS (PAGE_BYTES / 512)

struct page_extent { /* in a leaf */
	uint64_t start, addr;
	uint32_t len, reserved;
};

struct page_child { /* above: start of the child's first extent, and where the child lies */
	uint64_t start, addr;
};

#define PAGE_LEAF_MAX  169u
#define PAGE_CHILD_MAX 254u

struct page {
	uint32_t magic, crc; /* CRC-32C of the page with crc = 0 */
	uint64_t addr;	     /* its own store sector */
	uint64_t run;
	uint16_t level; /* 0: leaf */
	uint16_t n;
	uint32_t reserved;
	union {
		struct page_extent extent[PAGE_LEAF_MAX];
		struct page_child child[PAGE_CHILD_MAX];
	};
};
_Static_assert(sizeof(struct page) <= PAGE_BYTES, "a page");

/* Where pages and data may lie, and how large the disk is that they are about. */
struct page_area {
	uint64_t first_segment, sectors; /* of the segments, in the store */
	uint32_t segment_sectors;
	uint64_t disk_sectors;
};

void page_seal(struct page *p); /* computes crc; the page has PAGE_BYTES */
bool page_valid(const struct page *p, uint64_t addr);
bool page_in(const struct page_area *a, uint64_t addr); /* a page may lie there */
/* Of a valid page: in order, and nothing leads out of the store or of the disk. */
bool page_sound(const struct page *p, const struct page_area *a);
