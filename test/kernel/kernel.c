// SPDX-License-Identifier: GPL-2.0-or-later
#include "test/kernel/kernel.h"
#include <stddef.h>

#define COM1	      0x3f8
#define LAPIC_EOI     ((volatile uint32_t *)0xfee000b0)
#define X2APIC_EOI    0x80b
#define X2APIC_SVR    0x80f
#define LAPIC_SVR     ((volatile uint32_t *)0xfee000f0)
#define SVR_ENABLED   0x1ff
#define X2APIC_ICR    0x830
#define LAPIC_ICR     ((volatile uint32_t *)0xfee00300)
#define LAPIC_ICR_HI  ((volatile uint32_t *)0xfee00310)
#define APIC_BASE     0x1b
#define APIC_EN	      (1u << 11)
#define APIC_EXTD     (1u << 10)
#define E820_COUNT    0x1e8
#define E820_TABLE    0x2d0
#define CMD_LINE_PTR  0x228
#define PM1_CNT	      0x604
#define PM1_SLP_EN_S5 0x3400 /* SLP_TYP 5, SLP_EN: as the DSDT's _S5 says */

struct idt_gate {
	uint16_t low, selector, attr, mid;
	uint32_t high, zero;
};

#define LOW_MEMORY_END	 0xa0000
#define PAGE		 0x1000u
#define COMMAND_LINE_MAX 2047

const uint8_t *boot_params;
uint64_t interrupts[256];
bool (*trap_hook)(struct trap_frame *f);
static const char *command_line;
extern const uint8_t stubs[], restart_code[], restart_code_end[];
extern uint8_t kernel_stack[CPUS_MAX][STACK_SIZE];
void guard_escape(int result) __attribute__((noreturn));
void kernel_main(const uint8_t *params);
void kernel_restart(void);
void trap(struct trap_frame *f);

struct idt_gate idt[256];
extern struct idt_register boot_idtr;
struct idt_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) boot_idtr = {sizeof(idt) - 1, (uint64_t)idt};

void *memcpy(void *to, const void *from, size_t n);
void *memcpy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

void *memset(void *p, int c, size_t n);
void *memset(void *p, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)p)[i] = (uint8_t)c;
	return p;
}

static void put(char c)
{
	for (int i = 0; i < 100000 && !(inb(COM1 + 5) & 0x20); i++)
		;
	outb(COM1, (uint8_t)c);
}

static void put_number(uint64_t v, unsigned base)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put(digits[--n]);
}

static void put_string(const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			put('\r');
		put(*s);
	}
}

void vprint(const char *f, va_list ap)
{
	for (; *f; f++) {
		bool wide = false;

		if (*f != '%') {
			char one[2] = {*f, 0};

			put_string(one);
			continue;
		}
		if (*++f == 'l') {
			wide = true;
			f++;
		}
		if (*f == 's') {
			put_string(va_arg(ap, const char *));
		} else if (*f == 'd') {
			int64_t v = wide ? va_arg(ap, int64_t) : va_arg(ap, int);

			if (v < 0)
				put('-');
			put_number(v < 0 ? -(uint64_t)v : (uint64_t)v, 10);
		} else {
			put_number(wide ? va_arg(ap, uint64_t) : va_arg(ap, unsigned),
				   *f == 'x' ? 16 : 10);
		}
	}
}

void print(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	vprint(f, ap);
	va_end(ap);
}

int serial_read(void)
{
	return inb(COM1 + 5) & 1 ? inb(COM1) : -1;
}

void serial_reset(void)
{
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 0x80);
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 3);
	outb(COM1 + 2, 7);
	outb(COM1 + 4, 3);
}

const char *option(const char *name)
{
	for (const char *p = command_line; p && *p; p++) {
		size_t n = 0;

		while (name[n] && p[n] == name[n])
			n++;
		if (!name[n] && p[n] == '=')
			return p + n + 1;
		while (*p && *p != ' ')
			p++;
		if (!*p)
			break;
	}
	return NULL;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
	const char *s = option(name);
	uint64_t v = 0;

	if (!s)
		return otherwise;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	return v;
}

unsigned e820_count(void)
{
	return boot_params[E820_COUNT];
}

bool e820_ram(uint64_t addr, uint64_t size)
{
	for (unsigned i = 0; i < e820_count(); i++) {
		const struct e820 *e = e820_entry(i);

		if (e->type == 1 && addr >= e->addr && addr + size <= e->addr + e->size)
			return true;
	}
	return false;
}

const struct e820 *e820_entry(unsigned i)
{
	return (const struct e820 *)(boot_params + E820_TABLE) + i;
}

/* --- traps --- */

