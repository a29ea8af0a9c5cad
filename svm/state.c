// SPDX-License-Identifier: GPL-2.0-or-later
/* The back end's part of a vCPU's state image: the VMCB's save area and what stays in the
 * processor. */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/msr.h"
#include "svm/svm.h"

#define SHADOW_STI 1u
#define SHADOW_SS  2u
#define NMI_MASKED 8u

/* MSRs that the guest may touch without an exit exist, and are its own. */
static bool has_live(uint32_t msr)
{
	return msr_passthrough(msr, true);
}

static bool live_spec_ctrl(void)
{
	return !svm.virt_spec_ctrl && has_live(MSR_IA32_SPEC_CTRL);
}

static void save_events(const struct vcpu *v, struct vcpu_state *s)
{
	const struct svm_vcpu *sv = v->vendor;
	const struct vmcb *b = sv->vmcb;

	s->activity = v->activity;
	s->nmi_pending = v->nmi_pending;
	/* the processor doesn't say which: only MOV SS can shadow interrupts that are off */
	if (b->interrupt_shadow & INTERRUPT_SHADOW)
		s->interruptibility = (v->rflags & RFLAGS_IF) ? SHADOW_STI : SHADOW_SS;
	if (sv->nmi_masked)
		s->interruptibility |= NMI_MASKED;
	if (v->event_pending) {
		s->idt_vectoring = (uint32_t)b->eventinj; /* VMX and SVM have the same format */
		s->idt_error = (uint32_t)(b->eventinj >> EVENT_ERROR_SHIFT);
	}
}

static void save_live(const struct vmcb *b, struct vcpu_state *s)
{
	s->dr[0] = read_dr0();
	s->dr[1] = read_dr1();
	s->dr[2] = read_dr2();
	s->dr[3] = read_dr3();
	if (has_live(MSR_TSC_AUX))
		s->tsc_aux = rdmsr(MSR_TSC_AUX);
	if (svm.virt_spec_ctrl)
		s->spec_ctrl = b->spec_ctrl;
	else if (live_spec_ctrl())
		rdmsr_safe(MSR_IA32_SPEC_CTRL, &s->spec_ctrl);
}

void svm_save(struct vcpu *v, struct vcpu_state *s)
{
	const struct vmcb *b = svm_of(v)->vmcb;

	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	s->rip = v->rip;
	s->rflags = v->rflags;
	s->cr0 = b->cr0 & CR0_VALID;
	s->cr2 = b->cr2;
	s->cr3 = b->cr3;
	s->cr4 = b->cr4;
	s->cr8 = b->vintr & V_TPR_MASK;
	s->efer = svm_get_efer(v);
	s->dr6 = b->dr6;
	s->dr7 = b->dr7;
	if ((b->cr0 & CR0_PG) && (b->cr4 & CR4_PAE) && !(b->efer & EFER_LMA))
		for (unsigned i = 0; i < 4; i++)
			s->pdpte[i] = svm_get_pdpte(v, i);
	for (unsigned i = 0; i < NUM_SEG; i++)
		svm_get_segment(v, i, &s->seg[i]);
	s->gdtr.base = b->gdtr.base;
	s->gdtr.limit = b->gdtr.limit & 0xffff;
	s->idtr.base = b->idtr.base;
	s->idtr.limit = b->idtr.limit & 0xffff;
	s->pat = b->g_pat;
	s->debugctl = b->dbgctl;
	s->star = b->star;
	s->lstar = b->lstar;
	s->cstar = b->cstar;
	s->sfmask = b->sfmask;
	s->kernel_gs_base = b->kernel_gs_base;
	s->sysenter_cs = b->sysenter_cs;
	s->sysenter_esp = b->sysenter_esp;
	s->sysenter_eip = b->sysenter_eip;
	save_live(b, s);
	save_events(v, s);
}

