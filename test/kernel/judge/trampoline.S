/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a start-up IPI lands: copied to a page below 1 MiB, in real mode with CS = that page, to long mode with the boot CPU's
 * page tables, to cpu2_main().
 */
#define FIRST_CS     0xff0        /* struct cpu2_first */
#define FIRST_STARTS 0xff2
#define STACK_SIZE 16384

	.section .rodata
	.globl trampoline, trampoline_end
	.code16
trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	mov %ax, FIRST_CS
	incw FIRST_STARTS
	movzwl %ax, %ebx
	shl $4, %ebx            /* linear address of the page */
	lea (trampoline_gdt - trampoline)(%ebx), %eax
	mov %eax, trampoline_gdtr - trampoline + 2
	lea (1f - trampoline)(%ebx), %eax
	mov %eax, trampoline_target - trampoline
	lgdtl trampoline_gdtr - trampoline
	mov $0x20, %eax         /* CR4.PAE */
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax         /* EFER.LME */
	wrmsr
	mov $0x80000011, %eax   /* PG, ET, PE */
	mov %eax, %cr0
	ljmpl *(trampoline_target - trampoline)
	.code64
1:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $cpu2_stack + STACK_SIZE, %rsp
	lidt boot_idtr
	mov $cpu2_main, %eax
	call *%rax
2:	cli
	hlt
	jmp 2b
	.balign 8
trampoline_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
trampoline_gdtr:
	.word 23
	.long 0
trampoline_target:
	.long 0
	.word 8
trampoline_end:
