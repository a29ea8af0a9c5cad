/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware's description of AMD's DMA remapping hardware: the ACPI table IVRS (AMD I/O
 * Virtualization Technology Specification, 48882, 5.2). Pure; the table may be anything.
 *
 * A device ID is a PCI function's requester ID: bus << 8 | device << 3 | function.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/iommu_ops.h"

#define IVRS_UNITS_MAX 64
#define IVRS_SPANS_MAX 256

struct ivrs_unit {
	uint64_t base;	     /* of the registers, physical */
	uint16_t id;	     /* device ID of the unit itself */
	uint16_t capability; /* where in its configuration space its capability block is */
	uint8_t kind;	     /* type of the IVHD that is taken for it */
	uint8_t flags;	     /* of that: what the control register shall say */
};

/* Device IDs of which the table says more than that they are there. */
struct ivrs_span {
	uint16_t first, last; /* both inclusive */
	bool aliased;
	uint16_t alias;	  /* aliased: all of them are seen with this ID */
	uint8_t settings; /* as in the table: which interrupts pass */
};

struct ivrs {
	unsigned n_units, n_spans;
	struct ivrs_unit unit[IVRS_UNITS_MAX]; /* PCI segment 0 */
	struct ivrs_span span[IVRS_SPANS_MAX];
	bool other_segments;		/* there are units for them, too */
	struct iommu_reserved reserved; /* IVMD */
};

/* `size` bytes that begin with the table's header. 0; -EINVAL: there is no unit, one is nonsense,
 * or the table ends in the middle of a structure (then *v has what was before); -E2BIG: more than
 * *v holds. */
int ivrs_parse(struct ivrs *v, const void *table, size_t size);

/* All that is said of a device ID. */
uint8_t ivrs_settings(const struct ivrs *v, uint16_t id);
uint16_t ivrs_alias(const struct ivrs *v, uint16_t id); /* itself if it has none */
