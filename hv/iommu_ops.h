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
	bool other_segments;	  /* there are units for PCI segments that are not 0 */
	struct iommu_reserved reserved;
};

struct iommu_fault {
	bool unit;	/* the unit's own trouble with its tables or commands; nobody was stopped */
	uint16_t id;	/* who was stopped: a requester ID */
	uint8_t reason; /* a number of the maker's */
	bool read;	/* it wanted to; else to write */
	uint64_t address;
};

struct iommu_ops {
	const char *name;
	char signature[5]; /* of the firmware's table */
	/* `size` bytes of that table. All units that it names are off afterwards, whatever the
	 * firmware did. -EINVAL: the table is damaged; -E2BIG: it names too much; -ENODEV,
	 * -ETIMEDOUT: a unit does not answer; -ENOTSUP: it can't do what is needed here; -ENOMEM.
	 */
	int (*find)(struct iommu_machine *m, const void *table, size_t size);
	/* As whom else this requester's requests come, by the firmware's word; NULL: it has none.
	 */
	uint16_t (*alias)(uint16_t id);
	/* From `start` on this requester reaches what the table (not 0) says. `domain` > 0 is the
	 * table's number. -ENOMEM. */
	int (*reach)(uint16_t id, uint64_t table_hpa, uint16_t domain);
	/* Of a unit, by its number below iommu_machine.units: all that reach was not told about
	 * reach nothing. -ETIMEDOUT, -ENOMEM. */
	int (*start)(unsigned unit);
	void (*stop)(unsigned unit); /* it translates nothing any more */
	void (*fault_interrupt)(unsigned unit, uint8_t vector, uint32_t apic_id); /* masked */
	/* Any CPU, one at a time. What was recorded while it was masked may raise no interrupt
	 * afterwards: look once more. */
	void (*fault_mask)(unsigned unit, bool masked);
	/* The next fault that was recorded, which is forgotten then; false: there is none.
	 * *lost is set if there were more than could be recorded. */
	bool (*fault_next)(unsigned unit, struct iommu_fault *f, bool *lost);
};

extern const struct iommu_ops vtd_ops, amdvi_ops;
