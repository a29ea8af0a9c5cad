// SPDX-License-Identifier: GPL-2.0-or-later
/* What will happen: a binary heap; of two things at one moment the one that was decided first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "test/sim/sim.h"

static struct event **heap;
static size_t used, room;
static uint64_t order;

void events_reset(void)
{
	while (used)
		free(heap[--used]);
	order = 0;
}

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static struct event *add(uint64_t at, enum event_type type, uint32_t to)
{
	struct event *e = calloc(1, sizeof(*e));
	size_t i = used++;

	if (used > room) {
		room = room ? room * 2 : 1024;
		heap = realloc(heap, room * sizeof(struct event *));
	}
	if (!e || !heap) {
		(void)fprintf(stderr, "sim: out of memory\n");
		exit(2);
	}
	e->at = at < now ? now : at;
	e->order = ++order;
	e->type = type;
	e->to = to;
	for (; i && before(e, heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = e;
	return e;
}

void event_add(uint64_t at, enum event_type type, uint32_t to, uint32_t generation)
{
	add(at, type, to)->generation = generation;
}

void event_message(uint64_t at, enum event_type type, uint32_t to, uint32_t from,
		   const struct wire_message *m)
{
	struct event *e = add(at, type, to);

	e->from = from;
	e->size = (uint32_t)wire_encode(m, e->bytes);
}

bool event_take(struct event *e)
{
	struct event *last;
	size_t i = 0, child;

	if (!used)
		return false;
	*e = *heap[0];
	free(heap[0]);
	last = heap[--used];
	while ((child = 2 * i + 1) < used) {
		if (child + 1 < used && before(heap[child + 1], heap[child]))
			child++;
		if (!before(heap[child], last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return true;
}
