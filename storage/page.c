// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/page.h"
#include <stddef.h>
#include "storage/crc32c.h"
#include "storage/extents.h"

static uint32_t checksum(const struct page *p)
{
	const uint32_t zero = 0;
	uint32_t crc = crc32c(0, p, offsetof(struct page, crc));

	crc = crc32c(crc, &zero, sizeof(zero));
	return crc32c(crc, &p->addr, PAGE_BYTES - offsetof(struct page, addr));
}

void page_seal(struct page *p)
{
	p->crc = checksum(p);
}

bool page_valid(const struct page *p, uint64_t addr)
{
	return p->magic == PAGE_MAGIC && p->addr == addr && p->n > 0 &&
	       p->n <= (p->level ? PAGE_CHILD_MAX : PAGE_LEAF_MAX) && p->crc == checksum(p);
}

bool page_in(const struct page_area *a, uint64_t addr)
{
	return addr >= a->first_segment && addr - a->first_segment < a->sectors &&
	       (addr - a->first_segment) % PAGE_SECTORS == 0;
}

/* Data are in one segment, as its record is. */
static bool data_in(const struct page_area *a, uint64_t addr, uint32_t sectors)
{
	return addr >= a->first_segment && addr - a->first_segment < a->sectors &&
	       sectors <= a->segment_sectors - (addr - a->first_segment) % a->segment_sectors;
}

static bool leaf_sound(const struct page *p, const struct page_area *a)
{
	uint64_t from = 0;

	for (unsigned i = 0; i < p->n; i++) {
		const struct page_extent *e = &p->extent[i];

		if (e->start < from || !e->len || e->start > a->disk_sectors ||
		    e->len > a->disk_sectors - e->start)
			return false;
		if (e->addr != EXTENT_ZERO && !data_in(a, e->addr, e->len))
			return false;
		from = e->start + e->len;
	}
	return true;
}

bool page_sound(const struct page *p, const struct page_area *a)
{
	if (!p->level)
		return leaf_sound(p, a);
	for (unsigned i = 0; i < p->n; i++)
		if (!page_in(a, p->child[i].addr) ||
		    (i && p->child[i].start <= p->child[i - 1].start))
			return false;
	return true;
}
