/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk behind a controller: the part of a driver that is the same for all of them. Requests wait
 * in a queue and take a slot each; what takes too long or fails is told apart here, and no request
 * is ever lost: it ends with 0, -EIO, -ETIMEDOUT, -ENODEV, -EROFS or -ERANGE.
 *
 * Units: sectors of 512 bytes, microseconds. Context: the boot CPU, outside of interrupts. A
 * request's buffers are hypervisor memory, even, and contiguous for the device (storage/hw.h).
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "storage/blockdev.h"

#define DRIVE_SLOTS	    32
#define DRIVE_NAME_MAX	    15
#define DRIVE_MODEL_MAX	    40
#define DRIVE_TIMEOUT_US    10000000u
#define DRIVE_FLUSH_US	    30000000u /* a cache of hundreds of MiB on a slow disk */
#define DRIVE_SECTORS_MAX   1024u     /* of one request */
#define DRIVE_VECTORS_MAX   8u
#define DRIVE_RESETS_IN_ROW 3 /* without a request that succeeds: then it is given up */

struct drive;
struct drive_ops {
	const char *name;
	/* Hands a request to the device, in a slot that is free. */
	void (*start)(struct drive *d, unsigned slot, const struct block_request *r);
	/* Slots whose command ended well, and those that may have caused an error. -EAGAIN: the
	 * link broke, and what was started may be lost; -ENODEV: the device does not answer any
	 * more. */
	int (*look)(struct drive *d, uint32_t *done, uint32_t *failed);
	/* Afterwards nothing that was started goes on or touches memory. Bounded; negative: the
	 * device could not be brought back, and `off` follows. */
	int (*reset)(struct drive *d);
	/* For good: no access to memory any more. Negative: that can't be had of the device, and
	 * its controller's bus mastering has to go. */
	int (*off)(struct drive *d);
	bool errors_are_exact; /* a failed slot has failed by itself, and the others go on */
};

/* What several drives can have in common. */
struct drive_controller {
	const void *function; /* for hw_master_off() */
	bool off;	      /* it was, for one of its drives: none of them can go on */
};

struct drive {
	struct blockdev dev; /* first: a drive is a block device */
	const struct drive_ops *ops;
	struct drive_controller *controller; /* set by `found` */
	char name[DRIVE_NAME_MAX + 1];	     /* "ahci0" */
	char model[DRIVE_MODEL_MAX + 1];
	unsigned depth;	 /* slots in use at once, at most DRIVE_SLOTS */
	bool gone;	 /* it answers nothing any more: requests end with -ENODEV */
	bool interrupts; /* it has one; else it must be looked at often */
	bool patient;	 /* what takes too long is tried again instead of ended */
	bool late;	 /* that has happened; drive_forgive() clears it */
	/* private */
	struct block_request *first, **last; /* that wait */
	struct {
		struct block_request *r;
		uint64_t since;
	} slot[DRIVE_SLOTS];
	uint32_t busy; /* slots */
	unsigned in_flight;
	unsigned careful; /* requests to run one at a time, to see which one fails */
	unsigned resets_in_row;
	bool flushing; /* the one in flight is a FLUSH */
};

/* Everything but `private`, dev.ops and what is the finder's (controller, name) has been filled in.
 */
void drive_init(struct drive *d);
/* Ends what has been done or took too long, starts what waits. True: something has changed. */
bool drive_poll(struct drive *d);
bool drive_busy(const struct drive *d); /* a request is in flight */
/* Nobody has looked for a while: what is in flight has all of its time again. */
void drive_forgive(struct drive *d);
/* Before a reset of the machine: nothing is in flight or accepted afterwards. */
void drive_off(struct drive *d);
