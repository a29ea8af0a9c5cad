/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entry and exit. Only general registers change hands here: FPU, vector and debug registers stay the guest's, and the
 * rest is in the VMCS. struct vcpu.gpr is at offset 0, in encoding order; RSP (32) lives in the VMCS.
 */
#define HOST_RSP 0x6c14
#define X_HOST_RSP 0
#define X_LAUNCHED 8

	.text
	.globl vmx_enter
	.type vmx_enter, @function
vmx_enter: /* rdi = struct vcpu, rsi = struct vmx_vcpu; not kept: R14 and R15 neither */
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %rdi
	cmpq %rsp, X_HOST_RSP(%rsi)
	je 1f
	movq %rsp, X_HOST_RSP(%rsi)
	movl $HOST_RSP, %eax
	vmwrite %rsp, %rax
	jna .Lfailed
1:	cmpl $0, X_LAUNCHED(%rsi) /* MOV leaves the flags alone */
	movq 0(%rdi), %rax
	movq 8(%rdi), %rcx
	movq 16(%rdi), %rdx
	movq 24(%rdi), %rbx
	movq 40(%rdi), %rbp
	movq 48(%rdi), %rsi
	movq 64(%rdi), %r8
	movq 72(%rdi), %r9
	movq 80(%rdi), %r10
	movq 88(%rdi), %r11
	movq 96(%rdi), %r12
	movq 104(%rdi), %r13
	movq 112(%rdi), %r14
	movq 120(%rdi), %r15
	movq 56(%rdi), %rdi
	je 2f
	vmresume
	jmp .Lfailed
2:	vmlaunch
.Lfailed: /* CF: no current VMCS; ZF: VM-instruction error in the VMCS */
	movl $1, %eax
	jc .Lreturn
	movl $2, %eax
.Lreturn:
	popq %rdi
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret

	.globl vmx_exit
vmx_exit: /* RSP as at the entry: the struct vcpu is on top */
	pushq %rdi
	movq 8(%rsp), %rdi
	movq %rax, 0(%rdi)
	movq %rcx, 8(%rdi)
	movq %rdx, 16(%rdi)
	movq %rbx, 24(%rdi)
	movq %rbp, 40(%rdi)
	movq %rsi, 48(%rdi)
	popq 56(%rdi)
	movq %r8, 64(%rdi)
	movq %r9, 72(%rdi)
	movq %r10, 80(%rdi)
	movq %r11, 88(%rdi)
	movq %r12, 96(%rdi)
	movq %r13, 104(%rdi)
	movq %r14, 112(%rdi)
	movq %r15, 120(%rdi)
	xorl %eax, %eax
	jmp .Lreturn
	.size vmx_enter, . - vmx_enter

	.section .note.GNU-stack, "", @progbits
