// SPDX-License-Identifier: GPL-2.0-or-later
/* What this processor's VT-x offers (SDM vol. 3, appendix A), against what is needed and what is
 * used where present. */
#include <errno.h>
#include "hv/cpuid.h"
#include "hv/log.h"
#include "vmx/vmx.h"

struct vmx_caps vmx_caps;

enum group { PIN, PRIMARY, SECONDARY, EXIT, ENTRY, GROUPS };

struct control {
	uint32_t bit;
	uint8_t group;
	bool required;
	const char *name;
};

static const struct control controls[] = {
	{PIN_EXTERNAL_INTERRUPT_EXITING, PIN, true, "external-interrupt exiting"},
	{PIN_NMI_EXITING, PIN, true, "NMI exiting"},
	{PIN_VIRTUAL_NMIS, PIN, true, "virtual NMIs"},
	{PIN_PREEMPTION_TIMER, PIN, false, "VMX-preemption timer"},
	{CPU_USE_TSC_OFFSETTING, PRIMARY, true, "TSC offsetting"},
	{CPU_MWAIT_EXITING, PRIMARY, true, "MWAIT exiting"},
	{CPU_RDPMC_EXITING, PRIMARY, true, "RDPMC exiting"},
	{CPU_USE_TPR_SHADOW, PRIMARY, true, "TPR shadow"},
	{CPU_UNCONDITIONAL_IO_EXITING, PRIMARY, true, "unconditional I/O exiting"},
	{CPU_USE_MSR_BITMAPS, PRIMARY, true, "MSR bitmaps"},
	{CPU_MONITOR_EXITING, PRIMARY, true, "MONITOR exiting"},
	{CPU_SECONDARY_CONTROLS, PRIMARY, true, "secondary controls"},
	{CPU2_VIRTUALIZE_APIC_ACCESSES, SECONDARY, true, "virtualize APIC accesses"},
	{CPU2_ENABLE_EPT, SECONDARY, true, "extended page tables (EPT)"},
	{CPU2_ENABLE_RDTSCP, SECONDARY, false, "RDTSCP"},
	{CPU2_VIRTUALIZE_X2APIC_MODE, SECONDARY, false, "virtualize x2APIC mode"},
	{CPU2_ENABLE_VPID, SECONDARY, false, "VPID"},
	{CPU2_UNRESTRICTED_GUEST, SECONDARY, true, "unrestricted guest"},
	{CPU2_APIC_REGISTER_VIRTUALIZATION, SECONDARY, false, "APIC-register virtualization"},
	{CPU2_VIRTUAL_INTERRUPT_DELIVERY, SECONDARY, false, "virtual-interrupt delivery"},
	{CPU2_ENABLE_INVPCID, SECONDARY, false, "INVPCID"},
	{CPU2_ENCLS_EXITING, SECONDARY, false, "ENCLS exiting"},
	{CPU2_ENABLE_XSAVES, SECONDARY, false, "XSAVES"},
	{EXIT_SAVE_DEBUG_CONTROLS, EXIT, true, "save debug controls"},
	{EXIT_HOST_ADDRESS_SPACE, EXIT, true, "64-bit host"},
	{EXIT_ACKNOWLEDGE_INTERRUPT, EXIT, true, "acknowledge interrupt on exit"},
	{EXIT_SAVE_IA32_PAT, EXIT, true, "save IA32_PAT"},
	{EXIT_LOAD_IA32_PAT, EXIT, true, "load IA32_PAT on exit"},
	{EXIT_SAVE_IA32_EFER, EXIT, true, "save IA32_EFER"},
	{EXIT_LOAD_IA32_EFER, EXIT, true, "load IA32_EFER on exit"},
	{ENTRY_LOAD_DEBUG_CONTROLS, ENTRY, true, "load debug controls"},
	{ENTRY_LOAD_IA32_PAT, ENTRY, true, "load IA32_PAT on entry"},
	{ENTRY_LOAD_IA32_EFER, ENTRY, true, "load IA32_EFER on entry"},
};

/* Low half: bits that must be 1; high half: bits that may be 1. */
static uint64_t capability(enum group g, uint64_t basic, uint32_t primary)
{
	static const uint32_t msr[GROUPS] = {
		MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_PROCBASED_CTLS,
		MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_ENTRY_CTLS};
	static const uint32_t true_msr[GROUPS] = {
		MSR_IA32_VMX_TRUE_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
		MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_TRUE_EXIT_CTLS,
		MSR_IA32_VMX_TRUE_ENTRY_CTLS};

	if (g == SECONDARY && !(primary & CPU_SECONDARY_CONTROLS))
		return 0;
	return rdmsr((basic & VMX_BASIC_TRUE_CTLS) ? true_msr[g] : msr[g]);
}

static int missing(const char *what)
{
	log_error("VT-x: this processor lacks '%s': Stasis needs Westmere (2010) or newer", what);
	return -ENODEV;
}

