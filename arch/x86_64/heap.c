/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of the hypervisor's block: a bitmap, first fit from where the last search ended. Any CPU.
 */
#include <string.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"
#include "hv/log.h"

#define BLOCK_MAX   (1ull << 30)
#define BLOCK_PAGES (BLOCK_MAX / PAGE_SIZE)

static uint64_t is_free[BLOCK_PAGES / 64]; /* bit set: free */
static size_t end;			   /* first page beyond everything added */
static size_t free_pages, hint;
static struct spinlock lock;
static uint8_t *chunk; /* heap_alloc()'s rest */
static size_t chunk_left;

static bool test(size_t page)
{
	return is_free[page / 64] >> page % 64 & 1;
}

static void flip(size_t page, size_t n)
{
	for (; n > 0; n--, page++)
		is_free[page / 64] ^= 1ull << page % 64;
}

void heap_add(uint64_t from, uint64_t to)
{
	size_t first = (from + PAGE_SIZE - 1) / PAGE_SIZE, last = to / PAGE_SIZE;

	ASSERT(to <= BLOCK_MAX);
	if (first >= last)
		return;
	flip(first, last - first);
	free_pages += last - first;
	if (end < last)
		end = last;
}

/* First page of a run of n free ones in [from, to), or `to`. */
static size_t find(size_t from, size_t to, size_t n)
{
	size_t run = 0;

	for (size_t page = from; page < to; page++) {
		if (is_free[page / 64] == 0) {
			page |= 63;
			run = 0;
		} else if (!test(page)) {
			run = 0;
		} else if (++run == n) {
			return page + 1 - n;
		}
	}
	return to;
}

void *pages_alloc(size_t count)
{
	size_t page;
	void *p;

	if (count == 0)
		return NULL;
	spin_lock(&lock);
	page = find(hint, end, count);
	if (page == end)
		page = find(0, end, count);
	if (page == end) {
		spin_unlock(&lock);
		return NULL;
	}
	flip(page, count);
	free_pages -= count;
	hint = page + count;
	spin_unlock(&lock);
	p = (void *)(HV_VIRT_BASE + page * PAGE_SIZE);
	memset(p, 0, count * PAGE_SIZE);
	return p;
}

void pages_free(void *p, size_t count)
{
	size_t first = ((uint64_t)p - HV_VIRT_BASE) / PAGE_SIZE;

	if (!p || count == 0)
		return;
	ASSERT((uint64_t)p % PAGE_SIZE == 0 && first < end && count <= end - first);
	spin_lock(&lock);
	for (size_t i = first; i < first + count; i++)
		ASSERT(!test(i));
	flip(first, count);
	free_pages += count;
	if (hint > first)
		hint = first;
	spin_unlock(&lock);
}

size_t pages_free_count(void)
{
	return __atomic_load_n(&free_pages, __ATOMIC_RELAXED);
}

void *heap_alloc(size_t bytes)
{
	void *p;

	bytes = (bytes + 15) & ~15ull;
	if (bytes > chunk_left) {
		size_t pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
		uint8_t *fresh = pages_alloc(pages);

		if (!fresh)
			panic("no memory for %zu bytes: raise hv_memory=", bytes);
		if (pages * PAGE_SIZE - bytes <= chunk_left)
			return fresh; /* what the old chunk has left is worth more */
		chunk = fresh;
		chunk_left = pages * PAGE_SIZE;
	}
	p = chunk;
	chunk += bytes;
	chunk_left -= bytes;
	return p;
}
