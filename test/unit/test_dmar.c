/* build: hv/dmar.c hv/iommu_table.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firmware's table of DMA remapping units: what is taken of it, and that any bytes are
 * survived. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/dmar.h"
#include "test/unit/check.h"

#define TABLE_MAX 8192u
#define ROUNDS	  20000u

static uint8_t table[TABLE_MAX];
static size_t size;

static void put(const void *p, size_t n)
{
	memcpy(table + size, p, n);
	size += n;
}

static void begin(void)
{
	memset(table, 0, sizeof(table));
	size = 48;
}

static void unit(uint16_t segment, uint64_t base)
{
	const uint16_t head[] = {0, 24, 0, segment}; /* with 8 bytes of scope */
	const uint64_t scope = 0;

	put(head, sizeof(head));
	put(&base, sizeof(base));
	put(&scope, sizeof(scope));
}

static void reserved(uint16_t segment, uint64_t base, uint64_t last)
{
	const uint16_t head[] = {1, 24, 0, segment};

	put(head, sizeof(head));
	put(&base, sizeof(base));
	put(&last, sizeof(last));
}

static void something_else(void)
{
	const uint16_t head[] = {3, 8, 0, 0};

	put(head, sizeof(head));
}

/* In memory of its own, so that a look beyond its end is found. */
static int parse(struct dmar *d)
{
	uint8_t *copy = malloc(size);
	int err;

	memcpy(copy, table, size);
	err = dmar_parse(d, copy, size);
	free(copy);
	return err;
}

static void takes_units_and_reserved_memory(void)
{
	struct dmar d;

	begin();
	unit(0, 0xfed90000);
	something_else();
	reserved(0, 0x7b800000, 0x7b8fffff);
	unit(1, 0xfed91000); /* of another segment */
	unit(0, 0xfed92000);
	reserved(1, 0x7c000000, 0x7c000fff);
	CHECK_EQ(parse(&d), 0);
	CHECK_EQ(d.n_units, 2);
	CHECK(d.other_segments);
	CHECK_EQ(d.unit[0], 0xfed90000);
	CHECK_EQ(d.unit[1], 0xfed92000);
	CHECK_EQ(d.reserved.n, 1);
	CHECK_EQ(d.reserved.range[0].base, 0x7b800000);
	CHECK_EQ(d.reserved.range[0].last, 0x7b8fffff);
}

static void leaves_out_what_makes_no_sense(void)
{
	struct dmar d;

	begin();
	unit(0, 0xfed90000);
	reserved(0, 0x1000, 0x1ffe);
	reserved(0, 0x1000, 0xfff);
	reserved(0, 0x1800, 0x27ff);
	reserved(0, 0x1000, UINT64_MAX);
	CHECK_EQ(parse(&d), 0);
	CHECK_EQ(d.n_units, 1);
	CHECK_EQ(d.reserved.n, 0);
}

static void says_what_is_wrong(void)
{
	struct dmar d;

	begin();
	CHECK_EQ(parse(&d), -EINVAL); /* no unit */
	begin();
	unit(0, 0);
	CHECK_EQ(parse(&d), -EINVAL);
	begin();
	unit(0, 0xfed90800);
	CHECK_EQ(parse(&d), -EINVAL);
	begin();
	unit(0, 0xfed90000);
	size -= 4;
	CHECK_EQ(parse(&d), -EINVAL); /* cut off */
	begin();
	unit(0, 0xfed90000);
	size += 2;
	CHECK_EQ(parse(&d), -EINVAL);
	begin();
	something_else();
	table[50] = 2; /* shorter than its own head: it would not end */
	CHECK_EQ(parse(&d), -EINVAL);
	begin();
	for (unsigned i = 0; i <= DMAR_UNITS_MAX; i++)
		unit(0, 0xfed90000 + 0x1000ull * i);
	CHECK_EQ(parse(&d), -E2BIG);
	begin();
	unit(0, 0xfed90000);
	for (unsigned i = 0; i <= IOMMU_RESERVED_MAX; i++)
		reserved(0, 0x1000 * (i + 1ull), 0x1000 * (i + 1ull) + 0xfff);
	CHECK_EQ(parse(&d), -E2BIG);
}

static void any_bytes(void)
{
	struct dmar d;

	srand(1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		begin();
		for (unsigned n = rand() % 12; n; n--)
			if (rand() % 2)
				unit(rand() % 2, (uint64_t)rand() << 12);
			else
				reserved(0, (uint64_t)rand() << 12, ((uint64_t)rand() << 12) - 1);
		for (unsigned n = rand() % 8; n; n--)
			table[rand() % size] = (uint8_t)rand();
		size -= (size_t)rand() % (size + 1);
		(void)parse(&d);
		CHECK(d.n_units <= DMAR_UNITS_MAX && d.reserved.n <= IOMMU_RESERVED_MAX);
	}
}

int main(void)
{
	RUN(takes_units_and_reserved_memory);
	RUN(leaves_out_what_makes_no_sense);
	RUN(says_what_is_wrong);
	RUN(any_bytes);
	return check_result();
}
