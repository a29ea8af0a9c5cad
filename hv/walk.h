/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walk of the guest's page tables as the processor does it (SDM vol. 3, "Paging"): none, 32-bit,
 * PAE, 4-level, 5-level. Accessed and dirty bits are set atomically. Page-table entries that lie
 * outside guest RAM read as all-ones.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/bus.h"

struct walk_regs {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdpte[4]; /* PAE paging outside IA-32e mode only */
	uint32_t pkru;	   /* 0: no restriction */
	uint8_t cpl;
	uint8_t phys_bits; /* MAXPHYADDR of the guest */
	bool page_1g;	   /* 1 GiB pages exist */
	bool ac;	   /* RFLAGS.AC: overrides SMAP */
};

/* Kinds of access: their bits of the page-fault error code. */
enum { WALK_READ = 0, WALK_WRITE = 1u << 1, WALK_FETCH = 1u << 4 };

/* 0 and *gpa; or -EFAULT and the page fault's error code in *error. `linear` is canonical. */
int guest_walk(const struct walk_regs *r, uint64_t linear, unsigned access, gpa_t *gpa,
	       uint32_t *error);
