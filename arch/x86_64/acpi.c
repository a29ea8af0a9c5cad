/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's ACPI tables (ACPI 6.4, 5.2): found from the RSDP, checked, and those that the
 * hypervisor needs copied. Firmware's memory is mapped for the copy only. A table that is out of
 * bounds or has a bad checksum is left out, with a line.
 */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/madt.h"
#include "hv/log.h"

#define TABLE_MAX  0x100000u /* a DSDT can be big; nothing that we copy is */
#define ROOT_MAX   256	     /* entries of the root table looked at */
#define COPIES_MAX 32
#define BIOS_AREA  0xe0000ull
#define BIOS_END   0x100000ull

static const char wanted[][5] = {"APIC", "MCFG", "HPET", "FACP", "DMAR", "IVRS"};

static struct acpi_header *copies[COPIES_MAX];
static unsigned copied;
static struct acpi_fadt fadt;
static bool has_fadt, has_s5;
static uint8_t s5_typ[2];

static bool type_may_hold_tables(uint32_t type)
{
	return type == MEM_RAM || type == MEM_ACPI || type == MEM_NVS || type == MEM_RESERVED ||
	       type == MEM_RUNTIME_DATA;
}

/* Is all of [pa, pa + size) memory that firmware may keep tables in? The map is sorted. */
static bool in_memory(uint64_t pa, uint64_t size)
{
	uint64_t last = pa + size;

	if (pa == 0 || size == 0 || last < pa)
		return false;
	if (pa >= BIOS_AREA && last <= BIOS_END)
		return true;
	for (unsigned i = 0; i < handoff->n_map && pa < last; i++) {
		const struct mem_range *r = &handoff->map[i];

		if (type_may_hold_tables(r->type) && pa >= r->base && pa < r->base + r->size)
			pa = r->base + r->size;
	}
	return pa >= last;
}

static const void *firmware_map(uint64_t pa, size_t size)
{
	return in_memory(pa, size) ? temp_map(pa, size) : NULL;
}

static bool checksum_ok(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (n-- > 0)
		sum = (uint8_t)(sum + *b++);
	return sum == 0;
}

/* A whole table, checked and mapped (until the next mapping); NULL and a line in the log if it is
 * bad. */
static const struct acpi_header *table_map(uint64_t pa)
{
	const struct acpi_header *h = firmware_map(pa, sizeof(*h));
	uint32_t length = h ? h->length : 0;

	if (length < sizeof(*h) || length > TABLE_MAX || !(h = firmware_map(pa, length))) {
		log_warn("ACPI: table at 0x%llx: bad address or length %u", (unsigned long long)pa,
			 length);
		return NULL;
	}
	if (!checksum_ok(h, length)) {
		log_warn("ACPI: table %.4s at 0x%llx: bad checksum", h->signature,
			 (unsigned long long)pa);
		return NULL;
	}
	return h;
}

static void *table_copy(uint64_t pa)
{
	const struct acpi_header *h = table_map(pa);
	void *copy = NULL;

	if (h) {
		copy = heap_alloc(h->length);
		memcpy(copy, h, h->length);
	}
	temp_unmap();
	return copy;
}

