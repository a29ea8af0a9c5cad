// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a VM entry delivers to the guest, and what it waits for (SDM vol. 3, "VM-Entry Controls for
 * Event Injection"). Order: an event that is already due (an exception by the hypervisor, or one
 * whose delivery an exit interrupted), NMI, the 8259's interrupt, the local APIC's.
 */
#include "hv/irq.h"
#include "vmx/vmx.h"

#define WINDOWS (CPU_INTERRUPT_WINDOW_EXITING | CPU_NMI_WINDOW_EXITING | CPU_HLT_EXITING)

static void set_primary(struct vmx_vcpu *x, uint32_t val)
{
	if (x->primary == val)
		return;
	x->primary = val;
	vmwrite(PRIMARY_CONTROLS, val);
}

void vmx_inject(struct vcpu *v, const struct vcpu_event *e)
{
	v->event = *e;
	v->event_pending = true;
	to_vmx(v)->attention = true;
}

/* One that carries an instruction's length. */
static bool soft_event(unsigned type)
{
	return type == EVENT_SOFT_INT || type == EVENT_PRIV_EXC || type == EVENT_SOFT_EXC;
}

bool vmx_capture_vectoring(struct vcpu *v)
{
	uint32_t info = vmread32(IDT_VECTORING_INFO);
	struct vcpu_event e = {.vector = (uint8_t)info, .type = info >> 8 & 7};

	if (!(info & INFO_VALID))
		return false;
	if (info & INFO_ERROR_VALID) {
		e.has_error = true;
		e.error = vmread32(IDT_VECTORING_ERROR);
	}
	if (soft_event(e.type))
		e.insn_len = vmread32(EXIT_INSTRUCTION_LENGTH);
	vmx_inject(v, &e);
	return true;
}

uint32_t vmx_interruptibility(struct vcpu *v)
{
	uint32_t blocking = vmread32(GUEST_INTERRUPTIBILITY);

	return to_vmx(v)->nmi_open ? blocking & ~BLOCKING_BY_NMI : blocking;
}

void vmx_block_nmi(struct vcpu *v)
{
	to_vmx(v)->nmi_open = false;
	vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) | BLOCKING_BY_NMI);
}

bool vmx_nmi_blocked(struct vcpu *v)
{
	return vmx_interruptibility(v) & BLOCKING_BY_NMI;
}

void vmx_clear_shadow(struct vcpu *v)
{
	uint64_t blocking = vmread(GUEST_INTERRUPTIBILITY);

	(void)v;
	if (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS))
		vmwrite(GUEST_INTERRUPTIBILITY, blocking & BLOCKING_BY_NMI);
}

/* The instruction is complete: its single-step trap is pending, as after one that the processor
 * executed. */
void vmx_step_trap(struct vcpu *v)
{
	(void)v;
	if (!(vmread(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/* Write the event into this entry. It ends HLT, and the shadow of STI and MOV SS. */
static void enter_with(struct vcpu *v, const struct vcpu_event *e)
{
	uint32_t info = e->vector | (uint32_t)e->type << 8 | INFO_VALID;
	uint32_t blocking = vmx_interruptibility(v);

	if (e->has_error && (vmread(GUEST_CR0) & CR0_PE)) { /* real mode pushes no error code */
		info |= INFO_ERROR_VALID;
		vmwrite(ENTRY_EXCEPTION_ERROR, e->error & 0xffff);
	}
	if (soft_event(e->type))
		vmwrite(ENTRY_INSTRUCTION_LENGTH, e->insn_len);
	vmwrite(ENTRY_INTERRUPTION_INFO, info);
	/* an NMI whose delivery is repeated has blocked NMIs already; the entry does so again and
	 * wants them unblocked */
	vmwrite(GUEST_INTERRUPTIBILITY, e->type == EVENT_NMI ? 0 : blocking & BLOCKING_BY_NMI);
	if (vmread(GUEST_ACTIVITY_STATE) != ACTIVITY_ACTIVE)
		vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	if (e->type == EVENT_NMI)
		to_vmx(v)->nmi_open = false;
}

static void enter_with_interrupt(struct vcpu *v, uint8_t vector)
{
	struct vcpu_event e = {.vector = vector, .type = EVENT_INTR};

	enter_with(v, &e);
}

/* A debug trap is due, which comes before NMIs and interrupts (SDM vol. 3, table "Priority Among
 * Concurrent Events"), but would be lost if one of them were injected. In HLT none is. */
static bool trap_due(void)
{
	return (vmread(GUEST_PENDING_DEBUG) & (PENDING_DEBUG_ENABLED_BP | PENDING_DEBUG_BS)) &&
	       vmread(GUEST_ACTIVITY_STATE) == ACTIVITY_ACTIVE;
}

/* Returns true if it used this entry's one injection. */
static bool prepare_nmi(struct vcpu *v, bool injected, uint32_t *windows)
{
	static const struct vcpu_event nmi = {.vector = 2, .type = EVENT_NMI};
	bool now = !injected && vmx_interruptibility(v) == 0 && !trap_due();

	if (now) {
		v->nmi_pending--;
		enter_with(v, &nmi);
	}
	if (v->nmi_pending)
		*windows |= CPU_NMI_WINDOW_EXITING;
	return now;
}

void vmx_prepare_events(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t windows = 0;
	uint8_t vector = 0;
	bool injected = false, can_inject;

	x->attention = false;
	if (v->lapic.base_msr != x->apic_base)
		vmx_apicv_mode(v);
	can_inject = (v->rflags & RFLAGS_IF) &&
		     !(vmread(GUEST_INTERRUPTIBILITY) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) &&
		     !trap_due();
	if (v->event_pending) {
		v->event_pending = false;
		enter_with(v, &v->event);
		injected = true;
	}
	if (v->nmi_pending)
		injected |= prepare_nmi(v, injected, &windows);
	if (vlapic_extint(&v->lapic)) {
		if (can_inject && !injected) {
			enter_with_interrupt(v, (uint8_t)vlapic_intack(&v->lapic));
			injected = true;
		} else {
			windows |= CPU_INTERRUPT_WINDOW_EXITING;
		}
	}
	switch (vmx_apicv_sync(v, can_inject && !injected, &vector)) {
	case APICV_INJECT:
		enter_with_interrupt(v, vector);
		break;
	case APICV_WINDOW:
		windows |= CPU_INTERRUPT_WINDOW_EXITING;
		break;
	case APICV_NOTHING:
		break;
	}
	if (vmx_caps.bochs) /* its HLT sleeps through some of what ends it, and ends for the rest */
		windows |= CPU_HLT_EXITING;
	/* nothing more until a window opens: that is an exit, which asks for attention again */
	set_primary(x, (x->primary & ~WINDOWS) | windows);
}
