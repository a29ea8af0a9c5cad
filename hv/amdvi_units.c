// SPDX-License-Identifier: GPL-2.0-or-later
/* All of a machine's AMD IOMMUs, with one device table. */
#include <errno.h>
#include "hv/amdvi.h"
#include "hv/iommu_ops.h"
#include "hv/ivrs.h"

static struct ivrs ivrs;
static struct amdvi units[IVRS_UNITS_MAX];
static unsigned n_units;
static uint64_t (*devices)[4];	   /* by device ID */
static uint64_t nothing_hpa;	   /* an empty page table */
static uint8_t reached[65536 / 8]; /* device IDs that reach has seen */

static uint16_t device_id(struct host_pci at)
{
	return (uint16_t)(at.bus << 8 | at.dev << 3 | at.fn);
}

static struct host_pci function(uint16_t id)
{
	return (struct host_pci){(uint8_t)(id >> 8), id >> 3 & 31, id & 7};
}

static int find(struct iommu_machine *m, const void *table, size_t size)
{
	int err = ivrs_parse(&ivrs, table, size);

	for (n_units = 0; n_units < ivrs.n_units && !err; n_units++) {
		const struct ivrs_unit *x = &ivrs.unit[n_units];
		void *regs = mmio_map((hpa_t){x->base}, AMDVI_BYTES);

		err = regs ? amdvi_init(&units[n_units], regs, function(x->id), x->flags) : -ENOMEM;
	}
	m->format = amdvi_format;
	m->levels = AMDVI_LEVELS;
	m->units = n_units;
	m->reserved = ivrs.reserved;
	return err;
}

/* The latest entry of the table holds: those for all come first. */
static const struct ivrs_span *span_of(uint16_t id)
{
	static const struct ivrs_span none;

	for (unsigned i = ivrs.n_spans; i-- > 0;)
		if (id >= ivrs.span[i].first && id <= ivrs.span[i].last)
			return &ivrs.span[i];
	return &none;
}

/* Whoever is not told otherwise reaches nothing; interrupts pass as the firmware says. */
static int make_table(void)
{
	if (devices)
		return 0;
	devices = pages_alloc(AMDVI_TABLE_BYTES / PAGE_SIZE);
	if (!devices || !npt_pages.page(NULL, &nothing_hpa))
		return -ENOMEM;
	for (unsigned id = 0; id < 65536; id++)
		amdvi_device_entry(devices[id], nothing_hpa, false, 0,
				   span_of((uint16_t)id)->settings);
	return 0;
}

static void reach_as(uint16_t id, uint64_t table_hpa, uint16_t domain)
{
	if (reached[id / 8] >> id % 8 & 1)
		return;
	reached[id / 8] |= (uint8_t)(1 << id % 8);
	amdvi_device_entry(devices[id], table_hpa, true, domain, span_of(id)->settings);
}

static int reach(struct host_pci at, uint64_t table_hpa, uint16_t domain)
{
	uint16_t id = device_id(at);
	int err = make_table();

	if (err)
		return err;
	reach_as(id, table_hpa, domain);
	if (span_of(id)->aliased)
		reach_as(span_of(id)->alias, table_hpa, domain);
	return 0;
}

static int start(unsigned unit)
{
	int err = make_table();

	return err ? err : amdvi_start(&units[unit], virt_to_phys(devices).v);
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
	.reach = reach,
	.start = start,
	.fault_interrupt = fault_interrupt,
	.fault_mask = fault_mask,
	.fault_next = fault_next,
};
