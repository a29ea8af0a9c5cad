// SPDX-License-Identifier: GPL-2.0-or-later
#include "arch/x86_64/cpu.h"
#include "boot/loader.h"
#include "boot/map.h"

#define ALLOCS_MAX  16
#define PLACE_TRIES 16
#define EXIT_TRIES  8
#define MAP_SLACK   32ul /* descriptors: our own allocations and the firmware's last ones */

static struct {
	uint64_t base, pages;
} allocs[ALLOCS_MAX];
static unsigned n_allocs;

static EFI_MEMORY_DESCRIPTOR *raw; /* the firmware's map, raw_room bytes */
static UINTN raw_room;
static struct mem_range *work; /* the same in our form, work_room entries */
static size_t work_room;

/* As memory_view(), without a line. */
static EFI_STATUS view(struct memory_view *v, bool free_only);

static uint64_t pages_of(uint64_t size)
{
	return (size + PAGE_SIZE - 1) / PAGE_SIZE;
}

static EFI_STATUS allocate(EFI_ALLOCATE_TYPE how, uint64_t size, uint64_t *base)
{
	EFI_PHYSICAL_ADDRESS a = *base;
	EFI_STATUS st;

	if (n_allocs == ALLOCS_MAX)
		return EFI_OUT_OF_RESOURCES;
	st = BS->AllocatePages(how, EfiLoaderData, pages_of(size), &a);
	if (EFI_ERROR(st))
		return st;
	allocs[n_allocs].base = a;
	allocs[n_allocs++].pages = pages_of(size);
	*base = a;
	return EFI_SUCCESS;
}

EFI_STATUS memory_alloc_at(uint64_t base, uint64_t size)
{
	return allocate(AllocateAddress, size, &base);
}

EFI_STATUS memory_alloc_below(uint64_t top, uint64_t size, uint64_t *base)
{
	*base = top - 1;
	return allocate(AllocateMaxAddress, size, base);
}

EFI_STATUS memory_alloc_aligned(uint64_t from, uint64_t top, uint64_t size, uint64_t align,
				uint64_t *base)
{
	for (unsigned i = 0; i < PLACE_TRIES; i++) {
		struct memory_view v;
		EFI_STATUS st = view(&v, true);

		if (EFI_ERROR(st))
			return st;
		*base = map_find(v.map, v.n, from, top, size, align);
		if (!*base)
			return EFI_OUT_OF_RESOURCES;
		if (!EFI_ERROR(memory_alloc_at(*base, size)))
			return EFI_SUCCESS;
		from = *base + align; /* free by the map, but the firmware knows better */
	}
	return EFI_OUT_OF_RESOURCES;
}

void memory_free_all(void)
{
	while (n_allocs) {
		n_allocs--;
		BS->FreePages(allocs[n_allocs].base, allocs[n_allocs].pages);
	}
	raw = NULL;
	work = NULL;
	raw_room = 0;
	work_room = 0;
}

/* Buffers large enough for the map as it is now and as it may become. */
static EFI_STATUS reserve(UINTN needed, UINTN stride)
{
	uint64_t base = 0;
	EFI_STATUS st;

	raw_room = needed + 2 * MAP_SLACK * stride;
	st = allocate(AllocateAnyPages, raw_room, &base);
	if (EFI_ERROR(st))
		return st;
	raw = (EFI_MEMORY_DESCRIPTOR *)base;
	work_room = 2 * (raw_room / stride);
	st = allocate(AllocateAnyPages, work_room * sizeof *work, &base);
	work = (struct mem_range *)base;
	return st;
}

static EFI_STATUS get_map(UINTN *size, UINTN *stride, UINTN *key)
{
	EFI_STATUS st = EFI_BUFFER_TOO_SMALL;
	UINT32 version;

	*size = raw_room;
	st = BS->GetMemoryMap(size, raw, key, stride, &version);
	if (st != EFI_BUFFER_TOO_SMALL)
		return st;
	st = reserve(*size, *stride);
	if (EFI_ERROR(st))
		return st;
	*size = raw_room;
	return BS->GetMemoryMap(size, raw, key, stride, &version);
}

static size_t convert(UINTN size, UINTN stride, bool free_only)
{
	size_t n = 0;

	for (UINTN at = 0; at + stride <= size && n < work_room / 2; at += stride) {
		const EFI_MEMORY_DESCRIPTOR *d =
			(const EFI_MEMORY_DESCRIPTOR *)((const uint8_t *)raw + at);

		work[n].base = d->PhysicalStart;
		work[n].size = d->NumberOfPages * PAGE_SIZE;
		work[n].type = map_type(d->Type, d->Attribute);
		work[n].runtime = !!(d->Attribute & EFI_MEMORY_RUNTIME);
		if (free_only && d->Type != EfiConventionalMemory)
			work[n].type = MEM_RESERVED;
		n++;
	}
	return map_normalize(work, n);
}

static EFI_STATUS view(struct memory_view *v, bool free_only)
{
	UINTN size, stride = 0, key;
	EFI_STATUS st = get_map(&size, &stride, &key);

	if (EFI_ERROR(st))
		return st;
	v->n = convert(size, stride, free_only);
	v->map = work;
	return EFI_SUCCESS;
}

EFI_STATUS memory_view(struct memory_view *v)
{
	EFI_STATUS st = view(v, false);

	if (EFI_ERROR(st))
		return fail(st, "too little memory for the loader: add memory");
	if (v->n > HANDOFF_MAX_MAP - MAP_SLACK)
		return fail(EFI_UNSUPPORTED, "memory map of %lu ranges: update the firmware", v->n);
	return EFI_SUCCESS;
}

/*
 * UEFI 2.10, 7.4.6: the map's key must be the latest, and after a refusal nothing but GetMemoryMap
 * and another try is allowed. A refused first call may have stopped drivers already: there is no
 * way back to the firmware then.
 */
EFI_STATUS memory_exit_boot(EFI_HANDLE image, struct handoff *h)
{
	UINTN size, stride = 0, key;
	EFI_STATUS st = EFI_LOAD_ERROR;
	size_t n;

	for (unsigned i = 0; i < EXIT_TRIES; i++) {
		size = raw_room;
		if (i == 0)
			st = get_map(&size, &stride, &key);
		else
			st = BS->GetMemoryMap(&size, raw, &key, &stride, &(UINT32){0});
		if (EFI_ERROR(st))
			break;
		st = BS->ExitBootServices(image, key);
		if (!EFI_ERROR(st))
			break;
	}
	if (EFI_ERROR(st))
		return st;
	h->tsc_exit_boot = rdtsc();
	n = convert(size, stride, false);
	h->n_map = n < HANDOFF_MAX_MAP ? (uint32_t)n : HANDOFF_MAX_MAP;
	for (uint32_t i = 0; i < h->n_map; i++)
		h->map[i] = work[i];
	return EFI_SUCCESS;
}