static void load_live(struct vmcb *b, const struct vcpu_state *s)
{
	write_dr0(s->dr[0]);
	write_dr1(s->dr[1]);
	write_dr2(s->dr[2]);
	write_dr3(s->dr[3]);
	if (has_live(MSR_TSC_AUX))
		wrmsr(MSR_TSC_AUX, s->tsc_aux);
	if (svm.virt_spec_ctrl)
		b->spec_ctrl = s->spec_ctrl;
}

static void load_events(struct vcpu *v, const struct vcpu_state *s)
{
	struct svm_vcpu *sv = svm_of(v);
	struct vmcb *b = sv->vmcb;

	b->interrupt_shadow =
		(s->interruptibility & (SHADOW_STI | SHADOW_SS)) ? INTERRUPT_SHADOW : 0;
	svm_set_nmi_masked(sv, s->interruptibility & NMI_MASKED);
	svm_set_windows(sv, 0, 0);
	sv->step = sv->step_done = false;
	b->eventinj = 0;
	v->event_pending = false;
	if (s->idt_vectoring & EVENT_VALID)
		svm_requeue(v, s->idt_vectoring | (uint64_t)s->idt_error << EVENT_ERROR_SHIFT);
}

static void load_vmcb(struct vmcb *b, const struct vcpu_state *s)
{
	memset((uint8_t *)b + VMCB_SAVE_AREA, 0, sizeof(*b) - VMCB_SAVE_AREA);
	b->cr0 = s->cr0;
	b->cr2 = s->cr2;
	b->cr3 = s->cr3;
	b->cr4 = s->cr4;
	b->vintr = (b->vintr & ~V_TPR_MASK) | s->cr8;
	b->efer = s->efer | EFER_SVME;
	b->dr6 = s->dr6;
	b->dr7 = s->dr7;
	for (unsigned i = 0; i < NUM_SEG; i++)
		svm_set_segment(b, i, &s->seg[i]);
	b->gdtr = (struct vmcb_segment){.base = s->gdtr.base, .limit = s->gdtr.limit};
	b->idtr = (struct vmcb_segment){.base = s->idtr.base, .limit = s->idtr.limit};
	b->g_pat = s->pat;
	b->star = s->star;
	b->lstar = s->lstar;
	b->cstar = s->cstar;
	b->sfmask = s->sfmask;
	b->kernel_gs_base = s->kernel_gs_base;
	b->sysenter_cs = s->sysenter_cs;
	b->sysenter_esp = s->sysenter_esp;
	b->sysenter_eip = s->sysenter_eip;
}

int svm_load(struct vcpu *v, const struct vcpu_state *s)
{
	struct svm_vcpu *sv = svm_of(v);

	if (svm_state_fault(s))
		return -EINVAL;
	/* only the processor knows which bits it takes; nothing else has been changed yet */
	if (live_spec_ctrl() && wrmsr_safe(MSR_IA32_SPEC_CTRL, s->spec_ctrl) != 0)
		return -EINVAL;
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->rip = s->rip;
	v->rflags = s->rflags;
	load_vmcb(sv->vmcb, s);
	svm_set_debugctl(sv, s->debugctl);
	load_live(sv->vmcb, s);
	load_events(v, s);
	svm_flush(v);
	sv->vmcb->clean = 0;
	return 0;
}

void svm_scramble(struct vcpu *v)
{
	struct svm_vcpu *sv = svm_of(v);
	struct vmcb *b = sv->vmcb;
	const uint64_t garbage = 0xa5a5a5a5a5a5a5a5ull;

	memset((uint8_t *)b + VMCB_SAVE_AREA, 0xa5, sizeof(*b) - VMCB_SAVE_AREA);
	b->eventinj = b->interrupt_shadow = b->tsc_offset = garbage;
	b->clean = 0;
	sv->nmi_masked = !sv->nmi_masked;
	write_dr0(garbage); /* the host's DR7 enables none of them */
	write_dr1(garbage);
	write_dr2(garbage);
	write_dr3(garbage);
	if (has_live(MSR_TSC_AUX))
		wrmsr(MSR_TSC_AUX, (uint32_t)garbage);
}
