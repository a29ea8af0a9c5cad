/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's MADT: its entries, bounds-checked. */
#pragma once
#include "arch/x86_64/acpi_tables.h"

/* MPS INTI flags */
#define MADT_POLARITY	   0x3
#define MADT_POLARITY_LOW  0x3
#define MADT_TRIGGER	   0xc
#define MADT_TRIGGER_LEVEL 0xc

/* The entry of `type` with at least `size` bytes after `prev` (NULL: the first); NULL at the end or
 * without a MADT. */
const struct madt_entry *madt_next(const struct madt_entry *prev, uint8_t type, size_t size);
