// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/page.h"
#include <stddef.h>
#include "storage/crc32c.h"

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
