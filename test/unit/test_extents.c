/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/extents.c */
/* The map of extents against an array with a word for each sector. */
#include <stdlib.h>
#include "storage/extents.h"
#include "test/unit/check.h"

#define SECTORS 512
#define ROUNDS	200000
#define ABSENT	0

static uint64_t model[SECTORS], dropped[1 << 20];

static void replaced(void *ctx, uint64_t addr, uint64_t len)
{
	(void)ctx;
	while (len--)
		dropped[addr++]++;
}

static uint64_t wanted(uint64_t sector)
{
	return model[sector];
}

static bool agrees(const struct extents *m)
{
	uint64_t sector = 0;
	struct extent e, last = {0};

	while (extents_find(m, sector, &e)) {
		for (; sector < e.start; sector++)
			if (!CHECK_EQ(wanted(sector), ABSENT))
				return false;
		if (!CHECK(e.len > 0) || !CHECK(!last.len || extent_end(&last) <= e.start))
			return false;
		for (; sector < extent_end(&e); sector++)
			if (!CHECK_EQ(wanted(sector), e.addr == EXTENT_ZERO
							      ? EXTENT_ZERO
							      : e.addr + (sector - e.start)))
				return false;
		last = e;
	}
	for (; sector < SECTORS; sector++)
		if (!CHECK_EQ(wanted(sector), ABSENT))
			return false;
	return true;
}

static void random_puts(void)
{
	struct extents *m = extents_create(1 << 20);
	uint64_t next = 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct extent e = {.start = (uint64_t)rand() % SECTORS};

		e.len = 1 + (uint64_t)rand() % (rand() % 8 ? 8 : SECTORS);
		if (extent_end(&e) > SECTORS)
			e.len = SECTORS - e.start;
		e.addr = rand() % 8 ? next : EXTENT_ZERO;
		if (next + SECTORS >= sizeof(dropped) / sizeof(dropped[0])) {
			next = 1;
			memset(dropped, 0, sizeof(dropped));
			memset(model, 0, sizeof(model));
			extents_free(m);
			m = extents_create(1 << 20);
		}
		CHECK(extents_room(m, 1));
		extents_put(m, &e, replaced, NULL);
		for (uint64_t s = e.start; s < extent_end(&e); s++) {
			if (model[s] != ABSENT && model[s] != EXTENT_ZERO)
				dropped[model[s]] += 1000;
			model[s] = e.addr == EXTENT_ZERO ? EXTENT_ZERO : e.addr + (s - e.start);
		}
		if (e.addr != EXTENT_ZERO)
			next += e.len;
		if (i % 64 == 0 && !agrees(m))
			break;
	}
	/* whatever was hidden was said to be, once */
	for (uint64_t a = 0; a < next; a++)
		if (!CHECK(dropped[a] == 0 || dropped[a] == 1001))
			break;
	extents_free(m);
}

static void neighbours_join(void)
{
	struct extents *m = extents_create(4096);

	for (uint64_t i = 0; i < 1000; i++)
		extents_put(m, &(struct extent){i * 8, 8, 5000 + i * 8}, NULL, NULL);
	CHECK_EQ(extents_count(m), 1);
	extents_put(m, &(struct extent){80, 8, EXTENT_ZERO}, NULL, NULL);
	CHECK_EQ(extents_count(m), 3);
	extents_put(m, &(struct extent){88, 8, EXTENT_ZERO}, NULL, NULL);
	CHECK_EQ(extents_count(m), 3);
	extents_put(m, &(struct extent){80, 16, 5080}, NULL, NULL);
	CHECK_EQ(extents_count(m), 1);
	extents_free(m);
}

static void fills_up(void)
{
	struct extents *m = extents_create(4096);
	uint64_t n = 0;

	while (extents_room(m, 1))
		extents_put(m, &(struct extent){n++ * 2, 1, 1}, NULL, NULL);
	CHECK(n > 30 && n < 4096 / 40);
	extents_put(m, &(struct extent){0, 1000, EXTENT_ZERO}, NULL, NULL);
	CHECK(extents_room(m, 1));
	CHECK_EQ(extents_count(m), 1);
	extents_free(m);
}

int main(void)
{
	RUN(random_puts);
	RUN(neighbours_join);
	RUN(fills_up);
	return check_result();
}
