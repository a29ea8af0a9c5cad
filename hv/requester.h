/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requester IDs: as whom a PCI function's requests reach an IOMMU. Its own ID, and those of bridges
 * from conventional PCI above it, which speak for what is behind them (PCI Express to PCI Bridge
 * 1.0, 2.3; PCI-to-PCI Bridge 1.2).
 */
#pragma once
#include <stdint.h>
#include "arch/x86_64/arch.h"

#define REQUESTER_IDS_MAX 8

struct requester_ids {
	unsigned n;
	uint16_t
		id[REQUESTER_IDS_MAX]; /* bus << 8 | device << 3 | function; the function's first */
};

static inline uint16_t requester_id(struct host_pci p)
{
	return (uint16_t)(p.bus << 8 | p.dev << 3 | p.fn);
}

static inline struct host_pci requester_function(uint16_t id)
{
	return (struct host_pci){(uint8_t)(id >> 8), id >> 3 & 31, id & 7};
}

/* Boot only. */
void requester_ids(struct host_pci at, struct requester_ids *ids);
