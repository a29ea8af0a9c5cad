// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/arena.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "hv/log.h"

#define ALIGN 16u

struct arena_block { /* in front of what it describes; they follow each other without gaps */
	struct arena_block *next, *previous;
	size_t bytes; /* without this header */
	bool taken;
} __attribute__((aligned(ALIGN)));

void arena_init(struct arena *a, void *memory, size_t bytes)
{
	a->first = memory;
	a->used = 0;
	*a->first = (struct arena_block){.bytes = bytes - sizeof(struct arena_block)};
}

static char *payload(struct arena_block *b)
{
	return (char *)(b + 1);
}

static void join_next(struct arena_block *b)
{
	struct arena_block *n = b->next;

	b->bytes += sizeof(*n) + n->bytes;
	b->next = n->next;
	if (b->next)
		b->next->previous = b;
}

/* The rest of a block that is too large becomes one of its own. */
static void split(struct arena_block *b, size_t bytes)
{
	struct arena_block *rest;

	if (b->bytes - bytes < sizeof(*rest) + ALIGN)
		return;
	rest = (struct arena_block *)(payload(b) + bytes);
	*rest = (struct arena_block){
		.next = b->next, .previous = b, .bytes = b->bytes - bytes - sizeof(*rest)};
	if (rest->next)
		rest->next->previous = rest;
	b->next = rest;
	b->bytes = bytes;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = bytes ? (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
	for (struct arena_block *b = a->first; b; b = b->next) {
		if (b->taken || b->bytes < bytes)
			continue;
		split(b, bytes);
		b->taken = true;
		a->used += sizeof(*b) + b->bytes;
		return payload(b);
	}
	return NULL;
}

void arena_free(struct arena *a, void *p)
{
	struct arena_block *b;

	if (!p)
		return;
	b = (struct arena_block *)p - 1;
	ASSERT(b->taken);
	b->taken = false;
	a->used -= sizeof(*b) + b->bytes;
	if (b->next && !b->next->taken)
		join_next(b);
	if (b->previous && !b->previous->taken)
		join_next(b->previous);
}

void *arena_resize(struct arena *a, void *p, size_t bytes)
{
	size_t old = p ? ((struct arena_block *)p - 1)->bytes : 0;
	void *new;

	if (p && bytes <= old)
		return p;
	new = arena_alloc(a, bytes);
	if (new &&p) {
		memcpy(new, p, old);
		arena_free(a, p);
	}
	return new;
}
