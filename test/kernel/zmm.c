// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Extended registers through exits: XCR0 gets everything that CPUID offers, all registers (x87,
 * XMM, YMM, ZMM, opmask, PKRU) are filled with patterns, the guest is left by CPUID a thousand
 * times, and the registers are compared with what they were. On all CPUs at once, over and over.
 *   cpus=N      (1)
 *   exits=N     of each CPU, at least (100000)
 * Then it waits for a `q` on the console, still going on; prints `zmm: ok EXITS exits, XCR0 X` or
 * `zmm: FAIL ...`, and powers off.
 */
#include "test/kernel/kernel.h"

#define CR4_OSFXSR	(1ull << 9)
#define CR4_OSXMMEXCPT	(1ull << 10)
#define CR4_OSXSAVE	(1ull << 18)
#define CR4_PKE		(1ull << 22)
#define EXITS_PER_ROUND 1000
#define AREA_MAX	4096

enum { X87, SSE, AVX, OPMASK = 5, ZMM_HI256, HI16_ZMM, PKRU = 9 };

/* The standard format of XSAVE (SDM vol. 1, 13.4); the other components follow where CPUID says. */
struct area {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved1;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t unused[96];
	uint64_t xstate_bv, xcomp_bv, reserved2[6];
	uint8_t extended[AREA_MAX - 576];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct area) == AREA_MAX, "XSAVE area");

static struct cpu {
	struct area pattern, before, after;
	uint64_t exits, seed;
	volatile bool done;
} cpus[CPUS_MAX];
static uint64_t xcr0;
static volatile bool stop, failed;

static void load(const struct area *a)
{
	asm volatile("xrstor64 %0" : : "m"(*a), "a"(~0u), "d"(~0u));
}

static void save(struct area *a)
{
	asm volatile("xsave64 %0" : "+m"(*a) : "a"(~0u), "d"(~0u));
}

static uint8_t random_byte(struct cpu *c)
{
	c->seed = c->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint8_t)(c->seed >> 56);
}

static void fill(struct cpu *c, void *p, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		((uint8_t *)p)[i] = random_byte(c);
}

static bool same(const void *a, const void *b, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i])
			return false;
	return true;
}

/* Offset and size of a component after the first two. */
static uint8_t *component(struct area *a, unsigned n, uint32_t *size)
{
	struct cpuid c = cpuid(0xd, n);

	*size = c.eax;
	return (uint8_t *)a + c.ebx;
}

static void fill_all(struct cpu *c)
{
	struct area *a = &c->pattern;

	a->fcw = 0x37f;
	a->ftw = 0xff;
	a->mxcsr = 0x1f80;
	for (unsigned i = 0; i < 8; i++)
		fill(c, a->st[i], 10);
	fill(c, a->xmm, sizeof(a->xmm));
	for (unsigned n = AVX; n < 63; n++) {
		uint32_t size;
		uint8_t *p = component(a, n, &size);

		if (!(xcr0 >> n & 1))
			continue;
		fill(c, p, n == PKRU ? 4 : size);
	}
	a->xstate_bv = xcr0;
}

/* Are the registers really what was asked for? Each component by itself: between them, and in the
 * legacy region, are bytes that nobody owns. */
static bool loaded(struct cpu *c)
{
	if (!same(c->pattern.st, c->before.st, sizeof(c->pattern.st)) ||
	    !same(c->pattern.xmm, c->before.xmm, sizeof(c->pattern.xmm)))
		return false;
	for (unsigned n = AVX; n < 63; n++) {
		uint32_t size;
		const uint8_t *wanted = component(&c->pattern, n, &size);
		const uint8_t *got = component(&c->before, n, &size);

		if ((xcr0 >> n & 1) && !same(wanted, got, size))
			return false;
	}
	return true;
}

static bool one_round(struct cpu *c)
{
	fill_all(c);
	load(&c->pattern);
	save(&c->before);
	for (unsigned i = 0; i < EXITS_PER_ROUND; i++)
		cpuid(0, 0);
	save(&c->after);
	c->exits += EXITS_PER_ROUND;
	return loaded(c) && same(&c->before, &c->after, sizeof(c->after));
}

static void enable(void)
{
	struct cpuid offered;
	uint64_t cr4 = read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;

	if (cpuid(7, 0).ecx >> 3 & 1)
		cr4 |= CR4_PKE;
	write_cr4(cr4);
	offered = cpuid(0xd, 0);
	xcr0 = (uint64_t)offered.edx << 32 | offered.eax;
	xsetbv(0, xcr0);
}

void cpu_main(unsigned cpu)
{
	uint64_t exits = option_number("exits", 100000);
	struct cpu *c = &cpus[cpu];

	c->seed = cpu + 1;
	enable();
	while (!failed && !(stop && c->exits >= exits)) {
		if (!one_round(c))
			failed = true;
		if (cpu == 0 && serial_read() == 'q')
			stop = true;
	}
	c->done = true;
	for (; cpu != 0;)
		asm volatile("cli; hlt");
}

void test_main(void)
{
	unsigned n = (unsigned)option_number("cpus", 1);
	uint64_t exits = UINT64_MAX;

	if (!(cpuid(1, 0).ecx >> 26 & 1)) {
		print("zmm: FAIL no XSAVE\n");
		power_off();
	}
	print("zmm: starts\n");
	for (unsigned i = 1; i < n && i < CPUS_MAX; i++)
		cpu_start(i);
	cpu_main(0);
	for (unsigned i = 0; i < n && i < CPUS_MAX; i++) {
		while (!cpus[i].done)
			asm volatile("pause");
		exits = cpus[i].exits < exits ? cpus[i].exits : exits;
	}
	print(failed ? "zmm: FAIL registers changed, %lu exits, XCR0 %lx\n"
		     : "zmm: ok %lu exits, XCR0 %lx\n",
	      exits, xcr0);
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}
