// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tables in which the guest finds its board: ACPI 5.0 (RSDP to DSDT) at E0000h, and for
 * acpi=off the Intel MultiProcessor Specification 1.4 table at F0000h. All of it describes
 * hv/platform.h; nothing comes from the host.
 */
#include <stddef.h>
#include <string.h>
#include "dsdt.h" /* dsdt_aml_code, made by iasl from hv/dsdt.asl */
#include "hv/acpi_format.h"
#include "hv/hpet.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/mptable.h"
#include "hv/pci.h"
#include "hv/platform.h"

#define ACPI_SIZE  0x10000u /* E0000-EFFFF */
#define LAPIC_ADDR 0xfee00000u
#define ALL_CPUS   0xff
#define ALL_X2APIC 0xffffffffu

struct builder {
	uint8_t *mem;
	uint32_t pos;
};

uint8_t acpi_checksum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *b++);
	return (uint8_t)-sum;
}

static void *take(struct builder *b, uint32_t size, uint32_t align)
{
	uint32_t at = (b->pos + align - 1) & ~(align - 1);

	ASSERT(at + size <= ACPI_SIZE);
	b->pos = at + size;
	return b->mem + at;
}

static uint64_t gpa_of(const struct builder *b, const void *p)
{
	return TABLES_GPA + (uint64_t)((const uint8_t *)p - b->mem);
}

/* A table of `size` bytes with its header; more may be taken after it before it is finished. */
static void *begin(struct builder *b, const char *sig, uint8_t revision, uint32_t size)
{
	struct acpi_header *h = take(b, size, 16);

	memcpy(h->signature, sig, 4);
	h->revision = revision;
	memcpy(h->oem_id, "STASIS", 6);
	memcpy(h->oem_table_id, "BOARD   ", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "STAS", 4);
	h->creator_revision = 1;
	return h;
}

static uint64_t finish(struct builder *b, void *table)
{
	struct acpi_header *h = table;

	h->length = (uint32_t)(b->mem + b->pos - (uint8_t *)table);
	h->checksum = 0;
	h->checksum = acpi_checksum(h, h->length);
	return gpa_of(b, h);
}

/* --- DSDT --- */

/* The PCI window is the only double-word memory range in the board's resources. */
static struct aml_dword_memory *find_window(uint8_t *aml, size_t size)
{
	static const uint8_t tag[] = {0x87, sizeof(struct aml_dword_memory) - 3, 0x00, 0x00};

	for (size_t i = 0; i + sizeof(struct aml_dword_memory) <= size; i++) {
		if (memcmp(aml + i, tag, sizeof(tag)) == 0)
			return (struct aml_dword_memory *)(aml + i);
	}
	panic("the DSDT has no PCI memory window");
}

static uint64_t build_dsdt(struct builder *b, const struct acpi_config *c)
{
	uint8_t *aml = take(b, sizeof(dsdt_aml_code), 16);
	struct aml_dword_memory *w;

	memcpy(aml, dsdt_aml_code, sizeof(dsdt_aml_code));
	w = find_window(aml, sizeof(dsdt_aml_code));
	w->min = (uint32_t)c->pci_base;
	w->max = (uint32_t)(c->pci_end - 1);
	w->length = (uint32_t)(c->pci_end - c->pci_base);
	return finish(b, aml);
}

/* --- FADT and FACS --- */

static struct acpi_gas io_register(uint16_t port, uint8_t bits, uint8_t access)
{
	return (struct acpi_gas){
		.space = GAS_IO, .bit_width = bits, .access = access, .address = port};
}

static uint64_t build_facs(struct builder *b)
{
	struct acpi_facs *f = take(b, sizeof(*f), 64);

	memcpy(f->signature, "FACS", 4);
	f->length = sizeof(*f);
	f->version = 2;
	return gpa_of(b, f);
}

static uint64_t build_fadt(struct builder *b, uint64_t facs, uint64_t dsdt)
{
	struct acpi_fadt *f = begin(b, "FACP", 5, sizeof(*f));

	f->firmware_ctrl = (uint32_t)facs; /* one of the two addresses only: the other stays 0 */
	f->dsdt = (uint32_t)dsdt;
	f->x_dsdt = dsdt;
	f->sci_int = SCI_IRQ;
	f->pm1a_evt_blk = PM_BASE;
	f->pm1a_cnt_blk = PM_BASE + 4;
	f->pm_tmr_blk = PM_BASE + 8;
	f->pm1_evt_len = 4;
	f->pm1_cnt_len = 2;
	f->pm_tmr_len = 4;
	f->x_pm1a_evt_blk = io_register(PM_BASE, 32, GAS_WORD);
	f->x_pm1a_cnt_blk = io_register(PM_BASE + 4, 16, GAS_WORD);
	f->x_pm_tmr_blk = io_register(PM_BASE + 8, 32, GAS_DWORD);
	f->p_lvl2_lat = 0x65;  /* more than 100 us: no C2 */
	f->p_lvl3_lat = 0x3e9; /* more than 1000 us: no C3 */
	f->century = 0x32;
	f->iapc_boot_arch = FADT_LEGACY_DEVICES | FADT_NO_VGA; /* no 8042, RTC present */
	f->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |
		   FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP;
	f->reset_reg = io_register(0xcf9, 8, GAS_BYTE);
	f->reset_value = 6; /* SYS_RST and RST_CPU */
	return finish(b, f);
}

