/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that may fault, and where to go on if they do: pairs of addresses in section .extable, searched by
 * idt.c. Inline assembly adds its own pairs the same way (fpu.c).
 */
#define EFAULT 14

	.text
/* int rdmsr_safe(uint32_t msr, uint64_t *v) */
	.globl	rdmsr_safe
rdmsr_safe:
	mov	%edi, %ecx
1:	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, (%rsi)
	xor	%eax, %eax
	ret

/* int wrmsr_safe(uint32_t msr, uint64_t v) */
	.globl	wrmsr_safe
wrmsr_safe:
	mov	%edi, %ecx
	mov	%esi, %eax
	mov	%rsi, %rdx
	shr	$32, %rdx
2:	wrmsr
	xor	%eax, %eax
	ret

msr_fault:
	mov	$-EFAULT, %eax
	ret

	.section .extable, "a"
	.quad	1b, msr_fault
	.quad	2b, msr_fault

	.section .note.GNU-stack, "", @progbits
