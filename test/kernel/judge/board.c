// SPDX-License-Identifier: GPL-2.0-or-later
/* The board's devices as far as several checks use them: 8259 pair, IOAPIC, PIT, RTC, HPET. */
#include "test/kernel/judge/judge.h"

/* --- 8259 --- */

#define PIC1	0x20
#define PIC2	0xa0
#define PIC_EOI 0x20

void pic_init(void)
{
	outb(PIC1, 0x11); /* ICW1: cascaded, with ICW4 */
	outb(PIC2, 0x11);
	outb(PIC1 + 1, PIC_BASE);
	outb(PIC2 + 1, PIC_BASE + 8);
	outb(PIC1 + 1, 4); /* ICW3: the slave is at IR2 */
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1); /* ICW4: 8086 mode */
	outb(PIC2 + 1, 1);
	pic_mask_all();
}

void pic_mask_all(void)
{
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

void pic_unmask(unsigned irq)
{
	if (irq >= 8) {
		outb(PIC2 + 1, (uint8_t)(inb(PIC2 + 1) & ~(1u << (irq - 8))));
		irq = 2;
	}
	outb(PIC1 + 1, (uint8_t)(inb(PIC1 + 1) & ~(1u << irq)));
}

void pic_eoi(unsigned irq)
{
	if (irq >= 8)
		outb(PIC2, PIC_EOI);
	outb(PIC1, PIC_EOI);
}

/* --- IOAPIC --- */

#define IOAPIC_PAGE   0xfec00000u
#define IOAPIC_VER    1
#define IOAPIC_REDTBL 0x10

static volatile uint32_t *ioapic(unsigned offset)
{
	return (volatile uint32_t *)(uintptr_t)(IOAPIC_PAGE + offset);
}

uint32_t ioapic_read(unsigned reg)
{
	*ioapic(0) = reg;
	return *ioapic(0x10);
}

void ioapic_write(unsigned reg, uint32_t v)
{
	*ioapic(0) = reg;
	*ioapic(0x10) = v;
}

unsigned ioapic_pins(void)
{
	return (ioapic_read(IOAPIC_VER) >> 16 & 0xff) + 1;
}

uint32_t ioapic_entry(unsigned pin)
{
	return ioapic_read(IOAPIC_REDTBL + 2 * pin);
}

void ioapic_route(unsigned pin, uint32_t low, uint8_t dest)
{
	ioapic_write(IOAPIC_REDTBL + 2 * pin, RTE_MASKED);
	ioapic_write(IOAPIC_REDTBL + 2 * pin + 1, (uint32_t)dest << 24);
	ioapic_write(IOAPIC_REDTBL + 2 * pin, low);
}

/* --- PIT --- */

#define PIT	    0x40
#define PIT_CONTROL 0x43

void pit_program(unsigned channel, unsigned mode, uint16_t count)
{
	outb(PIT_CONTROL, (uint8_t)(channel << 6 | 3 << 4 | mode << 1));
	outb((uint16_t)(PIT + channel), (uint8_t)count);
	outb((uint16_t)(PIT + channel), (uint8_t)(count >> 8));
}

void pit_stop(void)
{
	pit_program(0, 0, 0);
}

uint16_t pit_latch(unsigned channel)
{
	uint8_t low;

	outb(PIT_CONTROL, (uint8_t)(channel << 6));
	low = inb((uint16_t)(PIT + channel));
	return (uint16_t)(inb((uint16_t)(PIT + channel)) << 8 | low);
}

/* --- RTC --- */

#define RTC_24H 0x02
#define RTC_DV	0x20 /* 32768 Hz */

uint8_t rtc_read(unsigned reg)
{
	outb(0x70, (uint8_t)reg);
	return inb(0x71);
}

void rtc_write(unsigned reg, uint8_t v)
{
	outb(0x70, (uint8_t)reg);
	outb(0x71, v);
}

void rtc_periodic(unsigned rs)
{
	rtc_write(RTC_A, (uint8_t)(RTC_DV | rs));
	rtc_write(RTC_B, RTC_24H);
	rtc_read(RTC_C); /* a flag of before would be an interrupt at once */
	rtc_write(RTC_B, RTC_24H | RTC_PF);
}

void rtc_quiet(void)
{
	rtc_write(RTC_B, RTC_24H);
	rtc_read(RTC_C);
}

/* --- HPET --- */

#define HPET_PAGE    0xfed00000u
#define HPET_CAP     0x000
#define HPET_CONF    0x010
#define HPET_ISR     0x020
#define HPET_T0	     0x100
#define HPET_STRIDE  0x20
#define FS_PER_MAX   0x05f5e100u /* 100 ns */
#define PERIOD_SHIFT 32

static volatile uint64_t *hpet(unsigned reg)
{
	return (volatile uint64_t *)(uintptr_t)(HPET_PAGE + reg);
}

uint64_t hpet_read(unsigned reg)
{
	return *hpet(reg);
}

void hpet_write(unsigned reg, uint64_t v)
{
	*hpet(reg) = v;
}

bool hpet_present(void)
{
	uint64_t period = hpet_read(HPET_CAP) >> PERIOD_SHIFT;

	return period && period <= FS_PER_MAX;
}

void hpet_quiet(void)
{
	unsigned timers;

	if (!hpet_present())
		return;
	timers = (hpet_read(HPET_CAP) >> 8 & 31) + 1;
	hpet_write(HPET_CONF, 0);
	for (unsigned n = 0; n < timers; n++)
		hpet_write(HPET_T0 + n * HPET_STRIDE, 0);
	hpet_write(HPET_ISR, 0xffffffff);
}

void board_quiet(void)
{
	for (unsigned pin = 0, pins = ioapic_pins(); pin < pins; pin++)
		ioapic_route(pin, RTE_MASKED, 0);
	hpet_quiet();
	rtc_quiet();
	pit_stop();
	outb(0x61, 0); /* gate 2 low, speaker off */
	pic_init();
}
