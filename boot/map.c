// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/map.h"
#include <stdbool.h>

#define EFI_ATTR_WB	 (1ull << 3)
#define EFI_ATTR_SP	 (1ull << 18) /* specific purpose: not for general use */
#define EFI_ATTR_RUNTIME (1ull << 63)

/* EFI_MEMORY_TYPE, UEFI 2.10, 7.2.1: reserved, loader code and data, ... */
static const uint8_t types[] = {
	[0] = MEM_RESERVED,	/* EfiReservedMemoryType */
	[1] = MEM_RAM,		/* EfiLoaderCode */
	[2] = MEM_RAM,		/* EfiLoaderData */
	[3] = MEM_RAM,		/* EfiBootServicesCode */
	[4] = MEM_RAM,		/* EfiBootServicesData */
	[5] = MEM_RUNTIME_CODE, /* EfiRuntimeServicesCode */
	[6] = MEM_RUNTIME_DATA, /* EfiRuntimeServicesData */
	[7] = MEM_RAM,		/* EfiConventionalMemory */
	[8] = MEM_UNUSABLE,	/* EfiUnusableMemory */
	[9] = MEM_ACPI,		/* EfiACPIReclaimMemory */
	[10] = MEM_NVS,		/* EfiACPIMemoryNVS */
	[11] = MEM_MMIO,	/* EfiMemoryMappedIO */
	[12] = MEM_MMIO,	/* EfiMemoryMappedIOPortSpace */
	[13] = MEM_RESERVED,	/* EfiPalCode */
	[14] = MEM_RESERVED,	/* EfiPersistentMemory */
};

uint32_t map_type(uint32_t efi_type, uint64_t attribute)
{
	uint32_t type = efi_type < sizeof types ? types[efi_type] : (uint32_t)MEM_RESERVED;

	/* RAM that cannot be cached, or that is set aside, or that the firmware keeps using, is not
	 * the guest's */
	if (type == MEM_RAM && (!(attribute & EFI_ATTR_WB) || (attribute & EFI_ATTR_SP) ||
				(attribute & EFI_ATTR_RUNTIME)))
		return MEM_RESERVED;
	return type;
}

static uint64_t end_of(const struct mem_range *r)
{
	return r->base + r->size;
}

static void insert(struct mem_range *map, size_t n, size_t at, struct mem_range r)
{
	for (; n > at; n--)
		map[n] = map[n - 1];
	map[at] = r;
}

static void remove_entry(struct mem_range *map, size_t n, size_t at)
{
	for (; at + 1 < n; at++)
		map[at] = map[at + 1];
}

/* Firmware maps are nearly sorted: insertion is the fast way. */
static void sort_from(struct mem_range *map, size_t n, size_t from)
{
	for (size_t i = from ? from : 1; i < n; i++) {
		struct mem_range r = map[i];
		size_t j = i;

		for (; j > 0 && map[j - 1].base > r.base; j--)
			map[j] = map[j - 1];
		map[j] = r;
	}
}

static size_t drop_empty(struct mem_range *map, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (map[i].size && map[i].base + map[i].size > map[i].base)
			map[kept++] = map[i];
	}
	return kept;
}

/* Entries i and i + 1 overlap: RAM gives way; of two others the first keeps its place. Returns the
 * new count. */
static size_t cut_overlap(struct mem_range *map, size_t n, size_t i)
{
	struct mem_range *a = &map[i], *b = &map[i + 1];
	uint64_t a_end = end_of(a), b_end = end_of(b);
	bool b_wins = a->type == MEM_RAM && b->type != MEM_RAM;

	if (b_wins) {
		struct mem_range tail = *a;

		a->size = b->base - a->base;
		if (a_end > b_end) {
			tail.base = b_end;
			tail.size = a_end - b_end;
			insert(map, n, i + 2, tail);
			n++;
		}
	} else {
		uint64_t start = a_end < b_end ? a_end : b_end;

		b->base = start;
		b->size = b_end - start;
	}
	return n;
}

static bool mergeable(const struct mem_range *a, const struct mem_range *b)
{
	return end_of(a) == b->base && a->type == b->type && a->runtime == b->runtime;
}

size_t map_normalize(struct mem_range *map, size_t n)
{
	size_t limit = 2 * n, kept = 0;

	n = drop_empty(map, n);
	sort_from(map, n, 1);
	for (size_t i = 0; i + 1 < n;) {
		if (end_of(&map[i]) <= map[i + 1].base) {
			i++;
			continue;
		}
		if (n == limit) { /* pathological: forget an entry rather than overflow */
			remove_entry(map, n--, i + 1);
			continue;
		}
		n = cut_overlap(map, n, i);
		if (!map[i].size)
			remove_entry(map, n--, i);
		else if (!map[i + 1].size)
			remove_entry(map, n--, i + 1);
		sort_from(map, n, i + 1);
		i = i ? i - 1 : 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (kept && mergeable(&map[kept - 1], &map[i]))
			map[kept - 1].size += map[i].size;
		else
			map[kept++] = map[i];
	}
	return kept;
}

uint64_t map_ram_bytes(const struct mem_range *map, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (map[i].type == MEM_RAM)
			sum += map[i].size;
	}
	return sum;
}

uint64_t map_ram_top(const struct mem_range *map, size_t n, uint64_t limit, uint64_t hole,
		     uint64_t hole_size)
{
	uint64_t top = 0, left = limit ? limit : UINT64_MAX;

	for (size_t i = 0; i < n && left; i++) {
		uint64_t base = map[i].base, end = end_of(&map[i]), part;

		if (map[i].type != MEM_RAM)
			continue;
		/* below the hole, then above it; the hole lies within one range or in none */
		part = hole > base && hole < end ? hole - base : 0;
		if (part && left <= part)
			return base + left;
		if (hole >= base && hole < end) {
			left -= part;
			base = hole + hole_size;
			top = part ? hole : top;
			if (base >= end)
				continue;
		}
		if (left <= end - base)
			return base + left;
		left -= end - base;
		top = end;
	}
	return top;
}

uint64_t map_find(const struct mem_range *map, size_t n, uint64_t from, uint64_t top, uint64_t size,
		  uint64_t align)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t base = map[i].base > from ? map[i].base : from;
		uint64_t end = end_of(&map[i]) < top ? end_of(&map[i]) : top;

		base = (base + align - 1) & ~(align - 1);
		if (map[i].type == MEM_RAM && base < end && end - base >= size)
			return base;
	}
	return 0;
}
