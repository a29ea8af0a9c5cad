/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reset and power-off: a list of ways each, tried in turn. The first is the firmware's ResetSystem
 * (UEFI 2.10, 8.5.1), called in physical mode; if it returns or faults, the next way is tried.
 */
#include "arch/x86_64/internal.h"
#include "hv/log.h"

#define SETTLE_US 50000 /* for a way to take effect */

#define EFI_SYSTEM_TABLE_SIG 0x5453595320494249ull /* "IBI SYST" */
#define EFI_RUNTIME_SIG	     0x56524553544e5552ull /* "RUNTSERV" */
enum { EFI_RESET_COLD = 0, EFI_RESET_SHUTDOWN = 2 };

struct efi_system_table {
	uint64_t signature, header[2];
	uint64_t vendor, revision;
	uint64_t console[6];
	uint64_t runtime;
};
_Static_assert(offsetof(struct efi_system_table, runtime) == 88, "EFI_SYSTEM_TABLE");

struct efi_runtime {
	uint64_t signature, header[2];
	uint64_t services[10];
	uint64_t reset_system;
};
_Static_assert(offsetof(struct efi_runtime, reset_system) == 104, "EFI_RUNTIME_SERVICES");

typedef void(__attribute__((ms_abi)) * efi_reset_fn)(uint64_t type, uint64_t status, uint64_t size,
						     void *data);

enum { RESET_CONTROL = 0xcf9, KBC_COMMAND = 0x64, KBC_STATUS = 0x64 };
#define RST_CPU	      0x04
#define SYS_RST	      0x02
#define KBC_IBF	      0x02
#define KBC_PULSE_RST 0xfe

#define PM1_SCI_EN	 0x0001
#define PM1_SLP_TYP	 10
#define PM1_SLP_EN	 0x2000
#define SLEEP_CTL_TYP	 2
#define SLEEP_CTL_EN	 0x20
#define PM1_CNT_OFFSET	 4 /* from the PIIX4's PMBA */
#define ACPI_ENABLE_WAIT 300

bool reset_fault_expected;

static volatile uint8_t *reset_reg; /* of the FADT, if it is in memory */

typedef void (*way)(void);
static const way *next_way;

static bool in_runtime(uint64_t pa, uint64_t size)
{
	for (unsigned i = 0; i < handoff->n_map; i++) {
		const struct mem_range *r = &handoff->map[i];

		if ((r->type == MEM_RUNTIME_CODE || r->type == MEM_RUNTIME_DATA || r->runtime) &&
		    pa >= r->base && size <= r->size && pa - r->base <= r->size - size)
			return true;
	}
	return false;
}

static void efi_reset(uint64_t type)
{
	const struct efi_system_table *st = (const void *)handoff->efi_system_table;
	const struct efi_runtime *rt;

	if (!in_runtime((uint64_t)st, sizeof(*st)))
		return;
	write_cr3(paging_firmware_cr3());
	rt = (const void *)st->runtime;
	if (st->signature == EFI_SYSTEM_TABLE_SIG && in_runtime(st->runtime, sizeof(*rt)) &&
	    rt->signature == EFI_RUNTIME_SIG) {
		fpu_defaults(); /* UEFI 2.10, 2.3.4 */
		((efi_reset_fn)rt->reset_system)(type, 0, 0, NULL);
	}
	write_cr3(paging_cr3());
}

static void efi_cold(void)
{
	efi_reset(EFI_RESET_COLD);
}

static void efi_shutdown(void)
{
	efi_reset(EFI_RESET_SHUTDOWN);
}

/* ACPI 6.4, 4.8.3.6; a PCI register is on bus 0: device, function, offset in the address's 16-bit
 * fields */
static void fadt_reset(void)
{
	const struct acpi_fadt *f = acpi_fadt();
	const struct acpi_gas *g;

	if (!f || !(f->flags & FADT_RESET_REG_SUP))
		return;
	g = &f->reset_reg;
	if (g->space == GAS_IO) {
		outb((uint16_t)g->address, f->reset_value);
	} else if (g->space == GAS_MEMORY && reset_reg) {
		*reset_reg = f->reset_value;
	} else if (g->space == GAS_PCI) {
		uint8_t dev = (uint8_t)(g->address >> 32), fn = (uint8_t)(g->address >> 16);
		uint8_t offset = (uint8_t)g->address;
		unsigned shift = offset % 4 * 8;
		uint32_t v = host_pci_read32(0, dev, fn, offset);

		v = (v & ~(0xffu << shift)) | (uint32_t)f->reset_value << shift;
		host_pci_write32(0, dev, fn, offset, v);
	}
}

