// SPDX-License-Identifier: GPL-2.0-or-later
/* The guest's kernel by the 32-bit Linux boot protocol (kernel documentation "The Linux/x86 Boot
 * Protocol", "Zero Page"). */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/platform.h"

#define BOOT_MAGIC   0x53726448u /* "HdrS" */
#define PROTOCOL_MIN 0x020c
#define LOADER_OTHER 0xff
#define LOADED_HIGH  (1u << 0)
#define CAN_USE_HEAP (1u << 7)
#define LOW_FIRST    0x10000ull /* above what old kernels and BIOS data areas use */
#define LOW_LAST     0x9f000ull
#define BDA_EBDA     0x40e /* segment of the extended BIOS data area */
#define BDA_BASE_KIB 0x413 /* KiB of base memory */
#define EBDA_ADDR    0x9fc00u

struct setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize;
	uint16_t ram_size, vid_mode, root_dev, boot_flag;
	uint8_t jump, header_len; /* the header ends at 202h + header_len */
	uint32_t header;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg, kernel_version;
	uint8_t type_of_loader, loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver, ext_loader_type;
	uint32_t cmd_line_ptr, initrd_addr_max, kernel_alignment;
	uint8_t relocatable_kernel, min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size, hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset, payload_length;
	uint64_t setup_data, pref_address;
	uint32_t init_size, handover_offset, kernel_info_offset;
	uint8_t later[0x290 - 0x26c];
} __attribute__((packed));

struct boot_params {
	uint8_t screen_info[0x40];
	uint8_t pad0[0x70 - 0x40];
	uint64_t acpi_rsdp_addr;
	uint8_t pad1[0x1e8 - 0x78];
	uint8_t e820_entries;
	uint8_t pad2[0x1f1 - 0x1e9];
	struct setup_header hdr;
	uint8_t pad3[0x2d0 - 0x290];
	struct e820_entry e820_table[E820_MAX];
	uint8_t pad4[0x1000 - 0xcd0];
} __attribute__((packed));

_Static_assert(offsetof(struct boot_params, acpi_rsdp_addr) == 0x70, "zero page");
_Static_assert(offsetof(struct boot_params, e820_entries) == 0x1e8, "zero page");
_Static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "zero page");
_Static_assert(offsetof(struct boot_params, hdr.header) == 0x202, "setup header");
_Static_assert(offsetof(struct boot_params, hdr.ramdisk_image) == 0x218, "setup header");
_Static_assert(offsetof(struct boot_params, hdr.cmd_line_ptr) == 0x228, "setup header");
_Static_assert(offsetof(struct boot_params, hdr.cmdline_size) == 0x238, "setup header");
_Static_assert(offsetof(struct boot_params, hdr.pref_address) == 0x258, "setup header");
_Static_assert(offsetof(struct boot_params, e820_table) == 0x2d0, "zero page");
_Static_assert(sizeof(struct boot_params) == 0x1000, "zero page");

/* All that the kernel needs below 640 KiB, contiguous in guest memory. */
struct low_block {
	struct boot_params params;
	char cmdline[HANDOFF_CMDLINE];
	uint64_t gdt[4];
	uint8_t stack[0x1000 -
		      4 * 8]; /* the entry code pushes a word or two before it sets up its own */
} __attribute__((packed));

_Static_assert(sizeof(struct low_block) == 3 * PAGE_SIZE, "whole pages");

static bool overlaps(uint64_t base, uint64_t size, uint64_t at)
{
	return size && at < base + size && base < at + sizeof(struct low_block);
}

/* Room for the block where nothing else is needed any more; 0 if there is none. */
static uint64_t find_low_block(const struct handoff *h)
{
	for (uint64_t at = LOW_FIRST; at + sizeof(struct low_block) <= LOW_LAST; at += PAGE_SIZE) {
		if (overlaps(h->trampoline, PAGE_SIZE, at) ||
		    overlaps(h->setup_header, h->setup_size, at) ||
		    overlaps(h->kernel_base, h->kernel_size, at) ||
		    overlaps(h->initrd_base, h->initrd_size, at))
			continue;
		if (guest_ptr((gpa_t){at}, sizeof(struct low_block)))
			return at;
	}
	return 0;
}

