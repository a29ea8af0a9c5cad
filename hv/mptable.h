/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intel MultiProcessor Specification 1.4 table: the board for a guest that is told acpi=off. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "hv/platform.h"

/* Floating pointer first, then the configuration table; `gpa` is where the guest sees `mem`. Pure.
 */
void mptable_build(void *mem, size_t size, uint64_t gpa, const struct acpi_config *c);
