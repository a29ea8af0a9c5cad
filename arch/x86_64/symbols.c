/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for addresses, from the table that the build links in last; weak, so that the first link
 * works without. */
#include "arch/x86_64/internal.h"

extern const uint32_t symtab_count __attribute__((weak));
extern const uint32_t symtab_offsets[] __attribute__((weak)); /* from HV_VIRT_BASE, ascending */
extern const uint32_t symtab_name_off[] __attribute__((weak));
extern const char symtab_names[] __attribute__((weak));

const char *symbol_name(uint64_t addr, uint64_t *offset)
{
	uint32_t low = 0, high = &symtab_count ? symtab_count : 0;
	uint64_t rel = addr - HV_VIRT_BASE;

	*offset = 0;
	if (addr < (uint64_t)__text_start || addr >= (uint64_t)__image_end)
		return "?";
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (symtab_offsets[mid] <= rel)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return "?";
	*offset = rel - symtab_offsets[low - 1];
	return &symtab_names[symtab_name_off[low - 1]];
}
