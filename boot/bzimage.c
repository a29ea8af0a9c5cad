// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/bzimage.h"
#include <string.h>

#define HDRS	       0x53726448 /* "HdrS" */
#define LOADED_HIGH    0x01	  /* loadflags: the protected-mode part goes to 1 MiB or above */
#define PROTOCOL_MIN   0x020c
#define SETUP_SECTS_0  4 /* what setup_sects = 0 stands for */
#define SECTOR	       512
#define SYSSIZE_UNIT   16
#define ALIGNMENT_MIN  0x1000
#define ALIGNMENT_MAX  0x40000000
#define SETUP_HDR_OFFS 0x1f1

/* struct setup_header, at offset 1F1h of the file. */
struct setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize;
	uint16_t ram_size;
	uint16_t vid_mode;
	uint16_t root_dev;
	uint16_t boot_flag;
	uint16_t jump;
	uint32_t header;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg;
	uint16_t kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size;
	uint32_t hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size;
	uint32_t handover_offset;
} __attribute__((packed));
_Static_assert(SETUP_HDR_OFFS + offsetof(struct setup_header, boot_flag) == 0x1fe, "boot.rst");
_Static_assert(SETUP_HDR_OFFS + offsetof(struct setup_header, header) == 0x202, "boot.rst");
_Static_assert(SETUP_HDR_OFFS + offsetof(struct setup_header, initrd_addr_max) == 0x22c,
	       "boot.rst");
_Static_assert(SETUP_HDR_OFFS + offsetof(struct setup_header, handover_offset) == 0x264,
	       "boot.rst");

/* Each test has its own line, in the order in which a reader would find the trouble. */
static const char *check(const struct setup_header *h, uint64_t file_size, struct bzimage *out)
{
	uint64_t payload = (uint64_t)h->syssize * SYSSIZE_UNIT;
	unsigned sects = h->setup_sects ? h->setup_sects : SETUP_SECTS_0;

	out->setup_size = (uint64_t)(sects + 1) * SECTOR;
	if (file_size <= out->setup_size)
		return "truncated kernel: fetch it again";
	/* syssize is rounded up; all but the rounding must be there */
	out->payload_size = file_size - out->setup_size;
	if (payload < SYSSIZE_UNIT || out->payload_size + SYSSIZE_UNIT <= payload)
		return "truncated kernel: fetch it again";
	if (out->payload_size > payload)
		out->payload_size = payload; /* a signature may follow */
	if (!h->relocatable_kernel)
		return "not relocatable: use CONFIG_RELOCATABLE=y";
	if (h->kernel_alignment < ALIGNMENT_MIN || h->kernel_alignment > ALIGNMENT_MAX ||
	    (h->kernel_alignment & (h->kernel_alignment - 1)))
		return "corrupt kernel (kernel_alignment): fetch it again";
	if (h->init_size < out->payload_size || h->init_size >= 1u << 31)
		return "corrupt kernel (init_size): fetch it again";
	if ((uint64_t)h->payload_offset + h->payload_length > payload)
		return "corrupt kernel (payload_length): fetch it again";
	if (h->pref_address < 0x100000 || h->pref_address > (1ull << 32) - h->init_size)
		return "corrupt kernel (pref_address): fetch it again";
	if (h->cmdline_size == 0)
		return "corrupt kernel (cmdline_size): fetch it again";
	return NULL;
}

int bzimage_check(const void *head, size_t head_size, uint64_t file_size, struct bzimage *out,
		  const char **error)
{
	struct setup_header h;

	memset(out, 0, sizeof *out);
	if (head_size < SETUP_HDR_OFFS + sizeof h) {
		*error = "not a Linux bzImage (too short): give a vmlinuz";
		return -1;
	}
	memcpy(&h, (const uint8_t *)head + SETUP_HDR_OFFS, sizeof h);
	if (h.boot_flag != 0xaa55 || h.header != HDRS) {
		*error = "not a Linux bzImage (bad magic): give a vmlinuz";
		return -1;
	}
	if (h.version < PROTOCOL_MIN || !(h.loadflags & LOADED_HIGH)) {
		*error = "boot protocol before 2.12: use Linux 3.8 or newer";
		return -1;
	}
	*error = check(&h, file_size, out);
	if (*error)
		return -1;
	out->pref_address = h.pref_address;
	out->alignment = h.kernel_alignment;
	out->init_size = h.init_size;
	out->initrd_addr_max = h.initrd_addr_max;
	out->cmdline_size = h.cmdline_size;
	out->version = h.version;
	return 0;
}
