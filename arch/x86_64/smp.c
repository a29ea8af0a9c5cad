/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting the APs with INIT-SIPI-SIPI (SDM vol. 3, 9.4), one after the other, each until its TSC
 * is measured. The trampoline's page and another one below 4 GiB, for the page-table root that
 * 16-bit code can load, are guest RAM: borrowed, and given back as they were.
 */
#include <string.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/madt.h"
#include "arch/x86_64/spinlock.h"
#include "hv/log.h"

#define INIT_US	      10    /* today's processors need nothing between INIT and SIPI */
#define INIT_OLD_US   10000 /* what the manual asks for: second try */
#define SIPI_US	      200
#define FIRST_TRY_US  100000
#define SECOND_TRY_US 1000000

struct trampoline_data {
	uint64_t stack, arg, entry;
	uint32_t cr3, nx_hidden;
	uint32_t far_offset;
	uint16_t far_selector;
	uint16_t gdt_limit;
	uint32_t gdt_base;
} __attribute__((packed));
_Static_assert(sizeof(struct trampoline_data) == 44, "as laid out in trampoline.S");

_Static_assert(CPUS_MAX <= HANDOFF_MAX_CPUS, "list_cpus() stops at CPUS_MAX");

extern const uint8_t trampoline_start[], trampoline_end[], trampoline_data[];

static __attribute__((noreturn)) void (*ap_fn)(struct cpu *c);
static uint8_t *code_page, *root_page; /* in the direct map */
static uint64_t root_phys;

static __attribute__((noreturn)) void ap_main(struct cpu *c)
{
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	write_cr3(paging_cr3());
	percpu_load(c);
	control_init();
	lapic_init();
	fpu_init_cpu();
	mce_init_cpu();
	__atomic_store_n(&c->online, true, __ATOMIC_RELEASE);
	tsc_sync_ap();
	ap_fn(c);
}

static bool is_ram(uint64_t pa)
{
	if (pa - handoff->hv_base < handoff->hv_size)
		return false;
	for (unsigned i = 0; i < handoff->n_map; i++) {
		const struct mem_range *r = &handoff->map[i];

		if (r->type == MEM_RAM && pa >= r->base && pa - r->base < r->size)
			return true;
	}
	return false;
}

/* A page for the root, at or above 1 MiB. */
static uint64_t find_root_page(void)
{
	for (uint64_t pa = 0x100000; pa < 1ull << 32; pa += PAGE_SIZE)
		if (is_ram(pa))
			return pa;
	return 0;
}

