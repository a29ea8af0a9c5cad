// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/ivrs.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "hv/iommu_table.h"

#define PAGE	     4096ull
#define ADDRESS_BITS 48

/* Blocks. A unit may have one of each of the first three kinds: the higher ones say more. */
enum { IVHD_10 = 0x10, IVHD_11 = 0x11, IVHD_40 = 0x40, IVMD_FIRST = 0x20, IVMD_LAST = 0x22 };
#define IVMD_UNITY     (1u << 0) /* flags: identity mapped */
#define IVMD_EXCLUSION (1u << 3) /* not translated at all; the same, to whom it is mapped */

struct ivhd {
	uint8_t type, flags;
	uint16_t length, id, capability;
	uint64_t base;
	uint16_t segment, info;
	uint32_t features;
};
_Static_assert(sizeof(struct ivhd) == 24, "5.2.2.1");
#define IVHD_LONG 40u /* types 11h and 40h */

struct ivmd {
	uint8_t type, flags;
	uint16_t length, id, auxiliary, segment, reserved[3];
	uint64_t base, size;
};
_Static_assert(sizeof(struct ivmd) == 32, "5.2.2.6");

/* Device entries: bits 7:6 of the type tell the length, but for the named ones. */
enum {
	ENTRY_ALL = 1,
	ENTRY_SELECT = 2,
	ENTRY_RANGE = 3,
	ENTRY_END = 4,
	ENTRY_ALIAS = 66,
	ENTRY_ALIAS_RANGE = 67,
	ENTRY_EXT_SELECT = 70,
	ENTRY_EXT_RANGE = 71,
	ENTRY_SPECIAL = 72, /* an I/O APIC or a HPET: its ID is in the alias' place */
	ENTRY_NAMED = 240,
};
#define NAMED_BYTES 22u /* without its name, whose length is the last of them */

struct entry {
	uint8_t type, id[2], settings;
	uint8_t more[4]; /* of those of 8 bytes: alias in 1 and 2 */
};

static int add_span(struct ivrs *v, struct ivrs_span span)
{
	if (!span.aliased && !span.settings)
		return 0;
	if (v->n_spans == IVRS_SPANS_MAX)
		return -E2BIG;
	v->span[v->n_spans++] = span;
	return 0;
}

/* Of an entry; 0: it has none that is known. */
static unsigned entry_length(const uint8_t *at, size_t left)
{
	if (*at == ENTRY_NAMED)
		return left < NAMED_BYTES ? 0 : NAMED_BYTES + at[NAMED_BYTES - 1];
	return *at < 128 ? 4u << (*at >> 6) : 0;
}

/* A range's start comes in one entry, its end in another: *open is the one between. */
static int take_entry(struct ivrs *v, const struct entry *e, struct ivrs_span *open)
{
	const uint16_t id = (uint16_t)(e->id[0] | e->id[1] << 8);
	const struct ivrs_span one = {
		.first = id,
		.last = id,
		.aliased = e->type == ENTRY_ALIAS || e->type == ENTRY_ALIAS_RANGE,
		.alias = (uint16_t)(e->more[1] | e->more[2] << 8),
		.settings = e->settings,
	};

	switch (e->type) {
	case ENTRY_ALL:
		return add_span(v, (struct ivrs_span){.last = UINT16_MAX, .settings = e->settings});
	case ENTRY_SELECT:
	case ENTRY_EXT_SELECT:
	case ENTRY_ALIAS:
	case ENTRY_NAMED:
		return add_span(v, one);
	case ENTRY_SPECIAL:
		return add_span(v, (struct ivrs_span){.first = one.alias,
						      .last = one.alias,
						      .settings = e->settings});
	case ENTRY_RANGE:
	case ENTRY_EXT_RANGE:
	case ENTRY_ALIAS_RANGE:
		*open = one;
		return 0;
	case ENTRY_END:
		open->last = id;
		return open->first <= id ? add_span(v, *open) : 0;
	default:
		return 0; /* padding, and what is not known */
	}
}

