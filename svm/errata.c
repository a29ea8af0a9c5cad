// SPDX-License-Identifier: GPL-2.0-or-later
/* What the firmware may have left undone, and a guest can't do: it sees these MSRs as done. */
#include "arch/x86_64/arch.h"
#include "svm/svm.h"

#define MSR_INT_PENDING	   0xc0010055u
#define C1E_ON_HALT	   (3ull << 27)
#define MSR_DC_CFG	   0xc0011022u
#define DC_CFG_ERRATUM_383 (1ull << 47)
#define MSR_DE_CFG	   0xc0011029u
#define DE_CFG_LFENCE	   (1ull << 1)
#define LFENCE_ALWAYS	   (1u << 2) /* CPUID Fn8000_0021_EAX: serializing without it */
#define FAMILY_10H	   0x10

static unsigned family(void)
{
	uint32_t signature = cpuid(1, 0).eax;

	return (signature >> 8 & 15) + (signature >> 20 & 255);
}

static void change(uint32_t msr, uint64_t clear, uint64_t set)
{
	uint64_t old, val;

	if (rdmsr_safe(msr, &old) != 0)
		return;
	val = (old & ~clear) | set;
	if (val != old)
		(void)wrmsr_safe(msr, val);
}

static bool lfence_serializes(void)
{
	return cpuid(0x80000000, 0).eax >= 0x80000021 && (cpuid(0x80000021, 0).eax & LFENCE_ALWAYS);
}

void svm_apply_errata(void)
{
	if (!lfence_serializes()) /* "Software Techniques for Managing Speculation" */
		change(MSR_DE_CFG, 0, DE_CFG_LFENCE);
	if (family() != FAMILY_10H)
		return;
	/* Revision Guide for Family 10h: 383, a guest's pages of two sizes end in a machine check;
	 * 400, the local APIC's timer stands while all cores halt */
	change(MSR_DC_CFG, 0, DC_CFG_ERRATUM_383);
	change(MSR_INT_PENDING, C1E_ON_HALT, 0);
}
