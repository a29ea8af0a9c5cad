/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's MADT (ACPI 6.4, 5.2.12): its entries, bounds-checked. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_X2APIC = 9 };

struct madt_entry {
	uint8_t type, length;
} __attribute__((packed));

struct madt_lapic {
	struct madt_entry e;
	uint8_t uid, apic_id;
	uint32_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct madt_lapic) == 8, "Processor Local APIC structure");
#define MADT_ENABLED 1u

struct madt_ioapic {
	struct madt_entry e;
	uint8_t id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));
_Static_assert(sizeof(struct madt_ioapic) == 12, "I/O APIC structure");

struct madt_override {
	struct madt_entry e;
	uint8_t bus, irq;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct madt_override) == 10, "Interrupt Source Override structure");
#define MADT_POLARITY	   0x3
#define MADT_POLARITY_LOW  0x3
#define MADT_TRIGGER	   0xc
#define MADT_TRIGGER_LEVEL 0xc

struct madt_x2apic {
	struct madt_entry e;
	uint16_t reserved;
	uint32_t apic_id, flags, uid;
} __attribute__((packed));
_Static_assert(sizeof(struct madt_x2apic) == 16, "Processor Local x2APIC structure");

/* The entry of `type` with at least `size` bytes after `prev` (NULL: the first); NULL at the end or
 * without a MADT. */
const struct madt_entry *madt_next(const struct madt_entry *prev, uint8_t type, size_t size);