static int take_entries(struct ivrs *v, const uint8_t *at, size_t left)
{
	struct ivrs_span open = {.first = UINT16_MAX};
	int err = 0;

	while (left >= 4 && !err) {
		struct entry e = {0};
		unsigned n = entry_length(at, left);

		if (!n || n > left)
			return -EINVAL;
		memcpy(&e, at, n < sizeof(e) ? n : sizeof(e));
		err = take_entry(v, &e, &open);
		at += n;
		left -= n;
	}
	return err;
}

static bool is_ivhd(uint8_t type)
{
	return type == IVHD_10 || type == IVHD_11 || type == IVHD_40;
}

static struct ivrs_unit *unit_at(struct ivrs *v, uint64_t base)
{
	for (unsigned i = 0; i < v->n_units; i++)
		if (v->unit[i].base == base)
			return &v->unit[i];
	return NULL;
}

static int find_unit(void *ctx, const uint8_t *at, uint16_t length)
{
	struct ivrs *v = ctx;
	struct ivrs_unit *u;
	struct ivhd x;

	if (!is_ivhd(*at))
		return 0;
	if (length < (*at == IVHD_10 ? sizeof(x) : IVHD_LONG))
		return -EINVAL;
	memcpy(&x, at, sizeof(x));
	if (x.segment != 0) { /* no configuration space of ours reaches what is behind it */
		v->other_segments = true;
		return 0;
	}
	if (x.base == 0 || x.base % PAGE)
		return -EINVAL;
	u = unit_at(v, x.base);
	if (u && u->kind >= x.type)
		return 0;
	if (!u && v->n_units == IVRS_UNITS_MAX)
		return -E2BIG;
	if (!u)
		u = &v->unit[v->n_units++];
	*u = (struct ivrs_unit){x.base, x.id, x.capability, x.type, x.flags};
	return 0;
}

static int take_ivmd(struct ivrs *v, const uint8_t *at)
{
	struct ivmd x;
	uint64_t last;

	memcpy(&x, at, sizeof(x));
	last = (x.base + x.size - 1) | (PAGE - 1);
	if (!(x.flags & (IVMD_UNITY | IVMD_EXCLUSION)) || x.segment != 0 || !x.size ||
	    last < x.base || last >> ADDRESS_BITS)
		return 0;
	if (v->reserved.n == IOMMU_RESERVED_MAX)
		return -E2BIG;
	v->reserved.range[v->reserved.n++] = (struct iommu_range){x.base & ~(PAGE - 1), last};
	return 0;
}

/* What is said of devices, by the block that is taken for their unit. */
static int take_block(void *ctx, const uint8_t *at, uint16_t length)
{
	struct ivrs *v = ctx;
	const unsigned head = *at == IVHD_10 ? sizeof(struct ivhd) : IVHD_LONG;
	const struct ivrs_unit *u;
	struct ivhd x;

	if (*at >= IVMD_FIRST && *at <= IVMD_LAST && length >= sizeof(struct ivmd))
		return take_ivmd(v, at);
	if (!is_ivhd(*at))
		return 0;
	memcpy(&x, at, sizeof(x));
	u = unit_at(v, x.base);
	if (x.segment != 0 || !u || u->kind != x.type)
		return 0;
	return take_entries(v, at + head, length - head);
}

int ivrs_parse(struct ivrs *v, const void *table, size_t size)
{
	int err;

	*v = (struct ivrs){0};
	err = iommu_table_each(table, size, find_unit, v);
	if (!err)
		err = iommu_table_each(table, size, take_block, v);
	return !err && !v->n_units ? -EINVAL : err;
}

static bool in_span(const struct ivrs_span *s, uint16_t id)
{
	return id >= s->first && id <= s->last;
}

uint8_t ivrs_settings(const struct ivrs *v, uint16_t id)
{
	uint8_t all = 0;

	for (unsigned i = 0; i < v->n_spans; i++)
		all |= in_span(&v->span[i], id) ? v->span[i].settings : 0;
	return all;
}

uint16_t ivrs_alias(const struct ivrs *v, uint16_t id)
{
	for (unsigned i = 0; i < v->n_spans; i++)
		if (v->span[i].aliased && in_span(&v->span[i], id))
			return v->span[i].alias;
	return id;
}
