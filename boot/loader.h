/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader's parts, in the order in which main.c uses them. One CPU, boot services up, firmware's
 * page tables. Functions that return EFI_STATUS have printed their error line when they fail. Sizes
 * are bytes, addresses physical.
 */
#pragma once
#include <efi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/bzimage.h"
#include "boot/config.h"
#include "boot/handoff.h"

#define MIB(n)	  ((uint64_t)(n) >> 20)
#define MIB_UP(n) MIB((n) + (1u << 20) - 1)
#define GIB4	  (1ull << 32)

extern EFI_SYSTEM_TABLE *ST;
extern EFI_BOOT_SERVICES *BS;

/* --- console.c: lines "stasis: ..." on the EFI console, and on the configured serial port if that
 * is not part of it --- */
void console_init(uint16_t port, uint32_t baud);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same line again and again: ends in a carriage return. */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "stasis: error: what: what to do". Returns st. */
EFI_STATUS fail(EFI_STATUS st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, on the serial port alone: boot services are half gone. */
void fail_raw(const char *text);

/* --- checks.c --- */
EFI_STATUS check_cpu(void);
bool cpu_has_1g_pages(void);
uint32_t cpu_apic_id(void);

/* --- files.c: the file system that the image came from --- */
struct files {
	EFI_FILE_HANDLE root;
	CHAR16 dir[CONFIG_NAME_MAX]; /* of the image, "\" at the end */
};
struct file {
	EFI_FILE_HANDLE handle;
	uint64_t size;
	const char *name;
};
EFI_STATUS files_open(struct files *f, EFI_LOADED_IMAGE *image);
void files_close(struct files *f);
/* Beside the image or in the root. EFI_NOT_FOUND without an error line if `optional`. */
EFI_STATUS file_open(struct files *f, const char *name, bool optional, struct file *out);
/* Exactly `size` bytes; a progress line from time to time if that is much. */
EFI_STATUS file_read(struct file *file, uint64_t offset, void *to, uint64_t size);
void file_close(struct file *file);

/* --- memory.c: pages, remembered so that a failure gives all of them back --- */
EFI_STATUS memory_alloc_at(uint64_t base, uint64_t size);
EFI_STATUS memory_alloc_below(uint64_t top, uint64_t size,
			      uint64_t *base); /* highest that ends at or below top */
EFI_STATUS memory_alloc_aligned(uint64_t from, uint64_t top, uint64_t size, uint64_t align,
				uint64_t *base); /* lowest */
void memory_free_all(void);

/* The firmware's map now, normalized; valid until the next memory_ call. */
struct memory_view {
	struct mem_range *map;
	size_t n;
};
EFI_STATUS memory_view(struct memory_view *v);

/* ExitBootServices with the final map in h->map. Returns only if the firmware refuses for good. */
EFI_STATUS memory_exit_boot(EFI_HANDLE image, struct handoff *h);

/* --- image.S, elf.c: the hypervisor --- */
extern const uint8_t hv_elf[];
extern const uint64_t hv_elf_size;
struct hv_image {
	uint64_t entry; /* virtual */
	uint64_t size;	/* from HV_VIRT_BASE to the end of bss */
};
EFI_STATUS elf_check(struct hv_image *out);
void elf_load(uint64_t hv_base);

/* --- place.c: who gets which memory --- */
struct placement {
	uint64_t ram_top; /* end of the guest's RAM, below 4 GiB */
	uint64_t hv_base, hv_size;
	struct bzimage kernel;
	uint64_t kernel_base;
	uint64_t setup_header;
	uint64_t initrd_base, initrd_size;
	uint64_t trampoline;
	uint64_t disk_base, disk_bytes, disk_golden; /* the room begins at the next page */
};
EFI_STATUS place_all(struct placement *p, const struct config *c, struct files *f);

/* --- paging.c: page tables for the hand-off, inside the hypervisor's block --- */
uint64_t paging_size(const struct memory_view *v);
uint64_t paging_build(uint64_t tables, const struct memory_view *v, uint64_t hv_base,
		      uint64_t hv_size); /* CR3 */

/* --- mp.c --- */
void mp_list(struct handoff *h);

/* --- enter.S: new page tables and stack, then the hypervisor --- */
void enter_hypervisor(uint64_t handoff_virt, uint64_t entry, uint64_t cr3, uint64_t stack)
	__attribute__((noreturn));
