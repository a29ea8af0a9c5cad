// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that does its worst, without an operating system in between: random port I/O, MSRs, MMIO
 * in every unit's range, in holes and in what the memory map leaves out (the hypervisor), all CPUID
 * leaves, odd instructions on MMIO, control registers. rounds=N seed=N      how much (100000
 * rounds), and which end=triple|off       afterwards: triple fault, or power off (default) Prints
 * `hostile: KIND` as it goes and `hostile: done ROUNDS rounds, N faults`.
 */
#include "test/kernel/kernel.h"

struct access {
	uint64_t addr;
	unsigned size, kind;
	uint64_t value;
};

static uint64_t seed = 88172645463325252ull;
static uint64_t faults;
static uint64_t ranges[64][2]; /* base, size of what is worth poking */
static unsigned n_ranges;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void run(void (*fn)(void *), void *arg)
{
	if (guarded(fn, arg))
		faults++;
}

/* --- ports: all but those that end the machine (they have a test of their own) --- */

static bool ends_machine(uint16_t port)
{
	return (port >= 0xcf9 - 3 && port <= 0xcf9) || port == 0x64 ||
	       (port >= 0x61 && port < 0x65) || port == 0x92 || (port >= 0x8f && port <= 0x92) ||
	       (port >= 0x600 && port <= 0x607);
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

	a.addr = rnd() & 1 ? favourites[rnd() % (sizeof(favourites) / 2)] : (uint16_t)rnd();
	if (a.addr ==
	    0xcf8) /* wider writes at CF8 are configuration addresses; a byte at CF9 is a reset */
		a.kind = 5;
	else if (ends_machine((uint16_t)a.addr))
		return;
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

static void msrs(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd() & 3 ? rnd() : rnd() & 0xffff};

	switch (rnd() % 4) {
	case 0:
		a.addr = rnd() & 0x1fff;
		break;
	case 1:
		a.addr = 0xc0000000 + (rnd() & 0x1fff);
		break;
	case 2:
		a.addr = 0xc0010000 + (rnd() & 0x1fff);
		break;
	default:
		a.addr = rnd();
		break;
	}
	a.addr &= 0xffffffff;
	if (a.addr == 0xc0000080 || a.addr == 0x277 ||
	    a.addr == 0x48) /* EFER, PAT, SPEC_CTRL: would only hurt ourselves */
		a.kind &= ~1u;
	if (a.addr == 0x830 || a.addr == 0x1b) /* x2APIC ICR: an INIT to ourselves; APIC base: the
						  mode is for another test */
		a.kind &= ~1u;
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

static void mmio(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	unsigned r = (unsigned)(rnd() % n_ranges);

	a.addr = ranges[r][0] + rnd() % ranges[r][1];
	if (rnd() & 1)
		a.addr &= ~15ull;
	/* Our own LAPIC's ICR: no INIT or start-up IPI to ourselves, anything else. */
	if (a.addr >= 0xfee002f0 && a.addr < 0xfee00320)
		return;
	if (a.addr >= 0xfee00000 && a.addr < 0xfee01000 && a.kind % 28 >= 16)
		a.kind = (unsigned)(rnd() % 16);
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
	const struct access *a = arg;

	if (a->kind & 1) {
		uint64_t cr4 = read_cr4();

		write_cr4(cr4 | 1ull << (a->value % 32));
		write_cr4(cr4);
	} else {
		uint64_t cr0 = read_cr0();

		write_cr0(cr0 ^ (1ull << (a->value % 2 ? 30 : 29) & ~1ull));
		write_cr0(cr0);
	}
}

static void control(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	uint64_t cr4 = read_cr4();

	run(control_write, &a);
	write_cr4(cr4);
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
	static const uint64_t board[][2] = {{0xfec00000, 0x1000}, {0xfed00000, 0x400},
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

static void finish(void)
{
	const char *end = option("end");

	serial_reset();
	print("hostile: done, %lu faults\n", faults);
	if (end && end[0] == 't') {
		struct {
			uint16_t limit;
			uint64_t base;
		} __attribute__((packed)) none = {0, 0};

		asm volatile("lidt %0; ud2" : : "m"(none));
	}
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}

void test_main(void)
{
	static void (*const kinds[])(void) = {ports, msrs, mmio, mmio, odd, control};
	uint64_t rounds = option_number("rounds", 100000);

	seed += option_number("seed", 1) * 0x9e3779b97f4a7c15ull;
	find_ranges();
	print("hostile: %u ranges, %lu rounds\n", n_ranges, rounds);
	for (unsigned i = 0; i < n_ranges; i++)
		print("hostile: range %lx size %lx\n", ranges[i][0], ranges[i][1]);
	all_cpuid();
	for (uint64_t i = 0; i < rounds; i++) {
		kinds[rnd() % (sizeof(kinds) / sizeof(kinds[0]))]();
		asm volatile("sti; nop; cli"); /* what interrupts it has caused may come */
		if (i % 10000 == 9999) {
			serial_reset();
			print("hostile: %lu rounds, %lu faults\n", i + 1, faults);
		}
	}
	finish();
}
