// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/checks.h"
#include "arch/x86_64/cpu.h"
#include "boot/loader.h"

#define IA32_FEATURE_CONTROL	 0x3a
#define IA32_VMX_PROCBASED_CTLS	 0x482
#define IA32_VMX_PROCBASED_CTLS2 0x48b
#define SECONDARY_ALLOWED	 (1ull << 63)
#define VM_CR			 0xc0010114
#define CR4_LA57		 (1ull << 12)

static uint32_t extended_max(void)
{
	return cpuid(0x80000000, 0).eax;
}

/* MSRs are read only where CPUID or another MSR says they are there: a #GP would hang most
 * firmware. */
static void gather(struct cpu_facts *f)
{
	*f = (struct cpu_facts){0};
	f->la57 = read_cr4() & CR4_LA57;
	f->vmx = cpuid(1, 0).ecx & 1u << 5;
	if (f->vmx) {
		f->feature_control = rdmsr(IA32_FEATURE_CONTROL);
		f->procbased = rdmsr(IA32_VMX_PROCBASED_CTLS);
		if (f->procbased & SECONDARY_ALLOWED)
			f->procbased2 = rdmsr(IA32_VMX_PROCBASED_CTLS2);
	}
	f->svm = extended_max() >= 0x80000001 && (cpuid(0x80000001, 0).ecx & 1u << 2);
	if (f->svm) {
		f->vm_cr = rdmsr(VM_CR);
		f->npt = extended_max() >= 0x8000000a && (cpuid(0x8000000a, 0).edx & 1u << 0);
	}
}

EFI_STATUS check_cpu(void)
{
	struct cpu_facts f;
	const char *wrong;

	gather(&f);
	wrong = cpu_verdict(&f);
	return wrong ? fail(EFI_UNSUPPORTED, "%s", wrong) : EFI_SUCCESS;
}

bool cpu_has_1g_pages(void)
{
	return extended_max() >= 0x80000001 && (cpuid(0x80000001, 0).edx & 1u << 26);
}

uint32_t cpu_apic_id(void)
{
	/* leaf 0BH has all 32 bits; it is there if its EBX is not zero (SDM vol. 2, CPUID) */
	if (cpuid(0, 0).eax >= 0xb) {
		struct cpuid topology = cpuid(0xb, 0);

		if (topology.ebx & 0xffff)
			return topology.edx;
	}
	return cpuid(1, 0).ebx >> 24;
}