/* --- MADT --- */

static void madt_cpu(struct builder *b, uint32_t uid, uint32_t apic_id)
{
	if (apic_id < 255) {
		struct madt_lapic *e = take(b, sizeof(*e), 1);

		*e = (struct madt_lapic){.type = MADT_LAPIC,
					 .length = sizeof(*e),
					 .uid = (uint8_t)uid,
					 .apic_id = (uint8_t)apic_id,
					 .flags = 1};
	} else {
		struct madt_x2apic *e = take(b, sizeof(*e), 1);

		*e = (struct madt_x2apic){.type = MADT_X2APIC,
					  .length = sizeof(*e),
					  .x2apic_id = apic_id,
					  .flags = 1,
					  .uid = uid};
	}
}

static void madt_override(struct builder *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	struct madt_override *e = take(b, sizeof(*e), 1);

	*e = (struct madt_override){.type = MADT_OVERRIDE,
				    .length = sizeof(*e),
				    .source = irq,
				    .gsi = gsi,
				    .flags = flags};
}

/* NMI on LINT1 of all CPUs. */
static void madt_nmi(struct builder *b, bool x2apic)
{
	struct madt_lapic_nmi *e = take(b, sizeof(*e), 1);

	*e = (struct madt_lapic_nmi){
		.type = MADT_LAPIC_NMI, .length = sizeof(*e), .uid = ALL_CPUS, .lint = 1};
	if (x2apic) {
		struct madt_x2apic_nmi *x = take(b, sizeof(*x), 1);

		*x = (struct madt_x2apic_nmi){.type = MADT_X2APIC_NMI,
					      .length = sizeof(*x),
					      .uid = ALL_X2APIC,
					      .lint = 1};
	}
}

static uint64_t build_madt(struct builder *b, const struct acpi_config *c)
{
	struct acpi_madt *m = begin(b, "APIC", 3, sizeof(*m));
	struct madt_ioapic *io;
	bool x2apic = false;

	m->lapic_addr = LAPIC_ADDR;
	m->flags = MADT_PCAT_COMPAT;
	for (unsigned i = 0; i < c->n_cpus; i++) {
		madt_cpu(b, i, c->apic_ids[i]);
		x2apic = x2apic || c->apic_ids[i] >= 255;
	}
	io = take(b, sizeof(*io), 1);
	*io = (struct madt_ioapic){
		.type = MADT_IOAPIC, .length = sizeof(*io), .id = IOAPIC_ID, .addr = IOAPIC_BASE};
	madt_override(b, 0, 2, INTI_BUS);
	madt_override(b, SCI_IRQ, SCI_IRQ, INTI_HIGH | INTI_LEVEL);
	madt_nmi(b, x2apic);
	return finish(b, m);
}

/* --- HPET, MCFG --- */

static uint64_t build_hpet(struct builder *b)
{
	struct acpi_hpet *h = begin(b, "HPET", 1, sizeof(*h));

	h->block_id = HPET_BLOCK_ID;
	h->base = (struct acpi_gas){.space = GAS_MEMORY, .bit_width = 64, .address = HPET_BASE};
	h->min_tick = 100; /* 1 us */
	return finish(b, h);
}

static uint64_t build_mcfg(struct builder *b)
{
	struct acpi_mcfg *m = begin(b, "MCFG", 1, sizeof(*m));

	m->base = ECAM_BASE;
	return finish(b, m);
}

/* --- roots --- */

uint64_t acpi_tables_build(void *tables, const struct acpi_config *c)
{
	struct builder b = {.mem = tables};
	struct acpi_rsdp *rsdp;
	struct acpi_rsdt *rsdt;
	struct acpi_xsdt *xsdt;
	uint64_t entry[ROOT_ENTRIES];
	uint64_t facs, dsdt;

	memset(tables, 0, TABLES_SIZE);
	rsdp = take(&b, sizeof(*rsdp), 16);
	facs = build_facs(&b);
	dsdt = build_dsdt(&b, c);
	entry[0] = build_fadt(&b, facs, dsdt);
	entry[1] = build_madt(&b, c);
	entry[2] = build_hpet(&b);
	entry[3] = build_mcfg(&b);
	rsdt = begin(&b, "RSDT", 1, sizeof(*rsdt));
	for (unsigned i = 0; i < ROOT_ENTRIES; i++)
		rsdt->entry[i] = (uint32_t)entry[i];
	rsdp->rsdt = (uint32_t)finish(&b, rsdt);
	xsdt = begin(&b, "XSDT", 1, sizeof(*xsdt));
	memcpy(xsdt->entry, entry, sizeof(entry));
	rsdp->xsdt = finish(&b, xsdt);
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "STASIS", 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->checksum = acpi_checksum(rsdp, RSDP_V1_SIZE);
	rsdp->ext_checksum = acpi_checksum(rsdp, sizeof(*rsdp));
	mptable_build((uint8_t *)tables + ACPI_SIZE, TABLES_SIZE - ACPI_SIZE,
		      TABLES_GPA + ACPI_SIZE, c);
	return gpa_of(&b, rsdp);
}
