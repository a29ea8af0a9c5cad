// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/msix.h"

static uint64_t control_data(const struct msix_entry *e)
{
	return (uint64_t)e->control << 32 | e->data;
}

uint64_t msix_read(const struct msix_entry *t, unsigned n, uint64_t offset, unsigned size)
{
	const struct msix_entry *e = &t[offset / MSIX_ENTRY_BYTES];

	if (offset / MSIX_ENTRY_BYTES >= n || size < 4)
		return 0;
	return (offset % MSIX_ENTRY_BYTES < 8 ? e->address : control_data(e)) >> offset % 8 * 8;
}

void msix_write(struct msix_entry *t, unsigned n, uint64_t offset, unsigned size, uint64_t val)
{
	unsigned shift = offset % 8 * 8;
	uint64_t mask = (size == 8 ? UINT64_MAX : UINT32_MAX) << shift, word;
	struct msix_entry *e = &t[offset / MSIX_ENTRY_BYTES];

	if (offset / MSIX_ENTRY_BYTES >= n || size < 4)
		return;
	if (offset % MSIX_ENTRY_BYTES < 8) {
		e->address = ((e->address & ~mask) | (val << shift & mask)) & ~3ull;
		return;
	}
	word = (control_data(e) & ~mask) | (val << shift & mask);
	e->data = (uint32_t)word;
	e->control = word >> 32 & MSIX_ENTRY_MASKED;
}

uint64_t msix_pending(const struct msix_entry *t, unsigned n, uint64_t offset)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < n; i++)
		bits |= (uint64_t)t[i].pending << i;
	return offset < 8 ? bits >> offset * 8 : 0;
}

bool msix_valid(const struct msix_entry *e)
{
	return !(e->control & ~(uint32_t)MSIX_ENTRY_MASKED) && !(e->address & 3);
}
