// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/iommu.h"
#include <errno.h>
#include "arch/x86_64/acpi_tables.h"
#include "arch/x86_64/arch.h"
#include "boot/handoff.h"
#include "hv/dmar.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/vcpu.h"
#include "hv/vtd.h"

#define ASSIGNED_MAX	   64
#define SHARED_MAX	   16
#define RESERVED_PAGES_MAX 32768u     /* 128 MiB */
#define FAULT_PAUSE_NS	   1000000000 /* between two lines about faults */

static struct assigned {
	struct host_pci at;
	enum iommu_domain domain;
} assigned[ASSIGNED_MAX];
static unsigned n_assigned;

static struct shared {
	uint64_t hpa;
	size_t pages;
} shared[SHARED_MAX];
static unsigned n_shared;

static struct dmar dmar;
static struct vtd units[DMAR_UNITS_MAX];
static unsigned n_units;
static struct ability { /* what all units can do */
	bool has_1g;
	unsigned levels;
} can;
static int found; /* 0, or why the units can't be used */
static bool on;
static uint64_t faults;		  /* boot CPU */
static struct vtimer fault_pause; /* while it runs, faults are masked */

void iommu_assign(uint8_t bus, uint8_t dev, uint8_t fn, enum iommu_domain domain)
{
	if (n_assigned == ASSIGNED_MAX)
		panic("more than %d PCI functions in use", ASSIGNED_MAX);
	assigned[n_assigned++] = (struct assigned){{bus, dev, fn}, domain};
}

void iommu_share(const void *pages, size_t count)
{
	if (n_shared == SHARED_MAX)
		panic("more than %d pieces of memory are shared with cards", SHARED_MAX);
	shared[n_shared++] = (struct shared){virt_to_phys(pages).v, count};
}

/* --- tables --- */

struct tables {
	uint64_t (*root)[2];
	uint64_t domain[IOMMU_DOMAINS]; /* second-level tables; 0: nothing is reached */
};

static int reserve(const struct guest_map *m, const struct dmar_range *r, uint64_t root,
		   unsigned *pages)
{
	for (uint64_t at = r->base; at < r->last; at += PAGE_SIZE) {
		int err;

		if (at >= m->hv_base && at < m->hv_base + m->hv_size)
			continue; /* the firmware has given it to two */
		if ((*pages)++ == RESERVED_PAGES_MAX)
			return -E2BIG;
		err = npt_map_page(root, at, at, MT_WB, &vtd_format, &npt_pages);
		if (err)
			return err;
	}
	return 0;
}

static int build_others(const struct guest_map *m, uint64_t *root)
{
	unsigned pages = 0;
	int err = 0;

	if (!dmar.n_reserved)
		return 0;
	if (!npt_pages.page(NULL, root))
		return -ENOMEM;
	for (unsigned i = 0; i < dmar.n_reserved && !err; i++)
		err = reserve(m, &dmar.reserved[i], *root, &pages);
	return err;
}

static int build_hypervisor(const struct guest_map *m, uint64_t *root)
{
	static struct guest_map own;
	struct npt_format f = vtd_format;

	f.has_1g = can.has_1g;
	own.n = 1;
	own.range[0] = (struct guest_range){
		.gpa = m->hv_base, .hpa = m->hv_base, .size = m->hv_size, .type = MT_WB};
	return npt_build(&own, &f, &npt_pages, root);
}

static int share(const struct shared *s, uint64_t root)
{
	int err = 0;

	for (size_t i = 0; i < s->pages && !err; i++) {
		uint64_t hpa = s->hpa + i * PAGE_SIZE;

		err = npt_map_page(root, hpa, hpa, MT_WB, &vtd_format, &npt_pages);
	}
	return err;
}

static int build_guest(const struct guest_map *m, uint64_t *root)
{
	struct npt_format f = vtd_format;
	int err;

	f.has_1g = can.has_1g;
	err = npt_build(m, &f, &npt_pages, root);
	for (unsigned i = 0; i < n_shared && !err; i++)
		err = share(&shared[i], *root);
	return err;
}

/* --- contexts --- */

static int set_context(const struct tables *t, struct host_pci at, enum iommu_domain domain)
{
	uint64_t hpa, (*context)[2];
	uint64_t *bus = t->root[at.bus], *entry;

	if (!t->domain[domain])
		return 0;
	if (!bus[0]) {
		if (!npt_pages.page(NULL, &hpa))
			return -ENOMEM;
		vtd_root_entry(bus, hpa);
	}
	context = npt_pages.virt(NULL, bus[0] & ~(uint64_t)(PAGE_SIZE - 1));
	entry = context[at.dev << 3 | at.fn];
	if (!entry[0])
		vtd_context_entry(entry, t->domain[domain], can.levels, (uint16_t)(domain + 1));
	return 0;
}

static bool is_there(struct host_pci at)
{
	return host_pci_get(at, 0, 4) != UINT32_MAX;
}

/* A bridge from PCI Express to PCI speaks for what is behind it, as device 0 of its bus. */
static int set_with_alias(const struct tables *t, const struct assigned *a)
{
	struct host_pci bridge = {.bus = a->at.bus};
	int err = set_context(t, a->at, a->domain);

	if (!err && bridge.bus && !is_there(bridge))
		err = set_context(t, bridge, a->domain);
	return err;
}

struct rest {
	const struct tables *t;
	int err;
};

static bool set_other(struct host_pci at, void *ctx)
{
	struct rest *r = ctx;

	if (!r->err) /* those that somebody has taken have theirs */
		r->err = set_context(r->t, at, IOMMU_OTHERS);
	return r->err;
}