static bool is_wanted(uint64_t pa)
{
	const struct acpi_header *h = firmware_map(pa, sizeof(*h));

	for (unsigned i = 0; h && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (memcmp(h->signature, wanted[i], 4) == 0)
			return true;
	return false;
}

/* Root table (XSDT, or RSDT with 32-bit entries) from the RSDP; a copy. */
static struct acpi_header *root_copy(bool *is_xsdt)
{
	const struct acpi_rsdp *r = firmware_map(handoff->rsdp, RSDP_V1_SIZE);
	uint64_t xsdt = 0, rsdt;

	if (!r || memcmp(r->signature, "RSD PTR ", 8) != 0 || !checksum_ok(r, RSDP_V1_SIZE)) {
		log_warn("ACPI: no valid RSDP at 0x%llx", (unsigned long long)handoff->rsdp);
		return NULL;
	}
	rsdt = r->rsdt;
	if (r->revision >= 2) {
		r = firmware_map(handoff->rsdp, sizeof(*r));
		if (r && checksum_ok(r, sizeof(*r)))
			xsdt = r->xsdt;
	}
	*is_xsdt = xsdt != 0;
	return table_copy(xsdt ? xsdt : rsdt);
}

static uint64_t root_entry(const struct acpi_header *root, unsigned i, size_t size)
{
	uint64_t pa = 0;

	memcpy(&pa, (const uint8_t *)(root + 1) + i * size, size);
	return pa;
}

static void find_s5(void)
{
	uint64_t dsdt = fadt.x_dsdt ? fadt.x_dsdt : fadt.dsdt;
	const struct acpi_header *h = dsdt ? table_map(dsdt) : NULL;

	if (h)
		has_s5 = aml_find_s5((const uint8_t *)(h + 1), h->length - sizeof(*h), s5_typ) == 0;
	temp_unmap();
}

static void take_fadt(void)
{
	const struct acpi_header *h = host_acpi_table("FACP", 0);

	if (!h)
		return;
	memcpy(&fadt, h, h->length < sizeof(fadt) ? h->length : sizeof(fadt));
	has_fadt = true;
	find_s5();
}

static void log_found(void)
{
	char names[COPIES_MAX * 5 + 1];
	size_t n = 0;

	for (unsigned i = 0; i < copied; i++) {
		names[n++] = ' ';
		memcpy(&names[n], copies[i]->signature, 4);
		n += 4;
	}
	names[n] = '\0';
	log_info("ACPI:%s%s", names, has_s5 ? ", _S5 known" : "");
}

void acpi_init(void)
{
	bool is_xsdt;
	const struct acpi_header *root;
	size_t size;
	unsigned n;

	if (handoff->rsdp == 0) {
		log_info("ACPI: firmware has no tables");
		return;
	}
	root = root_copy(&is_xsdt);
	if (!root)
		return;
	size = is_xsdt ? 8 : 4;
	n = (unsigned)((root->length - sizeof(*root)) / size);
	for (unsigned i = 0; i < n && i < ROOT_MAX && copied < COPIES_MAX; i++) {
		uint64_t pa = root_entry(root, i, size);

		if (is_wanted(pa) && (copies[copied] = table_copy(pa)) != NULL)
			copied++;
	}
	temp_unmap();
	take_fadt();
	log_found();
}

const void *host_acpi_table(const char sig[4], unsigned nth)
{
	for (unsigned i = 0; i < copied; i++)
		if (memcmp(copies[i]->signature, sig, 4) == 0 && nth-- == 0)
			return copies[i];
	return NULL;
}

const struct acpi_fadt *acpi_fadt(void)
{
	return has_fadt ? &fadt : NULL;
}

bool acpi_s5(uint8_t typ[2])
{
	typ[0] = s5_typ[0];
	typ[1] = s5_typ[1];
	return has_s5;
}

#define MADT_FIRST 44 /* header, local APIC address, flags */

const struct madt_entry *madt_next(const struct madt_entry *prev, uint8_t type, size_t size)
{
	const struct acpi_header *h = host_acpi_table("APIC", 0);
	const uint8_t *end, *p;

	if (!h)
		return NULL;
	end = (const uint8_t *)h + h->length;
	p = prev ? (const uint8_t *)prev + prev->length : (const uint8_t *)h + MADT_FIRST;
	while (p + sizeof(struct madt_entry) <= end) {
		const struct madt_entry *e = (const struct madt_entry *)p;

		if (e->length < sizeof(*e) || p + e->length > end)
			break;
		if (e->type == type && e->length >= size)
			return e;
		p += e->length;
	}
	return NULL;
}
