// SPDX-License-Identifier: GPL-2.0-or-later
/* One round: events and timer, into the guest, out again, registers and interrupted events taken
 * over, exit handled. */
#include "arch/x86_64/arch.h"
#include "hv/stats.h"
#include "svm/svm.h"

static void enter(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = s->vmcb;
	bool shadow = (b->interrupt_shadow & INTERRUPT_SHADOW) && !v->event_pending;
	uint64_t rip = v->rip;

	b->rax = v->gpr[RAX];
	b->rsp = v->gpr[RSP];
	b->rip = v->rip;
	b->rflags = v->rflags;
	if (s->step)
		svm_step_begin(v);
	svm_enter(v->gpr, s->vmcb_pa, s->host_pa);
	v->gpr[RAX] = b->rax;
	v->gpr[RSP] = b->rsp;
	v->rip = b->rip;
	v->rflags = b->rflags;
	/* TCG forgets the shadow at VMRUN, even if the guest then executes nothing */
	if (shadow && !svm.nrips && b->exitcode == VMEXIT_INTR && b->rip == rip)
		b->interrupt_shadow |= INTERRUPT_SHADOW;
	b->tlb_control = TLB_CONTROL_NONE;
	b->clean = svm.clean;
	b->eventinj = 0;
	v->event_pending = false;
}

/* What the guest did while it ran that the hypervisor keeps elsewhere. */
static void take_over(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = s->vmcb;
	uint8_t tpr = b->vintr & V_TPR_MASK;

	svm_take_offered(v);
	if (tpr != s->tpr)
		vlapic_set_cr8(&v->lapic, tpr);
	if (b->exitintinfo & EVENT_VALID)
		svm_requeue(v, b->exitintinfo);
	if (s->step)
		svm_step_end(v);
	if (s->iret_pending && v->rip != s->iret_rip)
		svm_set_nmi_masked(s, false);
	/* TCG has no #GP for it, and no way back in: VMRUN fails, and the guest's state is lost */
	if (__builtin_expect((b->cr0 & (CR0_CD | CR0_NW)) == CR0_NW, 0)) {
		b->cr0 &= ~CR0_NW;
		svm_dirty(s, CLEAN_CRX);
	}
}

void svm_run(struct vcpu *v, uint64_t deadline)
{
	struct svm_vcpu *s = svm_of(v);
	const struct vmcb *b = s->vmcb;
	unsigned reason;

	if (deadline != this_cpu()->timer_deadline)
		lapic_timer_arm(deadline);
	svm_prepare_events(v);
	if (__builtin_expect(__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) != 0, 0))
		lapic_send_self(VECTOR_KICK); /* an interrupt was an NMI */
	enter(v, s);
	reason = (uint32_t)b->exitcode;
	if (reason == UINT32_MAX)
		reason = SVM_REASON_INVALID;
	else
		s->refused = 0;
	vcpu_exit_begin(v, reason, reason == VMEXIT_NPF ? b->exitinfo2 : b->exitinfo1);
	take_over(v, s);
	svm_handle_exit(v);
	vcpu_exit_end(v);
}
