/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor's page tables (SDM vol. 3, 4.5), 4 levels, supervisor only:
 *     HV_VIRT_BASE  the hypervisor's block: text R-X, rodata R--, everything else RW-
 *     DIRECT_BASE   RAM of the hand-off's map at DIRECT_BASE + physical, RW-, without the block
 *     MMIO_BASE     device registers, uncached
 *     STACK_BASE    stacks between guard pages (percpu.c)
 *     TEMP_BASE     firmware tables while they are being copied
 * A second root adds identity mappings of the EFI runtime services and the AP trampoline; only
 * smp.c and reset.c load it.
 */
#include "arch/x86_64/internal.h"
#include "hv/log.h"

#define PTE_P	 (1ull << 0)
#define PTE_W	 (1ull << 1)
#define PTE_PWT	 (1ull << 3)
#define PTE_PCD	 (1ull << 4)
#define PTE_A	 (1ull << 5)
#define PTE_D	 (1ull << 6)
#define PTE_PS	 (1ull << 7)
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

#define MAP_RX	(PTE_P | PTE_A)
#define MAP_RWX (PTE_P | PTE_W | PTE_A | PTE_D)
#define MAP_R	(PTE_P | PTE_A | PTE_NX)
#define MAP_RW	(PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX)
#define MAP_UC	(MAP_RW | PTE_PCD | PTE_PWT)

#define PAGE_2M (1ull << 21)
#define PAGE_1G (1ull << 30)
#define DIRECT_MAX \
	(1ull << 46) /* bytes of physical addresses that the direct map's half can hold */

#define CPUID_EXT_1G (1u << 26)

static uint64_t *root, *firmware_root;
static uint64_t mmio_next = MMIO_BASE;
static bool has_1g;

static uint64_t block_end_virt(void)
{
	return HV_VIRT_BASE + handoff->hv_size;
}

static uint64_t *table_at(uint64_t entry)
{
	return (uint64_t *)((entry & PTE_ADDR) - handoff->hv_base + HV_VIRT_BASE);
}

static uint64_t *new_table(void)
{
	uint64_t *t = pages_alloc(1);

	if (!t)
		panic("no memory for page tables: raise hv_memory=");
	return t;
}

static uint64_t block_phys(const void *p)
{
	return (uint64_t)p - HV_VIRT_BASE + handoff->hv_base;
}

static unsigned index_at(uint64_t va, unsigned level)
{
	return va >> (12 + 9 * (level - 1)) & 511;
}

/* The entry for `va` at `level` (1 = 4 KiB), with the tables above it made as needed. */
static uint64_t *entry_for(uint64_t *top, uint64_t va, unsigned level)
{
	uint64_t *t = top;

	for (unsigned l = 4; l > level; l--) {
		uint64_t *e = &t[index_at(va, l)];

		if (!(*e & PTE_P))
			*e = block_phys(new_table()) | PTE_P | PTE_W | PTE_A;
		ASSERT(!(*e & PTE_PS));
		t = table_at(*e);
	}
	return &t[index_at(va, level)];
}

static unsigned level_for(uint64_t va, uint64_t pa, uint64_t size)
{
	if (has_1g && (va | pa) % PAGE_1G == 0 && size >= PAGE_1G)
		return 3;
	if ((va | pa) % PAGE_2M == 0 && size >= PAGE_2M)
		return 2;
	return 1;
}

static void map(uint64_t *top, uint64_t va, uint64_t pa, uint64_t size, uint64_t flags)
{
	while (size > 0) {
		unsigned level = level_for(va, pa, size);
		uint64_t step = PAGE_SIZE << 9 * (level - 1);

		*entry_for(top, va, level) = pa | flags | (level > 1 ? PTE_PS : 0);
		va += step;
		pa += step;
		size -= step;
	}
}

static void map_image_part(const uint8_t *from, const uint8_t *to, uint64_t flags)
{
	map(root, (uint64_t)from, block_phys(from), (uint64_t)(to - from), flags);
}

static void map_block(void)
{
	uint64_t image_end = (uint64_t)__image_end;

	ASSERT(HV_VIRT_BASE + handoff->image_size >= image_end && image_end <= block_end_virt());
	map_image_part(__text_start, __text_end, MAP_RX);
	map_image_part(__rodata_start, __rodata_end, MAP_R);
	map_image_part(__data_start, __image_end, MAP_RW);
	map(root, image_end, image_end - HV_VIRT_BASE + handoff->hv_base,
	    block_end_virt() - image_end, MAP_RW);
}

static void map_direct(uint64_t from, uint64_t to)
{
	if (from < to)
		map(root, DIRECT_BASE + from, from, to - from, MAP_RW);
}

static void map_ram(void)
{
	uint64_t hole = handoff->hv_base, hole_end = hole + handoff->hv_size;

	for (unsigned i = 0; i < handoff->n_map; i++) {
		const struct mem_range *r = &handoff->map[i];
		uint64_t from = r->base, to = r->base + r->size;

		if (r->type != MEM_RAM || to > DIRECT_MAX)
			continue;
		map_direct(from, to < hole ? to : hole);
		map_direct(from > hole_end ? from : hole_end, to);
	}
}

