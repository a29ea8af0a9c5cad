// SPDX-License-Identifier: GPL-2.0-or-later
/* The pair of 8259As (data sheet), their INTR taken through LINT0 as ExtINT. Requests come from the
 * PIT on IR0 and the RTC on IR8. */
#include "test/kernel/judge/judge.h"

#define PIC1	0x20
#define PIC2	0xa0
#define IRQ0	(PIC_BASE + 0)
#define IRQ8	(PIC_BASE + 8)
#define RTC_122 3 /* 8192 Hz */
enum { READ_IRR = 0x0a, READ_ISR = 0x0b, POLL = 0x0c, SPECIAL_EOI = 0x60, SET_PRIORITY = 0xc0 };
enum { SPECIAL_MASK = 0x68, NORMAL_MASK = 0x48 };

static uint8_t pic_look(uint16_t chip, uint8_t what)
{
	outb(chip, what);
	return inb(chip);
}

static void irq0_handler(struct trap_frame *f)
{
	(void)f;
	pic_eoi(0);
}

static void irq8_handler(struct trap_frame *f)
{
	(void)f;
	rtc_quiet();
	pic_eoi(8);
}

static void setup(void)
{
	apic_write(APIC_LVT_LINT0, EXTINT);
	irq_handle(IRQ0, irq0_handler);
	irq_handle(IRQ8, irq8_handler);
}

/* Both lines rise, and stay up: an input has to be high until it is acknowledged ("Edge Triggered
 * Mode"). Nothing is unmasked yet. */
static void raise_both(void)
{
	rtc_periodic(RTC_122);
	pit_program(0, 0, 600);
	allow(2500);
}

/* A masked input's edge is requested all the same, and taken once it is unmasked. */
static void request(void)
{
	setup();
	raise_both();
	EXPECT(pic_look(PIC1, READ_IRR) & 1, "IRR is %x", pic_look(PIC1, READ_IRR));
	EXPECT(pic_look(PIC2, READ_IRR) & 1, "the slave's IRR is %x", pic_look(PIC2, READ_IRR));
	irq_on();
	delay(500);
	EXPECT(my_log()->total == 0, "%u interrupts while masked", my_log()->total);
	pic_unmask(0);
	EXPECT(WAIT(taken(IRQ0) == 1), "%u interrupts after it is unmasked", taken(IRQ0));
	delay(2000);
	EXPECT(taken(IRQ0) == 1, "%u interrupts", taken(IRQ0));
}

static void slave(void)
{
	setup();
	pic_unmask(8);
	rtc_periodic(RTC_122);
	irq_on();
	EXPECT(WAIT(taken(IRQ8) == 1), "%u interrupts", taken(IRQ8));
	asm volatile("cli");
	EXPECT(pic_look(PIC1, READ_ISR) == 0 && pic_look(PIC2, READ_ISR) == 0,
	       "ISR %x, %x after EOI", pic_look(PIC1, READ_ISR), pic_look(PIC2, READ_ISR));
}

static void order(void)
{
	setup();
	raise_both();
	outb(PIC2 + 1, 0xfe);
	outb(PIC1 + 1, 0xfa);
	irq_on();
	EXPECT(WAIT(my_log()->total >= 2), "%u interrupts", my_log()->total);
	EXPECT(my_log()->first[0].vector == IRQ0 && my_log()->first[1].vector == IRQ8,
	       "%x before %x", my_log()->first[0].vector, my_log()->first[1].vector);
}

/* --- in service: lower ones wait, higher ones do not --- */

static uint8_t isr1, isr2;
static unsigned nested;

static void slow_irq0(struct trap_frame *f)
{
	(void)f;
	isr1 = pic_look(PIC1, READ_ISR);
	pit_stop();
	rtc_periodic(RTC_122);
	irq_on();
	delay(1000);
	asm volatile("cli");
	nested = taken(IRQ8);
	pic_eoi(0);
}

static void blocks_lower(void)
{
	setup();
	irq_handle(IRQ0, slow_irq0);
	pic_unmask(0);
	pic_unmask(8);
	pit_program(0, 2, 1193);
	irq_on();
	EXPECT(WAIT(taken(IRQ0)), "no interrupt");
	EXPECT(isr1 == 1, "ISR %x in the handler", isr1);
	EXPECT(nested == 0, "the lower one was taken in the handler");
	EXPECT(WAIT(taken(IRQ8) == 1), "the lower one is lost");
}

static void slow_irq8(struct trap_frame *f)
{
	(void)f;
	isr1 = pic_look(PIC1, READ_ISR);
	isr2 = pic_look(PIC2, READ_ISR);
	rtc_quiet();
	pit_program(0, 2, 1193);
	irq_on();
	WAIT(taken(IRQ0));
	asm volatile("cli");
	nested = taken(IRQ0);
	pit_stop();
	pic_eoi(8);
}

