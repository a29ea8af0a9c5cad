/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is this file a Linux kernel that we can start, and where does it want to be? Pure. Source: the
 * kernel's own Documentation/arch/x86/boot.rst ("The Linux/x86 Boot Protocol"); fields keep the
 * names used there.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define BZIMAGE_HEAD_MAX 0x20000ul /* the longest real-mode part there can be: 256 sectors */

struct bzimage {
	uint64_t setup_size; /* bytes of boot sector and setup sectors, at the start of the file */
	uint64_t payload_size; /* bytes of the protected-mode part that follows */
	uint64_t pref_address;
	uint64_t alignment; /* kernel_alignment: a power of two, 4 KiB or more */
	uint64_t init_size; /* bytes needed from the load address on */
	uint64_t initrd_addr_max;
	uint32_t cmdline_size; /* longest command line, without the NUL */
	uint16_t version;      /* boot protocol */
};

/*
 * head: the first min(file_size, BZIMAGE_HEAD_MAX) bytes of a file of file_size bytes. 0, or -1
 * with *error = "what is wrong: what to do" (a literal, to follow the file's name).
 */
int bzimage_check(const void *head, size_t head_size, uint64_t file_size, struct bzimage *out,
		  const char **error);
