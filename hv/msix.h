/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An MSI-X table as a driver sees it (PCI 3.0, 6.8.2). Pure; who owns the table owns the locking.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define MSIX_ENTRY_BYTES 16
#define MSIX_VECTORS_MAX 64 /* that these functions take: one word of pending bits */

enum { MSIX_ENTRY_MASKED = 1 }; /* of `control` */

struct msix_entry {
	uint64_t address;
	uint32_t data, control;
	bool pending;
};

/* Accesses of 4 and 8 bytes, aligned; others, and what is beyond `n` entries, read 0 and write
 * nowhere. */
uint64_t msix_read(const struct msix_entry *t, unsigned n, uint64_t offset, unsigned size);
void msix_write(struct msix_entry *t, unsigned n, uint64_t offset, unsigned size, uint64_t val);
/* The pending-bit array from byte `offset` on. */
uint64_t msix_pending(const struct msix_entry *t, unsigned n, uint64_t offset);
/* What a table can hold. */
bool msix_valid(const struct msix_entry *e);
