// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages for tables that hardware walks: nested page tables, and the IOMMU's. */
#include "arch/x86_64/arch.h"
#include "hv/memmap.h"

static void *page(void *ctx, uint64_t *hpa)
{
	void *p = pages_alloc(1);

	(void)ctx;
	if (p)
		*hpa = virt_to_phys(p).v;
	return p;
}

static void *virt(void *ctx, uint64_t hpa)
{
	(void)ctx;
	return phys_to_virt((hpa_t){hpa});
}

const struct npt_alloc npt_pages = {.page = page, .virt = virt};
