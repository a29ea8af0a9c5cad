// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/iommu.h"
#include <errno.h>
#include "arch/x86_64/acpi_tables.h"
#include "arch/x86_64/arch.h"
#include "boot/handoff.h"
#include "hv/guest.h"
#include "hv/iommu_ops.h"
#include "hv/log.h"
#include "hv/requester.h"
#include "hv/vcpu.h"

#define ASSIGNED_MAX	   64
#define SHARED_MAX	   16
#define RESERVED_PAGES_MAX 32768u     /* 128 MiB */
#define FAULT_PAUSE_NS	   1000000000 /* between two lines about faults */
#define FAULTS_AT_ONCE	   256u	      /* looked at; more wait for the next line */

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

static const struct iommu_ops *const makers[] = {&vtd_ops, &amdvi_ops};
static const struct iommu_ops *ops; /* NULL: the machine has none */
static struct iommu_machine machine;
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

static int reserve(const struct guest_map *m, const struct iommu_range *r, uint64_t root,
		   unsigned *pages)
{
	for (uint64_t at = r->base; at < r->last; at += PAGE_SIZE) {
		int err;

		if (at >= m->hv_base && at < m->hv_base + m->hv_size)
			continue; /* the firmware has given it to two */
		if ((*pages)++ == RESERVED_PAGES_MAX)
			return -E2BIG;
		err = npt_map_page(root, at, at, MT_WB, &machine.format, &npt_pages);
		if (err)
			return err;
	}
	return 0;
}

static int build_others(const struct guest_map *m, uint64_t *root)
{
	unsigned pages = 0;
	int err = 0;

	if (!machine.reserved.n)
		return 0;
	if (!npt_pages.page(NULL, root))
		return -ENOMEM;
	for (unsigned i = 0; i < machine.reserved.n && !err; i++)
		err = reserve(m, &machine.reserved.range[i], *root, &pages);
	return err;
}

static int build_hypervisor(const struct guest_map *m, uint64_t *root)
{
	static struct guest_map own;

	own.n = 1;
	own.range[0] = (struct guest_range){
		.gpa = m->hv_base, .hpa = m->hv_base, .size = m->hv_size, .type = MT_WB};
	return npt_build(&own, &machine.format, &npt_pages, root);
}

static int share(const struct shared *s, uint64_t root)
{
	int err = 0;

	for (size_t i = 0; i < s->pages && !err; i++) {
		uint64_t hpa = s->hpa + i * PAGE_SIZE;

		err = npt_map_page(root, hpa, hpa, MT_WB, &machine.format, &npt_pages);
	}
	return err;
}

