/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware memory maps for tests, in the hand-off's terms: recorded with the EFI shell's `memmap`
 * under OVMF in QEMU (q35) and Bochs (i440FX), and one composed like a two-socket server's, with
 * holes, an SMM region and odd MTRRs.
 */
#pragma once
#include <string.h>
#include "hv/memmap.h"
#include "hv/platform.h"

static const struct mem_range qemu_512[] = {
	{0x0, 0xa0000, MEM_RAM, 0},
	{0x100000, 0x700000, MEM_RAM, 0},
	{0x800000, 0x8000, MEM_NVS, 0},
	{0x808000, 0x3000, MEM_RAM, 0},
	{0x80b000, 0x1000, MEM_NVS, 0},
	{0x80c000, 0x4000, MEM_RAM, 0},
	{0x810000, 0xf0000, MEM_NVS, 0},
	{0x900000, 0x1e5ba000, MEM_RAM, 0},
	{0x1eeba000, 0xc1000, MEM_RUNTIME_DATA, 0},
	{0x1ef7b000, 0x972000, MEM_RAM, 0},
	{0x1f8ed000, 0x100000, MEM_RUNTIME_DATA, 0},
	{0x1f9ed000, 0x100000, MEM_RUNTIME_CODE, 0},
	{0x1faed000, 0x80000, MEM_RESERVED, 0},
	{0x1fb6d000, 0x12000, MEM_ACPI, 0},
	{0x1fb7f000, 0x80000, MEM_NVS, 0},
	{0x1fbff000, 0x359000, MEM_RAM, 0},
	{0x1ff58000, 0x20000, MEM_RUNTIME_DATA, 0},
	{0x1ff78000, 0x88000, MEM_NVS, 0},
	{0xb0000000, 0x10000000, MEM_RESERVED, 0},
	{0xffe00000, 0x200000, MEM_MMIO, 0},
};
static const struct mem_range qemu_2048[] = {
	{0x0, 0xa0000, MEM_RAM, 0},
	{0x100000, 0x700000, MEM_RAM, 0},
	{0x800000, 0x8000, MEM_NVS, 0},
	{0x808000, 0x3000, MEM_RAM, 0},
	{0x80b000, 0x1000, MEM_NVS, 0},
	{0x80c000, 0x4000, MEM_RAM, 0},
	{0x810000, 0xf0000, MEM_NVS, 0},
	{0x900000, 0x7e5ba000, MEM_RAM, 0},
	{0x7eeba000, 0xc1000, MEM_RUNTIME_DATA, 0},
	{0x7ef7b000, 0x972000, MEM_RAM, 0},
	{0x7f8ed000, 0x100000, MEM_RUNTIME_DATA, 0},
	{0x7f9ed000, 0x100000, MEM_RUNTIME_CODE, 0},
	{0x7faed000, 0x80000, MEM_RESERVED, 0},
	{0x7fb6d000, 0x12000, MEM_ACPI, 0},
	{0x7fb7f000, 0x80000, MEM_NVS, 0},
	{0x7fbff000, 0x359000, MEM_RAM, 0},
	{0x7ff58000, 0x20000, MEM_RUNTIME_DATA, 0},
	{0x7ff78000, 0x88000, MEM_NVS, 0},
	{0xb0000000, 0x10000000, MEM_RESERVED, 0},
	{0xffe00000, 0x200000, MEM_MMIO, 0},
};
static const struct mem_range qemu_6144[] = {
	{0x0, 0xa0000, MEM_RAM, 0},
	{0x100000, 0x700000, MEM_RAM, 0},
	{0x800000, 0x8000, MEM_NVS, 0},
	{0x808000, 0x3000, MEM_RAM, 0},
	{0x80b000, 0x1000, MEM_NVS, 0},
	{0x80c000, 0x4000, MEM_RAM, 0},
	{0x810000, 0xf0000, MEM_NVS, 0},
	{0x900000, 0x7e5ba000, MEM_RAM, 0},
	{0x7eeba000, 0xc1000, MEM_RUNTIME_DATA, 0},
	{0x7ef7b000, 0x972000, MEM_RAM, 0},
	{0x7f8ed000, 0x100000, MEM_RUNTIME_DATA, 0},
	{0x7f9ed000, 0x100000, MEM_RUNTIME_CODE, 0},
	{0x7faed000, 0x80000, MEM_RESERVED, 0},
	{0x7fb6d000, 0x12000, MEM_ACPI, 0},
	{0x7fb7f000, 0x80000, MEM_NVS, 0},
	{0x7fbff000, 0x359000, MEM_RAM, 0},
	{0x7ff58000, 0x20000, MEM_RUNTIME_DATA, 0},
	{0x7ff78000, 0x88000, MEM_NVS, 0},
	{0xb0000000, 0x10000000, MEM_RESERVED, 0},
	{0xffe00000, 0x200000, MEM_MMIO, 0},
	{0x100000000, 0x100000000, MEM_RAM, 0},
};
static const struct mem_range bochs_1024[] = {
	{0x0, 0xa0000, MEM_RAM, 0},
	{0x100000, 0x3ebbb000, MEM_RAM, 0},
	{0x3ecbb000, 0xc1000, MEM_RUNTIME_DATA, 0},
	{0x3ed7c000, 0x971000, MEM_RAM, 0},
	{0x3f6ed000, 0x100000, MEM_RUNTIME_DATA, 0},
	{0x3f7ed000, 0x100000, MEM_RUNTIME_CODE, 0},
	{0x3f8ed000, 0x90000, MEM_RAM, 0},
	{0x3f97d000, 0x2000, MEM_ACPI, 0},
	{0x3f97f000, 0x80000, MEM_NVS, 0},
	{0x3f9ff000, 0x5e1000, MEM_RAM, 0},
	{0x3ffe0000, 0x20000, MEM_RUNTIME_DATA, 0},
};

