/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between makers of IOMMUs, for hv/iommu.c. All units of a machine have the same
 * tables. Context: boot, unless it says otherwise.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arch/x86_64/arch.h"
#include "hv/memmap.h"

#define IOMMU_RESERVED_MAX 64u

/* What the firmware has devices use without a driver's leave. */
struct iommu_reserved {
	unsigned n;
	struct iommu_range {
		uint64_t base, last; /* bytes, both inclusive; page multiples, `last` less one */
	} range[IOMMU_RESERVED_MAX];
};

struct iommu_machine {
	unsigned units;
	struct npt_format format; /* how npt_build writes entries that all units understand */
	unsigned levels;	  /* of their tables: 4, or 3 */
	struct iommu_reserved reserved;
};

struct iommu_fault {
	uint8_t bus, dev, fn;
	uint8_t reason; /* a number of the maker's */
	bool read;	/* it wanted to; else to write */
	uint64_t address;
};

struct iommu_ops {
	const char *name;
	char signature[5]; /* of the firmware's table */
	/* `size` bytes of that table. All units are off afterwards, whatever the firmware did.
	 * -EINVAL: the table is damaged; -E2BIG: it names too much; -ENODEV, -ETIMEDOUT: a unit
	 * does not answer; -ENOTSUP: it can't do what is needed here; -ENOMEM. */
	int (*find)(struct iommu_machine *m, const void *table, size_t size);
	/* From `start` on this function reaches what the table (not 0) says. Twice: the
	 * first holds. `domain` > 0 is the table's number. -ENOMEM. */
	int (*reach)(struct host_pci at, uint64_t table_hpa, uint16_t domain);
	/* Of a unit, by its number below iommu_machine.units: all functions that reach was not told
	 * about reach nothing. -ETIMEDOUT, -ENOMEM. */
	int (*start)(unsigned unit);
	void (*fault_interrupt)(unsigned unit, uint8_t vector, uint32_t apic_id); /* unmasked */
	/* Any CPU, one at a time. */
	void (*fault_mask)(unsigned unit, bool masked);
	/* The next fault that was recorded, which is forgotten then; false: there is none.
	 * *lost is set if there were more than could be recorded. */
	bool (*fault_next)(unsigned unit, struct iommu_fault *f, bool *lost);
};

extern const struct iommu_ops vtd_ops, amdvi_ops;
