/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One DMA remapping unit (Intel Virtualization Technology for Directed I/O; chapters in vtd.c):
 * legacy mode, second-level tables of 3 or 4 levels. Context: boot, unless it says otherwise.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/iommu_ops.h"

struct vtd_invalidation { /* a descriptor of 6.5.2 */
	uint32_t type, data;
	uint64_t address;
};

struct vtd {
	volatile uint8_t *regs;
	uint64_t cap, ecap;
	volatile struct vtd_invalidation *queue; /* a page */
};

extern const struct npt_format vtd_format; /* how npt_build writes second-level entries */

/* A root-table entry, two words: the bus's context table. And a context entry: what a function
 * reaches is what the second-level table says. */
void vtd_root_entry(uint64_t entry[2], uint64_t context_hpa);
void vtd_context_entry(uint64_t entry[2], uint64_t table_hpa, unsigned levels, uint16_t domain);

/* `regs` are the unit's, VTD_BYTES of them. It is off afterwards, whatever the firmware did.
 * -ENODEV: there is nothing; -ETIMEDOUT: it does not answer; -ENOTSUP: it can't do what is needed
 * here; -ENOMEM. */
#define VTD_BYTES 0x5000u /* with fault records as far as their offset goes */
int vtd_init(struct vtd *u, volatile void *regs);
bool vtd_has_1g(const struct vtd *u);	  /* pages of 1 GiB */
unsigned vtd_levels(const struct vtd *u); /* of its tables: 4, or 3 */
/* Translation by these tables from now on. They do not change any more. -ETIMEDOUT: the unit does
 * not answer, and is off as far as one knows. */
int vtd_start(struct vtd *u, uint64_t root_hpa);
void vtd_stop(const struct vtd *u);

/* Faults raise an interrupt at this CPU, if they are not masked. */
void vtd_fault_interrupt(const struct vtd *u, uint8_t vector, uint32_t apic_id);
void vtd_fault_mask(const struct vtd *u, bool masked); /* any CPU, one at a time */
/* As iommu_ops.fault_next; f->reason: its appendix A. */
bool vtd_fault_next(const struct vtd *u, struct iommu_fault *f, bool *lost);
