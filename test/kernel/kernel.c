// SPDX-License-Identifier: GPL-2.0-or-later
#include "test/kernel/kernel.h"
#include <stddef.h>

#define COM1	      0x3f8
#define LAPIC_EOI     ((volatile uint32_t *)0xfee000b0)
#define X2APIC_EOI    0x80b
#define APIC_BASE     0x1b
#define E820_COUNT    0x1e8
#define E820_TABLE    0x2d0
#define CMD_LINE_PTR  0x228
#define PM1_CNT	      0x604
#define PM1_SLP_EN_S5 0x3400 /* SLP_TYP 5, SLP_EN: as the DSDT's _S5 says */

struct idt_gate {
	uint16_t low, selector, attr, mid;
	uint32_t high, zero;
};

const uint8_t *boot_params;
uint64_t interrupts[256];
bool (*trap_hook)(struct trap_frame *f);
extern uint64_t guard_rsp;
extern const uint8_t stubs[];
void guard_escape(int result) __attribute__((noreturn));
void kernel_main(const uint8_t *params);
void trap(struct trap_frame *f);

static struct idt_gate idt[256];
extern struct idt_register boot_idtr;
struct idt_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) boot_idtr = {sizeof(idt) - 1, (uint64_t)idt};

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

static const char *command_line(void)
{
	return (const char *)(uintptr_t) * (const uint32_t *)(boot_params + CMD_LINE_PTR);
}

const char *option(const char *name)
{
	for (const char *p = command_line(); p && *p; p++) {
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

const struct e820 *e820_entry(unsigned i)
{
	return (const struct e820 *)(boot_params + E820_TABLE) + i;
}

static void eoi(void)
{
	uint64_t base = rdmsr(APIC_BASE);

	if ((base & 0xc00) == 0xc00)
		wrmsr(X2APIC_EOI, 0);
	else if (base & 0x800)
		*LAPIC_EOI = 0;
}

void trap(struct trap_frame *f)
{
	if (trap_hook && trap_hook(f))
		return;
	if (f->vector >= 32 || f->vector == 2) {
		interrupts[f->vector & 255]++;
		if (f->vector != 2)
			eoi();
		return;
	}
	if (guard_rsp)
		guard_escape((int)f->vector + 1);
	print("test kernel: exception %lu error %lx at %lx\n", f->vector, f->error, f->rip);
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
	asm volatile("lidt %0" : : "m"(boot_idtr));
}

void power_off(void)
{
	outw(PM1_CNT, PM1_SLP_EN_S5);
}

void kernel_main(const uint8_t *params)
{
	boot_params = params;
	serial_reset();
	setup_idt();
	test_main();
}
