// SPDX-License-Identifier: GPL-2.0-or-later
/* Which segment is whose, and how much of it is still seen. */
#include <errno.h>
#include "storage/store_internal.h"

uint64_t segment_sector(const struct store *s, uint32_t segment)
{
	return s->super.first_segment + (uint64_t)segment * s->super.segment_sectors;
}

struct page_area page_area(const struct store *s)
{
	const struct superblock *b = &s->super;

	return (struct page_area){b->first_segment, (uint64_t)b->segments * b->segment_sectors,
				  b->segment_sectors, b->golden_sectors};
}

uint32_t segment_of(const struct store *s, uint64_t sector)
{
	return (uint32_t)((sector - s->super.first_segment) / s->super.segment_sectors);
}

int segment_alloc(struct store *s, uint32_t owner, uint32_t reserve, uint32_t *segment)
{
	if (s->free_segments <= reserve)
		return -ENOSPC;
	while (s->segments[s->search_from].owner != OWNER_FREE)
		s->search_from = (s->search_from + 1) % s->super.segments;
	*segment = s->search_from;
	s->segments[*segment] = (struct segment){.owner = owner};
	s->free_segments--;
	log_forget(s, segment_sector(s, *segment), s->super.segment_sectors);
	cache_forget(s->cache, segment_sector(s, *segment), s->super.segment_sectors);
	return 0;
}

void segment_release(struct store *s, uint32_t segment)
{
	s->segments[segment].pending = RELEASED;
}

/* Reads that began before now may still be under way to what is released. */
static void wait_for_readers(struct store *s)
{
	unsigned old = s->phase;

	s->phase = !old;
	while (s->readers[old])
		fiber_queue_wait(&s->readers_wait);
}

void segments_mark(struct store *s)
{
	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].pending == RELEASED)
			s->segments[i].pending = LEAVING;
}

void segments_settle(struct store *s)
{
	wait_for_readers(s);
	for (uint32_t i = 0; i < s->super.segments; i++) {
		struct segment *g = &s->segments[i];

		if (g->pending != LEAVING)
			continue;
		*g = (struct segment){.owner = OWNER_FREE};
		s->free_segments++;
	}
}

void segment_live(struct store *s, uint64_t addr, uint64_t sectors, bool more)
{
	struct segment *g = &s->segments[segment_of(s, addr)];

	if (more)
		g->live += (uint32_t)sectors;
	else if (g->owner == s->open_delta) /* a sealed point still sees what it has */
		g->live -= (uint32_t)sectors;
}

void segment_dead(void *store, uint64_t addr, uint64_t sectors)
{
	segment_live(store, addr, sectors, false);
}

/* A segment of the tail is needed until the next checkpoint moves the tail on. */
bool segment_in_tail(const struct store *s, uint32_t segment)
{
	return segment == s->super.replay.segment || segment == s->log.segment ||
	       s->segments[segment].first >= s->super.replay.sequence;
}

void segments_reap(struct store *s)
{
	for (uint32_t i = 0; i < s->super.segments; i++) {
		const struct segment *g = &s->segments[i];

		if (g->owner == s->open_delta && !g->live && !g->pending && !segment_in_tail(s, i))
			segment_release(s, i);
	}
}
