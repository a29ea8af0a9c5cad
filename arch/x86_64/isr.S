/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One stub per vector, 16 bytes apart; all lead to trap_handler(struct trap_frame *) with interrupts off.
 * GS base is the hypervisor's throughout: there is no user mode here, the VMX exit restores it, and the SVM back end
 * lets nothing in before it has.
 */

	.text
	.balign	16
	.globl	isr_stubs
isr_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	/* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX push an error code (SDM vol. 3, table 6-1; APM vol. 2, 8.2) */
	.if	vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21 && vector != 29 && vector != 30
	push	$0
	.endif
	push	$vector
	jmp	isr_common
	.set	vector, vector + 1
	.endr

	.balign	16
isr_common:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp	/* a back end that comes here by hand need not have aligned it */
	call	trap_handler
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