static int choose(uint64_t basic)
{
	uint32_t value[GROUPS];

	for (unsigned g = 0; g < GROUPS; g++) {
		uint64_t cap = capability(g, basic, g > PRIMARY ? value[PRIMARY] : 0);

		value[g] = (uint32_t)cap;
		for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
			const struct control *c = &controls[i];

			if (c->group != g)
				continue;
			if ((uint32_t)(cap >> 32) & c->bit)
				value[g] |= c->bit;
			else if (c->required)
				return missing(c->name);
		}
	}
	if (value[PRIMARY] & (CPU_CR3_LOAD_EXITING | CPU_CR3_STORE_EXITING))
		return missing("CR3 access without exits");
	vmx_caps.pin = value[PIN];
	vmx_caps.primary = value[PRIMARY];
	vmx_caps.secondary = value[SECONDARY];
	vmx_caps.exit = value[EXIT];
	vmx_caps.entry = value[ENTRY];
	return 0;
}

/* Instructions that CPUID shows must not fault for want of their control. */
static int check_cpuid(void)
{
	if (cpuid_has(FEATURE_RDTSCP) && !(vmx_caps.secondary & CPU2_ENABLE_RDTSCP))
		return missing("RDTSCP in guests");
	if (cpuid_has(FEATURE_XSAVES) && !(vmx_caps.secondary & CPU2_ENABLE_XSAVES))
		return missing("XSAVES in guests");
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & 1u << 10) &&
	    !(vmx_caps.secondary & CPU2_ENABLE_INVPCID))
		return missing("INVPCID in guests");
	return 0;
}

static int check_ept(void)
{
	uint64_t cap = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);

	vmx_caps.ept_vpid = cap;
	if (!(cap & EPT_CAP_PAGE_WALK_4) || !(cap & EPT_CAP_WB) || !(cap & EPT_CAP_2M))
		return missing("EPT with four levels, write-back tables and 2 MiB pages");
	if (!(cap & EPT_CAP_INVEPT))
		return missing("INVEPT");
	/* without a way to flush it, a VPID is of no use */
	if (!(cap & VPID_CAP_INVVPID) || !(cap & (VPID_CAP_SINGLE | VPID_CAP_ALL)))
		vmx_caps.secondary &= ~CPU2_ENABLE_VPID;
	return 0;
}

/* "VMX-Preemption Timer Does Not Count Down at the Rate Specified", say these processors'
 * specification updates. */
static bool timer_broken(void)
{
	static const uint32_t signatures[] = {0x106a0, 0x106a1, 0x106a4, 0x106a5, 0x106e5,
					      0x20652, 0x20655, 0x206e6, 0x306a8};
	uint32_t signature = cpuid(1, 0).eax;

	for (unsigned i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
		if (signature == signatures[i])
			return true;
	return false;
}

static void report(void)
{
	log_info("VT-x: VMCS revision 0x%x, EPT%s%s, %s timer, interrupts by %s%s%s%s",
		 vmx_caps.revision, (vmx_caps.ept_vpid & EPT_CAP_1G) ? " with 1 GiB pages" : "",
		 vmx_caps.vpid ? ", VPID" : "", vmx_caps.timer ? "preemption" : "LAPIC",
		 vmx_caps.vid ? "virtual delivery" : "event injection",
		 vmx_caps.apic_registers ? ", APIC registers" : "",
		 vmx_caps.x2apic ? ", x2APIC" : "", vmx_caps.bochs ? ", as Bochs has it" : "");
}

int vmx_caps_read(void)
{
	uint64_t basic, misc;
	int err;

	if (!(cpuid(1, 0).ecx & 1u << 5)) {
		log_error("VT-x: this processor has none");
		return -ENODEV;
	}
	basic = rdmsr(MSR_IA32_VMX_BASIC);
	misc = rdmsr(MSR_IA32_VMX_MISC);
	vmx_caps.revision = (uint32_t)basic & 0x7fffffffu;
	err = choose(basic);
	if (!err)
		err = check_cpuid();
	if (!err)
		err = check_ept();
	if (err)
		return err;
	vmx_caps.cr0_fixed0 = rdmsr(MSR_IA32_VMX_CR0_FIXED0);
	vmx_caps.cr0_fixed1 = rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	vmx_caps.cr4_fixed0 = rdmsr(MSR_IA32_VMX_CR4_FIXED0);
	vmx_caps.cr4_fixed1 = rdmsr(MSR_IA32_VMX_CR4_FIXED1);
	vmx_caps.phys_bits = cpuid(0x80000008, 0).eax & 0xff;
	vmx_caps.timer = (vmx_caps.pin & PIN_PREEMPTION_TIMER) && !timer_broken();
	if (!vmx_caps.timer)
		vmx_caps.pin &= ~(uint32_t)PIN_PREEMPTION_TIMER;
	vmx_caps.timer_shift = misc & 0x1f;
	vmx_caps.timer_round = (1ull << vmx_caps.timer_shift) - 2;
	vmx_caps.vpid = vmx_caps.secondary & CPU2_ENABLE_VPID;
	vmx_caps.vid = vmx_caps.secondary & CPU2_VIRTUAL_INTERRUPT_DELIVERY;
	vmx_caps.x2apic = vmx_caps.secondary & CPU2_VIRTUALIZE_X2APIC_MODE;
	vmx_caps.apic_registers = vmx_caps.secondary & CPU2_APIC_REGISTER_VIRTUALIZATION;
	/* a timer that ticks with every TSC tick: no processor has it, Bochs does */
	vmx_caps.bochs = vmx_caps.timer && vmx_caps.timer_shift == 0;
	report();
	return 0;
}
