/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rest of hv/ tells the guest's CMOS. */
#pragma once
#include <stdint.h>

/* Boot only: size of the guest's RAM below and above 4 GiB, in bytes, for the memory-size bytes of
 * the CMOS. */
void rtc_set_memory(uint64_t low, uint64_t high);
