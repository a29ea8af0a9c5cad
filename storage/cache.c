// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/cache.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include "storage/dev.h"
#include "storage/fiber.h"
#include "storage/page.h"

#define NOWHERE UINT64_MAX

struct frame {
	uint64_t addr;
	struct frame *next; /* in its bucket */
	struct page *page;
	unsigned pins;
	bool used, loading, stale; /* used: since the hand passed */
};

struct page_cache {
	struct blockdev *dev;
	struct page_area area;
	char *memory;
	struct frame *frames, **buckets;
	size_t n, hand, n_buckets; /* n_buckets: power of two */
};

static struct frame **bucket(struct page_cache *c, uint64_t addr)
{
	return &c->buckets[(addr / PAGE_SECTORS * 0x9e3779b97f4a7c15ull >> 32) &
			   (c->n_buckets - 1)];
}

struct page_cache *cache_create(struct blockdev *d, size_t bytes, const struct page_area *area)
{
	struct page_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->dev = d;
	c->area = *area;
	c->n = bytes / PAGE_BYTES;
	for (c->n_buckets = 1; c->n_buckets < c->n;)
		c->n_buckets *= 2;
	c->memory = malloc(c->n * PAGE_BYTES);
	c->frames = calloc(c->n, sizeof(*c->frames));
	c->buckets = calloc(c->n_buckets, sizeof(struct frame *));
	if (!c->memory || !c->frames || !c->buckets) {
		cache_free(c);
		return NULL;
	}
	for (size_t i = 0; i < c->n; i++) {
		c->frames[i].addr = NOWHERE;
		c->frames[i].page = (struct page *)(void *)(c->memory + i * PAGE_BYTES);
	}
	return c;
}

void cache_free(struct page_cache *c)
{
	if (!c)
		return;
	free(c->memory);
	free(c->frames);
	free(c->buckets);
	free(c);
}

static struct frame *look_up(struct page_cache *c, uint64_t addr)
{
	struct frame *f = *bucket(c, addr);

	while (f && f->addr != addr)
		f = f->next;
	return f;
}

static void unlink_frame(struct page_cache *c, struct frame *f)
{
	struct frame **p = bucket(c, f->addr);

	if (f->addr == NOWHERE)
		return;
	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	f->addr = NOWHERE;
}

/* A frame nobody uses, by second chance; NULL: all are pinned. */
static struct frame *evict(struct page_cache *c)
{
	for (size_t i = 0; i < 2 * c->n; i++) {
		struct frame *f = &c->frames[c->hand];

		c->hand = (c->hand + 1) % c->n;
		if (f->pins)
			continue;
		if (!f->used) {
			unlink_frame(c, f);
			return f;
		}
		f->used = false;
	}
	return NULL;
}

static int load(struct page_cache *c, struct frame *f, uint64_t addr)
{
	struct frame **b = bucket(c, addr);
	int err;

	f->addr = addr;
	f->next = *b;
	*b = f;
	f->pins = 1;
	f->loading = true;
	f->stale = false;
	err = dev_read(c->dev, addr, f->page, PAGE_BYTES);
	f->loading = false;
	if (!err && (!page_valid(f->page, addr) || !page_sound(f->page, &c->area)))
		err = -EUCLEAN;
	if (err || f->stale) {
		unlink_frame(c, f);
		f->pins--;
		return err ? err : -EAGAIN;
	}
	return 0;
}

static int get_once(struct page_cache *c, uint64_t addr, struct frame **f)
{
	*f = look_up(c, addr);
	if (*f && (*f)->loading)
		return -EAGAIN;
	if (*f) {
		(*f)->pins++;
		return 0;
	}
	*f = evict(c);
	return *f ? load(c, *f, addr) : -EAGAIN;
}

int cache_get(struct page_cache *c, uint64_t addr, const struct page **p)
{
	struct frame *f;
	int err;

	if (!page_in(&c->area, addr))
		return -EUCLEAN;
	while ((err = get_once(c, addr, &f)) == -EAGAIN)
		fiber_yield(); /* somebody loads it, or all frames are pinned for a moment */
	if (err)
		return err;
	f->used = true;
	*p = f->page;
	return 0;
}

void cache_put(struct page_cache *c, const struct page *p)
{
	c->frames[(size_t)((const char *)p - c->memory) / PAGE_BYTES].pins--;
}

void cache_forget(struct page_cache *c, uint64_t addr, uint64_t sectors)
{
	for (uint64_t a = addr; a < addr + sectors; a += PAGE_SECTORS) {
		struct frame *f = look_up(c, a);

		if (!f)
			continue;
		f->stale = true; /* if it is being loaded */
		if (!f->loading && !f->pins)
			unlink_frame(c, f);
	}
}
