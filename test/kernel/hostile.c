// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that does its worst, without an operating system in between, on all CPUs at once: random
 * port I/O, MSRs, MMIO in every unit's range, in holes and in what the memory map leaves out (the
 * hypervisor), all CPUID leaves, odd instructions on MMIO, control registers; and so interrupts,
 * NMIs, INITs and start-up IPIs from anywhere, after which it goes on.
 *   seed=N
 *   rounds=N, seconds=N     how much, of the boot CPU's rounds or of the machine's time (100000
 *                           rounds)
 *   cpus=N                  as many CPUs take part (1)
 *   end=off|triple|other    afterwards: power off (default), a triple fault, or one of the last
 *                           CPU's while the boot CPU goes on
 * Prints `hostile: N s, ...` as it goes and `hostile: done, ...`.
 */
#include "test/kernel/kernel.h"

struct access {
	uint64_t addr;
	unsigned size, kind;
	uint64_t value;
};

#define CR4_OSXSAVE (1ull << 18)
#define EFLAGS_IF   (1ull << 9)
#define PM_TIMER    0x608
#define PM_HZ	    3579545
#define INTERRUPTS  16 /* at most, after a round: some never end */
#define NMIS	    16 /* at most, in a round */

#define IOAPIC_LINES 24

static struct cpu {
	uint64_t seed, rounds, faults, starts;
	unsigned nmis, taken; /* in this round */
	uint64_t seen;	      /* rounds at the boot CPU's last look */
} cpus[CPUS_MAX];
static unsigned n_cpus;
static volatile bool last_cpu_ends;
static uint64_t ranges[64][2]; /* base, size of what is worth poking */
static unsigned n_ranges;

