/* build: hv/iommu.c hv/requester.c hv/npt.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who reaches what through an IOMMU of which only its orders are seen, and what is told of faults.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "arch/x86_64/acpi_tables.h"
#include "arch/x86_64/arch.h"
#include "boot/handoff.h"
#include "hv/iommu.h"
#include "hv/iommu_ops.h"
#include "hv/log.h"
#include "hv/requester.h"
#include "hv/vcpu.h"
#include "test/unit/check.h"

#define ALIASED	   0x0520u /* by the firmware's word it speaks as */
#define ALIAS	   0x0500u
#define UNITS	   2u
#define PAGES_MAX  256u
#define HV_BASE	   0x8000000ull
#define VECTOR	   0x51
#define FAULTS_MAX 600u

/* --- the machine --- */

static struct cpu cpu;
static struct handoff the_handoff;
struct handoff *handoff = &the_handoff;
static struct acpi_header table = {.length = sizeof(table)};
static void *pages[PAGES_MAX];
static unsigned n_pages;

const void *host_acpi_table(const char signature[4], unsigned nth)
{
	return memcmp(signature, "IVRS", 4) == 0 && nth == 0 ? &table : NULL;
}

static void *page(void *ctx, uint64_t *hpa)
{
	void *p = n_pages < PAGES_MAX ? aligned_alloc(PAGE_SIZE, PAGE_SIZE) : NULL;

	(void)ctx;
	if (p)
		pages[n_pages++] = memset(p, 0, PAGE_SIZE);
	*hpa = (uintptr_t)p;
	return p;
}

static void *page_virt(void *ctx, uint64_t hpa)
{
	(void)ctx;
	return (void *)hpa;
}

const struct npt_alloc npt_pages = {page, page_virt, NULL};

hpa_t virt_to_phys(const void *p)
{
	return (hpa_t){(uintptr_t)p};
}

/* Bus 2 is behind a bridge from PCI Express to PCI, the others behind ports. */
static const struct host_pci functions[] = {{1, 0, 0}, {1, 1, 0}, {2, 4, 0}, {2, 5, 0}, {5, 4, 0}};

