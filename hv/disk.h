/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's disk: the store (storage/store.h) on top of a golden image, each in RAM that the
 * loader set apart, on a disk of the machine or an NBD server, behind virtio-blk (hv/vblk.c). The
 * store's fibers run on the boot CPU, in slices of a few tens of microseconds between which the
 * guest gets as much time; they hold no lock where they wait.
 *
 * Units: sectors of 512 bytes. Context: the boot CPU, unless it says "any CPU".
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/handoff.h"
#include "storage/store.h"

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
	struct disk_request *next; /* private */
};

#define DISK_REQUESTS 32 /* that are submitted and not done */

/* With platform_lock held; returns at once. */
void disk_submit(struct disk_request *r);
/* Every request has got its `done` when this returns, and none may be submitted before disk_go().
 * Bounded: for a back end that is silent nobody waits. Frozen. */
void disk_stop(void);
void disk_go(void);
/* Any CPU: there is something to do, beginning with vblk_poll(). */
void disk_wake(void);

/* --- the boot CPU's loop --- */

/* Tick of the boot CPU's TSC at which disk_work is due; UINT64_MAX: nothing to do. */
uint64_t disk_due(void);
void disk_work(bool guest_runs); /* frozen, too: what the store has to do for itself */

/* --- boot (hv/disk_open.c), and commands --- */

void disk_start(void);
void disk_use(struct store *s); /* it is the guest's disk from now on */
bool disk_present(void);
bool disk_in_use(void); /* by the guest's driver */
/* What an error of a back end does: the guest gets to hear of it, or the node freezes, and the
 * request is begun anew at the thaw. */
void disk_on_errors(enum disk_errors_action a);
enum disk_errors_action disk_errors(void);
unsigned disk_requests(void); /* of the guest, that are not done */
/* Runs fn on the store and returns what it does. In slices, in a command. */
int disk_do(int (*fn)(struct store *s, void *arg), void *arg);
/* The same where the guest must not read or write meanwhile. -ETXTBSY: its driver uses the disk. */
int disk_exchange(int (*fn)(struct store *s, void *arg), void *arg);
