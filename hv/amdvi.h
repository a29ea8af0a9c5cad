/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One AMD IOMMU (AMD I/O Virtualization Technology Specification, 48882; chapters in amdvi.c):
 * host page tables of 4 levels. Context: boot, unless it says otherwise.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/iommu_ops.h"

struct amdvi {
	volatile uint8_t *regs;
	struct host_pci at; /* the unit itself: its messages are its function's */
	uint64_t control;
	volatile uint64_t (*commands)[2], (*log)[2]; /* a page each */
	uint32_t log_head;			     /* bytes */
};

extern const struct npt_format amdvi_format;
#define AMDVI_LEVELS 4

/* An entry of the device table, AMDVI_DTE_BYTES: what lies at table_hpa is what the function
 * reaches if `reaches`, else it reaches nothing. `settings` as in the IVRS. */
#define AMDVI_DTE_BYTES	  32ull
#define AMDVI_TABLE_BYTES (65536ull * AMDVI_DTE_BYTES) /* of all functions there can be */
void amdvi_device_entry(uint64_t entry[4], uint64_t table_hpa, bool reaches, uint16_t domain,
			uint8_t settings);

/* `regs` are the unit's, AMDVI_BYTES of them; `capability` is where its function's capability block
 * is; `flags` its IVHD's. It is off afterwards, whatever the firmware did. -ENODEV: there is
 * nothing; -ETIMEDOUT: it does not stop; -ENOTSUP: it has no page tables, or can't invalidate all
 * at once; -ENOMEM. */
#define AMDVI_BYTES 0x4000u
int amdvi_init(struct amdvi *u, volatile void *regs, struct host_pci at, uint16_t capability,
	       uint8_t flags);
/* Translation by this device table from now on; it does not change any more. -ETIMEDOUT: the unit
 * does not answer, and is off. */
int amdvi_start(struct amdvi *u, uint64_t table_hpa);
void amdvi_stop(const struct amdvi *u);

/* Events raise an interrupt at this CPU, if they are not masked. */
void amdvi_fault_interrupt(const struct amdvi *u, uint8_t vector, uint32_t apic_id);
void amdvi_fault_mask(struct amdvi *u, bool masked); /* any CPU, one at a time */
/* As iommu_ops.fault_next; f->reason: the event's code (its 2.5). */
bool amdvi_fault_next(struct amdvi *u, struct iommu_fault *f, bool *lost);
