// SPDX-License-Identifier: GPL-2.0-or-later
#include "arch/x86_64/mtrr.h"
#include "arch/x86_64/cpu.h"

#define IA32_MTRRCAP	   0xfe
#define IA32_MTRR_PHYSBASE 0x200
#define IA32_MTRR_DEF_TYPE 0x2ff
#define CPUID_MTRR	   (1u << 12)
#define CAP_FIXED	   (1u << 8)
#define AMD_SYSCFG	   0xc0010010
#define AMD_TOP_MEM2	   0xc001001d
#define TOM2_WB		   (3ull << 21)
#define CPUID_AMD_ECX	   0x444d4163 /* "cAMD" */
#define CPUID_HYGON_ECX	   0x656e6975 /* "uine" */

/* APM vol. 2, "Top of Memory": SYSCFG[21] MtrrTom2En, [22] Tom2ForceMemTypeWB. */
static uint64_t read_tom2(void)
{
	uint64_t syscfg, tom2;

	if (cpuid(0, 0).ecx != CPUID_AMD_ECX && cpuid(0, 0).ecx != CPUID_HYGON_ECX)
		return 0;
	if (rdmsr_safe(AMD_SYSCFG, &syscfg) != 0 || (~syscfg & TOM2_WB) ||
	    rdmsr_safe(AMD_TOP_MEM2, &tom2) != 0)
		return 0;
	return tom2;
}

void mtrr_read_host(struct mtrr_regs *m)
{
	static const uint32_t fixed[11] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
					   0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
	uint32_t xmax = cpuid(0x80000000, 0).eax;

	*m = (struct mtrr_regs){.phys_bits =
					xmax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36};
	if (!(cpuid(1, 0).edx & CPUID_MTRR) || rdmsr_safe(IA32_MTRRCAP, &m->cap) != 0)
		return;
	m->def_type = rdmsr(IA32_MTRR_DEF_TYPE);
	m->tom2 = read_tom2();
	if (m->cap & CAP_FIXED)
		for (unsigned i = 0; i < 11; i++)
			m->fixed[i] = rdmsr(fixed[i]);
	m->n_var = m->cap & 0xff;
	if (m->n_var > sizeof(m->var) / sizeof(m->var[0]))
		m->n_var = sizeof(m->var) / sizeof(m->var[0]);
	for (unsigned i = 0; i < m->n_var; i++) {
		m->var[i].base = rdmsr(IA32_MTRR_PHYSBASE + 2 * i);
		m->var[i].mask = rdmsr(IA32_MTRR_PHYSBASE + 2 * i + 1);
	}
}
