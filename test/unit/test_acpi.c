/* build: hv/acpi.c hv/mptable.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * With an argument it also writes every table to a file there (SIG.aml), for iasl -d.
 */
#include <stdlib.h>
#include "test/unit/check.h"
#include "test/unit/quiet.h"
#include "hv/acpi_format.h"
#include "hv/log.h"
#include "hv/platform.h"

static uint8_t mem[TABLES_SIZE] __attribute__((aligned(4096)));

static struct acpi_config config(unsigned n, uint32_t step)
{
	struct acpi_config c = {.n_cpus = n, .pci_base = 0x80100000, .pci_end = 0xfbf00000};

	for (unsigned i = 0; i < n; i++)
		c.apic_ids[i] = i * step;
	return c;
}

static void *at(uint64_t gpa)
{
	return gpa >= TABLES_GPA && gpa < TABLES_GPA + TABLES_SIZE ? mem + (gpa - TABLES_GPA)
								   : NULL;
}

static uint8_t sum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *b++);
	return s;
}

static struct acpi_header *table(const char *sig)
{
	struct acpi_rsdp *r = at(TABLES_GPA);
	struct acpi_xsdt *x = at(r->xsdt);

	if (!memcmp(sig, "DSDT", 4))
		return at(((struct acpi_fadt *)table("FACP"))->x_dsdt);
	for (unsigned i = 0; i < ROOT_ENTRIES; i++) {
		struct acpi_header *h = at(x->entry[i]);

		if (!memcmp(h->signature, sig, 4))
			return h;
	}
	return NULL;
}

static void test_roots(void)
{
	struct acpi_config c = config(2, 1);
	struct acpi_rsdp *r = at(TABLES_GPA);

	CHECK_EQ(acpi_tables_build(mem, &c), TABLES_GPA);
	CHECK(!memcmp(r->signature, "RSD PTR ", 8));
	CHECK_EQ(sum(r, 20), 0);
	CHECK_EQ(sum(r, 36), 0);
	struct acpi_xsdt *x = at(r->xsdt);
	struct acpi_rsdt *t = at(r->rsdt);

	CHECK_EQ(sum(x, x->h.length), 0);
	CHECK_EQ(sum(t, t->h.length), 0);
	CHECK_EQ(x->h.length, 36 + 8 * ROOT_ENTRIES);
	for (unsigned i = 0; i < ROOT_ENTRIES; i++) {
		struct acpi_header *h = at(x->entry[i]);

		CHECK_EQ(x->entry[i], t->entry[i]);
		CHECK_EQ(sum(h, h->length), 0);
	}
}

static void test_fadt(void)
{
	struct acpi_fadt *f = (struct acpi_fadt *)table("FACP");

	CHECK_EQ(f->h.length, 268);
	CHECK_EQ(f->smi_cmd, 0);
	CHECK_EQ(f->reset_reg.address, 0xcf9);
	CHECK_EQ(f->reset_value, 6);
	CHECK(f->flags & FADT_RESET_REG_SUP);
	CHECK_EQ(f->iapc_boot_arch & (FADT_8042 | FADT_NO_VGA | 1 << 5), FADT_NO_VGA);
	CHECK_EQ(f->flags & 1 << 20, 0); /* HW_REDUCED_ACPI */
	CHECK_EQ(f->firmware_ctrl % 64, 0);
	CHECK(!memcmp(at(f->firmware_ctrl), "FACS", 4));
	CHECK_EQ(f->x_pm1a_evt_blk.bit_width, f->pm1_evt_len * 8);
	CHECK_EQ(f->x_pm1a_evt_blk.address, f->pm1a_evt_blk);
	CHECK_EQ(f->x_pm_tmr_blk.address, f->pm_tmr_blk);
}

