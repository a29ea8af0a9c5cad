/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test kernel has: the boot CPU in long mode, identity-mapped 4 GiB, COM1, a catch for
 * exceptions. Interrupts are off. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include "arch/x86_64/cpu.h"
#include "test/kernel/layout.h"

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

extern const uint8_t *boot_params;
extern uint64_t interrupts[256]; /* taken, by vector >= 32, and NMIs at 2; EOI is sent for them */

/* --- CPUs: their numbers are their APIC IDs --- */
unsigned this_cpu(void);
void local_apic_eoi(void);
void local_apic_enable(void); /* in software (SVR), unless it is off altogether */
void cpu_start(unsigned cpu); /* INIT and start-up IPI; it goes to cpu_main() */
void cpu_main(unsigned cpu);  /* a kernel's own: where other CPUs start, and what starts again */
/* From now on, a CPU that gets an INIT or a start-up IPI for any page comes to cpu_main(). Takes
 * all low memory. */
void catch_restarts(void);

/* Sees every interrupt and exception first; true: dealt with, EOI included. */
extern bool (*trap_hook)(struct trap_frame *f);

/* Run fn(arg); 0, or 1 + vector of the exception that ended it. */
int guarded(void (*fn)(void *), void *arg);

void print(const char *f, ...) __attribute__((format(printf, 1, 2))); /* %s %d %u %x %lx %lu */
void vprint(const char *f, va_list ap);
const char *option(const char *name); /* value of name=VALUE on the command line, NULL if absent */
uint64_t option_number(const char *name, uint64_t otherwise);
void serial_reset(void); /* the UART to a working state, whatever was done to it */
int serial_read(void);	 /* a byte, or -1 */
struct e820 {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));
unsigned e820_count(void);
const struct e820 *e820_entry(unsigned i);
bool e820_ram(uint64_t addr, uint64_t size);
void power_off(void);
extern uint64_t pml4[512], pdpt[512], pd[4 * 512]; /* page tables, start.S */

void test_main(void); /* each test kernel's own */
