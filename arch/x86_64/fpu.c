/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended processor state (SDM vol. 1, chapter 13): saved and loaded as a whole, in the standard
 * format. A CPU without XSAVE has the FXSAVE image only, in the same layout with a header of our
 * own making. CR0.TS and CR0.EM are clear throughout; this file itself uses general registers only.
 */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/fpu_area.h"
#include "arch/x86_64/internal.h"
#include "hv/log.h"

#define FPU_AREA_MAX 4096

static bool has_xsave;
static size_t area_size = sizeof(struct xsave_area);

/* x87 and SSE as after FNINIT and with every exception masked; in the section that tools/check-sse
 * allows to touch them. */
__attribute__((section(".text.fpu"), noinline)) void fpu_defaults(void)
{
	const uint32_t mxcsr = 0x1f80;

	asm volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

static void save(struct xsave_area *a)
{
	if (has_xsave) {
		asm volatile("xsave64 %0" : "+m"(*a) : "a"(~0u), "d"(~0u) : "memory");
		return;
	}
	asm volatile("fxsave64 %0" : "=m"(*a) : : "memory");
	a->xstate_bv = XCR0_X87 | XCR0_SSE;
}

/* `insn` with the area as its operand; -EINVAL in err if it faulted */
#define RESTORE(insn, a, err)                                      \
	asm volatile("1:\t" insn " %1\n"                           \
		     "2:\n\t"                                      \
		     ".pushsection .text.fixup, \"ax\"\n"          \
		     "3:\tmovl %2, %0\n\t"                         \
		     "jmp 2b\n\t"                                  \
		     ".popsection\n\t"                             \
		     ".pushsection .extable, \"a\"\n\t"            \
		     ".quad 1b, 3b\n\t"                            \
		     ".popsection"                                 \
		     : "+r"(err)                                   \
		     : "m"(*(a)), "i"(-EINVAL), "a"(~0u), "d"(~0u) \
		     : "memory")

/* XRSTOR or FXRSTOR; -EINVAL if it faulted, which leaves the registers undefined */
static int restore(const struct xsave_area *a)
{
	int err = 0;

	if (has_xsave)
		RESTORE("xrstor64", a, err);
	else
		RESTORE("fxrstor64", a, err);
	return err;
}

static void set_xcr0(uint64_t v)
{
	if (has_xsave)
		xsetbv(0, v);
}

size_t fpu_save_size(void)
{
	return area_size;
}

void fpu_save(void *area, uint64_t guest_xcr0)
{
	memset(area, 0, area_size);
	set_xcr0(xcr0_host_max);
	save(area);
	set_xcr0(guest_xcr0);
}

uint64_t fpu_xcr0(uint64_t otherwise)
{
	return has_xsave ? xgetbv(0) : otherwise;
}

int fpu_load(const void *area, uint64_t guest_xcr0)
{
	int err;

	if (!fpu_valid(area))
		return -EINVAL;
	set_xcr0(xcr0_host_max);
	err = restore(area);
	set_xcr0(guest_xcr0);
	return err;
}

void fpu_scramble(uint64_t guest_xcr0)
{
	struct xsave_area *a = this_cpu()->fpu_area;

	memset(a, 0xa5, area_size);
	a->mxcsr = fpu_mxcsr_mask & 0x1f80;
	a->xstate_bv = xcr0_host_max & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
	a->xcomp_bv = 0;
	memset(a->reserved, 0, sizeof(a->reserved));
	set_xcr0(xcr0_host_max);
	if (restore(a) != 0)
		panic("fpu_scramble: XRSTOR faulted");
	set_xcr0(guest_xcr0);
}

void fpu_begin(void)
{
	struct cpu *c = this_cpu();

	if (c->fpu_depth++ > 0)
		return;
	c->fpu_xcr0 = has_xsave ? xgetbv(0) : 0;
	set_xcr0(xcr0_host_max);
	save(c->fpu_area);
	fpu_defaults();
}

void fpu_end(void)
{
	struct cpu *c = this_cpu();

	ASSERT(c->fpu_depth > 0);
	if (--c->fpu_depth > 0)
		return;
	if (restore(c->fpu_area) < 0)
		panic("fpu_end: the area of CPU %u was overwritten", c->index);
	set_xcr0(c->fpu_xcr0);
}

/* End of the component that reaches furthest (CPUID leaf 0DH, sub-leaves 2 and up). */
static size_t layout_size(uint64_t xcr0)
{
	size_t size = sizeof(struct xsave_area);

	for (unsigned i = 2; i < 63; i++) {
		struct cpuid c;

		if (!(xcr0 >> i & 1))
			continue;
		c = cpuid(0xd, i);
		if (size < (size_t)c.ebx + c.eax)
			size = (size_t)c.ebx + c.eax;
	}
	return size;
}

void fpu_init(void)
{
	has_xsave = read_cr4() & CR4_OSXSAVE;
	if (has_xsave) {
		struct cpuid c = cpuid(0xd, 0);

		xcr0_host_max = ((uint64_t)c.edx << 32 | c.eax) & XCR0_KNOWN;
		area_size = layout_size(xcr0_host_max);
	}
	if (area_size > FPU_AREA_MAX)
		panic("the processor's extended state (XCR0 0x%llx) takes %zu bytes, more than %u",
		      (unsigned long long)xcr0_host_max, area_size, FPU_AREA_MAX);
	fpu_init_cpu();
	log_info("FPU: XCR0 0x%llx, %zu bytes%s", (unsigned long long)xcr0_host_max, area_size,
		 has_xsave ? "" : " (FXSAVE)");
}

void fpu_init_cpu(void)
{
	struct cpu *c = this_cpu();
	struct xsave_area *a = pages_alloc(1);

	if (!a)
		panic("no memory for the FPU state of CPU %u: raise hv_memory=", c->index);
	c->fpu_area = a;
	set_xcr0(xcr0_host_max);
	if (has_xsave && cpuid(0xd, 1).eax & 1u << 3)
		wrmsr(MSR_XSS, 0);
	fpu_defaults();
	save(a);
	if (a->mxcsr_mask)
		fpu_mxcsr_mask = a->mxcsr_mask;
	memset(a, 0, PAGE_SIZE);
}
