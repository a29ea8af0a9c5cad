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

/*
 * The last translation of a code page, with the entries it went through. It holds as long as those
 * entries and the registers that decide about it are what they were, which is checked at every use:
 * so no change of the guest's tables can make it wrong.
 */
struct walk_cache {
	uint64_t page; /* linear */
	uint64_t cr0, cr3, cr4, efer;
	const uint64_t *entry[5]; /* in guest RAM */
	uint64_t value[5];
	uint64_t frame; /* guest-physical */
	uint8_t depth;	/* 0: empty */
	uint8_t cpl;
};
/* As guest_walk() with WALK_FETCH. */
int guest_walk_fetch(struct walk_cache *c, const struct walk_regs *r, uint64_t linear, gpa_t *gpa,
		     uint32_t *error);
