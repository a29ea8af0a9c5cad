/* build: hv/memmap.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's memory map, MTRR types and E820, against recorded firmware maps. */
#include <errno.h>
#include <stdio.h>
#include "test/unit/check.h"
#include "test/unit/memory_maps.h"

static struct guest_map map;
static struct handoff h;
static struct e820_entry e820[E820_MAX];

static uint8_t type_at(const struct mtrr_regs *m, uint64_t hpa)
{
	uint64_t end;

	return mtrr_type(m, hpa, &end);
}

static void disabled_mtrrs_are_uc(void)
{
	CHECK_EQ(type_at(&no_mtrr, 0x100000), MT_UC);
}

static void fixed_ranges(void)
{
	struct mtrr_regs m = {.cap = 0x100, .def_type = 0xc06, .phys_bits = 40};
	uint64_t end;

	m.fixed[0] = 0x0606060606060604;  /* 64 KiB each */
	m.fixed[1] = 0x0606060606060106;  /* 80000, 16 KiB each */
	m.fixed[2] = 0x0500000000000000;  /* BC000 */
	m.fixed[3] = 0x0000000000000500;  /* C1000, 4 KiB each */
	m.fixed[10] = 0x0400000000000000; /* FF000 */
	CHECK_EQ(mtrr_type(&m, 0xf000, &end), MT_WT);
	CHECK_EQ(end, 0x10000);
	CHECK_EQ(type_at(&m, 0x10000), MT_WB);
	CHECK_EQ(mtrr_type(&m, 0x84000, &end), MT_WC);
	CHECK_EQ(end, 0x88000);
	CHECK_EQ(type_at(&m, 0x88000), MT_WB);
	CHECK_EQ(type_at(&m, 0xbc000), MT_WP);
	CHECK_EQ(type_at(&m, 0xb8000), MT_UC);
	CHECK_EQ(mtrr_type(&m, 0xc1000, &end), MT_WP);
	CHECK_EQ(end, 0xc2000);
	CHECK_EQ(type_at(&m, 0xff000), MT_WT);
	CHECK_EQ(type_at(&m, 0x100000), MT_WB);
	m.fixed[0] = 0x1e1e1e1e1e1e1e1e; /* AMD: RdMem, WrMem */
	CHECK_EQ(type_at(&m, 0), MT_WB);
	m.def_type = 0x800; /* fixed ranges off */
	CHECK_EQ(type_at(&m, 0), MT_UC);
}

static void variable_ranges_and_their_overlaps(void)
{
	struct mtrr_regs m = {
		.def_type = 0x800 | MT_WP,
		.n_var = 5,
		.phys_bits = 46,
		.var = {VAR(0x10000000ull, 0x10000000ull, MT_WB),
			VAR(0x14000000ull, 0x1000000ull, MT_WT),
			VAR(0x18000000ull, 0x1000000ull, MT_UC),
			VAR(0x1c000000ull, 0x1000000ull, MT_WC),
			{0x20000000 | MT_WB, 0}},
	};
	uint64_t end;

	CHECK_EQ(mtrr_type(&m, 0x0, &end), MT_WP);
	CHECK_EQ(mtrr_type(&m, 0x100000, &end), MT_WP);
	CHECK_EQ(end, 0x10000000);
	CHECK_EQ(mtrr_type(&m, 0x10000000, &end), MT_WB);
	CHECK_EQ(end, 0x14000000);
	CHECK_EQ(mtrr_type(&m, 0x14fff000, &end), MT_WT);
	CHECK_EQ(end, 0x15000000);
	CHECK_EQ(type_at(&m, 0x18000000), MT_UC);
	CHECK_EQ(type_at(&m, 0x1c000000), MT_UC); /* WB and WC: undefined */
	CHECK_EQ(type_at(&m, 0x1ffff000), MT_WB);
	CHECK_EQ(type_at(&m, 0x20000000), MT_WP); /* not valid */
}

