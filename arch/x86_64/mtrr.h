/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's MTRRs, as the firmware set them (SDM vol. 3, "Memory Type Range Registers"). */
#pragma once
#include "hv/memmap.h"

void mtrr_read_host(struct mtrr_regs *m); /* def_type 0 and cap 0 where the CPU has none */
