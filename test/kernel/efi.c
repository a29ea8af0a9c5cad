// SPDX-License-Identifier: GPL-2.0-or-later
/* A test kernel as an EFI application: from the firmware to where the 32-bit entry point arrives,
 * with the boot parameters that the tests read (memory map, command line, RSDP). */
#include <efi.h>
#include <stddef.h>
#include "test/kernel/kernel.h"

#define E820_COUNT   0x1e8
#define E820_TABLE   0x2d0
#define E820_MAX     128
#define ACPI_RSDP    0x70
#define CMD_LINE_PTR 0x228
#define PAGE_2M	     0x200000ull

void efi_start(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);
void efi_leave(const uint8_t *params) __attribute__((noreturn));

static uint8_t params[4096] __attribute__((aligned(16)));
static char line[2048];
static uint8_t map[32768] __attribute__((aligned(16)));

static uint32_t e820_type(uint32_t efi)
{
	switch (efi) {
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiConventionalMemory:
		return 1;
	default:
		return 2;
	}
}

static void add_memory(uint64_t addr, uint64_t size, uint32_t type)
{
	struct e820 *table = (struct e820 *)(params + E820_TABLE);
	uint8_t n = params[E820_COUNT];

	if (n && table[n - 1].type == type && table[n - 1].addr + table[n - 1].size == addr) {
		table[n - 1].size += size;
	} else if (n < E820_MAX) {
		table[n] = (struct e820){addr, size, type};
		params[E820_COUNT]++;
	}
}

static void copy_command_line(EFI_SYSTEM_TABLE *st, EFI_HANDLE image)
{
	static EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *li;
	size_t n = 0;

	if (st->BootServices->HandleProtocol(image, &guid, (void **)&li) == EFI_SUCCESS) {
		const CHAR16 *options = li->LoadOptions;

		for (; n < li->LoadOptionsSize / 2 && n < sizeof(line) - 1 && options[n]; n++)
			line[n] = (char)options[n];
	}
	line[n] = 0;
	*(uint32_t *)(params + CMD_LINE_PTR) = (uint32_t)(uintptr_t)line;
}

static void find_rsdp(const EFI_SYSTEM_TABLE *st)
{
	static const EFI_GUID acpi2 = ACPI_20_TABLE_GUID;
	const uint64_t *want = (const uint64_t *)&acpi2;

	for (UINTN i = 0; i < st->NumberOfTableEntries; i++) {
		const uint64_t *guid = (const uint64_t *)&st->ConfigurationTable[i].VendorGuid;

		if (guid[0] == want[0] && guid[1] == want[1])
			*(uint64_t *)(params + ACPI_RSDP) =
				(uintptr_t)st->ConfigurationTable[i].VendorTable;
	}
}

static bool leave_boot_services(EFI_SYSTEM_TABLE *st, EFI_HANDLE image)
{
	UINTN size = sizeof(map), key, step;
	UINT32 version;

	if (st->BootServices->GetMemoryMap(&size, (void *)map, &key, &step, &version) ||
	    st->BootServices->ExitBootServices(image, key))
		return false;
	for (UINTN at = 0; at + step <= size; at += step) {
		const EFI_MEMORY_DESCRIPTOR *d = (const void *)(map + at);

		add_memory(d->PhysicalStart, d->NumberOfPages * PAGE_SIZE, e820_type(d->Type));
	}
	return true;
}

static void make_page_tables(void)
{
	pml4[0] = (uintptr_t)pdpt | 3;
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (uintptr_t)(pd + 512 * i) | 3;
	for (unsigned i = 0; i < 4 * 512; i++)
		pd[i] = i * PAGE_2M | 0x83;
}

void efi_start(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	copy_command_line(st, image);
	find_rsdp(st);
	/* The first attempt may change the map. */
	if (!leave_boot_services(st, image) && !leave_boot_services(st, image))
		return;
	make_page_tables();
	efi_leave(params);
}
