// SPDX-License-Identifier: GPL-2.0-or-later
/* All of a machine's AMD IOMMUs, with one device table. */
#include <errno.h>
#include "hv/amdvi.h"
#include "hv/iommu_ops.h"
#include "hv/ivrs.h"
#include "hv/requester.h"

static struct ivrs ivrs;
static struct amdvi units[IVRS_UNITS_MAX];
static unsigned n_units;
static uint64_t (*devices)[4]; /* by device ID */

static int find(struct iommu_machine *m, const void *table, size_t size)
{
	int err = ivrs_parse(&ivrs, table, size);

	for (n_units = 0; n_units < ivrs.n_units; n_units++) {
		const struct ivrs_unit *x = &ivrs.unit[n_units];
		void *regs = mmio_map((hpa_t){x->base}, AMDVI_BYTES);
		int e = regs ? amdvi_init(&units[n_units], regs, requester_function(x->id),
					  x->capability, x->flags)
			     : -ENOMEM;

		err = err ? err : e;
	}
	m->format = amdvi_format;
	m->levels = AMDVI_LEVELS;
	m->units = n_units;
	m->other_segments = ivrs.other_segments;
	m->reserved = ivrs.reserved;
	return err;
}

static uint16_t alias(uint16_t id)
{
	return ivrs_alias(&ivrs, id);
}

/* Whoever is not told otherwise reaches nothing; interrupts pass as the firmware says. */
static int make_table(void)
{
	uint64_t(*table)[4], nothing_hpa;

	if (devices)
		return 0;
	table = pages_alloc(AMDVI_TABLE_BYTES / PAGE_SIZE);
	if (!table || !npt_pages.page(NULL, &nothing_hpa))
		return -ENOMEM;
	for (unsigned id = 0; id < 65536; id++)
		amdvi_device_entry(table[id], nothing_hpa, false, 0,
				   ivrs_settings(&ivrs, (uint16_t)id));
	devices = table;
	return 0;
}

static int reach(uint16_t id, uint64_t table_hpa, uint16_t domain)
{
	int err = make_table();

	if (!err)
		amdvi_device_entry(devices[id], table_hpa, true, domain, ivrs_settings(&ivrs, id));
	return err;
}

static int start(unsigned unit)
{
	int err = make_table();

	return err ? err : amdvi_start(&units[unit], virt_to_phys(devices).v);
}

static void stop(unsigned unit)
{
	amdvi_stop(&units[unit]);
}

static void fault_interrupt(unsigned unit, uint8_t vector, uint32_t apic_id)
{
	amdvi_fault_interrupt(&units[unit], vector, apic_id);
}

static void fault_mask(unsigned unit, bool masked)
{
	amdvi_fault_mask(&units[unit], masked);
}

static bool fault_next(unsigned unit, struct iommu_fault *f, bool *lost)
{
	return amdvi_fault_next(&units[unit], f, lost);
}

const struct iommu_ops amdvi_ops = {
	.name = "AMD-Vi",
	.signature = "IVRS",
	.find = find,
	.alias = alias,
	.reach = reach,
	.start = start,
	.stop = stop,
	.fault_interrupt = fault_interrupt,
	.fault_mask = fault_mask,
	.fault_next = fault_next,
};
