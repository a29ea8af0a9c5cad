/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory map, and from it E820 and the nested page tables. All pure functions over
 * plain data, so that they run in unit tests against recorded firmware maps.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "boot/handoff.h"

enum {
	MT_UC = 0,
	MT_WC = 1,
	MT_WT = 4,
	MT_WP = 5,
	MT_WB = 6
}; /* MTRR encodings (SDM vol. 3, "Memory Types") */

struct guest_range {
	uint64_t gpa, hpa, size; /* bytes, page multiples */
	uint8_t type;		 /* MT_* for the nested tables */
	uint8_t kind;		 /* enum guest_kind */
};
enum guest_kind {
	GUEST_RAM,
	GUEST_TABLES /* E0000-FFFFF: our ACPI tables, RAM given by the hypervisor */,
	GUEST_DEVICE /* passed-through BAR */
};

#define GUEST_RANGES_MAX 1024
struct guest_map {
	unsigned n;
	struct guest_range range[GUEST_RANGES_MAX]; /* sorted by gpa */
	uint64_t ram_bytes;
	uint64_t low_top; /* end of RAM below 4 GiB */
	uint64_t hv_base, hv_size;
	uint64_t pci_base, pci_end; /* window below 4 GiB for PCI BARs, free of RAM */
};

/* Physical MTRRs of the machine (IA32_MTRRCAP etc.), for the memory types. */
struct mtrr_regs {
	uint64_t cap, def_type;
	uint64_t fixed[11]; /* 250, 258, 259, 268-26F */
	unsigned n_var;
	struct {
		uint64_t base, mask;
	} var[32];
	unsigned phys_bits;
	uint64_t tom2; /* AMD: TOP_MEM2 if SYSCFG[22] (Tom2ForceMemTypeWB): [4 GiB, tom2) is WB
			  whatever the MTRRs say; else 0 */
};
/* Type at hpa, and where the run of it ends at the earliest. MTRRs that are disabled altogether
 * mean UC (SDM vol. 3). */
uint8_t mtrr_type(const struct mtrr_regs *m, uint64_t hpa, uint64_t *run_end);

/*
 * `tables_hpa`: 128 KiB of hypervisor-given RAM shown at E0000. -ENOSPC, -EINVAL (nothing usable,
 * or no room for PCI). RAM takes its type from the physical MTRRs; if they are disabled altogether
 * (some emulators), it is WB. handoff->memory cuts RAM from the top, but never the first MiB and
 * what the kernel, its setup data and the initrd occupy.
 */
int guest_map_build(struct guest_map *m, const struct handoff *h, const struct mtrr_regs *mtrr,
		    uint64_t tables_hpa);

#define E820_MAX 128
struct e820_entry {
	uint64_t addr, size;
	uint32_t type; /* 1 RAM, 2 reserved, 3 ACPI, 4 NVS */
} __attribute__((packed));
/* -ENOSPC if not even the RAM ranges fit; ranges of the firmware's are left out first (they are
 * holes, then). */
int guest_map_e820(const struct guest_map *m, const struct handoff *h, struct e820_entry *e,
		   unsigned max); /* count */

/* Nested page tables: 4 levels, largest pages that type and alignment allow. */
struct npt_format { /* how the back end writes entries */
	uint64_t (*leaf)(uint64_t hpa, unsigned level /* 1 = 4K, 2 = 2M, 3 = 1G */, uint8_t type,
			 bool exec, bool write);
	uint64_t (*table)(uint64_t hpa, unsigned level); /* of the table's entries */
	bool has_1g;
};
struct npt_alloc { /* zeroed 4 KiB pages; returns the virtual address and writes the physical one;
		      NULL = out of memory */
	void *(*page)(void *ctx, uint64_t *hpa);
	void *(*virt)(void *ctx, uint64_t hpa);
	void *ctx;
};
extern const struct npt_alloc npt_pages; /* the hypervisor's (hv/npt_pages.c); ctx is not used */
int npt_build(const struct guest_map *m, const struct npt_format *f, const struct npt_alloc *a,
	      uint64_t *root_hpa);
/* Map one extra page (VMX APIC-access page at LAPIC_BASE, UC->WB type as given), read-write; a 4
 * KiB mapping that is there is replaced. -EEXIST: a large page covers it. In both functions bit 7
 * of an entry above the lowest level must mean "leaf", bits 51:12 the address, and 0 "not present".
 */
int npt_map_page(uint64_t root_hpa, uint64_t gpa, uint64_t hpa, uint8_t type,
		 const struct npt_format *f, const struct npt_alloc *a);
/* What npt_map_page mapped is gone; nothing there: nothing happens. Processors may remember it
 * until they flush. */
void npt_unmap_page(uint64_t root_hpa, uint64_t gpa, const struct npt_alloc *a);
/*
 * Where a PC has option ROMs (ROM_GPA), one page of all-ones, read-only, again and again: kernels
 * look for tables there, byte by byte, and each look at a hole is an exit. A write still is one.
 * -EEXIST: something is mapped there.
 */
int npt_map_rom(uint64_t root_hpa, const struct npt_format *f, const struct npt_alloc *a);
/* Another root, which shares with the first all tables but those on the way to gpa: what is mapped
 * in its page from now on is seen through one of them only. */
int npt_fork(uint64_t root_hpa, uint64_t gpa, const struct npt_format *f, const struct npt_alloc *a,
	     uint64_t *fork_hpa);