static int copy_setup_header(const struct handoff *h, struct setup_header *hdr)
{
	const size_t at = offsetof(struct boot_params, hdr);
	const uint8_t *file = phys_to_virt((hpa_t){h->setup_header});
	size_t end;

	if (h->setup_size < 0x400) { /* a boot sector and at least one setup sector */
		log_error("kernel: the setup data has only %llu bytes",
			  (unsigned long long)h->setup_size);
		return -EINVAL;
	}
	end = 0x202 + file[0x201];
	if (end > at + sizeof(*hdr))
		end = at + sizeof(*hdr);
	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, file + at, end - at);
	if (hdr->header != BOOT_MAGIC || hdr->version < PROTOCOL_MIN) {
		log_error(
			"kernel: no setup header of boot protocol 2.12 or later (version %x.%02x)",
			(unsigned)hdr->version >> 8, (unsigned)hdr->version & 0xff);
		return -EINVAL;
	}
	return 0;
}

static int fill_header(const struct handoff *h, struct setup_header *hdr, uint64_t cmdline_gpa)
{
	size_t len = strlen(h->append);

	if (len > hdr->cmdline_size) {
		log_error("kernel: its command line may have %u characters, append= has %llu",
			  hdr->cmdline_size, (unsigned long long)len);
		return -E2BIG;
	}
	if (h->initrd_size && h->initrd_base + h->initrd_size - 1 > hdr->initrd_addr_max) {
		log_error("kernel: the initrd ends at 0x%llx, it must be below 0x%x",
			  (unsigned long long)(h->initrd_base + h->initrd_size),
			  hdr->initrd_addr_max);
		return -EINVAL;
	}
	hdr->type_of_loader = LOADER_OTHER;
	hdr->loadflags = (hdr->loadflags | LOADED_HIGH) & ~CAN_USE_HEAP;
	hdr->code32_start = (uint32_t)h->kernel_base;
	hdr->cmd_line_ptr = (uint32_t)cmdline_gpa;
	hdr->ramdisk_image = h->initrd_size ? (uint32_t)h->initrd_base : 0;
	hdr->ramdisk_size = (uint32_t)h->initrd_size;
	hdr->setup_data = 0;
	return 0;
}

/* Linux asks the BIOS data area where base memory ends; after EFI nothing sensible is there. */
static void write_bios_data(void)
{
	static const uint8_t empty[0x400];
	uint16_t ebda = EBDA_ADDR >> 4, kib = EBDA_ADDR >> 10;

	if (guest_write((gpa_t){BDA_EBDA}, &ebda, sizeof(ebda)) ||
	    guest_write((gpa_t){BDA_BASE_KIB}, &kib, sizeof(kib)) ||
	    guest_write((gpa_t){EBDA_ADDR}, empty, sizeof(empty)))
		log_info("guest: no RAM for a BIOS data area, which is no harm");
}

int linux_prepare(const struct handoff *h, const struct guest_map *m, uint64_t rsdp,
		  struct linux_entry *e)
{
	uint64_t at = find_low_block(h);
	struct low_block *b;
	int n, err;

	if (!at) {
		log_error("kernel: no %u KiB of RAM in one piece below 640 KiB",
			  (unsigned)(sizeof(struct low_block) >> 10));
		return -ENOMEM;
	}
	if (h->kernel_base + h->kernel_size > UINT32_MAX)
		return -EINVAL;
	b = guest_ptr((gpa_t){at}, sizeof(*b));
	memset(b, 0, sizeof(*b));
	err = copy_setup_header(h, &b->params.hdr);
	if (!err)
		err = fill_header(h, &b->params.hdr, at + offsetof(struct low_block, cmdline));
	if (err)
		return err;
	n = guest_map_e820(m, h, b->params.e820_table, E820_MAX);
	if (n < 0)
		return n;
	b->params.e820_entries = (uint8_t)n;
	b->params.acpi_rsdp_addr = rsdp;
	memcpy(b->cmdline, h->append, strlen(h->append) + 1);
	b->gdt[2] = 0x00cf9b000000ffffull; /* 10h: flat 32-bit code */
	b->gdt[3] = 0x00cf93000000ffffull; /* 18h: flat data */
	write_bios_data();

	e->rip = h->kernel_base;
	e->boot_params = at;
	e->gdt_base = at + offsetof(struct low_block, gdt);
	e->gdt_limit = sizeof(b->gdt) - 1;
	e->stack = at + sizeof(*b);
	return 0;
}
