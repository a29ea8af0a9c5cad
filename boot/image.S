/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's ELF file; -DHV_ELF='"path"' says which. */
	.section .rodata.hv_elf, "a"
	.balign 4096
	.globl hv_elf
	.hidden hv_elf
hv_elf:
	.incbin HV_ELF
0:
	.balign 8
	.globl hv_elf_size
	.hidden hv_elf_size
hv_elf_size:
	.quad 0b - hv_elf
	.section .note.GNU-stack, "", @progbits
