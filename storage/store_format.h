/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies on a store's device (docs/store-format.md). Little endian; sectors of 512 bytes. */
#pragma once
#include <stdint.h>
#include "storage/store.h"

#define STORE_VERSION 1

/* --- superblock: two copies, the one with the higher generation counts --- */
#define SUPER_MAGIC	   0x31736973617453ull /* "Stasis1" */
#define SUPER_COPIES	   2
#define SUPER_SECTOR(copy) ((uint64_t)(copy)*8)
#define GOLDEN_SAMPLES	   64

struct log_position {
	uint32_t segment, offset; /* sectors from the segment's start */
	uint64_t sequence;	  /* of the record there */
};

struct superblock {
	uint64_t magic;
	uint32_t version, crc; /* CRC-32C of the sector with crc = 0 */
	uint8_t uuid[16];
	uint64_t generation;
	uint64_t epoch;		/* of the last opening */
	uint64_t sectors;	/* of the device */
	uint64_t first_segment; /* sector */
	uint32_t segment_sectors, segments;
	uint64_t manifest; /* sector, 0: none */
	uint32_t manifest_bytes, manifest_crc;
	struct log_position replay; /* where the log's tail begins */
	uint64_t golden_sectors;
	uint32_t golden_sample[GOLDEN_SAMPLES]; /* CRC-32C of the sampled blocks */
	uint8_t golden_sha256[32];		/* of the whole image; zeros: not known */
	uint8_t reserved[112];
};
_Static_assert(sizeof(struct superblock) == 512, "one sector");

/* --- records of the log --- */
#define RECORD_MAGIC 0x6c6f4753u /* "SGol" */

enum record_type {
	RECORD_WRITES = 1, /* extents; the data follow */
	RECORD_SEAL,	   /* the open delta gets a name, and another one is opened */
	RECORD_NEXT,	   /* the log goes on in another segment */
};

struct record_extent {
	uint64_t start; /* guest sector */
	uint32_t len;
	uint32_t zero; /* 1: reads as zeros, no payload */
};

#define RECORD_EXTENTS_MAX 27

struct record {
	uint32_t magic, crc; /* CRC-32C of the sector with crc = 0 */
	uint64_t store;	     /* first half of the UUID */
	uint64_t epoch, sequence;
	uint16_t type, n;
	uint32_t payload_sectors, payload_crc;
	uint32_t delta; /* the segment's owner */
	union {
		struct record_extent extent[RECORD_EXTENTS_MAX];
		struct {
			char name[STORE_NAME_MAX + 1];
			uint32_t next_delta;
		} seal;
		uint32_t next_segment;
	};
	uint8_t reserved[32];
};
_Static_assert(sizeof(struct record) == SECTOR_SIZE, "one sector");

/* --- segments --- */
#define OWNER_FREE  0u
#define OWNER_INDEX UINT32_MAX
#define DELTA_LIMIT (1u << 31)
/* below it: the delta whose log it holds */

/* --- the manifest: a struct manifest, then runs with their places, points, stretches of segments;
 * on the device in pieces of a page, each with a header, anywhere in index segments --- */
#define PIECE_MAGIC 0x63656953u /* "Siec" */

struct manifest_piece {
	uint32_t magic, bytes; /* of this piece, without the header */
	uint64_t next;	       /* sector of the next piece, 0: the last */
	uint8_t reserved[16];
};

#define MANIFEST_MAGIC 0x74666d53u /* "Smft" */
#define RUNS_PER_VIEW  32

struct manifest {
	uint32_t magic, bytes;
	uint32_t n_runs, n_points, n_segments; /* segments: stretches of them */
	uint32_t open_delta, open_parent;
	uint32_t next_delta;
	uint64_t next_run;
	uint32_t open_runs, reserved;
	uint64_t open_run[RUNS_PER_VIEW]; /* run IDs, newest first */
};

struct manifest_run { /* followed by n_places */
	uint64_t id, root, extents, data_sectors;
	uint32_t pages, n_places;
};

struct manifest_place {
	uint32_t segment, pages;
};

struct manifest_point {
	char name[STORE_NAME_MAX + 1];
	uint32_t delta, parent;
	uint64_t bytes;
	uint32_t n_runs, reserved;
	uint64_t run[RUNS_PER_VIEW];
};

struct manifest_segments { /* `count` neighbours alike */
	uint32_t first, count, owner, live;
};