/* The tables have 4 levels: for 3, their first entry's table, and nothing may be beyond it. */
static int fit(uint64_t *root, unsigned levels)
{
	const uint64_t *table;

	if (levels == 4 || !*root)
		return 0;
	table = npt_pages.virt(NULL, *root);
	for (unsigned i = 1; i < PAGE_SIZE / sizeof(*table); i++)
		if (table[i])
			return -ERANGE;
	*root = table[0] & ~(uint64_t)(PAGE_SIZE - 1);
	return 0;
}

static int build_domains(const struct guest_map *m, struct tables *t)
{
	int err = build_others(m, &t->domain[IOMMU_OTHERS]);

	if (!err)
		err = build_hypervisor(m, &t->domain[IOMMU_HYPERVISOR]);
	if (!err)
		err = build_guest(m, &t->domain[IOMMU_GUEST]);
	for (unsigned i = 0; i < IOMMU_DOMAINS && !err; i++)
		err = fit(&t->domain[i], can.levels);
	return err;
}

static int build(const struct guest_map *m, uint64_t *root_hpa)
{
	struct tables t = {.root = npt_pages.page(NULL, root_hpa)};
	struct rest rest = {.t = &t};
	int err;

	if (!t.root)
		return -ENOMEM;
	err = build_domains(m, &t);
	for (unsigned i = 0; i < n_assigned && !err; i++)
		err = set_with_alias(&t, &assigned[i]);
	if (!err)
		host_pci_each(set_other, &rest);
	return err ? err : rest.err;
}

/* --- faults --- */

static void report(const struct vtd_fault *f, bool lost)
{
	log_warn("iommu: %02x:%02x.%x was kept from %s 0x%llx%s (reason %u; %llu so far%s)", f->bus,
		 f->dev, f->fn, f->read ? "reading" : "writing", (unsigned long long)f->address,
		 guest_gpa_is_hypervisor((gpa_t){f->address}) ? ", the hypervisor's memory" : "",
		 f->reason, (unsigned long long)faults, lost ? " and more" : "");
}

/* One line for all of them. False: there were none. */
static bool take_faults(void)
{
	struct vtd_fault f, first = {0};
	bool any = false, lost = false;

	for (unsigned i = 0; i < n_units; i++)
		while (vtd_fault_next(&units[i], &f, &lost)) {
			if (!any)
				first = f;
			any = true;
			faults++;
		}
	if (any)
		report(&first, lost);
	return any;
}

static void mask_all(bool masked)
{
	for (unsigned i = 0; i < n_units; i++)
		vtd_fault_mask(&units[i], masked);
}

static void pause_faults(void)
{
	vtimer_arm(&fault_pause, (vns_t){node_now().v + FAULT_PAUSE_NS});
}

/* Whoever goes on gets no more than one line a second. */
static void pause_over(struct vtimer *t, vns_t now)
{
	(void)t;
	(void)now;
	if (take_faults())
		pause_faults();
	else
		mask_all(false);
}

static void fault_interrupt(void *dev)
{
	(void)dev;
	mask_all(true);
	(void)take_faults();
	pause_faults();
}

static int route_faults(void)
{
	int vector = irq_vector_alloc(fault_interrupt, NULL);

	if (vector < 0)
		return vector;
	vtimer_init(&fault_pause, &this_cpu()->timers, pause_over);
	for (unsigned i = 0; i < n_units; i++)
		vtd_fault_interrupt(&units[i], (uint8_t)vector, this_cpu()->apic_id);
	return 0;
}

/* --- start --- */

static int find_units(void)
{
	int err = 0;

	can = (struct ability){true, 4};
	for (n_units = 0; n_units < dmar.n_units && !err; n_units++) {
		const struct vtd *u = &units[n_units];
		void *regs = mmio_map((hpa_t){dmar.unit[n_units]}, VTD_BYTES);

		err = regs ? vtd_init(&units[n_units], regs) : -ENOMEM;
		can.has_1g &= vtd_has_1g(u);
		if (vtd_levels(u) < can.levels)
			can.levels = vtd_levels(u);
	}
	return err;
}

void iommu_init(void)
{
	const struct acpi_header *h = host_acpi_table("DMAR", 0);

	if (!h)
		return;
	found = dmar_parse(&dmar, h, h->length);
	if (!found)
		found = find_units();
}

static int start(const struct guest_map *m)
{
	uint64_t root;
	int err = found;

	if (!err)
		err = build(m, &root);
	for (unsigned i = 0; i < n_units && !err; i++)
		err = vtd_start(&units[i], root);
	return err ? err : route_faults();
}

static const char *why(int err)
{
	switch (err) {
	case -ENOTSUP:
		return "it has no queued invalidation, or no pages of 2 MiB";
	case -ENOMEM:
		return "no memory: raise hv_memory=";
	case -E2BIG:
		return "the firmware reserves more than 128 MiB, or has too many units";
	case -ERANGE:
		return "memory above 512 GiB is out of its reach";
	case -ENODEV:
	case -ETIMEDOUT:
		return "it does not answer";
	default:
		return "the firmware's table is damaged";
	}
}

void iommu_start(const struct guest_map *m)
{
	int err;

	if (!host_acpi_table("DMAR", 0) || handoff->iommu == IOMMU_OFF) {
		log_info("iommu: %s: the DMA of cards is not checked",
			 handoff->iommu == IOMMU_OFF ? "off, as iommu=off says"
						     : "the machine has no VT-d that is on");
		return;
	}
	err = start(m);
	if (err) {
		log_error("iommu: VT-d can't be used, %s (%d): the DMA of cards is not checked",
			  why(err), err);
		return;
	}
	on = true;
	log_info("iommu: VT-d, %u unit%s: each card reaches its owner's memory only", n_units,
		 n_units == 1 ? "" : "s");
}

struct iommu_status iommu_status(void)
{
	return (struct iommu_status){on, on ? n_units : 0, faults};
}
