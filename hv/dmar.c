// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/dmar.h"
#include <errno.h>
#include <string.h>
#include "hv/iommu_table.h"

#define PAGE	     4096ull
#define ADDRESS_BITS 48

enum { TYPE_DRHD = 0, TYPE_RMRR = 1 };

struct drhd {
	uint16_t type, length;
	uint8_t flags, size;
	uint16_t segment;
	uint64_t base;
};
_Static_assert(sizeof(struct drhd) == 16, "8.3");

struct rmrr {
	uint16_t type, length, reserved, segment;
	uint64_t base, limit; /* limit: the last byte */
};
_Static_assert(sizeof(struct rmrr) == 24, "8.4");

static int take_unit(struct dmar *d, const void *at)
{
	struct drhd x;

	memcpy(&x, at, sizeof(x));
	if (x.segment != 0) { /* no configuration space of ours reaches what is behind it */
		d->other_segments = true;
		return 0;
	}
	if (x.base == 0 || x.base % PAGE)
		return -EINVAL;
	if (d->n_units == DMAR_UNITS_MAX)
		return -E2BIG;
	d->unit[d->n_units++] = x.base;
	return 0;
}

static int take_reserved(struct dmar *d, const void *at)
{
	struct rmrr x;

	memcpy(&x, at, sizeof(x));
	if (x.segment != 0 || x.base % PAGE || x.limit <= x.base || x.limit >> ADDRESS_BITS ||
	    (x.limit + 1) % PAGE)
		return 0;
	if (d->reserved.n == IOMMU_RESERVED_MAX)
		return -E2BIG;
	d->reserved.range[d->reserved.n++] = (struct iommu_range){x.base, x.limit};
	return 0;
}

static int take(void *ctx, const uint8_t *at, uint16_t length)
{
	struct dmar *d = ctx;
	uint16_t type;

	memcpy(&type, at, sizeof(type));
	if (type == TYPE_DRHD && length >= sizeof(struct drhd))
		return take_unit(d, at);
	if (type == TYPE_RMRR && length >= sizeof(struct rmrr))
		return take_reserved(d, at);
	return 0;
}

int dmar_parse(struct dmar *d, const void *table, size_t size)
{
	int err;

	*d = (struct dmar){0};
	err = iommu_table_each(table, size, take, d);
	return !err && !d->n_units ? -EINVAL : err;
}
