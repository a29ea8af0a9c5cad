// SPDX-License-Identifier: GPL-2.0-or-later
/* VT-x on and off on each CPU, and the back end's table of operations. */
#include "vmx/vmx.h"
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "hv/msr.h"

/* IA32_FEATURE_CONTROL */
#define FEATURE_LOCK (1ull << 0)
#define FEATURE_VMX  (1ull << 2) /* outside SMX operation */

static bool vmx_on[CPUS_MAX]; /* in VMX root operation; cpu->vendor is the VMXON region */

void vmx_vmwrite_failed(uint32_t field, uint64_t val)
{
	panic("VMWRITE of 0x%llx to VMCS field 0x%x failed, VM-instruction error %u",
	      (unsigned long long)val, field, vmread32(VM_INSTRUCTION_ERROR));
}

static int feature_control_enable(void)
{
	uint64_t fc = rdmsr(MSR_IA32_FEATURE_CONTROL);

	if (!(fc & FEATURE_LOCK)) {
		fc |= FEATURE_LOCK | FEATURE_VMX;
		wrmsr(MSR_IA32_FEATURE_CONTROL, fc);
	}
	if (fc & FEATURE_VMX)
		return 0;
	log_error("cpu%u: VT-x is locked off by the firmware: enable it in the firmware's set-up",
		  this_cpu()->index);
	return -EPERM;
}

static int vmx_cpu_enable(void)
{
	struct cpu *c = this_cpu();
	uint64_t pa;
	int err = feature_control_enable();

	if (err)
		return err;
	if (!c->vendor)
		c->vendor = pages_alloc(1);
	if (!c->vendor)
		return -ENOMEM;
	*(uint32_t *)c->vendor = vmx_caps.revision;
	pa = virt_to_phys(c->vendor).v;
	/* SDM vol. 3, "Restrictions on VMX Operation" */
	write_cr0((read_cr0() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	write_cr4((read_cr4() | vmx_caps.cr4_fixed0 | CR4_VMXE) & vmx_caps.cr4_fixed1);
	asm goto("vmxon %0; jna %l[failed]" : : "m"(pa) : "cc", "memory" : failed);
	vmx_on[c->index] = true;
	return 0;
failed:
	write_cr4(read_cr4() & ~CR4_VMXE);
	log_error("cpu%u: VMXON failed", c->index);
	return -EIO;
}

static void vmx_cpu_disable(void)
{
	unsigned i = this_cpu()->index;

	if (!vmx_on[i])
		return;
	vmx_on[i] = false;
	asm volatile("vmxoff" : : : "cc", "memory");
	write_cr4(read_cr4() & ~CR4_VMXE);
}

static int vmx_setup(void)
{
	int err = vmx_caps_read();

	vmx_ops.keeps_hlt = !vmx_caps.bochs;
	if (!err)
		err = vmx_bitmaps_setup();
	if (!err)
		err = vmx_ept_setup();
	return err;
}

static void set_tsc_offset(struct vcpu *v, uint64_t offset)
{
	(void)v;
	vmwrite(TSC_OFFSET, offset);
}

struct vcpu_ops vmx_ops = {
	.name = "VT-x",
	.setup = vmx_setup,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.create = vmx_create,
	.reset = vmx_reset,
	.sipi = vmx_sipi,
	.run = vmx_run,
	.inject = vmx_inject,
	.nmi_blocked = vmx_nmi_blocked,
	.get_segment = vmx_get_segment,
	.get_cr = vmx_get_cr,
	.set_cr = vmx_set_cr,
	.get_efer = vmx_get_efer,
	.set_efer = vmx_set_efer,
	.get_pdpte = vmx_get_pdpte,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.clear_shadow = vmx_clear_shadow,
	.step_trap = vmx_step_trap,
	.set_tsc_offset = set_tsc_offset,
	.map_device = vmx_map_device,
	.unmap_device = vmx_unmap_device,
	.flush = vmx_flush,
	.save = vmx_save,
	.state_fault = vmx_state_fault,
	.load = vmx_load,
	.scramble = vmx_scramble,
	.dump = vmx_dump,
	.exit_name = vmx_exit_name,
};
