/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of arch/x86_64/ only. MSRs and control bits by their manual names. */
#pragma once
#include "arch/x86_64/acpi_tables.h"
#include "arch/x86_64/arch.h"

#define MSR_APIC_BASE	 0x1b
#define MSR_MCG_CAP	 0x179
#define MSR_MISC_ENABLE	 0x1a0
#define MSR_PAT		 0x277
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_XSS		 0xda0
#define MSR_EFER	 0xc0000080
#define MSR_FS_BASE	 0xc0000100
#define MSR_GS_BASE	 0xc0000101

#define EFER_SCE  (1ull << 0)
#define EFER_NXE  (1ull << 11)
#define EFER_SVME (1ull << 12)

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_PG (1ull << 31)

#define CR4_DE	       (1ull << 3)
#define CR4_PSE	       (1ull << 4)
#define CR4_PAE	       (1ull << 5)
#define CR4_MCE	       (1ull << 6)
#define CR4_PGE	       (1ull << 7)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_VMXE       (1ull << 13)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)

#define MCG_CMCI_P	       (1ull << 10)
#define MISC_ENABLE_XD_DISABLE (1ull << 34)

/* a * b / c, exact; the quotient must fit 64 bits */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t q;

	asm("mulq %%rdx; divq %2" : "=a"(q), "+d"(b) : "r"(c), "0"(a) : "cc");
	return q;
}

/* --- linker script --- */
extern uint8_t __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[];
extern uint8_t __image_end[];

/* --- control.c --- */
void control_init(void);	/* each CPU: CR0, CR4, EFER, PAT as the hypervisor wants them */
bool control_xd_disabled(void); /* firmware had hidden NX on the BSP: the APs need the same cure */

/* --- gdt.c --- */
enum { IST_DF = 1, IST_NMI, IST_MC };
void gdt_create(struct cpu *c); /* allocates the page with GDT and TSS */
void gdt_set_ist(struct cpu *c, unsigned ist, uint64_t top);
void gdt_load(const struct cpu *c);

/* --- idt.c --- */
void idt_init(void);
void idt_load(void);
void idt_use_ist(void); /* from now on every CPU has its IST stacks */

/* --- percpu.c --- */
void percpu_init_bsp(void); /* this_cpu() */
void percpu_load_bsp(void); /* GDT, IDT */
struct cpu *percpu_create(unsigned index, uint32_t apic_id);
void percpu_publish(struct cpu *c); /* this CPU counts from now on */
void percpu_load(struct cpu *c);    /* GS, GDT, IDT of the running CPU */
void percpu_map_stacks(struct cpu *c);

/* --- heap.c --- */
void heap_add(uint64_t from, uint64_t to); /* bytes from the block's start */

/* --- paging.c --- */
#define DIRECT_BASE 0xffff800000000000ull
#define MMIO_BASE   0xffffff9000000000ull
#define STACK_BASE  0xffffffa000000000ull
#define TEMP_BASE   0xffffffb000000000ull
#define MMIO_SIZE   (STACK_BASE - MMIO_BASE)
#define TEMP_SIZE   0x200000ull
void paging_init(void); /* builds all tables and switches to them */
uint64_t paging_firmware_cr3(
	void); /* as paging_cr3() plus runtime services and trampoline, identity-mapped */
void paging_map_stack(uint64_t va, size_t bytes); /* fresh pages; panics when out of memory */
const void *
temp_map(uint64_t pa,
	 size_t bytes); /* firmware tables: cached, read-only; NULL if too long. One at a time */
void temp_unmap(void);
bool paging_is_mapped(uint64_t va); /* for the stack walker */

/* --- acpi.c --- */
void acpi_init(void);
bool acpi_s5(uint8_t typ[2]); /* SLP_TYPa/b of _S5 */

/* Older ones are shorter: the rest is 0. NULL if there is none. */
const struct acpi_fadt *acpi_fadt(void);

/* --- aml_s5.c --- */
int aml_find_s5(const uint8_t *aml, size_t n, uint8_t typ[2]); /* -ENOENT; pure */

/* --- lapic.c --- */
bool lapic_ready(void);
bool lapic_is_x2(void);
bool lapic_in_service(uint8_t vector);
void lapic_timer_calibrate(bool last); /* its rate, over the window of tsc_calibrate() */
void lapic_timer_interrupt(void);

/* --- uart.c --- */
void uart_put_polled(const char *s); /* past ring and lock: for a panic */

/* --- tsc_sync.c --- */
void tsc_sync_report(void); /* after the last AP */

/* --- fpu.c, mce.c, reset.c, rtc.c --- */
void fpu_defaults(void); /* x87 and SSE control as firmware wants them */
void fpu_init(void);	 /* BSP */
void fpu_init_cpu(void); /* each CPU */
void mce_init_cpu(void);
void mce_report(void); /* the banks of this CPU, to panic_printf() */
void reset_init(void);
void rtc_init_host(void);
extern bool reset_fault_expected; /* the firmware's reset code runs: an exception means it failed */
__attribute__((noreturn)) void reset_next(void);

/* PIIX4 power management base (82371AB, function 3, PMBA), 0 if that isn't the chipset */
uint16_t piix4_pm_base(void);
void piix4_pm_off(void); /* no decoding at PMBA any more */

/* --- panic.c --- */
struct trap_frame;
__attribute__((noreturn)) void panic_trap(const struct trap_frame *f);
