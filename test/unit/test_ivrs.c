/* build: hv/ivrs.c hv/iommu_table.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firmware's table of AMD IOMMUs: what is taken of it, and that any bytes are survived. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/ivrs.h"
#include "test/unit/check.h"

#define TABLE_MAX 16384u
#define ROUNDS	  20000u

static uint8_t table[TABLE_MAX];
static size_t size, block; /* where the latest block begins */

static void put(const void *p, size_t n)
{
	memcpy(table + size, p, n);
	size += n;
	if (block) {
		uint16_t length = (uint16_t)(size - block);

		memcpy(table + block + 2, &length, sizeof(length));
	}
}

static void begin(void)
{
	memset(table, 0, sizeof(table));
	size = 48;
	block = 0;
}

/* An IVHD; its entries follow. */
static void unit(uint8_t type, uint16_t segment, uint64_t base, uint8_t flags)
{
	const uint8_t head[] = {type, flags, 0, 0, 0x02, 0, 0x40, 0}; /* 00:00.2 */
	const uint16_t more[] = {segment, 0, 0, 0};
	const uint64_t image[2] = {0};

	block = size;
	put(head, sizeof(head));
	put(&base, sizeof(base));
	put(more, sizeof(more));
	if (type != 0x10)
		put(image, sizeof(image));
}

static void entry(uint8_t type, uint16_t id, uint8_t settings)
{
	const uint8_t e[] = {type, (uint8_t)id, (uint8_t)(id >> 8), settings};

	put(e, sizeof(e));
}

static void entry_8(uint8_t type, uint16_t id, uint8_t settings, uint16_t alias)
{
	const uint8_t more[] = {0, (uint8_t)alias, (uint8_t)(alias >> 8), 0};

	entry(type, id, settings);
	put(more, sizeof(more));
}

static void named(unsigned name, uint16_t id, uint8_t settings)
{
	uint8_t e[22 + 255] = {240, (uint8_t)id, (uint8_t)(id >> 8), settings};

	e[21] = (uint8_t)name;
	put(e, 22 + name);
}

static void reserved(uint8_t type, uint8_t flags, uint64_t base, uint64_t bytes)
{
	const uint8_t head[] = {type, flags, 0, 0, 0, 0, 0, 0};
	const uint64_t body[] = {0, base, bytes};

	block = size;
	put(head, sizeof(head));
	put(body, sizeof(body));
}

/* In memory of its own, so that a look beyond its end is found. */
static int parse(struct ivrs *v)
{
	uint8_t *copy = malloc(size);
	int err;

	memcpy(copy, table, size);
	err = ivrs_parse(v, copy, size);
	free(copy);
	return err;
}

static void takes_units_and_their_devices(void)
{
	static struct ivrs v;

	begin();
	unit(0x10, 0, 0xfeb80000, 0x21);
	entry_8(67, 0x0400, 0x80, 0x0400);
	entry(4, 0x04ff, 0);
	entry(1, 0, 0x40);
	entry(0, 0, 0); /* padding */
	entry(2, 0x0100, 0x01);
	entry(3, 0x0200, 0x02);
	entry(4, 0x02ff, 0);
	entry_8(66, 0x0308, 0, 0x0300);
	entry_8(72, 0, 0x97, 0x00a0); /* an I/O APIC */
	named(9, 0x0098, 0x04);
	entry_8(70, 0x0500, 0x10, 0);
	unit(0x10, 1, 0xfeb90000, 0); /* of another segment */
	CHECK_EQ(parse(&v), 0);
	CHECK_EQ(v.n_units, 1);
	CHECK(v.other_segments);
	CHECK_EQ(v.unit[0].base, 0xfeb80000);
	CHECK_EQ(v.unit[0].id, 2);
	CHECK_EQ(v.unit[0].capability, 0x40);
	CHECK_EQ(v.unit[0].flags, 0x21);
	CHECK_EQ(ivrs_settings(&v, 0x00ff), 0x40);
	CHECK_EQ(ivrs_settings(&v, 0x0100), 0x41);
	CHECK_EQ(ivrs_settings(&v, 0x0101), 0x40);
	CHECK_EQ(ivrs_settings(&v, 0x0200), 0x42);
	CHECK_EQ(ivrs_settings(&v, 0x02ff), 0x42);
	CHECK_EQ(ivrs_settings(&v, 0x0300), 0x40);
	CHECK_EQ(ivrs_settings(&v, 0x04ff), 0xc0);
	CHECK_EQ(ivrs_settings(&v, 0x0500), 0x50);
	CHECK_EQ(ivrs_settings(&v, 0x00a0), 0xd7);
	CHECK_EQ(ivrs_settings(&v, 0x0098), 0x44);
	CHECK_EQ(ivrs_alias(&v, 0x0308), 0x0300);
	CHECK_EQ(ivrs_alias(&v, 0x0309), 0x0309);
	CHECK_EQ(ivrs_alias(&v, 0x0400), 0x0400);
	CHECK_EQ(ivrs_alias(&v, 0x04ff), 0x0400);
	CHECK_EQ(ivrs_alias(&v, 0x0500), 0x0500);
}

