/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA remapping: which memory the machine's PCI functions reach. The guest's reach the guest's
 * memory, as the guest's processors do; the hypervisor's own reach the hypervisor's; all others
 * reach what the firmware has reserved for devices (RMRR, IVMD), or nothing. Intel's VT-d and AMD's
 * AMD-Vi (hv/iommu_ops.h); on machines without, a card reaches everything.
 *
 * Interrupts are not remapped: a card can send any message that is one (docs/architecture.md).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/memmap.h"

enum iommu_domain { IOMMU_OTHERS, IOMMU_HYPERVISOR, IOMMU_GUEST, IOMMU_DOMAINS };

/* Boot, before devices are set up: nothing is remapped, whatever the firmware left. */
void iommu_init(void);
/* Boot, before iommu_start, by whoever takes the function. */
void iommu_assign(uint8_t bus, uint8_t dev, uint8_t fn, enum iommu_domain domain);
/* Pages of the hypervisor's that the guest's functions reach as well, by their physical address.
 * Boot, before iommu_start. What lies there can change at any time. */
void iommu_share(const void *pages, size_t count);
/* Boot CPU, once; from then on it is in force, or a line in the log says why not. */
void iommu_start(const struct guest_map *m);

struct iommu_status {
	bool on;
	const char *kind; /* "VT-d", "AMD-Vi"; NULL while off */
	unsigned units;
	uint64_t faults; /* accesses that were stopped, as far as the hardware has told */
};
struct iommu_status iommu_status(void);
