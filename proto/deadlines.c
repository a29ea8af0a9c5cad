// SPDX-License-Identifier: GPL-2.0-or-later
#include "proto/deadlines.h"
#include <stdbool.h>

void deadlines_init(struct deadlines *h, struct deadline *memory, uint32_t total)
{
	*h = (struct deadlines){.d = memory, .total = total};
	for (uint32_t i = 0; i < total; i++)
		memory[i] = (struct deadline){.at = DEADLINE_NEVER};
}

static uint32_t at_place(const struct deadlines *h, uint32_t place)
{
	return h->d[place - 1].heap;
}

static void put(struct deadlines *h, uint32_t place, uint32_t i)
{
	h->d[place - 1].heap = i;
	h->d[i].place = place;
}

static bool before(const struct deadlines *h, uint32_t a, uint32_t b)
{
	return h->d[a].at != h->d[b].at ? h->d[a].at < h->d[b].at : a < b;
}

static void rise(struct deadlines *h, uint32_t i)
{
	uint32_t place = h->d[i].place;

	while (place > 1 && before(h, i, at_place(h, place / 2))) {
		put(h, place, at_place(h, place / 2));
		place /= 2;
	}
	put(h, place, i);
}

static void sink(struct deadlines *h, uint32_t i)
{
	uint32_t place = h->d[i].place;

	for (;;) {
		uint32_t child = place * 2;

		if (child < h->used && before(h, at_place(h, child + 1), at_place(h, child)))
			child++;
		if (child > h->used || !before(h, at_place(h, child), i))
			break;
		put(h, place, at_place(h, child));
		place = child;
	}
	put(h, place, i);
}

static void take_out(struct deadlines *h, uint32_t i)
{
	uint32_t place = h->d[i].place, last = at_place(h, h->used);

	h->used--;
	h->d[i].place = 0;
	if (last == i)
		return;
	put(h, place, last);
	rise(h, last);
	sink(h, last);
}

void deadline_set(struct deadlines *h, uint32_t i, uint64_t at)
{
	bool in = h->d[i].place != 0;

	h->d[i].at = at;
	if (at == DEADLINE_NEVER) {
		if (in)
			take_out(h, i);
		return;
	}
	if (!in)
		put(h, ++h->used, i);
	rise(h, i);
	sink(h, i);
}

uint64_t deadline_first(const struct deadlines *h, uint32_t *i)
{
	if (!h->used)
		return DEADLINE_NEVER;
	*i = at_place(h, 1);
	return h->d[*i].at;
}
