/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions in an order that matters, with names for places in it. CPUID marks where to freeze, or from where to count. */

#define SLED 512        /* time for a CPU to come back from CPUID */

	.text
	.macro FUNCTION name
	.globl \name
\name:
	.endm

FUNCTION seq_halt
	sti
	hlt
FUNCTION halt_done
	cli
	ret

FUNCTION seq_halt_blind
	hlt
FUNCTION halt_blind_done
	ret

	/* An interrupt is pending: it comes after the instruction that follows STI. */
FUNCTION seq_sti
	push %rbx
	xor %eax, %eax
	cpuid
FUNCTION sti_start
	.rept SLED
	nop
	.endr
	sti
FUNCTION sti_shadow
	nop
FUNCTION sti_open
	.rept 8
	nop
	.endr
FUNCTION sti_end
	cli
	pop %rbx
	ret

	/* Nothing comes after the first instruction of each pair. */
FUNCTION seq_mov_ss
	push %rbx
	xor %eax, %eax
	cpuid
	mov $0x10, %eax
FUNCTION mov_ss_start
	.rept SLED
	mov %eax, %ss
	nop
	.endr
FUNCTION mov_ss_end
	pop %rbx
	ret

	/* A fault, by an instruction that is intercepted, in the shadow of STI and of MOV SS. */
FUNCTION seq_fault_sti
	mov $0xdeadbeef, %ecx
	sti
FUNCTION fault_sti
	rdmsr
FUNCTION fault_sti_next
	nop
	nop
	cli
	ret
FUNCTION seq_fault_mov_ss
	mov $0xdeadbeef, %ecx
	mov $0x10, %eax
	mov %eax, %ss
FUNCTION fault_mov_ss
	rdmsr
FUNCTION fault_mov_ss_next
	nop
	ret

FUNCTION seq_ud
	xor %ecx, %ecx
	xor %edx, %edx
	mov $registers_out, %eax
FUNCTION ud_insn
	monitor
FUNCTION ud_next
	ret

FUNCTION seq_icebp
	.byte 0xf1
FUNCTION icebp_next
	ret

	/* RFLAGS.TF: a trap after each instruction but the first. */
FUNCTION seq_step
	push %rbx
	pushfq
	orq $0x100, (%rsp)
	popfq
	xor %eax, %eax
FUNCTION step_1
	cpuid
FUNCTION step_2
	nop
FUNCTION step_3
	pop %rbx
	ret

	/* The same over a store of EDI to (RSI). */
FUNCTION seq_step_store
	pushfq
	orq $0x100, (%rsp)
	popfq
	nop
FUNCTION step_store
	mov %edi, (%rsi)
FUNCTION step_store_next
	ret

	/* A data breakpoint is on the selector: its trap waits for the instruction that follows. */
FUNCTION seq_watch_ss
	push %rbx
	xor %eax, %eax
	mov (%rdi), %ss
	cpuid
FUNCTION watch_next
	pop %rbx
	ret

	/* out: RDI, RSI, RCX */
FUNCTION seq_rep_movs
	push %rbx
	push %rcx
	mov %rdx, %r8
	xor %eax, %eax
	cpuid
	mov %r8, %rcx
FUNCTION rep_movs
	rep movsb
FUNCTION rep_movs_next
	pop %rax
	mov %rdi, (%rax)
	mov %rsi, 8(%rax)
	mov %rcx, 16(%rax)
	pop %rbx
	ret

FUNCTION seq_rep_outs
	push %rbx
	mov %rcx, %r8
	mov %edx, %r9d
	xor %eax, %eax
	cpuid
	mov %r9d, %edx
	mov %rsi, %rcx
	mov %rdi, %rsi
FUNCTION rep_outs
	rep outsb
	mov %rdi, (%r8)
	mov %rsi, 8(%r8)
	mov %rcx, 16(%r8)
	pop %rbx
	ret

	/* RDI in, RSI out, RDX rounds */
	.bss
	.balign 8
registers_out: .skip 8
registers_rounds: .skip 8
	.text
FUNCTION seq_registers
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsi, registers_out
	mov %rdx, registers_rounds
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu 120 + 16 * \n(%rdi), %xmm\n
	.endr
	xor %eax, %eax
	cpuid
	mov %rdi, %rax
	mov 8(%rax), %rcx
	mov 16(%rax), %rdx
	mov 24(%rax), %rbx
	mov 32(%rax), %rbp
	mov 40(%rax), %rsi
	mov 48(%rax), %rdi
	mov 56(%rax), %r8
	mov 64(%rax), %r9
	mov 72(%rax), %r10
	mov 80(%rax), %r11
	mov 88(%rax), %r12
	mov 96(%rax), %r13
	mov 104(%rax), %r14
	mov 112(%rax), %r15
	mov (%rax), %rax
FUNCTION registers_spin
	decq registers_rounds
	jnz registers_spin
FUNCTION registers_done
	push %rax
	mov registers_out, %rax
	mov %rcx, 8(%rax)
	mov %rdx, 16(%rax)
	mov %rbx, 24(%rax)
	mov %rbp, 32(%rax)
	mov %rsi, 40(%rax)
	mov %rdi, 48(%rax)
	mov %r8, 56(%rax)
	mov %r9, 64(%rax)
	mov %r10, 72(%rax)
	mov %r11, 80(%rax)
	mov %r12, 88(%rax)
	mov %r13, 96(%rax)
	mov %r14, 104(%rax)
	mov %r15, 112(%rax)
	pop (%rax)
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu %xmm\n, 120 + 16 * \n(%rax)
	.endr
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
