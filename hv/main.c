// SPDX-License-Identifier: GPL-2.0-or-later
/* Putting the node together: processors, the guest's memory and board, its kernel, and off. */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "arch/x86_64/mtrr.h"
#include "hv/console.h"
#include "hv/cpuid.h"
#include "hv/disk_open.h"
#include "hv/experiment.h"
#include "hv/freeze.h"
#include "hv/guest.h"
#include "hv/iommu.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/msr.h"
#include "hv/pass.h"
#include "hv/platform.h"
#include "hv/remote.h"
#include "hv/rtc.h"
#include "hv/stats.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "net/ctlnet.h"
#include "net/nics.h"
#include "timevirt/vclock.h"

#define COM1_IRQ     4
#define COM1_PORT    0x3f8
#define CPUID_VMX    (1u << 5)
#define PANIC_EXITS  16
#define CR0_PE_ET    0x11ull
#define RFLAGS_FIXED 2ull
#define CODE32_ATTR  0xc09b /* present, code, readable, accessed, 32-bit, 4 KiB granularity */
#define DATA32_ATTR  0xc093

static struct guest_map map;
static uint32_t cpus_go, cpus_ready; /* atomic */

static void print_exit(const struct vcpu *v, const struct trace_entry *t)
{
	panic_printf("  cpu%u %-24s rip 0x%llx info 0x%llx\n", v->index,
		     vcpu_ops->exit_name(t->reason), (unsigned long long)t->rip,
		     (unsigned long long)t->info);
}

static void print_last_exits(void)
{
	struct vcpu *v = this_cpu()->vcpu;

	if (v)
		trace_dump(v, PANIC_EXITS, print_exit);
}

__attribute__((noreturn)) static void ap_main(struct cpu *c)
{
	while (!__atomic_load_n(&cpus_go, __ATOMIC_ACQUIRE))
		cpu_relax();
	vcpu_start(c->vcpu);
	__atomic_fetch_add(&cpus_ready, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&cpus_go, __ATOMIC_ACQUIRE) == 1)
		cpu_relax();
	vcpu_loop(c->vcpu);
}

static void create_vcpus(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < cpu_count(); i++)
		if (cpu_get(i)->online)
			vcpu_create(n++, cpu_get(i));
}

/* Units: the machine first, then its clock, its processors, its board. */
static void describe_machine(void)
{
	static uint32_t apic_ids[CPUS_MAX];
	static struct machine m = {.map = &map, .apic_ids = apic_ids};
	struct cpuid vendor = cpuid(0, 0);
	const uint32_t name[] = {vendor.ebx, vendor.edx, vendor.ecx};

	for (unsigned i = 0; i < cpu_count(); i++)
		if (cpu_get(i)->online)
			apic_ids[m.cpus++] = cpu_get(i)->apic_id;
	memcpy(m.vendor, name, sizeof(m.vendor));
	memcpy(m.back_end, vcpu_ops->name, strlen(vcpu_ops->name));
	m.signature = cpuid(1, 0).eax;
	m.features = cpuid_digest();
	m.xcr0 = xcr0_host_max;
	machine_register(&m);
	clock_unit_register();
}

static void build_memory(const struct handoff *h, void *tables)
{
	struct mtrr_regs mtrr;
	int err;

	mtrr_read_host(&mtrr);
	err = guest_map_build(&map, h, &mtrr, virt_to_phys(tables).v);
	if (err)
		panic("the guest's memory map can't be built (%d)", err);
	guest_memory_init(&map);
	log_info("guest: %llu MiB of RAM in %u ranges", (unsigned long long)(map.ram_bytes >> 20),
		 map.n);
}

static uint64_t high_memory(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < map.n; i++)
		if (map.range[i].kind == GUEST_RAM && map.range[i].gpa >= 1ull << 32)
			bytes += map.range[i].size;
	return bytes;
}

static void build_board(void)
{
	struct vtimerq *q = &cpu_get(0)->timers;

	pic_init();
	ioapic_init();
	pit_init(q);
	hpet_init(q);
	pm_init(q);
	rtc_init(q, host_rtc_seconds());
	rtc_set_memory(map.low_top, high_memory());
	vuart_init(COM1_PORT, COM1_IRQ);
	ports_init();
	pci_root_init(&map);
	iommu_init();			       /* before our own devices do DMA, or interrupt */
	ctlnet_init(handoff, &remote_handler); /* the disk may lie on the other side of it */
	experiment_init(handoff);
	freeze_mark_at(handoff->freeze_mark);
	disk_init(handoff);
	pass_nics(handoff);
	iommu_start(&map); /* now it is known whose each card is */
}

