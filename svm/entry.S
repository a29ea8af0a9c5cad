/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * void svm_enter(uint64_t gpr[NUM_GPR], uint64_t vmcb_pa, uint64_t host_pa);
 *
 * RAX, RSP, RIP and RFLAGS are VMRUN's business, FS, GS, TR, LDTR and the system call MSRs are VMLOAD's and VMSAVE's, the
 * other registers are ours (APM vol. 2, 15.5). With GIF clear, IF may be set: V_INTR_MASKING takes the host's IF at VMRUN
 * as the mask of physical interrupts. STI is not the instruction before VMRUN, or its shadow would leak into the guest.
 * NMIs stay pending until STGI, when GS base and TR are the host's again.
 */
#define GPR(n) ((n) * 8)

	.text
	.globl	svm_enter
	.type	svm_enter, @function
svm_enter:
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	push	%rdx
	mov	%rsi, %rax
	clgi
	sti
	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	mov	GPR(8)(%rdi), %r8
	mov	GPR(9)(%rdi), %r9
	mov	GPR(10)(%rdi), %r10
	mov	GPR(11)(%rdi), %r11
	mov	GPR(12)(%rdi), %r12
	mov	GPR(13)(%rdi), %r13
	mov	GPR(14)(%rdi), %r14
	mov	GPR(15)(%rdi), %r15
	mov	GPR(7)(%rdi), %rdi
	vmload	%rax
	vmrun	%rax
	vmsave	%rax
	pop	%rax
	vmload	%rax
	pop	%rax
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	cli
	stgi
	ret
	.size	svm_enter, . - svm_enter

	.section .note.GNU-stack, "", @progbits