unsigned this_cpu(void)
{
	uint64_t rsp;

	asm volatile("mov %%rsp, %0" : "=r"(rsp));
	rsp -= (uint64_t)kernel_stack;
	return rsp < sizeof(kernel_stack) ? (unsigned)(rsp >> STACK_SHIFT) : 0;
}

void local_apic_eoi(void)
{
	uint64_t base = rdmsr(APIC_BASE);

	if ((base & (APIC_EN | APIC_EXTD)) == (APIC_EN | APIC_EXTD))
		wrmsr(X2APIC_EOI, 0);
	else if (base & APIC_EN)
		*LAPIC_EOI = 0;
}

void trap(struct trap_frame *f)
{
	if (trap_hook && trap_hook(f))
		return;
	if (f->vector >= 32 || f->vector == 2) {
		interrupts[f->vector & 255]++;
		if (f->vector != 2)
			local_apic_eoi();
		return;
	}
	if (*(const uint64_t *)kernel_stack[this_cpu()])
		guard_escape((int)f->vector + 1);
	print("test kernel: CPU %u: exception %lu error %lx at %lx, flags %lx\n", this_cpu(),
	      f->vector, f->error, f->rip, f->rflags);
	for (;;)
		asm volatile("cli; hlt");
}

static void setup_idt(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t p = (uint64_t)(stubs + 16 * i);

		idt[i] = (struct idt_gate){(uint16_t)p,		8, 0x8e00, (uint16_t)(p >> 16),
					   (uint32_t)(p >> 32), 0};
	}
}

static void load_idt(void)
{
	asm volatile("lidt %0" : : "m"(boot_idtr));
}

/* --- other CPUs, and CPUs that start again --- */

#define ICR_INIT    (5u << 8 | 1u << 14)
#define ICR_STARTUP (6u << 8 | 1u << 14)

/* In whatever mode the local APIC is; disabled, it gets xAPIC mode. */
static void send_ipi(uint32_t apic_id, uint32_t command)
{
	uint64_t base = rdmsr(APIC_BASE);

	if (!(base & APIC_EN))
		wrmsr(APIC_BASE, base | APIC_EN);
	if (base & APIC_EXTD) {
		wrmsr(X2APIC_ICR, (uint64_t)apic_id << 32 | command);
		return;
	}
	*LAPIC_ICR_HI = apic_id << 24;
	*LAPIC_ICR = command;
}

void local_apic_enable(void)
{
	uint64_t base = rdmsr(APIC_BASE);

	if (base & APIC_EXTD)
		wrmsr(X2APIC_SVR, SVR_ENABLED);
	else if (base & APIC_EN)
		*LAPIC_SVR = SVR_ENABLED;
}

void cpu_start(unsigned cpu)
{
	memcpy((void *)RESTART, restart_code, (size_t)(restart_code_end - restart_code));
	send_ipi(cpu, ICR_INIT);
	send_ipi(cpu, ICR_STARTUP | RESTART >> 12);
}

__attribute__((weak)) void cpu_main(unsigned cpu)
{
	print("test kernel: CPU %u has started\n", cpu);
}

void kernel_restart(void)
{
	load_idt();
	cpu_main(this_cpu());
}

/* After INIT the boot CPU executes at FFFFFFF0h, where there is no memory: #UD by the interrupt
 * vectors of real mode. And a start-up IPI may name any page below 1 MiB. */
void catch_restarts(void)
{
	uint8_t *low = (uint8_t *)PAGE;

	asm("" : "+r"(low)); /* not an object that the compiler knows */
	for (; low < (uint8_t *)LOW_MEMORY_END; low += PAGE) {
		if (!e820_ram((uint64_t)low, PAGE))
			continue;
		low[0] = 0xea; /* ljmp $0, $RESTART */
		*(uint32_t *)(low + 1) = RESTART;
	}
	memcpy((void *)RESTART, restart_code, (size_t)(restart_code_end - restart_code));
	for (unsigned i = 0; i < 256; i++) {
		uint32_t *vectors = NULL;

		asm("" : "+r"(vectors));
		vectors[i] = RESTART;
	}
}

void power_off(void)
{
	outw(PM1_CNT, PM1_SLP_EN_S5);
}

/* What the loader has left may lie anywhere, even where a kernel wants to write. */
static void keep_boot_params(const uint8_t *params)
{
	static uint8_t kept[PAGE];
	static char line[COMMAND_LINE_MAX + 1];
	const char *from;

	memcpy(kept, params, PAGE);
	from = (const char *)(uintptr_t) * (const uint32_t *)(kept + CMD_LINE_PTR);
	for (unsigned i = 0; from && i < COMMAND_LINE_MAX && from[i]; i++)
		line[i] = from[i];
	command_line = line;
	boot_params = kept;
}

void kernel_main(const uint8_t *params)
{
	keep_boot_params(params);
	serial_reset();
	setup_idt();
	load_idt();
	test_main();
}