static void test_dsdt_window(void)
{
	struct acpi_header *h = table("DSDT");
	const uint8_t *b = (uint8_t *)h;
	unsigned found = 0;

	CHECK_EQ(sum(h, h->length), 0);
	for (unsigned i = 36; i + 26 < h->length; i++) {
		struct aml_dword_memory w;

		memcpy(&w, b + i, sizeof(w));
		if (w.tag != 0x87 || w.size != 23 || w.type)
			continue;
		found++;
		CHECK_EQ(w.min, 0x80100000);
		CHECK_EQ(w.max, 0xfbefffff);
		CHECK_EQ(w.length, 0xfbf00000 - 0x80100000);
	}
	CHECK_EQ(found, 1);
}

/* Count MADT entries of a type. */
static unsigned madt_count(uint8_t type)
{
	struct acpi_header *h = table("APIC");
	const uint8_t *p = (uint8_t *)h + sizeof(struct acpi_madt), *end = (uint8_t *)h + h->length;
	unsigned n = 0;

	for (; p + 2 <= end && p[1] >= 2; p += p[1])
		n += p[0] == type;
	CHECK(p == end);
	return n;
}

static void test_madt(void)
{
	struct acpi_config c = config(2, 1);

	acpi_tables_build(mem, &c);
	CHECK_EQ(madt_count(MADT_LAPIC), 2);
	CHECK_EQ(madt_count(MADT_X2APIC), 0);
	CHECK_EQ(madt_count(MADT_OVERRIDE), 2);
	CHECK_EQ(madt_count(MADT_LAPIC_NMI), 1);
	c = config(256, 2);
	acpi_tables_build(mem, &c);
	CHECK_EQ(madt_count(MADT_LAPIC), 128);
	CHECK_EQ(madt_count(MADT_X2APIC), 128);
	CHECK_EQ(madt_count(MADT_X2APIC_NMI), 1);
	CHECK_EQ(sum(table("APIC"), table("APIC")->length), 0);
	c = config(256, 1);
	acpi_tables_build(mem, &c);
	CHECK_EQ(madt_count(MADT_LAPIC), 255);
	CHECK_EQ(madt_count(MADT_X2APIC), 1);
}

static void test_mptable(void)
{
	struct acpi_config c = config(4, 1);
	static const uint8_t sizes[] = {20, 8, 8, 8, 8};
	unsigned count[5] = {0}, n = 0;
	uint8_t *p = mem + 0x10000;
	bool sci = false, timer = false;

	acpi_tables_build(mem, &c);
	CHECK(!memcmp(p, "_MP_", 4));
	CHECK_EQ(sum(p, 16), 0);
	uint32_t table_at;

	memcpy(&table_at, p + 4, 4);
	p = at(table_at);
	CHECK(p && !memcmp(p, "PCMP", 4));
	uint16_t length = (uint16_t)(p[4] | p[5] << 8), entries = (uint16_t)(p[34] | p[35] << 8);

	CHECK_EQ(sum(p, length), 0);
	uint8_t *end = p + length;

	for (p += 44; p < end && *p < 5; p += sizes[*p], n++) {
		count[*p]++;
		if (*p == 3 && p[4] == 1) { /* ISA */
			sci = sci || (p[5] == 9 && p[7] == 9 && p[2] == 0xd);
			timer = timer || (p[5] == 0 && p[7] == 2);
		}
	}
	CHECK(p == end);
	CHECK_EQ(n, entries);
	CHECK_EQ(count[0], 4);
	CHECK_EQ(count[1], 2);
	CHECK_EQ(count[2], 1);
	CHECK_EQ(count[3], 15 + 128);
	CHECK_EQ(count[4], 2);
	CHECK(sci && timer);
}

static void dump(const char *dir, const char *sig)
{
	struct acpi_header *h = table(sig);
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s.aml", dir, sig);
	f = fopen(path, "wb");
	if (!f)
		return;
	(void)fwrite(h, 1, h->length, f);
	(void)fclose(f);
}

int main(int argc, char **argv)
{
	static const char *const sigs[] = {"FACP", "APIC", "HPET", "MCFG", "DSDT"};

	RUN(test_roots);
	RUN(test_fadt);
	RUN(test_dsdt_window);
	RUN(test_madt);
	RUN(test_mptable);
	for (unsigned i = 0; argc > 1 && i < 5; i++)
		dump(argv[1], sigs[i]);
	return check_result();
}
