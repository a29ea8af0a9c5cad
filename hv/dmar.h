/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware's description of the machine's DMA remapping hardware: the ACPI table DMAR (Intel
 * Virtualization Technology for Directed I/O, chapter 8). Pure; the table may be anything.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/iommu_ops.h"

#define DMAR_UNITS_MAX 64

struct dmar {
	unsigned n_units;
	uint64_t unit[DMAR_UNITS_MAX];	/* physical addresses of the registers; PCI segment 0 */
	bool other_segments;		/* there are units for them, too */
	struct iommu_reserved reserved; /* RMRR */
};

/* `size` bytes that begin with the table's header. 0; -EINVAL: there is no unit, one is nonsense,
 * or the table ends in the middle of a structure (then *d has what was before); -E2BIG: more than
 * *d holds. */
int dmar_parse(struct dmar *d, const void *table, size_t size);
