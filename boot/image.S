/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's ELF file; -DHV_ELF='"path"' says which. */
	.section .rodata.hv_elf, "a"
	.balign 4096
	.globl hv_elf
	.hidden hv_elf
hv_elf:
	.incbin HV_ELF
	.globl hv_elf_end
	.hidden hv_elf_end
hv_elf_end:
	.section .note.GNU-stack, "", @progbits