static void masks_with_gaps(void)
{
	/* every second 1 MiB from 0 */
	struct mtrr_regs m = {.def_type = 0x800,
			      .n_var = 1,
			      .phys_bits = 36,
			      .var = {{MT_WB, 0x100000 | 1u << 11}}};
	uint64_t end;

	CHECK_EQ(mtrr_type(&m, 0x200000, &end), MT_WB);
	CHECK_EQ(end, 0x300000);
	CHECK_EQ(mtrr_type(&m, 0x345000, &end), MT_UC);
	CHECK_EQ(end, 0x400000);
}

static void amd_memory_above_4g_is_wb_by_tom2(void)
{
	struct mtrr_regs m = {.def_type = 0x800, .phys_bits = 48, .tom2 = 0x180000000};
	uint64_t end;

	CHECK_EQ(mtrr_type(&m, 0xfffff000, &end), MT_UC);
	CHECK_EQ(end, 0x100000000);
	CHECK_EQ(mtrr_type(&m, 0x100000000, &end), MT_WB);
	CHECK_EQ(end, 0x180000000);
	CHECK_EQ(type_at(&m, 0x180000000), MT_UC);
}

static const struct guest_range *range_of(uint64_t gpa)
{
	for (unsigned i = 0; i < map.n; i++) {
		if (gpa >= map.range[i].gpa && gpa - map.range[i].gpa < map.range[i].size)
			return &map.range[i];
	}
	return NULL;
}

static bool page_right(const struct machine_map *mm, uint64_t page)
{
	const struct guest_range *r = range_of(page);

	if (page >= TABLES_GPA && page < TABLES_GPA + TABLES_SIZE)
		return CHECK(r && r->kind == GUEST_TABLES) &&
		       CHECK_EQ(r->hpa + page - r->gpa, tables_hpa_of(mm) + page - TABLES_GPA);
	if (!page_is_guest_ram(&h, page))
		return CHECK(!r);
	return CHECK(r && r->kind == GUEST_RAM) && CHECK_EQ(r->hpa, r->gpa) &&
	       CHECK_EQ(r->type, page_type(mm->mtrr, page));
}

/* Both sides of every edge that can matter, and what lies between them. */
static bool pages_right(const struct machine_map *mm)
{
	uint64_t edges[2 * 600 + 64];
	unsigned n = 0;

	edges[n++] = 0xa0000;
	edges[n++] = TABLES_GPA;
	edges[n++] = 0x100000;
	edges[n++] = ECAM_BASE;
	edges[n++] = 0x100000000;
	edges[n++] = h.hv_base;
	edges[n++] = h.hv_base + h.hv_size;
	for (unsigned i = 0; i < h.n_map; i++) {
		edges[n++] = h.map[i].base;
		edges[n++] = h.map[i].base + h.map[i].size;
		edges[n++] = (h.map[i].base + h.map[i].size / 2) & ~0xfffull;
	}
	for (unsigned i = 0; i < mm->mtrr->n_var; i++) {
		uint64_t mask = mm->mtrr->var[i].mask & ~0xfffull,
			 base = mm->mtrr->var[i].base & mask;

		if (!mask)
			continue;
		edges[n++] = base;
		edges[n++] = base + (mask & -mask);
	}
	for (unsigned i = 0; i < n; i++) {
		if (!page_right(mm, edges[i]) || (edges[i] && !page_right(mm, edges[i] - 0x1000)) ||
		    !page_right(mm, edges[i] + 0x1000)) {
			printf("FAIL %s: page 0x%llx\n", mm->name, (unsigned long long)edges[i]);
			return false;
		}
	}
	for (uint64_t page = 0; page < 0x200000; page += 0x1000) {
		if (!page_right(mm, page))
			return false;
	}
	return true;
}

static bool build(const struct machine_map *mm)
{
	fill_handoff(&h, mm);
	return CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0);
}

static void every_page_is_mapped_as_it_should_be(void)
{
	for (unsigned i = 0; i < MACHINE_MAPS; i++) {
		if (!build(&machine_maps[i]) || !pages_right(&machine_maps[i]))
			return;
	}
}