static const struct mem_range server_map[] = {
	{0x0, 0x1000, MEM_RESERVED, 0},
	{0x1000, 0x3d000, MEM_RAM, 0},
	{0x3e000, 0x2000, MEM_RESERVED, 0},
	{0x40000, 0x5b000, MEM_RAM, 0},
	{0x9b000, 0x5000, MEM_RESERVED, 0},
	{0xe0000, 0x20000, MEM_RESERVED, 0},
	{0x100000, 0x5e6ff000, MEM_RAM, 0},
	{0x5e7ff000, 0x1000, MEM_UNUSABLE, 0},
	{0x5e800000, 0xd3b7000, MEM_RAM, 0},
	{0x6bbb7000, 0x2f80000, MEM_RESERVED, 0},
	{0x6eb37000, 0x10c000, MEM_ACPI, 0},
	{0x6ec43000, 0x8b0000, MEM_NVS, 0},
	{0x6f4f3000, 0xb0d000, MEM_RUNTIME_DATA, 1},
	{0x70000000, 0x1000000, MEM_RUNTIME_CODE, 1},
	{0x71000000, 0x400000, MEM_RAM, 0},
	{0x71400000, 0x400000, MEM_RAM, 0},
	{0x71800000, 0x1e800000, MEM_RESERVED, 0}, /* SMM, then ECAM */
	{0xfd000000, 0x1800000, MEM_MMIO, 1},
	{0xfed20000, 0x25000, MEM_RESERVED, 0},
	{0xff000000, 0x1000000, MEM_MMIO, 1},
	{0x100000000, 0xf7c0000000, MEM_RAM, 0},
	{0xf8c0000000, 0x200000, MEM_UNUSABLE, 0},
	{0xf8c0200000, 0x73fe00000, MEM_RAM, 0},
};

#define VAR(base, size, type)                                                  \
	{                                                                      \
		(base) | (type), (((1ull << 46) - 1) & ~((size)-1)) | 1u << 11 \
	}

/* What OVMF programs: WB by default, UC from the top of low RAM and for A0000-FFFFF. */
static const struct mtrr_regs ovmf_mtrr = {
	.cap = 0x508,
	.def_type = 0xc06,
	.fixed = {0x0606060606060606, 0x0606060606060606},
	.n_var = 8,
	.var = {VAR(0x80000000ull, 0x80000000ull, MT_UC)},
	.phys_bits = 46,
};

/* UC by default; RAM WB in big pieces with UC cut out of them; a WT and a UC island. */
static const struct mtrr_regs server_mtrr = {
	.cap = 0xd0a,
	.def_type = 0xc00,
	.fixed = {0x0606060606060606, 0x0606060606060606, 0, 0, 0, 0, 0, 0x0505050505050505,
		  0x0505050505050505, 0x0505050505050505, 0x0505050505050505},
	.n_var = 10,
	.var = {VAR(0x0ull, 0x8000000000ull, MT_WB), VAR(0x8000000000ull, 0x8000000000ull, MT_WB),
		VAR(0x80000000ull, 0x80000000ull, MT_UC), VAR(0x71400000ull, 0x400000ull, MT_UC),
		VAR(0x40200000ull, 0x200000ull, MT_WT), VAR(0x2345000ull, 0x1000ull, MT_UC)},
	.phys_bits = 46,
};
static const struct mtrr_regs no_mtrr = {.phys_bits = 40};

static const struct machine_map {
	const char *name;
	const struct mem_range *map;
	unsigned n;
	const struct mtrr_regs *mtrr;
	uint64_t hv_base;
} machine_maps[] = {
#define MAP(m, mtrr, hv)                                  \
	{                                                 \
#m, m, sizeof(m) / sizeof(m[0]), mtrr, hv \
	}
	MAP(qemu_512, &ovmf_mtrr, 0x8000000),	   MAP(qemu_2048, &ovmf_mtrr, 0x8000000),
	MAP(qemu_6144, &ovmf_mtrr, 0x8000000),	   MAP(bochs_1024, &ovmf_mtrr, 0x8000000),
	MAP(bochs_1024, &no_mtrr, 0x10000000),	   MAP(server_map, &server_mtrr, 0x8000000),
	MAP(server_map, &server_mtrr, 0x40000000),
#undef MAP
};
#define MACHINE_MAPS (sizeof(machine_maps) / sizeof(machine_maps[0]))

static inline uint64_t tables_hpa_of(const struct machine_map *m)
{
	return m->hv_base + HV_SIZE_DEFAULT - TABLES_SIZE;
}

static inline void fill_handoff(struct handoff *h, const struct machine_map *m)
{
	memset(h, 0, sizeof(*h));
	h->hv_base = m->hv_base;
	h->hv_size = HV_SIZE_DEFAULT;
	h->n_map = m->n;
	memcpy(h->map, m->map, m->n * sizeof(m->map[0]));
}

/* The guest's memory by the rules, a page at a time and slowly, to hold the builder against. */
static inline bool page_is_guest_ram(const struct handoff *h, uint64_t page)
{
	if (page >= h->hv_base && page < h->hv_base + h->hv_size)
		return false;
	if ((page >= 0xa0000 && page < 0x100000) || (page >= ECAM_BASE && page < 0x100000000))
		return false;
	for (unsigned i = 0; i < h->n_map; i++) {
		if (page >= h->map[i].base && page < h->map[i].base + h->map[i].size)
			return h->map[i].type == MEM_RAM;
	}
	return false;
}

static inline uint8_t page_type(const struct mtrr_regs *m, uint64_t page)
{
	uint64_t end;

	return m->def_type & 1u << 11 ? mtrr_type(m, page, &end) : MT_WB;
}
