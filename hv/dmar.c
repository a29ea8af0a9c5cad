// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/dmar.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define TABLE_HEADER 48 /* ACPI's, host address width, flags */
#define PAGE	     4096ull
#define ADDRESS_BITS 48

enum { TYPE_DRHD = 0, TYPE_RMRR = 1 };

struct structure { /* what all of them begin with */
	uint16_t type, length;
};

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

int dmar_parse(struct dmar *d, const void *table, size_t size)
{
	const uint8_t *at = (const uint8_t *)table + TABLE_HEADER;
	size_t left = size > TABLE_HEADER ? size - TABLE_HEADER : 0;
	int err = 0;

	*d = (struct dmar){0};
	while (left >= sizeof(struct structure) && !err) {
		struct structure s;

		memcpy(&s, at, sizeof(s));
		if (s.length < sizeof(s) || s.length > left)
			return -EINVAL;
		if (s.type == TYPE_DRHD && s.length >= sizeof(struct drhd))
			err = take_unit(d, at);
		else if (s.type == TYPE_RMRR && s.length >= sizeof(struct rmrr))
			err = take_reserved(d, at);
		at += s.length;
		left -= s.length;
	}
	if (!err && (left || !d->n_units))
		err = -EINVAL;
	return err;
}
