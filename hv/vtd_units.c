// SPDX-License-Identifier: GPL-2.0-or-later
/* All of a machine's VT-d units, with the same tables. */
#include <errno.h>
#include "hv/dmar.h"
#include "hv/iommu_ops.h"
#include "hv/vtd.h"

static struct dmar dmar;
static struct vtd units[DMAR_UNITS_MAX];
static unsigned n_units;
static unsigned levels;
static uint64_t (*root)[2], root_hpa;

static int find(struct iommu_machine *m, const void *table, size_t size)
{
	int err = dmar_parse(&dmar, table, size);

	m->format = vtd_format;
	m->format.has_1g = true;
	m->levels = 4;
	for (n_units = 0; n_units < dmar.n_units; n_units++) {
		struct vtd *u = &units[n_units];
		void *regs = mmio_map((hpa_t){dmar.unit[n_units]}, VTD_BYTES);
		int e = regs ? vtd_init(u, regs) : -ENOMEM;

		err = err ? err : e;
		m->format.has_1g &= vtd_has_1g(u);
		if (vtd_levels(u) < m->levels)
			m->levels = vtd_levels(u);
	}
	levels = m->levels;
	m->units = n_units;
	m->other_segments = dmar.other_segments;
	m->reserved = dmar.reserved;
	return err;
}

static int make_root(void)
{
	if (!root)
		root = npt_pages.page(NULL, &root_hpa);
	return root ? 0 : -ENOMEM;
}

static int reach(uint16_t id, uint64_t table_hpa, uint16_t domain)
{
	uint64_t *bus, (*context)[2], hpa;
	int err = make_root();

	if (err)
		return err;
	bus = root[id >> 8];
	if (!bus[0]) {
		if (!npt_pages.page(NULL, &hpa))
			return -ENOMEM;
		vtd_root_entry(bus, hpa);
	}
	context = npt_pages.virt(NULL, bus[0] & ~(uint64_t)(PAGE_SIZE - 1));
	vtd_context_entry(context[id & 255], table_hpa, levels, domain);
	return 0;
}

static int start(unsigned unit)
{
	int err = make_root();

	return err ? err : vtd_start(&units[unit], root_hpa);
}

static void stop(unsigned unit)
{
	vtd_stop(&units[unit]);
}

static void fault_interrupt(unsigned unit, uint8_t vector, uint32_t apic_id)
{
	vtd_fault_interrupt(&units[unit], vector, apic_id);
}

static void fault_mask(unsigned unit, bool masked)
{
	vtd_fault_mask(&units[unit], masked);
}

static bool fault_next(unsigned unit, struct iommu_fault *f, bool *lost)
{
	return vtd_fault_next(&units[unit], f, lost);
}

const struct iommu_ops vtd_ops = {
	.name = "VT-d",
	.signature = "DMAR",
	.find = find,
	.reach = reach,
	.start = start,
	.stop = stop,
	.fault_interrupt = fault_interrupt,
	.fault_mask = fault_mask,
	.fault_next = fault_next,
};
