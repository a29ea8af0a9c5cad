/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control registers of the hypervisor: CR0, CR4, EFER, PAT, the same on every CPU. */
#include "arch/x86_64/internal.h"

/* The power-on value (SDM vol. 3, 12.12.4; APM vol. 2, 7.8.2): index 0 WB, 3 UC. paging.c relies on
 * it. */
#define PAT_DEFAULT 0x0007040600070406ull

#define CPUID_EXT_NX (1u << 20)

static bool xd_was_disabled;

bool control_xd_disabled(void)
{
	return xd_was_disabled;
}

/* Intel firmware can hide NX (IA32_MISC_ENABLE[34]); we can't do without. */
static void enable_nx(void)
{
	uint64_t v;

	if (!(cpuid(0x80000001, 0).edx & CPUID_EXT_NX) && rdmsr_safe(MSR_MISC_ENABLE, &v) == 0 &&
	    v & MISC_ENABLE_XD_DISABLE) {
		xd_was_disabled = true;
		wrmsr(MSR_MISC_ENABLE, v & ~MISC_ENABLE_XD_DISABLE);
	}
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) | EFER_NXE) & ~EFER_SCE);
}

static uint64_t cr4_wanted(void)
{
	uint64_t cr4 = CR4_DE | CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	struct cpuid leaf7 = {0};

	if (cpuid(0, 0).eax >= 7)
		leaf7 = cpuid(7, 0);
	if (cpuid(1, 0).ecx & 1u << 26)
		cr4 |= CR4_OSXSAVE;
	if (leaf7.ebx & 1u << 7)
		cr4 |= CR4_SMEP;
	if (leaf7.ebx & 1u << 20)
		cr4 |= CR4_SMAP;
	if (leaf7.ecx & 1u << 2)
		cr4 |= CR4_UMIP;
	return cr4;
}

void control_init(void)
{
	enable_nx();
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	write_cr4(cr4_wanted()); /* PGE off: nothing of the firmware's stays in the TLB */
	/* Nothing to our tables, but guests have them on: QEMU's TCG flushes more at every entry
	 * and exit where the two differ. */
	write_cr4(cr4_wanted() | CR4_PSE | CR4_PGE);
	if (rdmsr(MSR_PAT) != PAT_DEFAULT) {
		asm volatile("wbinvd"
			     :
			     :
			     : "memory"); /* SDM vol. 3, 12.12.4: as for MTRR changes */
		wrmsr(MSR_PAT, PAT_DEFAULT);
		wbinvd();
		write_cr3(read_cr3());
	}
}
