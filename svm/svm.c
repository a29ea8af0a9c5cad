// SPDX-License-Identifier: GPL-2.0-or-later
/* What the machine offers, and switching SVM on and off on a CPU: APM vol. 2, 15.4. */
#include "svm/svm.h"
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "hv/msr.h"

/* CPUID 8000000AH EDX */
#define SVM_NP		   (1u << 0)
#define SVM_LBR_VIRT	   (1u << 1)
#define SVM_NRIPS	   (1u << 3)
#define SVM_VMCB_CLEAN	   (1u << 5)
#define SVM_FLUSH_BY_ASID  (1u << 6)
#define SVM_VIRT_SPEC_CTRL (1u << 20)

struct svm_shared svm;

/* A register's bit is usable where CPUID says so. */
struct feature_bit {
	uint32_t leaf;
	uint8_t reg; /* 0-3: EAX, EBX, ECX, EDX */
	uint8_t bit;
	uint64_t mask;
};

static const struct feature_bit cr4_bits[] = {
	{1, 2, 17, CR4_PCIDE}, {1, 2, 26, CR4_OSXSAVE}, {7, 1, 0, CR4_FSGSBASE},
	{7, 1, 7, CR4_SMEP},   {7, 1, 20, CR4_SMAP},	{7, 2, 2, CR4_UMIP},
	{7, 2, 3, CR4_PKE},    {7, 2, 7, CR4_CET},	{7, 2, 16, CR4_LA57},
};

static const struct feature_bit efer_bits[] = {
	{0x80000001, 3, 20, EFER_NXE},
	{0x80000001, 3, 25, EFER_FFXSR},
	{0x80000001, 2, 17, EFER_TCE},
};

static uint64_t usable(const struct feature_bit *f, size_t n)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < n; i++) {
		struct cpuid c = cpuid(f[i].leaf, 0);
		const uint32_t reg[] = {c.eax, c.ebx, c.ecx, c.edx};

		if (reg[f[i].reg] >> f[i].bit & 1)
			mask |= f[i].mask;
	}
	return mask;
}

static int svm_check_enabled(void)
{
	uint64_t vm_cr = 0;

	if (rdmsr_safe(MSR_VM_CR, &vm_cr) != 0 || !(vm_cr & VM_CR_SVMDIS))
		return 0;
	if (vm_cr & VM_CR_LOCK) {
		log_error("AMD-V is locked off by the firmware: enable SVM in its set-up");
		return -EPERM;
	}
	return wrmsr_safe(MSR_VM_CR, vm_cr & ~VM_CR_SVMDIS);
}

static int svm_setup(void)
{
	struct cpuid c;
	uint32_t sizes;
	int err;

	if (cpuid(0x80000000, 0).eax < 0x8000000a || !(cpuid(0x80000001, 0).ecx >> 2 & 1)) {
		log_error("AMD-V: this processor has no SVM");
		return -ENOTSUP;
	}
	err = svm_check_enabled();
	if (err)
		return err;
	c = cpuid(0x8000000a, 0);
	if (!(c.edx & SVM_NP) || c.ebx < 2) {
		log_error("AMD-V: this processor has no nested paging");
		return -ENOTSUP;
	}
	sizes = cpuid(0x80000008, 0).eax;
	svm = (struct svm_shared){
		.nrips = c.edx & SVM_NRIPS,
		.flush_by_asid = c.edx & SVM_FLUSH_BY_ASID,
		.lbrv = c.edx & SVM_LBR_VIRT,
		.virt_spec_ctrl = c.edx & SVM_VIRT_SPEC_CTRL,
		.clean = (c.edx & SVM_VMCB_CLEAN) ? CLEAN_ALL : 0,
		.phys_bits = sizes & 0xff,
		.linear_bits = sizes >> 8 & 0xff,
		.cr4_valid = CR4_ALWAYS | usable(cr4_bits, sizeof(cr4_bits) / sizeof(cr4_bits[0])),
		.efer_valid = EFER_SCE | EFER_LME | EFER_LMA |
			      usable(efer_bits, sizeof(efer_bits) / sizeof(efer_bits[0])),
	};
	err = svm_permission_setup();
	if (!err)
		err = svm_npt_setup();
	if (err) {
		log_error("AMD-V: bitmaps and nested page tables could not be built (%d)", err);
		return err;
	}
	log_info("AMD-V: revision %u, %u ASIDs, features %x: nested paging%s%s%s%s",
		 (unsigned)(c.eax & 0xff), (unsigned)c.ebx, (unsigned)c.edx,
		 svm.nrips ? ", next RIP" : "", svm.flush_by_asid ? ", flush by ASID" : "",
		 svm.clean ? ", clean bits" : "", svm.virt_spec_ctrl ? ", virtual SPEC_CTRL" : "");
	return 0;
}

static int svm_cpu_enable(void)
{
	struct cpu *cpu = this_cpu();
	struct svm_cpu *sc = cpu->vendor;
	int err = svm_check_enabled();

	if (err)
		return err;
	if (!sc) { /* pages: heap_alloc is not for several CPUs at once */
		void *hsave = pages_alloc(1), *host = pages_alloc(1);

		sc = pages_alloc(1);
		if (!hsave || !host || !sc)
			return -ENOMEM;
		sc->hsave_pa = virt_to_phys(hsave).v;
		sc->host_pa = virt_to_phys(host).v;
		cpu->vendor = sc;
	}
	svm_apply_errata();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, sc->hsave_pa);
	/* GS base, TR and the rest that VMLOAD loads do not change any more on this CPU */
	asm volatile("vmsave %%rax" : : "a"(sc->host_pa) : "memory");
	return 0;
}

static void svm_cpu_disable(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	if (!(efer & EFER_SVME))
		return;
	asm volatile("stgi" : : : "memory"); /* SVME can't be cleared while GIF is clear */
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, efer & ~EFER_SVME);
}

const struct vcpu_ops svm_ops = {
	.keeps_hlt = false,
	.name = "AMD-V",
	.setup = svm_setup,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.create = svm_create,
	.reset = svm_reset,
	.sipi = svm_sipi,
	.run = svm_run,
	.inject = svm_inject,
	.nmi_blocked = svm_nmi_blocked,
	.get_segment = svm_get_segment,
	.get_cr = svm_get_cr,
	.set_cr = svm_set_cr,
	.get_efer = svm_get_efer,
	.set_efer = svm_set_efer,
	.get_pdpte = svm_get_pdpte,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.clear_shadow = svm_clear_shadow,
	.step_trap = svm_step_trap,
	.set_tsc_offset = svm_set_tsc_offset,
	.map_device = svm_map_device,
	.unmap_device = svm_unmap_device,
	.flush = svm_flush,
	.save = svm_save,
	.state_fault = svm_state_fault,
	.load = svm_load,
	.scramble = svm_scramble,
	.dump = svm_dump,
	.exit_name = svm_exit_name,
};