static void ranges_are_sorted_merged_and_counted(void)
{
	for (unsigned i = 0; i < MACHINE_MAPS; i++) {
		uint64_t ram = 0, low = 0;

		if (!build(&machine_maps[i]))
			return;
		for (unsigned k = 0; k < map.n; k++) {
			const struct guest_range *r = &map.range[k], *p = r - 1;

			CHECK(r->size && !((r->gpa | r->hpa | r->size) & 0xfff));
			if (k)
				CHECK(p->gpa + p->size <= r->gpa);
			if (k && p->gpa + p->size == r->gpa && p->hpa + p->size == r->hpa)
				CHECK(p->type != r->type || p->kind != r->kind);
			if (r->kind == GUEST_RAM)
				ram += r->size;
			if (r->kind == GUEST_RAM && r->gpa < 0x100000000)
				low = r->gpa + r->size;
		}
		CHECK_EQ(map.ram_bytes, ram);
		CHECK_EQ(map.low_top, low);
	}
}

static void pci_window_is_free_of_memory(void)
{
	for (unsigned i = 0; i < MACHINE_MAPS; i++) {
		if (!build(&machine_maps[i]))
			return;
		CHECK(map.pci_end - map.pci_base >= 64u << 20);
		CHECK(map.pci_end <= ECAM_BASE);
		CHECK(map.pci_base >= map.low_top);
		for (unsigned k = 0; k < h.n_map; k++) {
			bool outside = h.map[k].base >= map.pci_end ||
				       h.map[k].base + h.map[k].size <= map.pci_base;

			CHECK(outside || h.map[k].type == MEM_RESERVED ||
			      h.map[k].type == MEM_MMIO);
		}
	}
	CHECK_EQ(map.pci_base, 0x90000000); /* the server: above SMM and ECAM */
}

static void memory_limit_keeps_what_the_guest_boots_from(void)
{
	const struct machine_map *mm = &machine_maps[2];
	uint64_t must = 0xa0000 + 0x4000000 + 0x1001000;

	fill_handoff(&h, mm);
	h.kernel_base = 0x20000000;
	h.kernel_size = 0x4000000;
	h.initrd_base = 0x70000800;
	h.initrd_size = 0x1000000;
	h.memory = 256u << 20;
	if (!CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0))
		return;
	CHECK_EQ(map.ram_bytes, 256u << 20);
	CHECK(range_of(0x9f000) && range_of(0x20000000) && range_of(0x23fff000));
	CHECK(range_of(0x70000000) && range_of(0x71000000) && !range_of(0x71001000) &&
	      !range_of(0x6ffff000));
	CHECK(!range_of(0x100000000));
	CHECK(map.pci_base >= 0x80000000); /* the machine's RAM is still there */
	h.memory = 1u << 20;		   /* less than it takes: only that, then */
	CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0);
	CHECK_EQ(map.ram_bytes, must);
	h.memory = 1ull << 40; /* more than there is */
	CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0);
	CHECK(range_of(0x1fffff000));
}

static void the_disk_is_not_the_guests(void)
{
	const struct machine_map *mm = &machine_maps[2];
	uint64_t all;
	int n;

	if (!build(mm))
		return;
	all = map.ram_bytes;
	h.disk_base = 0x70000000;
	h.disk_bytes = 0x3000000;
	if (!CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0))
		return;
	CHECK_EQ(map.ram_bytes, all - h.disk_bytes);
	CHECK(range_of(0x6ffff000) && !range_of(0x70000000) && !range_of(0x72fff000) &&
	      range_of(0x73000000));
	n = guest_map_e820(&map, &h, e820, E820_MAX);
	for (int i = 0; i < n; i++)
		CHECK(e820[i].addr >= 0x73000000 || e820[i].addr + e820[i].size <= 0x70000000);
	CHECK(n > 0);
}

