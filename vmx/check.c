// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Could a VM entry succeed with this state? SDM vol. 3, "Checking and Loading Guest State", for an
 * unrestricted guest with EPT; and beyond it, what this guest can't have. Pure but for the
 * processor's capabilities.
 */
#include "hv/msr.h"
#include "vmx/vmx.h"

#define ATTR_TYPE(a)	((a)&0xf)
#define ATTR_S(a)	((a) >> 4 & 1)
#define ATTR_DPL(a)	((a) >> 5 & 3)
#define ATTR_P(a)	((a) >> 7 & 1)
#define ATTR_G(a)	((a) >> 15 & 1)
#define ATTR_RESERVED	0xfffe0f00u
#define SELECTOR_TI	4u
#define SELECTOR_RPL(s) ((s)&3)

#define RFLAGS_RESERVED	      0xffffffffffc08028ull
#define TYPE_TSS_BUSY_16      3
#define TYPE_TSS_BUSY_32      11
#define TYPE_LDT	      2
#define TYPE_DATA_RW_ACCESSED 3

static bool long_mode(const struct vcpu_state *s)
{
	return s->efer & EFER_LMA;
}

static bool code_64(const struct vcpu_state *s)
{
	return long_mode(s) && (s->seg[SEG_CS].attr & SEG_ATTR_L);
}

static bool cr0(const struct vcpu_state *s)
{
	if ((s->cr0 >> 32) || ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)) ||
	    ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)))
		return false;
	return !((s->cr0 & ~(CR0_CD | CR0_NW)) & ~vmx_caps.cr0_fixed1) &&
	       s->cr0_mask == vmx_cr0_mask();
}

static bool cr3(const struct vcpu_state *s)
{
	return !(s->cr3 >> vmx_caps.phys_bits);
}

static bool cr4(const struct vcpu_state *s)
{
	if (long_mode(s) ? !(s->cr4 & CR4_PAE) : (s->cr4 & CR4_PCIDE) != 0)
		return false;
	return !(s->cr4 & ~vmx_cr4_allowed()) && s->cr4_mask == vmx_cr4_mask();
}

static bool efer(const struct vcpu_state *s)
{
	return !(s->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) &&
	       long_mode(s) == ((s->cr0 & CR0_PG) && (s->efer & EFER_LME));
}

static bool pdpte(const struct vcpu_state *s)
{
	if ((s->cr0 & CR0_PG) && !long_mode(s) && (s->cr4 & CR4_PAE))
		for (unsigned i = 0; i < 4; i++)
			if (!vmx_pdpte_valid(s->pdpte[i]))
				return false;
	return true;
}

static bool debug_registers(const struct vcpu_state *s)
{
	return !(s->dr6 >> 32) && !(s->dr7 >> 32) && !(s->debugctl & ~DEBUGCTL_BTF);
}

static bool pat(const struct vcpu_state *s)
{
	return msr_pat_valid(s->pat);
}

static bool system_calls(const struct vcpu_state *s)
{
	return !(s->sysenter_cs >> 32) && vmx_canonical(s->sysenter_esp) &&
	       vmx_canonical(s->sysenter_eip) && vmx_canonical(s->lstar) &&
	       vmx_canonical(s->cstar) && vmx_canonical(s->kernel_gs_base) && !(s->sfmask >> 32);
}

static bool limit_fits(const struct vcpu_segment *seg)
{
	return ATTR_G(seg->attr) ? (seg->limit & 0xfff) == 0xfff : (seg->limit & 0xfff00000) == 0;
}

static bool vm86_segments(const struct vcpu_state *s)
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		if (s->seg[i].base != (uint64_t)s->seg[i].selector << 4 ||
		    s->seg[i].limit != 0xffff || s->seg[i].attr != 0xf3)
			return false;
	return true;
}

static bool code_segment(const struct vcpu_state *s)
{
	const struct vcpu_segment *cs = &s->seg[SEG_CS];
	unsigned dpl = ATTR_DPL(cs->attr), ss_dpl = ATTR_DPL(s->seg[SEG_SS].attr);

	if (long_mode(s) && (cs->attr & SEG_ATTR_L) && (cs->attr & SEG_ATTR_D))
		return false;
	switch (ATTR_TYPE(cs->attr)) {
	case TYPE_DATA_RW_ACCESSED: /* real mode, and what is left of it in protected mode */
		return dpl == 0;
	case 9:
	case 11:
		return dpl == ss_dpl;
	case 13:
	case 15:
		return dpl <= ss_dpl;
	default:
		return false;
	}
}

static bool stack_segment(const struct vcpu_state *s)
{
	const struct vcpu_segment *ss = &s->seg[SEG_SS];
	unsigned type = ATTR_TYPE(ss->attr);
	bool no_pe = !(s->cr0 & CR0_PE);

	/* holds for an unusable SS as well */
	if ((no_pe || ATTR_TYPE(s->seg[SEG_CS].attr) == TYPE_DATA_RW_ACCESSED) &&
	    ATTR_DPL(ss->attr) != 0)
		return false;
	return (ss->attr & SEG_UNUSABLE) || type == 3 || type == 7;
}

static bool data_segment(const struct vcpu_segment *seg)
{
	unsigned type = ATTR_TYPE(seg->attr);

	return (type & 1) && (!(type & 8) || (type & 2));
}

