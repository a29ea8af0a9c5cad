/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an AP begins: real mode, CS = page << 8, IP = 0. Copied to a page below 640 KiB; smp.c fills in the block at the
 * end. Straight to long mode: PE and PG are set by one write to CR0 with EFER.LME on (APM vol. 2, 14.6; SDM vol. 3, 10.8.5).
 */
#define MSR_EFER	 0xc0000080
#define MSR_MISC_ENABLE	 0x1a0
#define EFER_LME_NXE	 0x900
#define CR4_PAE		 0x20
#define CR0_PG_WP_NE_ET_MP_PE 0x80010033

	.section .rodata
	.balign	16
	.globl	trampoline_start, trampoline_end, trampoline_data
	.code16
trampoline_start:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	gdtr - trampoline_start
	testl	$1, nx_hidden - trampoline_start
	jz	1f
	mov	$MSR_MISC_ENABLE, %ecx
	rdmsr
	and	$~4, %edx		/* XD disable, bit 34 */
	wrmsr
1:	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	cr3 - trampoline_start, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME_NXE, %eax
	wrmsr
	mov	$CR0_PG_WP_NE_ET_MP_PE, %eax
	mov	%eax, %cr0		/* cache on: INIT left CD and NW set */
	ljmpl	*far64 - trampoline_start

	.code64
long_mode:
	mov	stack(%rip), %rsp
	mov	arg(%rip), %rdi
	mov	entry(%rip), %rax
	xor	%ebp, %ebp
	push	$0			/* a return address, so that the stack is as after a call */
	jmp	*%rax

	.balign	16
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* SEL_CODE */
	.quad	0x00cf93000000ffff	/* SEL_DATA */

	.balign	16
trampoline_data:			/* struct trampoline_data */
stack:	.quad	0
arg:	.quad	0
entry:	.quad	0
cr3:	.long	0
nx_hidden:
	.long	0
far64:	.long	long_mode - trampoline_start
	.word	0x08
gdtr:	.word	23
	.long	gdt - trampoline_start
trampoline_end:

	.section .note.GNU-stack, "", @progbits
