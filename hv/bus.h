/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who answers at an I/O port or a guest-physical address that is not RAM.
 *
 * Regions are registered at boot and never change.
 * An access wider than a region's `max_size` is split into pieces of that size, low address first,
 * as a bus does; one that crosses the region's end is split at it, and one that is not naturally
 * aligned into aligned pieces: handlers only see aligned accesses of at most max_size. What nobody
 * claims reads all-ones, and writes to it vanish.
 *
 * Context: handlers run on the vCPU that made the access, with platform_lock held unless `unlocked`
 * is set. Values are zero-extended in `*val`; `size` is 1, 2, 4 or 8 (8: MMIO only).
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arch/x86_64/spinlock.h"

typedef struct {
	uint64_t v;
} gpa_t; /* guest-physical address */

struct bus_region {
	const char *name;
	uint64_t base, size; /* port or guest-physical address; bytes */
	uint8_t max_size;    /* 1, 2, 4, 8 */
	bool unlocked;
	void *dev;
	void (*read)(void *dev, uint64_t offset, unsigned size, uint64_t *val);
	void (*write)(void *dev, uint64_t offset, unsigned size, uint64_t val);
};

/* Serializes all units but the LAPICs. Order: platform_lock > vtimerq.lock; never taken by vlapic
 * code while it holds nothing else. */
extern struct spinlock platform_lock;

/* Keep the pointer. -EEXIST: overlaps another; -ENOSPC; -EINVAL: no size, a handler missing, a
 * max_size the bus does not have. */
int bus_add_io(const struct bus_region *r);
int bus_add_mmio(const struct bus_region *r);

uint32_t bus_io_read(uint16_t port, unsigned size);
void bus_io_write(uint16_t port, unsigned size, uint32_t val);
uint64_t bus_mmio_read(gpa_t gpa, unsigned size);
void bus_mmio_write(gpa_t gpa, unsigned size, uint64_t val);
