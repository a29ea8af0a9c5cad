/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * enter_hypervisor(RDI = hand-off block, RSI = entry, RDX = CR3, RCX = stack): no way back. This code runs on in the identity
 * map of the new tables, as loader code is RAM.
 */
	.text
	.globl enter_hypervisor
	.hidden enter_hypervisor
enter_hypervisor:
	cli
	cld
	mov	%rdx, %cr3
	mov	%rcx, %rsp
	xor	%ebp, %ebp
	jmp	*%rsi
	.section .note.GNU-stack, "", @progbits
