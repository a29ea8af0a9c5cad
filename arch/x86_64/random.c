// SPDX-License-Identifier: GPL-2.0-or-later
/* The processor's random numbers: SDM vol. 1, 7.3.17; AMD APM vol. 3, RDRAND, RDSEED. */
#include "arch/x86_64/arch.h"

#define CPUID_1_ECX_RDRAND (1u << 30)
#define CPUID_7_EBX_RDSEED (1u << 18)
#define TRIES		   32

static bool rdseed(uint64_t *v)
{
	bool ok;

	asm volatile("rdseed %0; setc %1" : "=r"(*v), "=q"(ok) : : "cc");
	return ok;
}

static bool rdrand(uint64_t *v)
{
	bool ok;

	asm volatile("rdrand %0; setc %1" : "=r"(*v), "=q"(ok) : : "cc");
	return ok;
}

bool cpu_random(uint64_t *v)
{
	bool seed = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED);
	bool rand = cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND;

	for (unsigned i = 0; i < TRIES; i++)
		if ((seed && rdseed(v)) || (rand && rdrand(v)))
			return true;
	return false;
}