static int build_guest(const struct guest_map *m, uint64_t *root)
{
	int err = npt_build(m, &machine.format, &npt_pages, root);

	for (unsigned i = 0; i < n_shared && !err; i++)
		err = share(&shared[i], *root);
	return err;
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

static int build(const struct guest_map *m, uint64_t root[IOMMU_DOMAINS])
{
	int err = build_others(m, &root[IOMMU_OTHERS]);

	if (!err)
		err = build_hypervisor(m, &root[IOMMU_HYPERVISOR]);
	if (!err)
		err = build_guest(m, &root[IOMMU_GUEST]);
	for (unsigned i = 0; i < IOMMU_DOMAINS && !err; i++)
		err = fit(&root[i], machine.levels);
	return err;
}

/* --- who reaches what --- */

static uint8_t owner[65536]; /* by requester ID: domain + 1; 0: nobody yet */

static int claim(const uint64_t root[IOMMU_DOMAINS], uint16_t id, enum iommu_domain domain)
{
	struct host_pci p = requester_function(id);

	if (owner[id] == domain + 1 || (owner[id] && domain == IOMMU_OTHERS))
		return 0;
	if (owner[id]) {
		log_error("iommu: a card of the guest's and one of the hypervisor's both speak as "
			  "%02x:%02x.%x: put one of them behind another bridge",
			  p.bus, p.dev, p.fn);
		return -EBUSY;
	}
	owner[id] = (uint8_t)(domain + 1);
	/* without a table nothing is reached */
	return root[domain] ? ops->reach(id, root[domain], (uint16_t)(domain + 1)) : 0;
}

static int claim_all(const uint64_t root[IOMMU_DOMAINS], struct host_pci at,
		     enum iommu_domain domain)
{
	struct requester_ids ids;
	int err = 0;

	requester_ids(at, &ids);
	for (unsigned i = 0; i < ids.n && !err; i++) {
		err = claim(root, ids.id[i], domain);
		if (!err && ops->alias)
			err = claim(root, ops->alias(ids.id[i]), domain);
	}
	return err;
}

struct rest {
	const uint64_t *root;
	int err;
};

static bool claim_other(struct host_pci at, void *ctx)
{
	struct rest *r = ctx;

	r->err = claim_all(r->root, at, IOMMU_OTHERS);
	return r->err;
}

static int claim_everything(const uint64_t root[IOMMU_DOMAINS])
{
	struct rest rest = {.root = root};

	for (unsigned i = 0; i < n_assigned && !rest.err; i++)
		rest.err = claim_all(root, assigned[i].at, assigned[i].domain);
	if (!rest.err)
		host_pci_each(claim_other, &rest);
	return rest.err;
}

/* --- faults --- */

static void report(const struct iommu_fault *f, bool lost)
{
	struct host_pci p = requester_function(f->id);

	if (f->unit)
		log_error("iommu: a unit has trouble of its own at 0x%llx (reason %u)",
			  (unsigned long long)f->address, f->reason);
	else
		log_warn("iommu: %02x:%02x.%x was kept from %s 0x%llx%s (reason %u; %llu so far%s)",
			 p.bus, p.dev, p.fn, f->read ? "reading" : "writing",
			 (unsigned long long)f->address,
			 guest_gpa_is_hypervisor((gpa_t){f->address}) ? ", the hypervisor's memory"
								      : "",
			 f->reason, (unsigned long long)faults, lost ? " and more" : "");
}

/* One line for all of them. False: there were none. */
static bool take_faults(void)
{
	struct iommu_fault f, first = {0};
	bool lost = false;
	unsigned n = 0;

	for (unsigned i = 0; i < machine.units; i++)
		while (n < FAULTS_AT_ONCE && ops->fault_next(i, &f, &lost)) {
			if (!n++)
				first = f;
			faults += !f.unit;
		}
	if (n)
		report(&first, lost);
	return n;
}

static void mask_all(bool masked)
{
	for (unsigned i = 0; i < machine.units; i++)
		ops->fault_mask(i, masked);
}

static void pause_faults(void)
{
	vtimer_arm(&fault_pause, (vns_t){node_now().v + FAULT_PAUSE_NS});
}

/* Interrupts from now on; what came before may have raised none. */
static void listen(void)
{
	mask_all(false);
	if (!take_faults())
		return;
	mask_all(true);
	pause_faults();
}

/* Whoever goes on gets no more than one line a second. */
static void pause_over(struct vtimer *t, vns_t now)
{
	(void)t;
	(void)now;
	if (take_faults())
		pause_faults();
	else
		listen();
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
	for (unsigned i = 0; i < machine.units; i++)
		ops->fault_interrupt(i, (uint8_t)vector, this_cpu()->apic_id);
	listen();
	return 0;
}

/* --- start --- */

void iommu_init(void)
{
	for (unsigned i = 0; i < sizeof(makers) / sizeof(makers[0]) && !ops; i++) {
		const struct acpi_header *h = host_acpi_table(makers[i]->signature, 0);

		if (!h)
			continue;
		ops = makers[i];
		found = ops->find(&machine, h, h->length);
	}
}

static int start(const struct guest_map *m)
{
	uint64_t root[IOMMU_DOMAINS] = {0};
	int err = found;

	if (!err)
		err = build(m, root);
	if (!err)
		err = claim_everything(root);
	if (err)
		return err;
	for (unsigned i = 0; i < machine.units && !err; i++)
		err = ops->start(i);
	if (!err)
		err = route_faults();
	for (unsigned i = 0; i < machine.units && err; i++)
		ops->stop(i);
	return err;
}

static const char *why(int err)
{
	switch (err) {
	case -ENOTSUP:
		return "it is too old (docs/architecture.md)";
	case -ENOMEM:
		return "no memory: raise hv_memory=";
	case -E2BIG:
		return "the firmware reserves more than 128 MiB, or its table says more than is "
		       "taken";
	case -EBUSY:
		return "two cards can't be told apart";
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

	if (!ops || handoff->iommu == IOMMU_OFF) {
		log_info("iommu: %s: the DMA of cards is not checked",
			 ops ? "off, as iommu=off says"
			     : "the machine has no VT-d or AMD-Vi that is on");
		return;
	}
	err = start(m);
	if (err) {
		log_error("iommu: %s can't be used, %s (%d): the DMA of cards is not checked",
			  ops->name, why(err), err);
		return;
	}
	on = true;
	log_info("iommu: %s, %u unit%s: each card%s reaches its owner's memory only", ops->name,
		 machine.units, machine.units == 1 ? "" : "s",
		 machine.other_segments ? " of PCI segment 0" : "");
}

struct iommu_status iommu_status(void)
{
	return (struct iommu_status){on, on ? ops->name : NULL, on ? machine.units : 0, faults};
}