static uint64_t rnd(void)
{
	uint64_t *seed = &cpus[this_cpu()].seed;

	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#define ANY_OF(list) ((list)[rnd() % (sizeof(list) / sizeof((list)[0]))])

static void run(void (*fn)(void *), void *arg)
{
	if (guarded(fn, arg))
		cpus[this_cpu()].faults++;
}

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

static void ports(void)
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

static void msr_access(void *arg)
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

static void msrs(void)
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

/* --- MMIO --- */

static void mmio_access(void *arg)
{
	const struct access *a = arg;
	uint64_t p = a->addr, v = a->value;

	switch (a->kind % 28) {
	case 0:
		asm volatile("movb (%0), %%al" : : "r"(p) : "rax", "memory");
		break;
	case 1:
		asm volatile("movw (%0), %%ax" : : "r"(p) : "rax", "memory");
		break;
	case 2:
	case 3:
		asm volatile("movl (%0), %%eax" : : "r"(p) : "rax", "memory");
		break;
	case 4:
		asm volatile("movq (%0), %%rax" : : "r"(p) : "rax", "memory");
		break;
	case 5:
		asm volatile("movb %b1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 6:
		asm volatile("movw %w1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 7:
	case 8:
		asm volatile("movl %k1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 9:
		asm volatile("movq %1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 10:
		asm volatile("lock xaddl %k1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 11:
		asm volatile("lock cmpxchgl %k1, (%0)" : : "r"(p), "r"(v) : "rax", "memory");
		break;
	case 12:
		asm volatile("btsl %k1, (%0)" : : "r"(p), "r"(v & 31) : "memory");
		break;
	case 13:
		asm volatile("xchgl %k1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 14:
		asm volatile("addq %1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 15:
		asm volatile("pushq (%0); pop %%rax" : : "r"(p) : "rax", "memory");
		break;
	case 16:
		asm volatile("lock cmpxchg16b (%0)"
			     :
			     : "r"(p & ~15ull)
			     : "rax", "rbx", "rcx", "rdx", "memory");
		break;
	case 17:
		asm volatile("lgdt (%0)" : : "r"(v | 1ull << 62) : "memory"); /* not canonical */
		break;
	case 18:
		asm volatile("movl (%0), %%eax; jmp *%0" : : "r"(p) : "rax", "memory");
		break;
	case 19: {
		uint64_t n = v % 100;
		void *to = (void *)p;
		const void *from = boot_params;

		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	}
	case 20: {
		uint64_t n = v % 1000;
		void *to = (void *)p;

		asm volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory");
		break;
	}
	case 21:
		asm volatile("movzbl (%0), %%eax; movsbl (%0), %%eax" : : "r"(p) : "rax", "memory");
		break;
	case 22:
		asm volatile("notl (%0); negl (%0); incl (%0); decl (%0)" : : "r"(p) : "memory");
		break;
	case 23:
		asm volatile("shll $3, (%0)" : : "r"(p) : "memory");
		break;
	case 24:
		asm volatile("fldl (%0)" : : "r"(p) : "memory");
		break;
	case 25:
		asm volatile("movnti %1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 26:
		asm volatile("mull (%0); divl (%0)" : : "r"(p) : "rax", "rdx", "memory");
		break;
	default:
		asm volatile("cmpsb" : : "S"(p), "D"(p) : "memory");
		break;
	}
}

#define REGISTERS 0x400

static void mmio(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	unsigned r = (unsigned)(rnd() % n_ranges);
	uint64_t size = ranges[r][1];

	if (rnd() & 1) /* most registers are near the start */
		size = size < REGISTERS ? size : REGISTERS;
	a.addr = ranges[r][0] + rnd() % size;
	if (rnd() & 1)
		a.addr &= ~15ull;
	if (rnd() & 1)
		a.value &= 0x1ffff; /* more often a valid one */
	run(mmio_access, &a);
}

/* --- CPUID, and instructions that a hypervisor intercepts --- */

static void all_cpuid(void)
{
	static const uint32_t bases[] = {0,	     0x40000000, 0x80000000,
					 0x8fffffff, 0xc0000000, 0xffffff00};

	for (unsigned b = 0; b < sizeof(bases) / 4; b++)
		for (uint32_t i = 0; i < 0x100; i++)
			for (uint32_t sub = 0; sub < 8; sub++)
				cpuid(bases[b] + i, sub);
}

#define ODD(x)                                                                 \
	{                                                                      \
	case __LINE__:                                                         \
		asm volatile(x                                                 \
			     :                                                 \
			     : "a"(v), "c"(v >> 8), "d"(v >> 16), "b"(v >> 24) \
			     : "memory", "cc");                                \
		break;                                                         \
	}

static void odd_instruction(void *arg)
{
	const struct access *a = arg;
	uint64_t v = a->value;
	static const int first = __LINE__ + 3; /* the line of the first ODD below */

	switch (first + (int)(a->kind % 28)) {
		ODD("vmcall")
		ODD("vmmcall")
		ODD("vmlaunch")
		ODD("vmresume")
		ODD("vmxoff")
		ODD("vmrun %%rax")
		ODD("vmload %%rax")
		ODD("vmsave %%rax")
		ODD("stgi")
		ODD("clgi")
		ODD("skinit %%eax")
		ODD("invlpga %%rax, %%ecx")
		ODD("monitor")
		ODD("mwait")
		ODD("rdpmc")
		ODD("xsetbv")
		ODD("wbinvd")
		ODD("invd")
		ODD("getsec")
		ODD("rsm")
		ODD("ud2")
		ODD(".byte 0xf1") /* ICEBP */
		ODD("int3")
		ODD("mov %%rax, %%cr8")
		ODD("mov %%rax, %%dr6")
		ODD("xgetbv")
		ODD("rdtscp")
		ODD(".byte 0xf0; wbinvd")
	}
}

static void odd(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};

	run(odd_instruction, &a);
}

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

static void control(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	uint64_t cr3 = read_cr3();

	run(control_write, &a);
	write_cr3(cr3);
}

/* --- interrupts: what random writes alone would seldom bring about --- */

static void apic_poke(uint32_t offset, uint32_t value)
{
	struct access a = {.addr = 0xfee00000 + offset, .kind = 7, .value = value};

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

static void interrupt(void)
{
	static const uint16_t lvt[] = {0x320, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370};
	uint64_t v = rnd();

	switch (v >> 60) {
	case 0: {
		struct access a = {.addr = 0xfec00000 + (v & 0x1f),
				   .kind = (unsigned)(v >> 8) % (v & 0x10 ? 5 : 16),
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
static bool on_trap(struct trap_frame *f)
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

/* --- where to poke: the board's registers, what E820 leaves out or reserves, and holes --- */

static void add_range(uint64_t base, uint64_t size)
{
	if (n_ranges < 64 && size && base + size <= 1ull << 32) {
		ranges[n_ranges][0] = base;
		ranges[n_ranges++][1] = size;
	}
}

static void find_ranges(void)
{
	static const uint64_t board[][2] = {{0xfec00020, 0xfe0},  {0xfed00000, 0x400},
					    {0xfee00000, 0x1000}, {0xfc000000, 0x100000},
					    {0xa0000, 0x20000},	  {0xfff00000, 0x100000}};
	uint64_t end = 0x100000;

	for (unsigned i = 0; i < sizeof(board) / sizeof(board[0]); i++)
		add_range(board[i][0], board[i][1]);
	for (unsigned i = 0; i < e820_count(); i++) {
		const struct e820 *e = e820_entry(i);

		if (e->addr < 0x100000)
			continue;
		if (e->addr > end)
			add_range(end, e->addr - end);
		if (e->type != 1)
			add_range(e->addr, e->size);
		if (e->addr + e->size > end)
			end = e->addr + e->size;
	}
}

/* --- the rounds --- */

static void report(const char *when, uint64_t seconds)
{
	uint64_t rounds = 0, faults = 0, starts = 0, taken = 0;

	for (unsigned i = 0; i < n_cpus; i++) {
		rounds += cpus[i].rounds;
		faults += cpus[i].faults;
		starts += cpus[i].starts;
	}
	for (unsigned i = 0; i < 256; i++)
		taken += interrupts[i];
	serial_reset();
	print("\nhostile: %s, %lu s, %lu rounds, %lu faults, %lu interrupts (%lu by NMI), %lu "
	      "starts\n",
	      when, seconds, rounds, faults, taken, interrupts[2], starts);
}

static void triple_fault(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	asm volatile("lidt %0; ud2" : : "m"(none));
}

/* The machine's time; its counter is the one that the guest can't write. */
static uint64_t seconds_passed(void)
{
	static uint32_t last;
	static uint64_t ticks;
	static bool started;
	uint32_t now = inl(PM_TIMER);

	if (started)
		ticks += now - last;
	started = true;
	last = now;
	return ticks / PM_HZ;
}

static void one_round(void)
{
	static void (*const kinds[])(void) = {ports, msrs, mmio, mmio, odd, control, interrupt};
	unsigned cpu = this_cpu();

	ANY_OF(kinds)();
	cpus[cpu].taken = 0;
	cpus[cpu].nmis = 0;
	asm volatile("sti; nop; cli"); /* what interrupts it has caused may come */
	cpus[cpu].rounds++;
}

/* Who has got an INIT waits for a start-up IPI. */
static void wake_others(void)
{
	for (unsigned i = 1; i < n_cpus; i++) {
		if (cpus[i].rounds == cpus[i].seen)
			cpu_start(i);
		cpus[i].seen = cpus[i].rounds;
	}
}

static void finish(void)
{
	const char *end = option("end");

	report("done", seconds_passed());
	if (end && end[0] == 't')
		triple_fault();
	if (end && end[0] == 'o') {
		last_cpu_ends = true;
		for (;;)
			one_round();
	}
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}

static void boot_cpu_rounds(void)
{
	static uint64_t shown;
	uint64_t seconds = option_number("seconds", 0);
	uint64_t rounds = option_number("rounds", seconds ? UINT64_MAX : 100000);

	while (cpus[0].rounds < rounds) {
		one_round();
		if (cpus[0].rounds % 256 == 0) {
			uint64_t now = seconds_passed();

			if (seconds && now >= seconds)
				break;
			if (now != shown)
				report("running", now);
			shown = now;
		}
		if (cpus[0].rounds % 4096 == 0)
			wake_others();
	}
	finish();
}

/* Other CPUs start here, and the boot CPU after an INIT. */
void cpu_main(unsigned cpu)
{
	cpus[cpu].starts++;
	if (cpuid(1, 0).ecx >> 26 & 1)
		write_cr4(read_cr4() | CR4_OSXSAVE);
	local_apic_enable();
	if (cpu == 0)
		boot_cpu_rounds();
	while (!(last_cpu_ends && cpu == n_cpus - 1))
		one_round();
	triple_fault();
}

void test_main(void)
{
	uint64_t seed = option_number("seed", 1);

	n_cpus = (unsigned)option_number("cpus", 1);
	if (n_cpus < 1 || n_cpus > CPUS_MAX)
		n_cpus = 1;
	for (unsigned i = 0; i < n_cpus; i++)
		cpus[i].seed = 88172645463325252ull + (seed * CPUS_MAX + i) * 0x9e3779b97f4a7c15ull;
	trap_hook = on_trap;
	find_ranges();
	print("hostile: %u ranges, %u CPUs\n", n_ranges, n_cpus);
	for (unsigned i = 0; i < n_ranges; i++)
		print("hostile: range %lx size %lx\n", ranges[i][0], ranges[i][1]);
	all_cpuid();
	catch_restarts();
	for (unsigned i = 1; i < n_cpus; i++)
		cpu_start(i);
	cpu_main(0);
}
