// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Page tables for the hand-off (SDM vol. 3, 4.5): the first 4 GiB and all RAM above at their own
 * addresses, and the hypervisor's block at HV_VIRT_BASE. Everything writable and executable; the
 * hypervisor makes its own tables first thing.
 */
#include "arch/x86_64/cpu.h"
#include "boot/loader.h"

#define PTE_P	  (1ull << 0)
#define PTE_W	  (1ull << 1)
#define PTE_PS	  (1ull << 7)
#define PTE_ADDR  0x000ffffffffff000ull
#define SIZE_2M	  (1ull << 21)
#define SIZE_1G	  (1ull << 30)
#define SIZE_512G (1ull << 39)
#define LOW_GIB	  4 /* in 2 MiB pages: RAM and devices are mixed there */
#define HV_PML4	  511
#define HV_PDPT	  510
_Static_assert(HV_VIRT_BASE == 0ull - 2 * SIZE_1G, "PML4 and PDPT slots of the window");

struct pool {
	uint64_t next; /* zeroed pages */
};

static uint64_t *new_table(struct pool *p)
{
	uint64_t *table = (uint64_t *)p->next;

	p->next += PAGE_SIZE;
	return table;
}

static uint64_t *sub_table(struct pool *p, uint64_t *entry)
{
	if (!*entry)
		*entry = (uint64_t)new_table(p) | PTE_P | PTE_W;
	return (uint64_t *)(*entry & PTE_ADDR);
}

static bool wanted(const struct memory_view *v, uint64_t gib)
{
	uint64_t base = gib * SIZE_1G;

	if (gib < LOW_GIB)
		return true;
	for (size_t i = 0; i < v->n; i++) {
		const struct mem_range *r = &v->map[i];

		if (r->type == MEM_RAM && r->base < base + SIZE_1G && r->base + r->size > base)
			return true;
	}
	return false;
}

static uint64_t ram_end(const struct memory_view *v)
{
	uint64_t end = LOW_GIB * SIZE_1G;

	for (size_t i = 0; i < v->n; i++) {
		if (v->map[i].type == MEM_RAM && v->map[i].base + v->map[i].size > end)
			end = v->map[i].base + v->map[i].size;
	}
	return end;
}

uint64_t paging_size(const struct memory_view *v)
{
	uint64_t gibs = (ram_end(v) + SIZE_1G - 1) / SIZE_1G;
	uint64_t pages = 1 + (ram_end(v) + SIZE_512G - 1) / SIZE_512G +
			 2; /* PML4, PDPTs, the window's two */

	pages += cpu_has_1g_pages() ? LOW_GIB : gibs;
	return pages * PAGE_SIZE;
}

static void map_gib(struct pool *p, uint64_t *pml4, uint64_t gib, bool large)
{
	uint64_t base = gib * SIZE_1G;
	uint64_t *pdpt = sub_table(p, &pml4[gib / 512]), *pd;

	if (large) {
		pdpt[gib % 512] = base | PTE_P | PTE_W | PTE_PS;
		return;
	}
	pd = sub_table(p, &pdpt[gib % 512]);
	for (unsigned i = 0; i < 512; i++)
		pd[i] = (base + i * SIZE_2M) | PTE_P | PTE_W | PTE_PS;
}

uint64_t paging_build(uint64_t tables, const struct memory_view *v, uint64_t hv_base,
		      uint64_t hv_size)
{
	uint64_t gibs = (ram_end(v) + SIZE_1G - 1) / SIZE_1G;
	struct pool p = {.next = tables};
	uint64_t *pml4 = new_table(&p), *pd;
	bool large = cpu_has_1g_pages();

	for (uint64_t gib = 0; gib < gibs; gib++) {
		if (wanted(v, gib))
			map_gib(&p, pml4, gib, large && gib >= LOW_GIB);
	}
	pd = sub_table(&p, &sub_table(&p, &pml4[HV_PML4])[HV_PDPT]);
	for (uint64_t i = 0; i < hv_size / SIZE_2M; i++)
		pd[i] = (hv_base + i * SIZE_2M) | PTE_P | PTE_W | PTE_PS;
	return (uint64_t)pml4;
}
