// SPDX-License-Identifier: GPL-2.0-or-later
#include "arch/x86_64/mtrr.h"
#include "arch/x86_64/cpu.h"

#define IA32_MTRRCAP	   0xfe
#define IA32_MTRR_PHYSBASE 0x200
#define IA32_MTRR_DEF_TYPE 0x2ff
#define CPUID_MTRR	   (1u << 12)
#define CAP_FIXED	   (1u << 8)

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
