/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A split virtqueue as the device sees it (virtio 1.2, 2.7): chains of descriptors taken from the
 * available ring, checked, and put on the used ring.
 *
 * The rings are the guest's memory, and it may write anything there at any time: what is read is
 * copied first, and a chain is taken only if every byte of it is guest RAM. Calls for one queue
 * come one at a time. Units: bytes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"

#define VIRTQUEUE_SIZE_MAX     256
#define VIRTQUEUE_SEGMENTS_MAX 130 /* of one chain: a request's data, its header and its status */

struct virtqueue {
	bool enabled;
	uint16_t size;		       /* a power of two */
	uint64_t desc, driver, device; /* where the descriptor table and the two rings are */
	bool indirect, event_idx;      /* features that were negotiated */
	uint16_t next;		       /* of the available ring */
	uint16_t used;		       /* index of the used ring */
	uint16_t signalled;	       /* `used` when the driver was last considered */
};

struct virtqueue_segment {
	gpa_t at;
	uint32_t bytes;
};

/* Segments that the device reads come first. */
struct virtqueue_chain {
	uint16_t head;
	unsigned n_read, n_write;
	uint64_t read_bytes, write_bytes;
	struct virtqueue_segment segment[VIRTQUEUE_SEGMENTS_MAX];
};

/* Can a queue be where the driver says? Aligned, and all in guest RAM. */
bool virtqueue_possible(const struct virtqueue *q);
/* 1: a chain was taken; 0: there is none; -EINVAL: the driver broke the rules. */
int virtqueue_take(struct virtqueue *q, struct virtqueue_chain *c);
/* The chain that begins at descriptor `head`, again. 0 or -EINVAL. */
int virtqueue_chain(const struct virtqueue *q, uint16_t head, struct virtqueue_chain *c);
/* Asks the driver to tell of the next one. True: one has come meanwhile. */
bool virtqueue_ask(const struct virtqueue *q);
/* `written`: into the segments that the device writes. */
void virtqueue_give_back(struct virtqueue *q, uint16_t head, uint32_t written);
/* Does the driver want an interrupt for what was given back since the last call? */
bool virtqueue_wants_interrupt(struct virtqueue *q);

/* What the device reads, or writes, as one stretch of bytes. False: it is shorter. */
bool virtqueue_read(const struct virtqueue_chain *c, uint64_t offset, void *to, size_t n);
bool virtqueue_write(const struct virtqueue_chain *c, uint64_t offset, const void *from, size_t n);
