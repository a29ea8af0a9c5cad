/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's disk: the store (storage/store.h) on top of a golden image, each in RAM that the
 * loader set apart or on a disk of the machine (hv/drives.h), behind virtio-blk (hv/vblk.c). The
 * store's fibers run on the boot CPU, in slices of a few tens of microseconds between which the
 * guest gets as much time; they hold no lock where they wait.
 *
 * Units: sectors of 512 bytes. Context: the boot CPU, unless it says "any CPU".
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "storage/store.h"

struct handoff;

/* --- requests (hv/vblk.c) --- */

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_ZEROES };

struct disk_request {
	enum disk_op op;
	uint64_t sector, sectors; /* on the disk */
	/* Data from the guest (WRITE) or to it (READ), from byte `offset` on. False: nobody waits
	 * for it any more. */
	bool (*copy)(struct disk_request *r, uint64_t offset, void *buf, size_t n);
	/* 0; -EINTR: disk_stop() came first, and it may be done in part; or what the store says. */
	void (*done)(struct disk_request *r, int status);
};

#define DISK_REQUESTS 32 /* that are submitted and not done */

/* With platform_lock held; returns at once. */
void disk_submit(struct disk_request *r);
/* No request is being worked on when this returns; none may be submitted before disk_go(). Frozen.
 */
void disk_stop(void);
void disk_go(void);
/* Any CPU: there is something to do, beginning with vblk_poll(). */
void disk_wake(void);

/* --- the boot CPU's loop --- */

/* Tick of the boot CPU's TSC at which disk_work is due; UINT64_MAX: nothing to do. */
uint64_t disk_due(void);
void disk_work(bool guest_runs);

/* --- boot, and commands --- */

void disk_init(const struct handoff *h); /* nothing if no disk was asked for */
bool disk_present(void);
const char *disk_missing(void); /* why one that was asked for can't be had; NULL */
bool disk_in_use(void);		/* by the guest's driver */
/* Runs fn on the store and returns what it does. In slices, in a command. */
int disk_do(int (*fn)(struct store *s, void *arg), void *arg);
/* The same where the guest must not read or write meanwhile. -ETXTBSY: its driver uses the disk. */
int disk_exchange(int (*fn)(struct store *s, void *arg), void *arg);
