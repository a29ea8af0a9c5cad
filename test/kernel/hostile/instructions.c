// SPDX-License-Identifier: GPL-2.0-or-later
#include "test/kernel/hostile/hostile.h"

/* --- CPUID, and instructions that a hypervisor intercepts --- */

void all_cpuid(void)
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

void odd(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};

	run(odd_instruction, &a);
}
