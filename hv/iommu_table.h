/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What DMAR and IVRS have in common: 48 bytes of header, then structures, each with its length in
 * 16 bits at offset 2. Pure; the table may be anything.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define IOMMU_STRUCTURE_MIN 4u

/* take(ctx, structure, its length) for each of them; a structure is all within the table, and has
 * IOMMU_STRUCTURE_MIN bytes at least. Ends with the first error. -EINVAL: the table ends in the
 * middle of one. */
int iommu_table_each(const void *table, size_t size,
		     int (*take)(void *ctx, const uint8_t *at, uint16_t length), void *ctx);
