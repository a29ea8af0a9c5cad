// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Could VMRUN ever enter with this state? What its consistency checks refuse (APM vol. 2, 15.5.1
 * and 15.20) is refused here, and what the manual leaves undefined, too.
 */
#include "hv/msr.h"
#include "svm/svm.h"

#define RFLAGS_VALID 0x3f7fd7ull
#define ATTR_BITS    0x1f0ffu /* VMX access rights, bit 16 = unusable */
#define ATTR_CODE    (1u << 3)
#define ATTR_S	     (1u << 4)
#define SHADOW_BITS  3u /* interruptibility: STI, MOV SS */
#define NMI_BIT	     (1u << 3)

/* Vectors that an exception may have: not NMI, INT3 and INTO, and none that is reserved. */
#define EXCEPTION_VECTORS                                                                       \
	(1u << 0 | 1u << 1 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 0x1fu << 10 | 0xfu << 16 | \
	 1u << 21 | 7u << 28)

static bool cr0(const struct vcpu_state *s)
{
	return !(s->cr0 & ~CR0_VALID) && !((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)) &&
	       !((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)) && !s->cr0_mask;
}

static bool cr3(const struct vcpu_state *s)
{
	return !(s->cr3 >> svm.phys_bits);
}

static bool cr4(const struct vcpu_state *s)
{
	bool lma = s->efer & EFER_LMA;

	if ((lma && !(s->cr4 & CR4_PAE)) || (!lma && (s->cr4 & CR4_PCIDE)) ||
	    ((s->cr4 & CR4_CET) && !(s->cr0 & CR0_WP)))
		return false;
	return !(s->cr4 & ~svm.cr4_valid) && !s->cr4_mask;
}

static bool efer(const struct vcpu_state *s)
{
	bool lma = s->efer & EFER_LMA;

	return !(s->efer & ~svm.efer_valid) && lma == ((s->efer & EFER_LME) && (s->cr0 & CR0_PG));
}

static bool debug_registers(const struct vcpu_state *s)
{
	return !(s->dr6 >> 32) && !(s->dr7 >> 32) && !(s->debugctl & ~3ull);
}

static bool pat(const struct vcpu_state *s)
{
	return msr_pat_valid(s->pat);
}

static bool system_calls(const struct vcpu_state *s)
{
	return svm_canonical(s->lstar) && svm_canonical(s->cstar) &&
	       svm_canonical(s->kernel_gs_base);
}

static bool flags(const struct vcpu_state *s)
{
	if ((s->rflags & ~RFLAGS_VALID) || !(s->rflags & RFLAGS_FIXED))
		return false;
	return !(s->rflags & RFLAGS_VM) || (!(s->efer & EFER_LMA) && (s->cr0 & CR0_PE));
}

static bool non_register_state(const struct vcpu_state *s)
{
	return !(s->interruptibility & ~(SHADOW_BITS | NMI_BIT)) && !s->pending_debug;
}

static bool segments(const struct vcpu_state *s)
{
	const struct vcpu_segment *cs = &s->seg[SEG_CS];
	bool lma = s->efer & EFER_LMA;

	for (unsigned i = 0; i < NUM_SEG; i++)
		if ((s->seg[i].attr & ~ATTR_BITS) || !svm_canonical(s->seg[i].base))
			return false;
	if (lma && (cs->attr & SEG_ATTR_L) && (cs->attr & SEG_ATTR_D))
		return false;
	if ((s->cr0 & CR0_PE) && !(s->rflags & RFLAGS_VM) &&
	    (cs->attr & (ATTR_S | ATTR_CODE)) != (ATTR_S | ATTR_CODE))
		return false;
	return s->gdtr.limit <= 0xffff && s->idtr.limit <= 0xffff && svm_canonical(s->gdtr.base) &&
	       svm_canonical(s->idtr.base);
}

static bool event(const struct vcpu_state *s)
{
	unsigned vector = s->idt_vectoring & 0xff;
	unsigned type = s->idt_vectoring >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK;

	if (!(s->idt_vectoring & EVENT_VALID))
		return true;
	switch (type) {
	case EVENT_INTR:
		return true;
	case EVENT_NMI:
		return vector == 2;
	case EVENT_EXCEPTION:
		if (vector == 5 && (s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_ATTR_L))
			return false; /* no BOUND in 64-bit mode */
		return vector < 32 && (EXCEPTION_VECTORS >> vector & 1);
	default:
		return false;
	}
}

const char *svm_state_fault(const struct vcpu_state *s)
{
	static const struct state_rule rules[] = {
		{cr0, "cr0"},
		{cr3, "cr3"},
		{cr4, "cr4"},
		{efer, "efer"},
		{debug_registers, "dr6, dr7 or debugctl"},
		{pat, "pat"},
		{system_calls, "lstar, cstar or kernel_gs_base"},
		{flags, "rflags"},
		{segments, "seg, gdtr or idtr"},
		{non_register_state, "interruptibility or pending_debug"},
		{event, "event"},
	};

	return state_rules(rules, sizeof(rules) / sizeof(rules[0]), s);
}
