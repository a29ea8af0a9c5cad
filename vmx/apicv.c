// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's local APIC and the processor's help for it (SDM vol. 3, "APIC Virtualization and
 * Virtual Interrupts"). With virtual-interrupt delivery the processor takes interrupts from the
 * virtual-APIC page by itself; else they are injected as events.
 */
#include "hv/vlapic.h"
#include "vmx/vmx.h"

enum { APIC_TPR = 0x80, APIC_TMR = 0x180, APIC_IRR = 0x200 };

#define MODE_CONTROLS                                                  \
	(CPU2_VIRTUALIZE_APIC_ACCESSES | CPU2_VIRTUALIZE_X2APIC_MODE | \
	 CPU2_APIC_REGISTER_VIRTUALIZATION)

static uint32_t apic_reg(const struct vlapic *l, unsigned offset)
{
	return *(const volatile uint32_t *)(l->regs + offset);
}

/* xAPIC: all accesses to the page. x2APIC: TPR, EOI, self-IPI, and no page. Globally disabled:
 * nothing. */
void vmx_apicv_mode(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t offered = vmx_caps.secondary & MODE_CONTROLS, mode;

	if (vlapic_x2apic(&v->lapic)) {
		mode = offered & ~CPU2_VIRTUALIZE_APIC_ACCESSES;
		if (!vmx_caps.x2apic)
			mode = 0;
	} else if (vlapic_enabled(&v->lapic)) {
		mode = offered & ~CPU2_VIRTUALIZE_X2APIC_MODE;
	} else {
		mode = 0;
	}
	x->secondary = (x->secondary & ~MODE_CONTROLS) | mode;
	vmwrite(SECONDARY_CONTROLS, x->secondary);
	vmwrite(EPT_POINTER, vmx_eptp(mode & CPU2_VIRTUALIZE_APIC_ACCESSES));
	vmwrite(MSR_BITMAPS_ADDR, vmx_msr_bitmap(vlapic_x2apic(&v->lapic)));
	x->apic_base = v->lapic.base_msr;
	x->apic_dirty = true;
	/* translations are cached by what the controls were (SDM, "APIC-Access Page") */
	vmx_flush(v);
}

static bool several_pending(const struct vlapic *l)
{
	unsigned words = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint32_t irr = apic_reg(l, APIC_IRR + 0x10 * i);

		words += irr != 0;
		if (irr & (irr - 1))
			return true;
	}
	return words > 1;
}

static void write_eoi_bitmaps(struct vcpu *v, bool all)
{
	struct vmx_vcpu *x = to_vmx(v);

	if (!v->lapic.tmr_changed && all == x->eoi_all)
		return;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t map = apic_reg(&v->lapic, APIC_TMR + 0x20 * i) |
			       (uint64_t)apic_reg(&v->lapic, APIC_TMR + 0x20 * i + 0x10) << 32;

		if (all)
			map = UINT64_MAX;
		vmwrite(EOI_EXIT_BITMAP0 + 2 * i, map);
	}
	v->lapic.tmr_changed = false;
	x->eoi_all = all;
}

static unsigned or_zero(int vector)
{
	return vector < 0 ? 0 : (unsigned)vector;
}

static enum vmx_apicv_result sync_hardware(struct vcpu *v, bool can_inject)
{
	struct vmx_vcpu *x = to_vmx(v);
	const struct vlapic *l = &v->lapic;
	unsigned status = vmread32(GUEST_INTERRUPT_STATUS) & 0xffff;
	unsigned svi = x->apic_dirty ? or_zero(vlapic_highest_isr(l)) : status >> 8;
	unsigned rvi = or_zero(vlapic_highest_irr(l));
	unsigned tpr = apic_reg(l, APIC_TPR) >> 4 & 0xf;
	unsigned ppr_class = tpr >= svi >> 4 ? tpr : svi >> 4;
	bool beats_ppr = rvi >> 4 > ppr_class;

	x->apic_dirty = false;
	if (status != (svi << 8 | rvi))
		vmwrite(GUEST_INTERRUPT_STATUS, svi << 8 | rvi);
	/* Bochs takes one that an EOI uncovers in spite of IF = 0 if an external interrupt comes:
	 * look at each EOI ourselves */
	write_eoi_bitmaps(v, vmx_caps.bochs && rvi && (!beats_ppr || several_pending(l)));
	if (!beats_ppr)
		return APICV_NOTHING;
	if ((v->rflags & RFLAGS_IF) && vmread(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT)
		vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	/* While a window is awaited nothing is delivered from the page; at the window the next
	 * entry does it. */
	return vmx_caps.bochs && !can_inject ? APICV_WINDOW : APICV_NOTHING;
}

/* TPR threshold: an exit as soon as the guest lowers TPR below the class of what TPR holds back. */
static void write_tpr_threshold(const struct vlapic *l)
{
	int irr = vlapic_highest_irr(l);
	unsigned tpr = apic_reg(l, APIC_TPR) >> 4 & 0xf;
	unsigned class = irr < 0 ? 0 : (unsigned)irr >> 4;

	vmwrite(TPR_THRESHOLD, class <= tpr ? class : 0);
}

static enum vmx_apicv_result sync_software(struct vcpu *v, bool can_inject, uint8_t *vector)
{
	int next = vlapic_pending(&v->lapic);
	enum vmx_apicv_result result = APICV_NOTHING;

	if (next >= 0 && can_inject) {
		*vector = (uint8_t)next;
		vlapic_accept(&v->lapic, *vector);
		result = APICV_INJECT;
	} else if (next >= 0) {
		result = APICV_WINDOW;
	}
	/* what is left waits for an EOI, a lower TPR or a window: all of them exits */
	if (vlapic_highest_irr(&v->lapic) >= 0)
		to_vmx(v)->attention = true;
	write_tpr_threshold(&v->lapic);
	v->lapic.tmr_changed = false; /* nobody needs it: all EOIs are exits */
	return result;
}

enum vmx_apicv_result vmx_apicv_sync(struct vcpu *v, bool can_inject, uint8_t *vector)
{
	vlapic_sync(&v->lapic);
	return vmx_caps.vid ? sync_hardware(v, can_inject) : sync_software(v, can_inject, vector);
}

void vmx_apicv_eoi(struct vcpu *v, uint8_t vector)
{
	if (apic_reg(&v->lapic, APIC_TMR + 0x10 * (vector / 32)) & 1u << vector % 32)
		vlapic_eoi_exit(&v->lapic, vector);
	to_vmx(v)->attention = true;
}