/* What firmware code may touch once boot services are gone (UEFI 2.10, 2.3.4), by the type of
 * memory. */
static void map_firmware(void)
{
	for (unsigned i = 256; i < 512; i++)
		firmware_root[i] = root[i];
	for (unsigned i = 0; i < handoff->n_map; i++) {
		const struct mem_range *r = &handoff->map[i];
		uint64_t flags = MAP_RW;

		if (r->base + r->size > DIRECT_MAX)
			continue;
		if (r->type == MEM_RUNTIME_CODE)
			flags = MAP_RWX;
		else if (r->type == MEM_MMIO)
			flags = MAP_UC;
		else if (r->type != MEM_RUNTIME_DATA && r->type != MEM_NVS &&
			 r->type != MEM_RESERVED)
			continue;
		if (r->type == MEM_RUNTIME_CODE || r->type == MEM_RUNTIME_DATA || r->runtime)
			map(firmware_root, r->base, r->base, r->size, flags);
	}
	if (handoff->trampoline)
		map(firmware_root, handoff->trampoline, handoff->trampoline, PAGE_SIZE, MAP_RX);
}

void paging_init(void)
{
	has_1g = cpuid(0x80000001, 0).edx & CPUID_EXT_1G;
	root = new_table();
	firmware_root = new_table();
	map_block();
	map_ram();
	/* The windows' upper tables exist from the start, so that firmware_root, which copies the
	 * root's entries, sees all. */
	entry_for(root, MMIO_BASE, 1);
	entry_for(root, STACK_BASE, 1);
	entry_for(root, TEMP_BASE, 1);
	map_firmware();
	write_cr3(paging_cr3());
}

uint64_t paging_cr3(void)
{
	return block_phys(root);
}

uint64_t paging_firmware_cr3(void)
{
	return block_phys(firmware_root);
}

void paging_map_stack(uint64_t va, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE_SIZE)
		*entry_for(root, va + i, 1) = block_phys(new_table()) | MAP_RW;
}

void *mmio_map(hpa_t p, size_t bytes)
{
	uint64_t offset = p.v % PAGE_SIZE, va = mmio_next;
	uint64_t size = (offset + bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

	if (bytes > MMIO_SIZE || size > STACK_BASE - mmio_next)
		return NULL;
	mmio_next += size;
	map(root, va, p.v - offset, size, MAP_UC);
	return (void *)(va + offset);
}

const void *temp_map(uint64_t pa, size_t bytes)
{
	uint64_t offset = pa % PAGE_SIZE;

	if (bytes > TEMP_SIZE - offset)
		return NULL;
	temp_unmap();
	for (uint64_t i = 0; i < offset + bytes; i += PAGE_SIZE)
		*entry_for(root, TEMP_BASE + i, 1) = (pa - offset + i) | MAP_R;
	return (const void *)(TEMP_BASE + offset);
}

void temp_unmap(void)
{
	uint64_t *table = entry_for(root, TEMP_BASE, 1);

	for (unsigned i = 0; i < TEMP_SIZE / PAGE_SIZE; i++)
		table[i] = 0;
	write_cr3(read_cr3());
}

/* The leaf entry that maps va, its size in *size; 0 if nothing does. */
static uint64_t lookup(uint64_t va, uint64_t *size)
{
	const uint64_t *t = root;

	for (unsigned l = 4; l > 0; l--) {
		uint64_t e = t[index_at(va, l)];

		*size = PAGE_SIZE << 9 * (l - 1);
		if (!(e & PTE_P))
			return 0;
		if (l == 1 || e & PTE_PS)
			return e;
		t = table_at(e);
	}
	return 0;
}

bool paging_is_mapped(uint64_t va)
{
	uint64_t size;

	return root && (va >> 47 == 0 || va >> 47 == 0x1ffff) && lookup(va, &size) != 0;
}

hpa_t virt_to_phys(const void *p)
{
	uint64_t va = (uint64_t)p, e, size;

	if (va >= HV_VIRT_BASE && va < block_end_virt())
		return (hpa_t){block_phys(p)};
	if (va >= DIRECT_BASE && va < DIRECT_BASE + DIRECT_MAX)
		return (hpa_t){va - DIRECT_BASE};
	e = lookup(va, &size);
	if (!e)
		panic("virt_to_phys: 0x%llx is not mapped", (unsigned long long)va);
	return (hpa_t){(e & PTE_ADDR & ~(size - 1)) + va % size};
}

void *phys_to_virt(hpa_t p)
{
	if (p.v - handoff->hv_base < handoff->hv_size)
		return (void *)(p.v - handoff->hv_base + HV_VIRT_BASE);
	return (void *)(DIRECT_BASE + p.v);
}