static void lets_higher(void)
{
	setup();
	irq_handle(IRQ8, slow_irq8);
	pic_unmask(0);
	pic_unmask(8);
	rtc_periodic(RTC_122);
	irq_on();
	EXPECT(WAIT(taken(IRQ8)), "no interrupt");
	EXPECT(isr1 == 4 && isr2 == 1, "ISR %x, %x in the handler", isr1, isr2);
	EXPECT(nested >= 1, "the higher one was not taken in the handler");
}

static void no_eoi(struct trap_frame *f)
{
	(void)f;
}

static void specific_eoi(void)
{
	setup();
	irq_handle(IRQ0, no_eoi);
	pic_unmask(0);
	pit_program(0, 2, 1193);
	irq_on();
	EXPECT(WAIT(taken(IRQ0)), "no interrupt");
	delay(3000);
	EXPECT(taken(IRQ0) == 1, "%u interrupts without an EOI", taken(IRQ0));
	outb(PIC1, SPECIAL_EOI | 1); /* another input's */
	EXPECT(pic_look(PIC1, READ_ISR) == 1, "ISR %x after another input's EOI",
	       pic_look(PIC1, READ_ISR));
	outb(PIC1, SPECIAL_EOI | 0);
	EXPECT(WAIT(taken(IRQ0) == 2), "none after its EOI");
}

/* Special mask mode: an input in service whose mask bit is set blocks nothing. */
static void special_mask(void)
{
	setup();
	irq_handle(IRQ0, no_eoi);
	pic_unmask(0);
	pic_unmask(8);
	pit_program(0, 2, 1193);
	irq_on();
	EXPECT(WAIT(taken(IRQ0)), "no interrupt");
	rtc_periodic(RTC_122);
	allow(1000);
	EXPECT(taken(IRQ8) == 0, "a lower one is taken");
	outb(PIC1 + 1, (uint8_t)(inb(PIC1 + 1) | 1));
	outb(PIC1, SPECIAL_MASK);
	EXPECT(WAIT(taken(IRQ8) == 1), "a lower one is still blocked");
	outb(PIC1, NORMAL_MASK);
}

/* Rotated so that input 0 is the lowest: input 2, with the slave, comes before it. */
static void rotated(void)
{
	setup();
	raise_both();
	outb(PIC1, SET_PRIORITY | 0);
	outb(PIC2 + 1, 0xfe);
	outb(PIC1 + 1, 0xfa);
	irq_on();
	EXPECT(WAIT(my_log()->total >= 2), "%u interrupts", my_log()->total);
	EXPECT(my_log()->first[0].vector == IRQ8 && my_log()->first[1].vector == IRQ0,
	       "%x before %x", my_log()->first[0].vector, my_log()->first[1].vector);
}

static void poll(void)
{
	uint8_t first, isr, second;

	raise_both();
	outb(PIC1 + 1, 0xfe);
	first = pic_look(PIC1, POLL);
	isr = pic_look(PIC1, READ_ISR);
	second = pic_look(PIC1, POLL);
	outb(PIC1, SPECIAL_EOI | 0);
	EXPECT(first == 0x80, "%x with a request", first);
	EXPECT(isr == 1, "ISR %x afterwards", isr);
	EXPECT(!(second & 0x80), "%x without a request", second);
}

static void automatic_eoi(void)
{
	setup();
	irq_handle(IRQ0, no_eoi);
	outb(PIC1, 0x11);
	outb(PIC1 + 1, PIC_BASE);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 3); /* ICW4: automatic EOI, 8086 mode */
	outb(PIC1 + 1, 0xfe);
	pit_program(0, 2, 1193);
	irq_on();
	EXPECT(WAIT(taken(IRQ0) >= 3), "%u interrupts", taken(IRQ0));
	EXPECT(pic_look(PIC1, READ_ISR) == 0, "ISR %x", pic_look(PIC1, READ_ISR));
}

/* ICW1 clears the mask register and the edge detector: the requests of before are gone. */
static void initialization(void)
{
	uint8_t irr;

	raise_both();
	EXPECT(pic_look(PIC1, READ_IRR) & 1, "no request");
	outb(PIC1, 0x11);
	outb(PIC1 + 1, PIC_BASE);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 1);
	irr = inb(PIC1); /* after ICW1 a read shows IRR */
	EXPECT(inb(PIC1 + 1) == 0, "IMR %x", inb(PIC1 + 1));
	EXPECT(!(irr & 1), "IRR %x", irr);
}

const struct check pic_checks[] = {
	{"request", request, 0},
	{"slave", slave, 0},
	{"order", order, 0},
	{"blocks-lower", blocks_lower, 0},
	{"lets-higher", lets_higher, 0},
	{"specific-eoi", specific_eoi, 0},
	{"special-mask", special_mask, 0},
	{"rotated", rotated, 0},
	{"poll", poll, 0},
	{"automatic-eoi", automatic_eoi, 0},
	{"initialization", initialization, 0},
	{0},
};
