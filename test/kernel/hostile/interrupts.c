// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts: what random writes alone would seldom bring about. */
#include "test/kernel/hostile/hostile.h"

#define EFLAGS_IF    (1ull << 9)
#define INTERRUPTS   16 /* at most, after a round: some never end */
#define NMIS	     16 /* at most, in a round */
#define IOAPIC_LINES 24

static void apic_poke(uint32_t offset, uint32_t value)
{
	struct access a = {.addr = 0xfee00000 + offset, .kind = MMIO_WRITE32, .value = value};

	run(mmio_access, &a);
	a = (struct access){.addr = 0x800 + offset / 16, .kind = 1, .value = value};
	run(msr_access, &a);
}

/* Nothing that makes a timer's line an INIT: they would come faster than any CPU can start. */
static void ioapic_poke(unsigned index, uint32_t value)
{
	if ((value >> 8 & 7) == 5)
		value ^= 1 << 8;
	*(volatile uint32_t *)0xfec00000 = index;
	*(volatile uint32_t *)0xfec00010 = value;
}

/* Both 8259s from the start, some inputs open. */
static void pic_poke(uint64_t v)
{
	static const uint16_t bases[] = {0x20, 0xa0};

	for (unsigned i = 0; i < 2; i++) {
		outb(bases[i], 0x11 | (v & 8));
		outb(bases[i] + 1, (uint8_t)(v >> 8 * i));
		outb(bases[i] + 1, i ? 2 : 4);
		outb(bases[i] + 1, 1 | (v >> 16 & 2));
		outb(bases[i] + 1, (uint8_t)(v >> 24));
	}
}

void interrupt(void)
{
	static const uint16_t lvt[] = {0x320, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370};
	uint64_t v = rnd();

	switch (v >> 60) {
	case 0: {
		struct access a = {.addr = 0xfec00000 + (v & 0x1f),
				   .kind = (unsigned)(v >> 8) %
					   (v & 0x10 ? MMIO_READS : MMIO_SINGLE),
				   .value = v >> 16 & 0x3f};

		run(mmio_access, &a);
		ioapic_poke((unsigned)(v >> 24 & 0x3f), (uint32_t)(v >> 16));
		break;
	}
	case 1: /* an LVT entry, unmasked */
		apic_poke(ANY_OF(lvt), (uint32_t)v & 0x6a7ff);
		break;
	case 2:
	case 3: /* the timer */
		apic_poke(0x3e0, (uint32_t)v >> 24);
		apic_poke(0x380, (uint32_t)v & 0xffffff);
		break;
	case 4: /* an interrupt command to anybody, of any kind */
	case 5: {
		struct access a = {.addr = 0x830,
				   .kind = 1,
				   .value = (v >> 32) % n_cpus << 32 | (v & 0xccfff)};

		apic_poke(0x310, (uint32_t)((v >> 32) % n_cpus << 24));
		apic_poke(0x300, (uint32_t)v & 0xccfff);
		run(msr_access, &a);
		break;
	}
	case 6:
	case 7: /* a line of the IOAPIC, unmasked */
		ioapic_poke(0x11 + 2 * (v >> 32 & 31), (uint32_t)((v >> 40) % n_cpus << 24));
		ioapic_poke(0x10 + 2 * (v >> 32 & 31), (uint32_t)v & 0xefff);
		break;
	case 8:
		pic_poke(v);
		break;
	case 9: /* an interval timer */
		outb(0x43, (uint8_t)(v & 0x3e));
		outb(0x40, (uint8_t)(v >> 8));
		outb(0x40, (uint8_t)(v >> 16));
		break;
	case 10: /* HPET: on, and a timer */
		*(volatile uint32_t *)0xfed00010 = (v >> 8 & 2) | 1;
		*(volatile uint32_t *)(0xfed00100 + (v >> 32 & 3) * 0x20) = (v & 0x3e4e) | 4;
		*(volatile uint32_t *)(0xfed00108 + (v >> 32 & 3) * 0x20) = (uint32_t)v & 0xffffff;
		break;
	case 11: /* the clock's interrupts */
		outb(0x70, 0x0a);
		outb(0x71, (uint8_t)(0x20 | (v & 15)));
		outb(0x70, 0x0b);
		outb(0x71, (uint8_t)(v >> 8 & 0x72));
		outb(0x70, 0x0c);
		inb(0x71);
		break;
	case 12: /* the serial port's */
		outb(0x3f9, (uint8_t)(v & 15));
		outb(0x3fc, 0x0b);
		break;
	case 13: /* the power-management timer's, the real-time clock's */
		outw(0x602, (uint16_t)v);
		break;
	case 14:
		asm volatile("mov %0, %%cr8" : : "r"(v & 1 ? v >> 8 & 15 : 0));
		break;
	default:
		local_apic_enable();
		break;
	}
}

/* NMIs without end: silence all lines that they can come by. */
static void nmi(void)
{
	if (++cpus[this_cpu()].nmis < NMIS)
		return;
	for (unsigned i = 0; i < IOAPIC_LINES; i++)
		ioapic_poke(0x10 + 2 * i, 1 << 16);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	cpus[this_cpu()].nmis = 0;
}

/* IF is only set where nothing can fault: what comes there is an interrupt, whatever its vector. */
bool on_trap(struct trap_frame *f)
{
	bool interrupt = f->vector >= 32 || (f->rflags & EFLAGS_IF);

	if (!interrupt && f->vector != 2)
		return false;
	__atomic_fetch_add(&interrupts[f->vector & 255], 1, __ATOMIC_RELAXED);
	if (interrupt) {
		local_apic_eoi();
		if (++cpus[this_cpu()].taken >= INTERRUPTS)
			f->rflags &= ~EFLAGS_IF;
	} else {
		nmi();
	}
	return true;
}