/* One unit is described up to three times; each by the one that says most. */
static void takes_the_kind_that_says_most(void)
{
	static struct ivrs v;

	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	entry(2, 0x100, 1);
	unit(0x10, 0, 0xfeb90000, 0);
	entry(2, 0x200, 1);
	unit(0x40, 0, 0xfeb80000, 0x20);
	entry(2, 0x100, 3);
	unit(0x11, 0, 0xfeb80000, 0);
	entry(2, 0x100, 2);
	CHECK_EQ(parse(&v), 0);
	CHECK_EQ(v.n_units, 2);
	CHECK_EQ(v.unit[0].flags, 0x20);
	CHECK_EQ(v.n_spans, 2);
	CHECK_EQ(ivrs_settings(&v, 0x100), 3);
	CHECK_EQ(ivrs_settings(&v, 0x200), 1);
}

static void takes_reserved_memory(void)
{
	static struct ivrs v;

	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	reserved(0x20, 0x07, 0x7b800000, 0x100000);
	reserved(0x22, 0x08, 0x7c000000, 0x1000);
	reserved(0x21, 0x07, 0x7d000800, 0x1000); /* goes into two pages */
	reserved(0x21, 0x06, 0x7e000000, 0x1000); /* neither identity mapped nor excluded */
	reserved(0x21, 0x07, 0x7e000000, 0);
	reserved(0x21, 0x07, ~0xfffull, 0x2000);
	CHECK_EQ(parse(&v), 0);
	CHECK_EQ(v.reserved.n, 3);
	CHECK_EQ(v.reserved.range[0].base, 0x7b800000);
	CHECK_EQ(v.reserved.range[0].last, 0x7b8fffff);
	CHECK_EQ(v.reserved.range[1].last, 0x7c000fff);
	CHECK_EQ(v.reserved.range[2].base, 0x7d000000);
	CHECK_EQ(v.reserved.range[2].last, 0x7d001fff);
}

static void says_what_is_wrong(void)
{
	static struct ivrs v;

	begin();
	CHECK_EQ(parse(&v), -EINVAL); /* no unit */
	begin();
	unit(0x10, 1, 0xfeb80000, 0);
	CHECK_EQ(parse(&v), -EINVAL);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	unit(0x10, 0, 0xfeb80800, 0);
	CHECK_EQ(parse(&v), -EINVAL);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	size -= 4; /* cut off */
	CHECK_EQ(parse(&v), -EINVAL);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	table[block + 2] = 3; /* shorter than its own head: it would not end */
	CHECK_EQ(parse(&v), -EINVAL);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	entry(66, 0x308, 0); /* half of an entry */
	CHECK_EQ(parse(&v), -EINVAL);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	entry(200, 0, 0); /* of unknown length */
	CHECK_EQ(parse(&v), -EINVAL);
	begin();
	unit(0x11, 0, 0xfeb80000, 0);
	table[block + 2] = 24; /* type 11h has 40 */
	size = block + 24;
	CHECK_EQ(parse(&v), -EINVAL);
}

static void says_what_is_too_much(void)
{
	static struct ivrs v;

	begin();
	for (unsigned i = 0; i <= IVRS_UNITS_MAX; i++)
		unit(0x10, 0, 0xfeb80000 + 0x4000ull * i, 0);
	CHECK_EQ(parse(&v), -E2BIG);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	for (unsigned i = 0; i <= IVRS_SPANS_MAX; i++)
		entry(2, (uint16_t)i, 1);
	CHECK_EQ(parse(&v), -E2BIG);
	begin();
	unit(0x10, 0, 0xfeb80000, 0);
	for (unsigned i = 0; i <= IOMMU_RESERVED_MAX; i++)
		reserved(0x20, 1, 0x1000 * (i + 1ull), 0x1000);
	CHECK_EQ(parse(&v), -E2BIG);
}

static void something(void)
{
	static const uint8_t types[] = {0, 1, 2, 3, 4, 66, 67, 70, 71, 72, 75};
	uint8_t type = types[(unsigned)rand() % sizeof(types)];

	if (rand() % 8 == 0)
		named((unsigned)rand() % 256, (uint16_t)rand(), (uint8_t)rand());
	else if (type < 64)
		entry(type, (uint16_t)rand(), (uint8_t)rand());
	else
		entry_8(type, (uint16_t)rand(), (uint8_t)rand(), (uint16_t)rand());
}

static void any_bytes(void)
{
	static struct ivrs v;

	srand(1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		begin();
		for (unsigned n = (unsigned)rand() % 4; n; n--) {
			unit((uint8_t)(0x10 + rand() % 2), 0, (uint64_t)rand() << 12, 0);
			for (unsigned k = (unsigned)rand() % 16; k; k--)
				something();
			if (rand() % 2)
				reserved(0x20, 1, (uint64_t)rand() << 12, (uint64_t)rand() << 12);
		}
		for (unsigned n = (unsigned)rand() % 8; n; n--)
			table[(size_t)rand() % size] = (uint8_t)rand();
		size -= (size_t)rand() % (size + 1);
		(void)parse(&v);
		CHECK(v.n_units <= IVRS_UNITS_MAX && v.n_spans <= IVRS_SPANS_MAX &&
		      v.reserved.n <= IOMMU_RESERVED_MAX);
		for (unsigned k = 0; k < v.n_spans; k++)
			CHECK(v.span[k].first <= v.span[k].last);
	}
}

int main(void)
{
	RUN(takes_units_and_their_devices);
	RUN(takes_the_kind_that_says_most);
	RUN(takes_reserved_memory);
	RUN(says_what_is_wrong);
	RUN(says_what_is_too_much);
	RUN(any_bytes);
	return check_result();
}
