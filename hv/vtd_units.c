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
	for (n_units = 0; n_units < dmar.n_units && !err; n_units++) {
		const struct vtd *u = &units[n_units];
		void *regs = mmio_map((hpa_t){dmar.unit[n_units]}, VTD_BYTES);

		err = regs ? vtd_init(&units[n_units], regs) : -ENOMEM;
		m->format.has_1g &= vtd_has_1g(u);
		if (vtd_levels(u) < m->levels)
			m->levels = vtd_levels(u);
	}
	levels = m->levels;
	m->units = n_units;
	m->reserved = dmar.reserved;
	return err;
}

static int make_root(void)
{
	if (!root)
		root = npt_pages.page(NULL, &root_hpa);
	return root ? 0 : -ENOMEM;
}

static int reach_as(struct host_pci at, uint64_t table_hpa, uint16_t domain)
{
	uint64_t *bus = root[at.bus], *entry, (*context)[2], hpa;

	if (!bus[0]) {
		if (!npt_pages.page(NULL, &hpa))
			return -ENOMEM;
		vtd_root_entry(bus, hpa);
	}
	context = npt_pages.virt(NULL, bus[0] & ~(uint64_t)(PAGE_SIZE - 1));
	entry = context[at.dev << 3 | at.fn];
	if (!entry[0])
		vtd_context_entry(entry, table_hpa, levels, domain);
	return 0;
}

/* A bridge from PCI Express to PCI speaks for what is behind it, as device 0 of its bus. */
static int reach(struct host_pci at, uint64_t table_hpa, uint16_t domain)
{
	struct host_pci bridge = {.bus = at.bus};
	int err = make_root();

	if (!err)
		err = reach_as(at, table_hpa, domain);
	if (!err && bridge.bus && host_pci_get(bridge, 0, 4) == UINT32_MAX)
		err = reach_as(bridge, table_hpa, domain);
	return err;
}

static int start(unsigned unit)
{
	int err = make_root();

	return err ? err : vtd_start(&units[unit], root_hpa);
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
	.fault_interrupt = fault_interrupt,
	.fault_mask = fault_mask,
	.fault_next = fault_next,
};
