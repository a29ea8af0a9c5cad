/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the loader: RDI = hand-off, conditions in boot/handoff.h. */

	.section .text.entry, "ax"
	.globl	hv_entry
hv_entry:
	cli
	cld
	mov	$boot_stack_top, %rsp
	xor	%ebp, %ebp
	call	start
	ud2

/* void stack_switch(uint64_t top, void (*fn)(void)): continue in fn on another stack; no way back. */
	.text
	.globl	stack_switch
stack_switch:
	mov	%rdi, %rsp
	xor	%ebp, %ebp
	call	*%rsi
	ud2

	.bss
	.balign	16
boot_stack:
	.skip	16384
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