static bool borrow(uint8_t saved[2 * PAGE_SIZE])
{
	root_phys = find_root_page();
	if (!handoff->trampoline || handoff->trampoline >= 0xa0000 ||
	    !is_ram(handoff->trampoline) || !root_phys) {
		log_error("CPUs: no page of memory below 640 KiB to start the others from");
		return false;
	}
	code_page = phys_to_virt((hpa_t){handoff->trampoline});
	root_page = phys_to_virt((hpa_t){root_phys});
	memcpy(saved, code_page, PAGE_SIZE);
	memcpy(saved + PAGE_SIZE, root_page, PAGE_SIZE);
	memcpy(code_page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	memcpy(root_page, phys_to_virt((hpa_t){paging_firmware_cr3()}), PAGE_SIZE);
	return true;
}

static void give_back(const uint8_t saved[2 * PAGE_SIZE])
{
	memcpy(code_page, saved, PAGE_SIZE);
	memcpy(root_page, saved + PAGE_SIZE, PAGE_SIZE);
}

static void prepare(struct cpu *c)
{
	struct trampoline_data d;
	uint8_t *at = code_page + (trampoline_data - trampoline_start);

	memcpy(&d, trampoline_data, sizeof(d)); /* offsets from the page's start */
	d.stack = c->stack_top;
	d.arg = (uint64_t)c;
	d.entry = (uint64_t)ap_main;
	d.cr3 = (uint32_t)root_phys;
	d.nx_hidden = control_xd_disabled();
	d.far_offset += (uint32_t)handoff->trampoline;
	d.gdt_base += (uint32_t)handoff->trampoline;
	memcpy(at, &d, sizeof(d));
}

static bool wait_online(const struct cpu *c, uint64_t us)
{
	uint64_t start = rdtsc(), limit = us * (tsc_hz() / 1000000);

	while (!__atomic_load_n(&c->online, __ATOMIC_ACQUIRE)) {
		if (rdtsc() - start > limit)
			return false;
		cpu_relax();
	}
	return true;
}

static bool wake(struct cpu *c)
{
	uint8_t page = (uint8_t)(handoff->trampoline / PAGE_SIZE);

	lapic_send_init(c->apic_id);
	tsc_delay_us(INIT_US);
	lapic_send_sipi(c->apic_id, page);
	if (wait_online(c, FIRST_TRY_US))
		return true;
	lapic_send_init(c->apic_id);
	tsc_delay_us(INIT_OLD_US);
	for (unsigned i = 0; i < 2; i++) {
		lapic_send_sipi(c->apic_id, page);
		tsc_delay_us(SIPI_US);
	}
	if (wait_online(c, SECOND_TRY_US))
		return true;
	lapic_send_init(c->apic_id); /* it must not come later, when the page is the guest's */
	tsc_delay_us(INIT_OLD_US);
	return false;
}

/* A CPU that doesn't come leaves its struct to the next candidate. */
static void start_one(uint32_t apic_id, struct cpu **spare)
{
	struct cpu *c = *spare ? *spare : percpu_create(cpu_count(), apic_id);

	*spare = c;
	c->apic_id = apic_id;
	prepare(c);
	if (!wake(c)) {
		log_error("CPUs: the one with APIC ID 0x%x doesn't start, going on without it",
			  apic_id);
		return;
	}
	*spare = NULL;
	percpu_publish(c);
	tsc_sync_bsp(c->index);
}

/* APIC IDs of enabled processors: the MADT's, else what the loader learned from the firmware.
 * Duplicates fall out later. */
static unsigned list_cpus(uint32_t ids[CPUS_MAX])
{
	const struct madt_entry *e = NULL;
	unsigned n = 0;

	while (n < CPUS_MAX && (e = madt_next(e, MADT_LAPIC, sizeof(struct madt_lapic))) != NULL) {
		const struct madt_lapic *l = (const struct madt_lapic *)e;

		if (l->flags & MADT_ENABLED && l->apic_id != 0xff)
			ids[n++] = l->apic_id;
	}
	e = NULL;
	while (n < CPUS_MAX &&
	       (e = madt_next(e, MADT_X2APIC, sizeof(struct madt_x2apic))) != NULL) {
		const struct madt_x2apic *x = (const struct madt_x2apic *)e;

		if (x->flags & MADT_ENABLED && x->x2apic_id != UINT32_MAX)
			ids[n++] = x->x2apic_id;
	}
	if (n > 0 || host_acpi_table("APIC", 0))
		return n;
	for (; n < handoff->n_cpus && n < CPUS_MAX; n++)
		ids[n] = handoff->apic_ids[n];
	return n;
}

static bool is_known(uint32_t apic_id)
{
	for (unsigned i = 0; i < cpu_count(); i++)
		if (cpu_get(i)->apic_id == apic_id)
			return true;
	return false;
}

static void start_listed(unsigned limit)
{
	static uint32_t ids[CPUS_MAX];
	struct cpu *spare = NULL;
	unsigned n = list_cpus(ids);

	for (unsigned i = 0; i < n && cpu_count() < limit; i++) {
		if (is_known(ids[i]))
			continue;
		if (!lapic_is_x2() && ids[i] > 0xfe)
			log_error("CPUs: APIC ID 0x%x can't be reached: firmware left the APIC in "
				  "xAPIC mode",
				  ids[i]);
		else
			start_one(ids[i], &spare);
	}
}

unsigned smp_start(const struct handoff *h, __attribute__((noreturn)) void (*fn)(struct cpu *c))
{
	unsigned limit = h->cpus > 0 && h->cpus < CPUS_MAX ? h->cpus : CPUS_MAX;
	uint8_t *saved;

	ap_fn = fn;
	if (limit > 1) {
		saved = pages_alloc(2);
		if (!saved)
			panic("no memory to start CPUs: raise hv_memory=");
		if (borrow(saved)) {
			start_listed(limit);
			give_back(saved);
		}
		pages_free(saved, 2);
	}
	log_info("CPUs: %u", cpu_count());
	if (cpu_count() > 1)
		tsc_sync_report();
	return cpu_count() - 1;
}