static void cf9(void)
{
	outb(RESET_CONTROL, SYS_RST);
	tsc_delay_us(50);
	outb(RESET_CONTROL, SYS_RST | RST_CPU);
}

static void keyboard_controller(void)
{
	for (unsigned i = 0; i < 1000 && inb(KBC_STATUS) & KBC_IBF; i++)
		tsc_delay_us(10);
	outb(KBC_COMMAND, KBC_PULSE_RST);
}

static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing;

	asm volatile("lidt %0; int3" : : "m"(nothing));
}

static uint16_t io_port(const struct acpi_gas *x, uint32_t legacy)
{
	if (x->space == GAS_IO && x->address)
		return (uint16_t)x->address;
	return (uint16_t)legacy;
}

static void pm1_sleep(uint16_t port, uint8_t typ)
{
	uint16_t v;

	if (!port)
		return;
	v = inw(port) & ~(7u << PM1_SLP_TYP) & ~PM1_SLP_EN;
	outw(port, v | (uint16_t)(typ << PM1_SLP_TYP));
	outw(port, v | (uint16_t)(typ << PM1_SLP_TYP) | PM1_SLP_EN);
}

/* ACPI 6.4, 4.8.3.2.1 and 16.1; ACPI mode must be on for the chipset to obey */
static void acpi_sleep(void)
{
	const struct acpi_fadt *f = acpi_fadt();
	uint8_t typ[2];
	uint16_t a;

	if (!f || !acpi_s5(typ))
		return;
	if (f->flags & FADT_HW_REDUCED_ACPI) {
		if (f->sleep_control_reg.space == GAS_IO && f->sleep_control_reg.address)
			outb((uint16_t)f->sleep_control_reg.address,
			     (uint8_t)(typ[0] << SLEEP_CTL_TYP) | SLEEP_CTL_EN);
		return;
	}
	a = io_port(&f->x_pm1a_cnt_blk, f->pm1a_cnt_blk);
	if (!a)
		return;
	if (!(inw(a) & PM1_SCI_EN) && f->smi_cmd && f->acpi_enable) {
		outb((uint16_t)f->smi_cmd, f->acpi_enable);
		for (unsigned i = 0; i < ACPI_ENABLE_WAIT && !(inw(a) & PM1_SCI_EN); i++)
			tsc_delay_us(1000);
	}
	pm1_sleep(a, typ[0]);
	pm1_sleep(io_port(&f->x_pm1b_cnt_blk, f->pm1b_cnt_blk), typ[1]);
}

/* SLP_TYP 0 is soft off there (82371AB, PMCNTRL) */
static void piix4_sleep(void)
{
	uint16_t base = piix4_pm_base();

	if (base)
		pm1_sleep(base + PM1_CNT_OFFSET, 0);
}

static void give_up(void)
{
	panic_printf("stasis: the machine does not switch off; do it by hand\n");
	cpu_stop();
}

static const way reset_ways[] = {
	efi_cold, fadt_reset, cf9, keyboard_controller, triple_fault, give_up,
};
static const way poweroff_ways[] = {efi_shutdown, acpi_sleep, piix4_sleep, give_up};

void reset_next(void)
{
	cli();
	write_cr3(paging_cr3());
	reset_fault_expected = true;
	for (;;) {
		(*next_way++)();
		tsc_delay_us(SETTLE_US);
	}
}

void machine_reset(void)
{
	uart_flush_polled();
	/* Bochs's reset clears PMBA but not its enable bit, by which OVMF then thinks it
	 * programmed. */
	piix4_pm_off();
	next_way = reset_ways;
	reset_next();
}

void machine_poweroff(void)
{
	uart_flush_polled();
	next_way = poweroff_ways;
	reset_next();
}

void reset_init(void)
{
	const struct acpi_fadt *f = acpi_fadt();

	if (f && f->flags & FADT_RESET_REG_SUP && f->reset_reg.space == GAS_MEMORY &&
	    f->reset_reg.address)
		reset_reg = mmio_map((hpa_t){f->reset_reg.address}, 1);
}