static uint64_t build_tables(void *tables)
{
	static struct acpi_config config;

	config = (struct acpi_config){
		.n_cpus = vcpu_count(), .pci_base = map.pci_base, .pci_end = map.pci_end};
	for (unsigned i = 0; i < vcpu_count(); i++)
		config.apic_ids[i] = vcpu_get(i)->lapic.id;
	return acpi_tables_build(tables, &config);
}

/* The state that the 32-bit Linux boot protocol asks for: flat protected mode, paging off,
 * interrupts off. */
static void enter_linux(struct vcpu *v, const struct linux_entry *e)
{
	static struct vcpu_state s;
	int err;

	vcpu_ops->save(v, &s);
	memset(s.gpr, 0, sizeof(s.gpr));
	s.gpr[RSI] = e->boot_params;
	s.gpr[RSP] = e->stack;
	s.rip = e->rip;
	s.rflags = RFLAGS_FIXED;
	s.cr0 = CR0_PE_ET;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct vcpu_segment){
			.selector = 0x18, .limit = 0xffffffff, .attr = DATA32_ATTR};
	s.seg[SEG_CS] =
		(struct vcpu_segment){.selector = 0x10, .limit = 0xffffffff, .attr = CODE32_ATTR};
	s.gdtr.base = e->gdt_base;
	s.gdtr.limit = e->gdt_limit;
	err = vcpu_ops->load(v, &s);
	if (err)
		panic("the guest's first state can't be entered (%d)", err);
}

static void start_aps(void)
{
	__atomic_store_n(&cpus_go, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&cpus_ready, __ATOMIC_ACQUIRE) < vcpu_count() - 1)
		cpu_relax();
}

void hv_main(const struct handoff *h)
{
	void *tables = pages_alloc(TABLES_SIZE / PAGE_SIZE);
	struct linux_entry entry;
	int err;

	ASSERT(tables);
	nmi_hook = exit_host_nmi;
	panic_hook = print_last_exits;
	cpuid_setup();
	msr_setup();
	vcpu_ops = !cpuid_vendor_amd() && (cpuid(1, 0).ecx & CPUID_VMX) ? &vmx_ops : &svm_ops;
	nics_quiesce();
	smp_start(h, ap_main);
	build_memory(h, tables);
	err = vclock_init(&node_clock, tsc_hz(), node_host_ticks(), 0);
	if (err)
		panic("a TSC of %llu Hz is outside 50 MHz to 6 GHz", (unsigned long long)tsc_hz());
	describe_machine();
	create_vcpus();
	build_board();
	units_reset();
	vlapic_virtual_wire(&vcpu_get(0)->lapic);
	err = linux_prepare(h, &map, build_tables(tables), &entry);
	if (err)
		panic("the guest's kernel can't be prepared (%d)", err);
	err = vcpu_ops->setup();
	if (err)
		panic("%s can't be used on this machine (%d)", vcpu_ops->name, err);
	start_aps();
	vcpu_start(vcpu_get(0));
	enter_linux(vcpu_get(0), &entry);
	console_init();
	if (disk_missing() && h->on_no_disk == NO_DISK_STOP) {
		vcpu_get(0)->activity = VCPU_SHUTDOWN;
		log_error("the guest does not start without its disk, as on_no_disk=stop says");
	}
	log_info("%s, %u CPUs: the guest starts", vcpu_ops->name, vcpu_count());
	console_guest_mode();
	/* The guest's time begins here. */
	vclock_stop(&node_clock, node_host_ticks());
	vclock_set(&node_clock, 0);
	vclock_start(&node_clock, node_host_ticks());
	vcpu_update_tsc(vcpu_get(0));
	for (unsigned i = 1; i < vcpu_count(); i++)
		vcpu_request(vcpu_get(i), VCPU_REQ_TSC);
	__atomic_store_n(&cpus_go, 2, __ATOMIC_RELEASE);
	vcpu_loop(vcpu_get(0));
}