static bool segment(const struct vcpu_state *s, unsigned i)
{
	const struct vcpu_segment *seg = &s->seg[i];

	if ((i == SEG_FS || i == SEG_GS) && !vmx_canonical(seg->base))
		return false;
	if (seg->attr & ATTR_RESERVED)
		return false;
	if (i == SEG_SS && !stack_segment(s))
		return false;
	if (i == SEG_CS && (seg->attr & SEG_UNUSABLE))
		return false;
	if (seg->attr & SEG_UNUSABLE)
		return true;
	if (i != SEG_FS && i != SEG_GS && (seg->base >> 32))
		return false;
	if (!ATTR_S(seg->attr) || !ATTR_P(seg->attr) || !limit_fits(seg))
		return false;
	if (i == SEG_CS)
		return code_segment(s);
	return i == SEG_SS || data_segment(seg);
}

static bool system_segments(const struct vcpu_state *s)
{
	const struct vcpu_segment *tr = &s->seg[SEG_TR], *ldtr = &s->seg[SEG_LDTR];
	unsigned type = ATTR_TYPE(tr->attr);

	if ((tr->selector & SELECTOR_TI) || (tr->attr & (SEG_UNUSABLE | ATTR_RESERVED)) ||
	    ATTR_S(tr->attr) || !ATTR_P(tr->attr) || !limit_fits(tr) || !vmx_canonical(tr->base))
		return false;
	if (type != TYPE_TSS_BUSY_32 && (type != TYPE_TSS_BUSY_16 || long_mode(s)))
		return false;
	if (!(ldtr->attr & SEG_UNUSABLE) &&
	    ((ldtr->selector & SELECTOR_TI) || ATTR_TYPE(ldtr->attr) != TYPE_LDT ||
	     ATTR_S(ldtr->attr) || !ATTR_P(ldtr->attr) || (ldtr->attr & ATTR_RESERVED) ||
	     !limit_fits(ldtr) || !vmx_canonical(ldtr->base)))
		return false;
	return vmx_canonical(s->gdtr.base) && vmx_canonical(s->idtr.base) &&
	       s->gdtr.limit <= 0xffff && s->idtr.limit <= 0xffff;
}

static bool segments(const struct vcpu_state *s)
{
	if (!system_segments(s))
		return false;
	if (s->rflags & RFLAGS_VM)
		return !long_mode(s) && (s->cr0 & CR0_PE) && vm86_segments(s);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		if (!segment(s, i))
			return false;
	return true;
}

static bool instruction_pointer(const struct vcpu_state *s)
{
	if ((s->rflags & RFLAGS_RESERVED) || !(s->rflags & 2))
		return false;
	return code_64(s) ? vmx_canonical(s->rip) : !(s->rip >> 32);
}

static bool non_register_state(const struct vcpu_state *s)
{
	uint32_t shadow = s->interruptibility & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);

	if ((s->interruptibility & ~(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS | BLOCKING_BY_NMI)))
		return false;
	if (shadow == (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS) ||
	    ((shadow & BLOCKING_BY_STI) && !(s->rflags & RFLAGS_IF)))
		return false;
	if (s->activity == VCPU_HLT && (shadow || ATTR_DPL(s->seg[SEG_SS].attr) != 0))
		return false;
	return !(s->pending_debug & ~(uint64_t)PENDING_DEBUG_VALID);
}

static bool pushes_error(uint32_t vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static bool event(const struct vcpu_state *s)
{
	uint32_t info = s->idt_vectoring, vector = info & 0xff, type = info >> 8 & 7;
	bool error = info & INFO_ERROR_VALID;

	if (!(info & INFO_VALID))
		return true;
	if ((info & ~(INFO_VALID | INFO_ERROR_VALID | 0x7ff)) || (s->idt_error >> 16))
		return false;
	/* real mode pushes none, so one more or less is of no account there */
	if ((s->cr0 & CR0_PE) && error != (type == EVENT_EXCEPTION && pushes_error(vector)))
		return false;
	switch (type) {
	case EVENT_INTR:
		return s->rflags & RFLAGS_IF;
	case EVENT_NMI:
		return vector == 2;
	case EVENT_EXCEPTION:
		return vector < 32;
	case EVENT_SOFT_INT:
	case EVENT_PRIV_EXC:
	case EVENT_SOFT_EXC:
		return s->idt_insn_len >= 1 && s->idt_insn_len <= 15;
	default:
		return false;
	}
}

const char *vmx_state_fault(const struct vcpu_state *s)
{
	static const struct state_rule rules[] = {
		{cr0, "cr0"},
		{cr3, "cr3"},
		{cr4, "cr4"},
		{efer, "efer"},
		{pdpte, "pdpte"},
		{debug_registers, "dr6, dr7 or debugctl"},
		{pat, "pat"},
		{system_calls, "lstar to kernel_gs_base, or sysenter"},
		{instruction_pointer, "rip or rflags"},
		{segments, "seg, gdtr or idtr"},
		{non_register_state, "activity, interruptibility or pending_debug"},
		{event, "event"},
	};

	return state_rules(rules, sizeof(rules) / sizeof(rules[0]), s);
}
