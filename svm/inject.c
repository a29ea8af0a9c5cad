// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Events for the guest: injection (APM vol. 2, 15.20), interrupts of the software LAPIC and the
 * 8259, NMIs, and what to arm when they must wait.
 *
 * The LAPIC's highest interrupt is offered as a virtual interrupt (V_IRQ, APM vol. 2, 15.21.4): the
 * processor delivers it as soon as the guest can take it, without an exit. V_IRQ is clear after an
 * exit if it has, and only then the interrupt moves from IRR to ISR. An ExtINT's vector comes from
 * the 8259's acknowledge cycle, so it waits for a window (V_IRQ intercepted) and is injected.
 *
 * The processor has no "NMI window" here. After an NMI was injected, IRET is intercepted; at that
 * exit the NMI handler is about to end, and once RIP has moved on, the next NMI may come. If one is
 * waiting already, that IRET is executed as a single step, by an RFLAGS.TF whose #DB the guest
 * never sees.
 */
#include "arch/x86_64/arch.h"
#include "hv/irq.h"
#include "svm/svm.h"

#define VECTOR_BP 3
#define VECTOR_OF 4

static void set_event(struct vcpu *v, const struct vcpu_event *e)
{
	/* EVENTINJ knows neither of VMX's two kinds of exceptions by instructions */
	unsigned type = e->type >= EVENT_PRIV_EXC ? EVENT_EXCEPTION : e->type;
	uint64_t info = e->vector | type << EVENT_TYPE_SHIFT | EVENT_VALID;

	if (e->has_error && (svm_of(v)->vmcb->cr0 & CR0_PE)) /* real mode pushes no error code */
		info |= EVENT_ERROR_VALID | (uint64_t)e->error << EVENT_ERROR_SHIFT;
	svm_of(v)->vmcb->eventinj = info;
	v->event = *e;
	v->event_pending = true;
}

void svm_inject(struct vcpu *v, const struct vcpu_event *e)
{
	set_event(v, e);
}

void svm_requeue(struct vcpu *v, uint64_t event)
{
	struct vcpu_event e = {
		.vector = (uint8_t)event,
		.type = event >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK,
		.has_error = event & EVENT_ERROR_VALID,
		.error = (uint32_t)(event >> EVENT_ERROR_SHIFT),
	};

	/* RIP is still at the INT n, INT3 or INTO: it is executed again */
	if (e.type == EVENT_SOFT_INT ||
	    (e.type == EVENT_EXCEPTION && (e.vector == VECTOR_BP || e.vector == VECTOR_OF)))
		return;
	set_event(v, &e);
}

/* --- single step --- */

void svm_step_begin(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;

	s->step_guest_tf = v->rflags & RFLAGS_TF;
	s->step_dr6 = b->dr6;
	b->dr6 = DR6_INIT;
	b->rflags |= RFLAGS_TF;
	svm_dirty(s, CLEAN_DRX);
}

void svm_step_end(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;
	uint64_t hits = b->dr6 & DR6_EVENTS;
	bool trapped = (uint32_t)b->exitcode == VMEXIT_EXCP_DB && (hits & DR6_BS);

	s->step = false;
	if (!s->step_guest_tf) {
		hits &= ~DR6_BS;
		/* after an IRET, the flags are those it popped */
		if (!(trapped && s->iret_pending))
			v->rflags &= ~RFLAGS_TF;
		s->step_done = trapped && !hits;
	}
	b->dr6 = s->step_dr6 | hits;
	svm_dirty(s, CLEAN_DRX);
}

/* The trap of the guest's own RFLAGS.TF after an instruction that was carried out for it. */
void svm_step_trap(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	s->vmcb->dr6 |= DR6_BS;
	svm_dirty(s, CLEAN_DRX);
	vcpu_inject(v, EXCEPTION_DB, false, 0);
}

/* --- state --- */

void svm_set_nmi_masked(struct svm_vcpu *s, bool masked)
{
	struct vmcb *b = s->vmcb;

	s->nmi_masked = masked;
	s->iret_pending = false;
	if (masked)
		b->intercept_1 |= INTERCEPT_IRET;
	else
		b->intercept_1 &= ~INTERCEPT_IRET;
	svm_dirty(s, CLEAN_I);
}

bool svm_nmi_blocked(struct vcpu *v)
{
	return svm_of(v)->nmi_masked;
}

void svm_clear_shadow(struct vcpu *v)
{
	svm_of(v)->vmcb->interrupt_shadow &= ~INTERRUPT_SHADOW;
}

