// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/iommu_table.h"
#include <errno.h>
#include <string.h>

#define TABLE_HEADER 48u
#define LENGTH	     2u /* offset */

int iommu_table_each(const void *table, size_t size,
		     int (*take)(void *ctx, const uint8_t *at, uint16_t length), void *ctx)
{
	const uint8_t *at = (const uint8_t *)table + TABLE_HEADER;
	size_t left = size > TABLE_HEADER ? size - TABLE_HEADER : 0;
	int err = 0;

	while (left >= IOMMU_STRUCTURE_MIN && !err) {
		uint16_t length;

		memcpy(&length, at + LENGTH, sizeof(length));
		if (length < IOMMU_STRUCTURE_MIN || length > left)
			return -EINVAL;
		err = take(ctx, at, length);
		at += length;
		left -= length;
	}
	return !err && left ? -EINVAL : err;
}