static void unusable_machines_are_refused(void)
{
	fill_handoff(&h, &machine_maps[0]);
	h.n_map = 1; /* only the first 640 KiB */
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, 0x8000000), -EINVAL);
	h.n_map = 0;
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, 0x8000000), -EINVAL);
	h.map[0] = (struct mem_range){0x100000, 0xfb800000, MEM_RAM, 0}; /* no room for PCI */
	h.n_map = 1;
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, 0x8000000), -EINVAL);
}

static uint32_t e820_at(unsigned n, uint64_t addr)
{
	for (unsigned i = 0; i < n; i++) {
		if (addr - e820[i].addr < e820[i].size && addr >= e820[i].addr)
			return e820[i].type;
	}
	return 0;
}

static void e820_tells_the_guest_its_ram_and_what_is_taken(void)
{
	for (unsigned i = 0; i < MACHINE_MAPS; i++) {
		uint64_t ram = 0;
		int n;

		if (!build(&machine_maps[i]))
			return;
		n = guest_map_e820(&map, &h, e820, E820_MAX);
		if (!CHECK(n > 0))
			return;
		for (int k = 0; k < n; k++) {
			CHECK(k == 0 || e820[k - 1].addr + e820[k - 1].size <= e820[k].addr);
			CHECK(e820[k].type == 1 || e820[k].type == 2);
			ram += e820[k].type == 1 ? e820[k].size : 0;
		}
		/* all RAM but the last KiB below 640 KiB, where that is RAM */
		CHECK_EQ(ram, map.ram_bytes - (range_of(0x9f000) ? 0x400 : 0));
		for (unsigned k = 0; k < map.n; k++) {
			const struct guest_range *r = &map.range[k];

			if (r->kind == GUEST_RAM)
				CHECK(e820_at((unsigned)n, r->gpa) == 1);
		}
		CHECK_EQ(e820_at((unsigned)n, 0x9fc00), 2);
		CHECK_EQ(e820_at((unsigned)n, 0xa0000), 0);
		CHECK_EQ(e820_at((unsigned)n, 0xe0000), 2);
		CHECK_EQ(e820_at((unsigned)n, h.hv_base), 2);
		CHECK_EQ(e820_at((unsigned)n, h.hv_base + h.hv_size - 1), 2);
		CHECK_EQ(e820_at((unsigned)n, ECAM_BASE), 2);
		for (unsigned k = 0; k < h.n_map; k++) {
			if (h.map[k].type != MEM_RAM)
				CHECK_EQ(e820_at((unsigned)n, h.map[k].base), 2);
		}
	}
}

static void fragmented_maps_lose_reserved_ranges_first(void)
{
	fill_handoff(&h, &machine_maps[0]);
	for (unsigned i = 0; i < 400; i++) /* RAM, reserved, hole */
		h.map[i] = (struct mem_range){0x100000 + (i / 2) * 0x100000 + (i % 2) * 0x80000,
					      0x40000, i % 2 ? MEM_RESERVED : MEM_RAM, 0};
	h.n_map = 200;
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, 0x8000000), 0);
	CHECK_EQ(guest_map_e820(&map, &h, e820, E820_MAX),
		 104); /* 100 of RAM, EBDA, tables, hypervisor, ECAM */
	h.n_map = 400;
	h.hv_base = 0x80000000;
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, 0x8000000), 0);
	CHECK_EQ(guest_map_e820(&map, &h, e820, E820_MAX), -ENOSPC);
}

int main(void)
{
	RUN(disabled_mtrrs_are_uc);
	RUN(fixed_ranges);
	RUN(variable_ranges_and_their_overlaps);
	RUN(masks_with_gaps);
	RUN(amd_memory_above_4g_is_wb_by_tom2);
	RUN(every_page_is_mapped_as_it_should_be);
	RUN(ranges_are_sorted_merged_and_counted);
	RUN(pci_window_is_free_of_memory);
	RUN(memory_limit_keeps_what_the_guest_boots_from);
	RUN(the_disk_is_not_the_guests);
	RUN(unusable_machines_are_refused);
	RUN(e820_tells_the_guest_its_ram_and_what_is_taken);
	RUN(fragmented_maps_lose_reserved_ranges_first);
	return check_result();
}
