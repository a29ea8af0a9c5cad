/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firmware's memory map in the hand-off's form. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "boot/handoff.h"

/* An entry of the UEFI memory map as it comes from the firmware (UEFI 2.10, 7.2.3): type, pages,
 * attributes. */
uint32_t map_type(uint32_t efi_type, uint64_t attribute);

/*
 * Sort by address, cut overlaps (what is not RAM wins), merge neighbours of a kind. In place;
 * returns the new count. Needs room for 2 * n entries, since an overlap may split one into two.
 */
size_t map_normalize(struct mem_range *map, size_t n);

/* End of the lowest `limit` bytes of RAM, not counting [hole, hole + hole_size); all of RAM if
 * limit is 0. */
uint64_t map_ram_top(const struct mem_range *map, size_t n, uint64_t limit, uint64_t hole,
		     uint64_t hole_size);

/* Bytes of RAM. */
uint64_t map_ram_bytes(const struct mem_range *map, size_t n);

/* Lowest `align`-aligned address >= from with `size` bytes of RAM that end at or below `top`; 0 if
 * there is none. */
uint64_t map_find(const struct mem_range *map, size_t n, uint64_t from, uint64_t top, uint64_t size,
		  uint64_t align);
