// SPDX-License-Identifier: GPL-2.0-or-later
/* Ports, MSRs, control registers. */
#include "test/kernel/hostile/hostile.h"

/* --- ports: all but writes that end the machine, which have tests of their own --- */

static bool ends_machine(uint16_t port, unsigned size)
{
	static const uint16_t resets[] = {0x64, 0x92, 0xcf9, 0x604, 0x605};

	for (unsigned i = 0; i < sizeof(resets) / sizeof(resets[0]); i++)
		if ((uint16_t)(resets[i] - port) < size)
			return true;
	return false;
}

/* Bytes that an access of port_access() writes, 0 for those that read. */
static unsigned port_written(unsigned kind)
{
	static const uint8_t sizes[10] = {[3] = 1, [4] = 2, [5] = 4, [7] = 1, [9] = 4};

	return sizes[kind % 10];
}

static void port_access(void *arg)
{
	const struct access *a = arg;
	uint16_t port = (uint16_t)a->addr;
	static uint8_t buf[64];
	void *p = buf;
	uint64_t n = a->value % 9;

	switch (a->kind % 10) {
	case 0:
		inb(port);
		break;
	case 1:
		inw(port);
		break;
	case 2:
		inl(port);
		break;
	case 3:
		outb(port, (uint8_t)a->value);
		break;
	case 4:
		outw(port, (uint16_t)a->value);
		break;
	case 5:
		outl(port, (uint32_t)a->value);
		break;
	case 6:
		asm volatile("rep insb" : "+D"(p), "+c"(n) : "d"(port) : "memory");
		break;
	case 7:
		asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(port) : "memory");
		break;
	case 8:
		asm volatile("rep insl" : "+D"(p), "+c"(n) : "d"(port) : "memory");
		break;
	default:
		p = (void *)0xfee00000; /* string I/O onto MMIO */
		asm volatile("rep outsl" : "+S"(p), "+c"(n) : "d"(port) : "memory");
		break;
	}
}

void ports(void)
{
	static const uint16_t favourites[] = {
		0x20, 0x21,  0xa0,  0xa1,  0x40,  0x41,	 0x42,	0x43,  0x61,  0x70,  0x71, 0x80,
		0xb2, 0xcf8, 0xcfc, 0x4d0, 0x4d1, 0x608, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc};
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	unsigned written = port_written(a.kind);

	a.addr = rnd() & 1 ? ANY_OF(favourites) : (uint16_t)rnd();
	/* A double word at CF8 is the configuration address, and does not reach the reset register
	 * at CF9. */
	if ((a.addr == 0xcf8 && written == 4) || !ends_machine((uint16_t)a.addr, written))
		run(port_access, &a);
}

/* --- MSRs --- */

void msr_access(void *arg)
{
	const struct access *a = arg;

	if (a->kind & 1)
		wrmsr((uint32_t)a->addr, a->value);
	else
		rdmsr((uint32_t)a->addr);
}

/* What is not refused at once. */
static uint64_t plausible(uint32_t msr)
{
	static const uint64_t modes[] = {0xfee00000, 0xfee00800, 0xfee00c00};

	switch (msr) {
	case 0x1b: /* APIC base: off, xAPIC, x2APIC */
		return ANY_OF(modes) | (this_cpu() == 0 ? 0x100 : 0);
	case 0x277: /* PAT */
		return rnd() & 0x0707070707070707;
	case 0x830: /* x2APIC ICR: to somebody who is there */
		return rnd() % n_cpus << 32 | (rnd() & 0xccfff);
	case 0xc0000080: /* EFER: long mode stays */
		return 0x500 | (rnd() & 0x801);
	default:
		return rnd() & 0x1ffff;
	}
}

void msrs(void)
{
	static const uint32_t favourites[] = {0x10,  0x1b,  0x3b,  0x48,  0x200,      0x201,
					      0x250, 0x277, 0x2ff, 0x6e0, 0xc0000080, 0xc0000100};
	struct access a = {.kind = (unsigned)rnd()};

	switch (rnd() % 6) {
	case 0:
		a.addr = rnd() & 0x1fff;
		break;
	case 1:
		a.addr = 0xc0000000 + (rnd() & 0x1fff);
		break;
	case 2:
		a.addr = 0xc0010000 + (rnd() & 0x1fff);
		break;
	case 3:
		a.addr = 0x800 + rnd() % 0x40; /* x2APIC */
		break;
	case 4:
		a.addr = ANY_OF(favourites);
		break;
	default:
		a.addr = rnd();
		break;
	}
	a.addr &= 0xffffffff;
	a.value = rnd() & 3 ? plausible((uint32_t)a.addr) : rnd();
	run(msr_access, &a);
}

/* --- control registers --- */

static void control_write(void *arg)
{
	static const uint8_t cr0_bits[] = {1, 2, 3, 5, 16, 18, 29, 30}; /* not paging */
	const struct access *a = arg;
	uint64_t was;

	switch (a->kind % 4) {
	case 0:
		was = read_cr4();
		write_cr4(was | 1ull << (a->value % 32));
		write_cr4(was);
		break;
	case 1:
		was = read_cr0();
		write_cr0(was ^ (1ull << cr0_bits[a->value % sizeof(cr0_bits)]));
		cpuid(0, 0); /* an exit that meets it */
		write_cr0(was);
		break;
	case 2: /* flags, and bits above any physical address */
		was = read_cr3();
		write_cr3(was | (a->value & 0xfff));
		write_cr3(was | (a->value & 0xfff) << 52);
		write_cr3(was);
		break;
	default:
		write_cr4(read_cr4() ^ CR4_OSXSAVE);
		break;
	}
}

void control(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	uint64_t cr3 = read_cr3();

	run(control_write, &a);
	write_cr3(cr3);
}
