// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/nic_pool.h"
#include <string.h>

#define SKIP UINT32_MAX /* as an entry's size: the next one is at the start */

void nic_pool_init(struct nic_pool *p, void *mem, size_t bytes)
{
	*p = (struct nic_pool){.mem = mem, .bytes = bytes & ~(size_t)7};
}

void nic_pool_clear(struct nic_pool *p)
{
	nic_pool_init(p, p->mem, p->bytes);
}

static struct nic_caught *at(const struct nic_pool *p, size_t offset)
{
	return (struct nic_caught *)(p->mem + offset);
}

/* Is there no whole entry between offset and the end of the memory? */
static bool skipped(const struct nic_pool *p, size_t offset)
{
	return p->bytes - offset < sizeof(struct nic_caught) || at(p, offset)->size == SKIP;
}

struct nic_caught *nic_pool_add(struct nic_pool *p, size_t data)
{
	size_t size = nic_pool_bytes(data);
	bool wrap = p->bytes - p->end < size;
	size_t skip = wrap ? p->bytes - p->end : 0;
	struct nic_caught *e;

	if (size > p->bytes || p->bytes - p->used < size + skip)
		return NULL;
	if (wrap) {
		if (skip >= sizeof(struct nic_caught))
			at(p, p->end)->size = SKIP;
		p->end = 0;
	}
	e = at(p, p->end);
	memset(e, 0, sizeof(*e));
	e->size = (uint32_t)size;
	p->end += size;
	p->used += size + skip;
	p->entries++;
	return e;
}

struct nic_caught *nic_pool_first(const struct nic_pool *p)
{
	if (!p->entries)
		return NULL;
	return at(p, skipped(p, p->first) ? 0 : p->first);
}

struct nic_caught *nic_pool_after(const struct nic_pool *p, const struct nic_caught *e)
{
	size_t next = (size_t)((const uint8_t *)e - p->mem) + e->size;

	if (next == p->end)
		return NULL;
	if (skipped(p, next))
		next = 0;
	return next == p->end ? NULL : at(p, next);
}

void nic_pool_drop(struct nic_pool *p)
{
	const struct nic_caught *e = nic_pool_first(p);

	if (!e)
		return;
	if (skipped(p, p->first)) {
		p->used -= p->bytes - p->first;
		p->first = 0;
	}
	p->used -= e->size;
	p->first += e->size;
	if (!--p->entries)
		nic_pool_clear(p);
}
