/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A test kernel in the shape of a Linux bzImage: boot sector, set-up code for real-mode loaders, and a 32-bit entry point that
 * copies itself to its link address and goes on in long mode, identity-mapped, at kernel_main(boot_params). For firmware it is an
 * EFI application, too (PE/COFF), so that it runs bare where a stock kernel does.
 */
#include "test/kernel/layout.h"
#define LINK_BASE 0x2000000
#define STACK_TOP (kernel_stack + STACK_SIZE)

#define HEADERS     0x400       /* the image follows in the file, and in memory as a PE loader lays it out */
#define OPTIONAL_HEADER_SIZE (pe_sections - pe_optional)

	.section .setup, "ax"
	.code16
	.ascii "MZ"
	.org 0x3c
	.long pe_header
pe_header:                      /* PE/COFF specification, "File Headers" */
	.ascii "PE\0\0"
	.word 0x8664            /* Machine: x86-64 */
	.word 1                 /* NumberOfSections */
	.long 0, 0, 0
	.word OPTIONAL_HEADER_SIZE
	.word 0x206             /* Characteristics: executable, no line numbers, no debug information */
pe_optional:
	.word 0x20b             /* PE32+ */
	.byte 0, 0
	.long image_size, 0, 0  /* SizeOfCode, of initialized and uninitialized data */
	.long efi_entry - LINK_BASE + HEADERS
	.long HEADERS           /* BaseOfCode */
	.quad 0                 /* ImageBase */
	.long 0x200, 0x200      /* SectionAlignment, FileAlignment */
	.word 0, 0, 0, 0, 0, 0
	.long 0
	.long image_size + HEADERS
	.long HEADERS           /* SizeOfHeaders */
	.long 0
	.word 10, 0             /* Subsystem: EFI application */
	.quad 0, 0, 0, 0
	.long 0, 6              /* NumberOfRvaAndSizes: all empty, nothing needs relocation */
	.quad 0, 0, 0, 0, 0, 0
pe_sections:
	.ascii ".text\0\0\0"
	.long image_size, HEADERS, image_size, HEADERS
	.long 0, 0, 0
	.long 0xe0000020        /* code, to execute, read and write */
	.org 0x1f1
	.byte 1                 /* setup_sects */
	.word 0                 /* root_flags */
	.long image_paragraphs /* syssize */
	.word 0, 0xffff, 0
	.word 0xaa55
	/* 0x200 */
	.byte 0xeb, setup_code - 1f
1:
	.ascii "HdrS"
	.word 0x20f             /* boot protocol 2.15 */
	.long 0
	.word 0, 0
	.byte 0                 /* type_of_loader */
	.byte 1                 /* LOADED_HIGH */
	.word 0
	.long 0x100000          /* code32_start */
	.long 0, 0, 0
	.word 0
	.byte 0, 0
	.long 0                 /* cmd_line_ptr */
	.long 0x7fffffff        /* initrd_addr_max */
	.long 0x200000          /* kernel_alignment */
	.byte 1                 /* relocatable_kernel */
	.byte 21                /* min_alignment */
	.word 0                 /* xloadflags */
	.long 2047              /* cmdline_size */
	.long 0
	.quad 0
	.long 0, 0
	.quad 0
	.quad 0x1000000         /* pref_address */
	.long 0x400000          /* init_size */
	.long 0
	.long 0
setup_code:
	cli
	mov %cs, %ax
	sub $0x20, %ax
	mov %ax, %ds
	xor %esi, %esi
	mov %ax, %si
	shl $4, %esi            /* linear address of the set-up sectors: boot_params' header is in it */
	lea setup_gdt(%esi), %eax
	mov %eax, setup_gdtr + 2
	lgdtl setup_gdtr
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $0x10, $0x100000
	.balign 8
setup_gdt:
	.quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
setup_gdtr:
	.word 31
	.long 0
	.org 0x400

	.section .head, "ax"
	.code32
	.globl entry32
entry32:
	cli
	cld
	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %esi, %ebx          /* boot_params */
	lea 0x80000, %esp       /* a word of low memory */
	call 1f
1:	pop %esi
	sub $(1b - entry32), %esi
	mov $LINK_BASE, %edi
	mov $image_size, %ecx
	shr $2, %ecx
	inc %ecx
	rep movsl
	mov $2f, %eax
	jmp *%eax
2:
	mov $STACK_TOP, %esp
	xor %eax, %eax
	mov $__bss_start, %edi
	mov $__bss_end, %ecx
	sub %edi, %ecx
	rep stosb
	/* page tables: 4 GiB in 2 MiB pages */
	movl $pdpt + 3, pml4
	mov $pd + 3, %eax
	mov $pdpt, %edi
	mov $4, %ecx
3:	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop 3b
	mov $0x83, %eax
	mov $pd, %edi
	mov $2048, %ecx
4:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 4b
	mov %cr4, %eax
	or $0x20, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	lgdt gdtr
	ljmp $0x08, $5f
	.code64

	/* Firmware: RCX the image's handle, RDX the system table; Microsoft's calling convention. The firmware's stack is good until
	 * the kernel has its own. */
efi_entry:
	push %rbx
	push %rsi
	push %rdi
	sub $0x30, %rsp
	mov %rcx, %rbx
	mov %rdx, %rsi
	mov 0x60(%rdx), %rax    /* BootServices */
	movq $LINK_BASE, 0x28(%rsp)
	mov $2, %ecx            /* AllocateAddress */
	mov $1, %edx            /* EfiLoaderCode */
	mov $image_pages, %r8d
	lea 0x28(%rsp), %r9
	call *0x28(%rax)        /* AllocatePages */
	test %rax, %rax
	jnz 1f
	mov %rsi, %rdx
	lea entry32(%rip), %rsi
	mov $LINK_BASE, %edi
	mov $image_size, %ecx
	rep movsb
	mov $__bss_start, %edi
	mov $__bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	rep stosb
	mov %rbx, %rdi
	mov %rdx, %rsi
	mov $efi_start, %eax
	call *%rax
1:	add $0x30, %rsp
	pop %rdi
	pop %rsi
	pop %rbx
	ret

	/* void efi_leave(boot_params): boot services are gone; page tables, descriptors and stack of the kernel's own */
	.globl efi_leave
efi_leave:
	cli
	mov %rdi, %rbx
	mov $0x20, %eax
	mov %rax, %cr4
	mov $pml4, %eax
	mov %rax, %cr3
	lgdt gdtr
	mov $STACK_TOP, %rsp
	pushq $0x08
	pushq $5f
	lretq
5:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $STACK_TOP, %rsp
	mov %ebx, %edi
	call kernel_main
6:	cli
	hlt
	jmp 6b

	/* One stub per vector: vector number on the stack, then common. */
	.altmacro
	.macro STUB n
	pushq $\n
	jmp trap_common
	.balign 16
	.endm
	.balign 16
	.globl stubs
stubs:
	.set i, 0
	.rept 256
	STUB %i
	.set i, i + 1
	.endr

	/* The processor aligns RSP to 16 before it pushes SS to RIP: the alignment now tells whether it has pushed an error code as
	 * well, which it does for an exception, never for an interrupt on the same vector. */
trap_common:
	testb $8, %spl
	jnz 1f
	push (%rsp)
	movq $0, 8(%rsp)
1:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	cld
	call trap
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

	/* int guarded(void (*fn)(void *), void *arg): 0, or vector + 1 of the exception that ended fn */
	.globl guarded, guard_escape
guarded:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rbx
	and $-STACK_SIZE, %rbx
	mov %rsp, (%rbx)
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	xor %eax, %eax
	jmp 1f
guard_escape:
	mov %rdi, %rax
	mov %rsp, %rbx
	and $-STACK_SIZE, %rbx
	mov (%rbx), %rsp
	cld
1:	movq $0, (%rbx)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	/*
	 * Where a CPU comes to after a start-up IPI, and (by way of the interrupt vectors of real mode) after an INIT of the boot CPU:
	 * copied to RESTART. From real mode straight to long mode, for an NMI between the two would find no handler.
	 */
	.code16
	.globl restart_code, restart_code_end
restart_code:
	cli
	xor %eax, %eax
	mov %ax, %ds
	mov %ax, %ss
	mov $1, %eax
	cpuid
	shr $24, %ebx
	inc %ebx
	shl $STACK_SHIFT, %ebx
	lea kernel_stack(%ebx), %esp
	lgdtl RESTART + (restart_gdtr - restart_code)
	mov $0x20, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov $0x80000011, %eax
	lidtl RESTART + (restart_idtr - restart_code)
	mov %eax, %cr0
	ljmpl $0x08, $restart64
restart_gdtr:
	.word 31
	.long gdt
restart_idtr:
	.word 4095
	.long idt
restart_code_end:
	.code64
restart64:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	lea -STACK_SIZE(%rsp), %rax
	movq $0, (%rax)
	call kernel_restart
1:	cli
	hlt
	jmp 1b

	.data
	.balign 8
guard_rsp: .quad 0
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff /* 64-bit code, data, 32-bit code */
gdtr:	.word 31
	.quad gdt
	.bss
	.balign 4096
	.globl pml4, pdpt, pd
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4096 * 4
	/* The stacks of all CPUs, by APIC ID. The lowest word of each is where guarded() left RSP, 0 outside of it. */
	.globl kernel_stack
	.balign STACK_SIZE
kernel_stack: .skip STACK_SIZE * CPUS_MAX