void svm_set_windows(struct svm_vcpu *s, unsigned windows, uint8_t offer)
{
	struct vmcb *b = s->vmcb;

	b->vintr &= ~(V_IRQ | V_IGN_TPR | V_INTR_VECTOR);
	if (offer || windows & WINDOW_INTR)
		b->vintr |= V_IRQ | V_IGN_TPR | (uint64_t)offer << V_VECTOR_SHIFT;
	if (windows & WINDOW_INTR)
		b->intercept_1 |= INTERCEPT_VINTR;
	else
		b->intercept_1 &= ~INTERCEPT_VINTR;
	if (windows & WINDOW_CR8)
		b->intercept_cr_write |= INTERCEPT_CR8_WRITE;
	else
		b->intercept_cr_write &= (uint16_t)~INTERCEPT_CR8_WRITE;
	s->windows = (uint8_t)windows;
	s->offered = offer;
	svm_dirty(s, CLEAN_I | CLEAN_TPR);
}

void svm_take_offered(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	if (!s->offered || s->vmcb->vintr & V_IRQ)
		return;
	vlapic_accept(&v->lapic, s->offered);
	s->offered = 0;
}

/* --- before an entry --- */

static bool in_shadow(const struct svm_vcpu *s)
{
	return s->vmcb->interrupt_shadow & INTERRUPT_SHADOW;
}

static void prepare_nmi(struct vcpu *v, struct svm_vcpu *s)
{
	const struct vcpu_event nmi = {.vector = 2, .type = EVENT_NMI};

	if (s->step)
		return; /* its exit comes first */
	if (s->nmi_masked) {
		if (s->iret_pending && !v->event_pending)
			s->step = true;
	} else if (v->event_pending) {
		/* one event at an entry: come out again as soon as it is delivered */
		lapic_send_self(VECTOR_KICK);
	} else if (in_shadow(s)) {
		s->step = true;
	} else {
		v->nmi_pending--;
		set_event(v, &nmi);
		svm_set_nmi_masked(s, true);
	}
}

/* The 8259's, now: INTA. */
static void inject_extint(struct vcpu *v)
{
	struct vcpu_event e = {.vector = (uint8_t)vlapic_intack(&v->lapic), .type = EVENT_INTR};

	set_event(v, &e);
	/* QEMU 7.2's TCG would deliver it a second time, were it not for an exit right after the
	 * first */
	if (!svm.nrips)
		lapic_send_self(VECTOR_KICK);
}

/*
 * An interrupt is requested: what to arm for it. The rank of an offered one must not change behind
 * our back, so CR8 is watched, instead of having the processor compare V_INTR_PRIO: TCG does that
 * wrongly, and ends itself when CR8 is written while V_IRQ is set.
 */
static unsigned prepare_intr(struct vcpu *v, struct svm_vcpu *s, uint8_t *offer)
{
	struct vlapic *l = &v->lapic;
	bool extint = vlapic_extint(l);
	int vector = vlapic_pending(l);

	if (s->step) /* its exit comes first */
		return 0;
	if (!extint && vector < 0)
		return WINDOW_CR8; /* held back by CR8, or by one in service, whose EOI exits */
	/* TCG forgets the shadow at VMRUN; but an event to be injected ends it anyway */
	if (in_shadow(s) && !v->event_pending && !svm.nrips) {
		s->step = true;
		return 0;
	}
	if (extint && (v->event_pending || !(v->rflags & RFLAGS_IF) || in_shadow(s)))
		return WINDOW_INTR | WINDOW_CR8;
	if (extint)
		inject_extint(v);
	if (vector >= 0)
		*offer = (uint8_t)vector;
	return WINDOW_CR8;
}

void svm_prepare_events(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;
	bool requested = vlapic_sync(&v->lapic);
	unsigned windows = 0;
	uint8_t offer = 0;

	s->tpr = vlapic_get_cr8(&v->lapic);
	if ((b->vintr & V_TPR_MASK) != s->tpr) {
		b->vintr = (b->vintr & ~V_TPR_MASK) | s->tpr;
		svm_dirty(s, CLEAN_TPR);
	}
	if (v->nmi_pending)
		prepare_nmi(v, s);
	if (requested || vlapic_extint(&v->lapic))
		windows = prepare_intr(v, s, &offer);
	if (!svm.nrips && !s->step) /* TCG takes reserved bits */
		windows |= WINDOW_CR8;
	if (windows != s->windows || offer != s->offered)
		svm_set_windows(s, windows, offer);
}