void host_pci_each(bool (*fn)(struct host_pci p, void *ctx), void *ctx)
{
	for (unsigned i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (fn(functions[i], ctx))
			return;
}

bool host_pci_bridge_to(uint8_t bus, struct host_pci *bridge)
{
	*bridge = (struct host_pci){0, bus, 0};
	return bus;
}

unsigned host_pci_capability(struct host_pci p, uint8_t id)
{
	CHECK(p.bus == 0 && id == 0x10);
	return 0x40;
}

uint32_t host_pci_get(struct host_pci p, unsigned offset, unsigned size)
{
	CHECK(offset == 0x42 && size == 2);
	return p.dev == 2 ? 7 << 4 : 4 << 4;
}

bool guest_gpa_is_hypervisor(gpa_t gpa)
{
	return gpa.v == HV_BASE;
}

static irq_handler interrupt;
static bool no_vector;
int irq_vector_alloc(irq_handler fn, void *dev)
{
	(void)dev;
	interrupt = fn;
	return no_vector ? -ENOSPC : VECTOR;
}

static vns_t now;
vns_t node_now(void)
{
	return now;
}

static void (*fire)(struct vtimer *t, vns_t now);
static vns_t fires_at;
void vtimer_init(struct vtimer *t, struct vtimerq *q, void (*f)(struct vtimer *t, vns_t now))
{
	CHECK(q == &cpu.timers);
	(void)t;
	fire = f;
	fires_at = (vns_t){UINT64_MAX};
}

void vtimer_arm(struct vtimer *t, vns_t deadline)
{
	(void)t;
	fires_at = deadline;
}

/* --- its log --- */

static char latest[256];
static unsigned lines;
void log_at(enum log_level level, const char *text, ...)
{
	va_list ap;

	(void)level;
	va_start(ap, text);
	(void)vsnprintf(latest, sizeof(latest), text, ap);
	va_end(ap);
	lines++;
}

void panic(const char *text, ...)
{
	(void)text;
	abort();
}

/* --- its IOMMU --- */

static struct {
	uint16_t domain[65536]; /* 0: it was not told */
	uint64_t table[65536];
	bool on[UNITS], masked[UNITS];
	struct iommu_fault fault[FAULTS_MAX];
	unsigned n_faults, fault_unit;
	int found, fails; /* fails: unit 1's start */
} hw;

static uint64_t leaf(uint64_t hpa, unsigned level, uint8_t type, bool exec, bool write)
{
	(void)type, (void)exec, (void)write;
	return hpa | 1 | (level > 1 ? 1u << 7 : 0);
}

static uint64_t upper(uint64_t hpa, unsigned level)
{
	return hpa | 1 | level << 9;
}

static int find(struct iommu_machine *m, const void *t, size_t size)
{
	CHECK(t == &table && size == sizeof(table));
	m->units = UNITS;
	m->format = (struct npt_format){leaf, upper, true};
	m->levels = 4;
	m->reserved.n = 1;
	m->reserved.range[0] = (struct iommu_range){0x7b000000, 0x7b003fff};
	return hw.found;
}

static uint16_t alias(uint16_t id)
{
	return id == ALIASED ? ALIAS : id;
}

static int reach(uint16_t id, uint64_t table_hpa, uint16_t domain)
{
	CHECK(table_hpa && domain && !hw.domain[id]);
	hw.domain[id] = domain;
	hw.table[id] = table_hpa;
	return 0;
}

static int start(unsigned unit)
{
	hw.on[unit] = true;
	return unit == 1 ? hw.fails : 0;
}

static void stop(unsigned unit)
{
	hw.on[unit] = false;
}

static void fault_interrupt(unsigned unit, uint8_t vector, uint32_t apic_id)
{
	CHECK(unit < UNITS && vector == VECTOR && apic_id == cpu.apic_id);
	hw.masked[unit] = true;
}

static void fault_mask(unsigned unit, bool masked)
{
	hw.masked[unit] = masked;
}

static bool fault_next(unsigned unit, struct iommu_fault *f, bool *lost)
{
	(void)lost;
	if (unit != hw.fault_unit || !hw.n_faults)
		return false;
	*f = hw.fault[0];
	memmove(hw.fault, hw.fault + 1, --hw.n_faults * sizeof(*f));
	return true;
}

static void fault(uint16_t id, uint64_t address)
{
	hw.fault[hw.n_faults++] = (struct iommu_fault){.id = id, .address = address, .reason = 2};
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
const struct iommu_ops vtd_ops = {.name = "VT-d", .signature = "DMAR"};

/* --- a boot is a process of its own: iommu.c keeps what it was told --- */

static struct guest_map map;

static void boot(void)
{
	cpu.self = &cpu;
	cpu.apic_id = 3;
	CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
	map.n = 1;
	map.range[0] = (struct guest_range){.gpa = 0, .hpa = 0, .size = HV_BASE, .type = MT_WB};
	map.hv_base = HV_BASE;
	map.hv_size = 64 << 20;
	iommu_init();
}

static void in_a_boot(void (*fn)(void))
{
	const unsigned before = check_failures;
	pid_t pid;
	int status;

	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		boot();
		fn();
		(void)fflush(stdout);
		_exit(check_failures != before);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static uint16_t domain_of(uint16_t id)
{
	return hw.domain[id];
}

/* --- who reaches what --- */

static void owners_boot(void)
{
	iommu_assign(1, 0, 0, IOMMU_HYPERVISOR);
	iommu_assign(2, 4, 0, IOMMU_GUEST);
	iommu_assign(5, 4, 0, IOMMU_GUEST);
	iommu_start(&map);
	CHECK(iommu_status().on && iommu_status().units == UNITS);
	CHECK(hw.on[0] && hw.on[1]);
	CHECK_EQ(domain_of(0x0100), IOMMU_HYPERVISOR + 1);
	CHECK_EQ(domain_of(0x0220), IOMMU_GUEST + 1);
	CHECK_EQ(domain_of(0x0200), IOMMU_GUEST + 1); /* as which its bridge speaks */
	CHECK_EQ(domain_of(0x0520), IOMMU_GUEST + 1);
	CHECK_EQ(domain_of(ALIAS), IOMMU_GUEST + 1);
	CHECK_EQ(domain_of(0x0108), IOMMU_OTHERS + 1);
	CHECK_EQ(domain_of(0x0228), IOMMU_OTHERS + 1);
	CHECK_EQ(domain_of(0x0300), 0);
	CHECK(hw.table[0x0100] != hw.table[0x0220] && hw.table[0x0220] == hw.table[0x0520]);
	CHECK(hw.table[0x0108] != hw.table[0x0100] && hw.table[0x0108] != hw.table[0x0220]);
}

static void each_reaches_its_owner_s(void)
{
	in_a_boot(owners_boot);
}

static void shared_boot(void)
{
	iommu_assign(2, 4, 0, IOMMU_HYPERVISOR);
	iommu_assign(2, 5, 0, IOMMU_GUEST);
	iommu_start(&map);
	CHECK(!iommu_status().on);
	CHECK(!hw.on[0] && !hw.on[1]);
	CHECK(strstr(latest, "two cards can't be told apart"));
}

static void one_bridge_for_two_owners_is_told(void)
{
	in_a_boot(shared_boot);
}

/* --- what does not work leaves nothing on --- */

static void unit_fails_boot(void)
{
	hw.fails = -ETIMEDOUT;
	iommu_start(&map);
	CHECK(!iommu_status().on && !hw.on[0] && !hw.on[1]);
	CHECK(strstr(latest, "does not answer"));
}

static void too_old_boot(void)
{
	iommu_start(&map);
	CHECK(!iommu_status().on && !hw.on[0] && !hw.on[1]);
	CHECK(strstr(latest, "too old"));
}

static void no_vector_boot(void)
{
	no_vector = true;
	iommu_start(&map);
	CHECK(!iommu_status().on && !hw.on[0] && !hw.on[1]);
}

static void off_boot(void)
{
	the_handoff.iommu = IOMMU_OFF;
	iommu_start(&map);
	CHECK(!iommu_status().on && !hw.on[0]);
	CHECK(strstr(latest, "iommu=off"));
}

static void errors_leave_nothing_on(void)
{
	in_a_boot(unit_fails_boot);
	in_a_boot(no_vector_boot);
	in_a_boot(off_boot);
	hw.found = -ENOTSUP; /* before boot() */
	in_a_boot(too_old_boot);
	hw.found = 0;
}

/* --- faults --- */

static void faults_boot(void)
{
	fault(0x0228, 0x1000); /* before anybody listens */
	iommu_start(&map);
	CHECK(strstr(latest, "each card")); /* the last line; the fault's was before */
	CHECK_EQ(iommu_status().faults, 1);
	CHECK(hw.masked[0] && hw.masked[1] && fires_at.v == 1000000000);
	now.v = fires_at.v;
	fire(NULL, now);
	CHECK(!hw.masked[0] && !hw.masked[1]);

	lines = 0;
	hw.fault_unit = 1;
	for (unsigned i = 0; i < FAULTS_MAX; i++)
		fault(0x0228, HV_BASE);
	interrupt(NULL);
	CHECK_EQ(lines, 1);
	CHECK(strstr(latest, "02:05.0 was kept from writing 0x8000000, the hypervisor's memory"));
	CHECK_EQ(iommu_status().faults, 257);
	CHECK(hw.masked[1]);
	while (hw.masked[1]) {
		CHECK(fires_at.v == now.v + 1000000000);
		now.v = fires_at.v;
		fire(NULL, now);
	}
	CHECK_EQ(iommu_status().faults, 1 + FAULTS_MAX);
	CHECK_EQ(lines, 3);

	hw.fault[hw.n_faults++] =
		(struct iommu_fault){.unit = true, .address = 0x5000, .reason = 5};
	interrupt(NULL);
	CHECK(strstr(latest, "trouble of its own"));
	CHECK_EQ(iommu_status().faults, 1 + FAULTS_MAX);
}

static void faults_are_told_once_a_second(void)
{
	in_a_boot(faults_boot);
}

int main(void)
{
	RUN(each_reaches_its_owner_s);
	RUN(one_bridge_for_two_owners_is_told);
	RUN(errors_leave_nothing_on);
	RUN(faults_are_told_once_a_second);
	return check_result();
}
