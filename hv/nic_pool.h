/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Caught receive descriptors with their data, first in, first out, in a piece of memory of a fixed
 * size. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "timevirt/vclock.h"

#define NIC_PARTS      4  /* buffers of a descriptor */
#define NIC_DESC_BYTES 32 /* of the largest descriptor */

struct nic_caught {
	vns_t at;		      /* its virtual time */
	uint32_t size;		      /* of the entry, with data and padding */
	uint8_t queue, last;	      /* last: the frame ends here */
	uint16_t len[NIC_PARTS];      /* bytes of data for each buffer */
	uint8_t desc[NIC_DESC_BYTES]; /* as the card wrote it back */
	uint8_t data[];		      /* part after part */
};

struct nic_pool {
	uint8_t *mem;
	size_t bytes;	   /* of mem, a multiple of 8 */
	size_t first, end; /* offsets of the first entry, and of where the next one goes */
	size_t used;	   /* bytes, of entries and of what is skipped at mem's end */
	unsigned entries;
};

/* What an entry with so many bytes of data takes. */
static inline size_t nic_pool_bytes(size_t data)
{
	return (sizeof(struct nic_caught) + data + 7) & ~(size_t)7;
}

void nic_pool_init(struct nic_pool *p, void *mem, size_t bytes);
void nic_pool_clear(struct nic_pool *p);
/* An entry at the end with room for so many bytes of data, zeroed but for its size; NULL: no room.
 */
struct nic_caught *nic_pool_add(struct nic_pool *p, size_t data);
struct nic_caught *nic_pool_first(const struct nic_pool *p); /* NULL: none */
void nic_pool_drop(struct nic_pool *p);			     /* the first */
/* The one after e; NULL: none. */
struct nic_caught *nic_pool_after(const struct nic_pool *p, const struct nic_caught *e);
