/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest's ACPI tables are made of, beyond arch/x86_64/acpi_tables.h. */
#pragma once
#include "arch/x86_64/acpi_tables.h"

#define IOAPIC_ID    0
#define ROOT_ENTRIES 4

struct acpi_rsdt {
	struct acpi_header h;
	uint32_t entry[ROOT_ENTRIES];
} PACKED;

struct acpi_xsdt {
	struct acpi_header h;
	uint64_t entry[ROOT_ENTRIES];
} PACKED;

struct acpi_mcfg { /* one segment, one bus */
	struct acpi_header h;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t bus_start, bus_end;
	uint32_t reserved2;
} PACKED;
_Static_assert(sizeof(struct acpi_mcfg) == 60, "MCFG");

struct aml_dword_memory { /* DWord address space descriptor (6.4.3.5.2) */
	uint8_t tag;
	uint16_t size;
	uint8_t type, flags, type_flags;
	uint32_t granularity, min, max, translation, length;
} PACKED;
_Static_assert(sizeof(struct aml_dword_memory) == 26, "DWord address space descriptor");

uint8_t acpi_checksum(const void *p, size_t n); /* the byte that makes the sum 0 */
