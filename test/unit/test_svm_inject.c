/* build: svm/inject.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the VMCB is armed with for interrupts that wait, and what happens once they are taken. */
#include "arch/x86_64/arch.h"
#include "hv/irq.h"
#include "svm/svm.h"
#include "test/unit/check.h"

struct svm_shared svm = {.nrips = true};
static struct vmcb vmcb;
static struct svm_vcpu sv = {.vmcb = &vmcb};
static struct vcpu vcpu = {.vendor = &sv};

/* The LAPIC and the 8259 as the test wants them. */
static int pending, irr, accepted;
static bool extint;
static uint8_t cr8;
static unsigned self_ipis, acknowledged;

bool vlapic_sync(struct vlapic *l)
{
	(void)l;
	return irr >= 0;
}

int vlapic_pending(struct vlapic *l)
{
	(void)l;
	return pending;
}

void vlapic_accept(struct vlapic *l, uint8_t vector)
{
	(void)l;
	accepted = vector;
}

bool vlapic_extint(const struct vlapic *l)
{
	(void)l;
	return extint;
}

uint8_t vlapic_get_cr8(const struct vlapic *l)
{
	(void)l;
	return cr8;
}

int vlapic_intack(struct vlapic *l)
{
	(void)l;
	acknowledged++;
	extint = false;
	return 0x30;
}

void lapic_send_self(uint8_t vector)
{
	CHECK_EQ(vector, VECTOR_KICK);
	self_ipis++;
}

void vcpu_inject(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)v, (void)vector, (void)has_error, (void)error;
}

static void restart(int vector)
{
	memset(&vmcb, 0, sizeof(vmcb));
	vmcb.vintr = V_INTR_MASKING;
	vmcb.clean = CLEAN_ALL;
	vmcb.cr0 = CR0_PE;
	sv = (struct svm_vcpu){.vmcb = &vmcb};
	vcpu = (struct vcpu){.vendor = &sv, .rflags = RFLAGS_IF};
	svm.nrips = true;
	pending = irr = vector;
	accepted = -1;
	extint = false;
	cr8 = 0;
	self_ipis = acknowledged = 0;
}

static bool offers(uint8_t vector)
{
	return (vmcb.vintr & V_IRQ) && (vmcb.vintr & V_INTR_MASKING) &&
	       vmcb.vintr >> V_VECTOR_SHIFT == vector && !(vmcb.intercept_1 & INTERCEPT_VINTR);
}

/* The processor does what it was armed for. */
static void deliver_virtual(void)
{
	vmcb.vintr &= ~V_IRQ;
	svm_take_offered(&vcpu);
}

static void an_interrupt_is_offered_and_accepted_when_taken(void)
{
	restart(0x51);
	vcpu.rflags = 0; /* the processor waits for IF by itself */
	svm_prepare_events(&vcpu);
	CHECK(offers(0x51));
	CHECK_EQ(vmcb.eventinj, 0);
	CHECK(!(vmcb.clean & CLEAN_TPR));
	svm_take_offered(&vcpu); /* an exit before it was taken */
	CHECK_EQ(accepted, -1);
	deliver_virtual();
	CHECK_EQ(accepted, 0x51);
	accepted = -1;
	pending = irr = -1;
	svm_prepare_events(&vcpu);
	CHECK(!(vmcb.vintr & V_IRQ));
	svm_take_offered(&vcpu); /* it is accepted once */
	CHECK_EQ(accepted, -1);
}

static void a_higher_one_takes_its_place(void)
{
	restart(0x51);
	svm_prepare_events(&vcpu);
	vmcb.clean = CLEAN_ALL;
	pending = irr = 0x61;
	svm_prepare_events(&vcpu);
	CHECK(offers(0x61));
	CHECK(!(vmcb.clean & CLEAN_TPR));
	deliver_virtual();
	CHECK_EQ(accepted, 0x61);
	/* the same vector again: V_IRQ has to be set again */
	svm_prepare_events(&vcpu);
	CHECK(offers(0x61));
	/* withdrawn: masked by the guest meanwhile */
	pending = irr = -1;
	svm_prepare_events(&vcpu);
	CHECK(!(vmcb.vintr & V_IRQ));
}

static void cr8_is_watched_while_an_interrupt_is_requested(void)
{
	restart(0x51);
	svm_prepare_events(&vcpu);
	CHECK(vmcb.intercept_cr_write & INTERCEPT_CR8_WRITE);
	cr8 = 5;
	pending = -1;
	svm_prepare_events(&vcpu);
	CHECK(!(vmcb.vintr & V_IRQ));
	CHECK_EQ(vmcb.vintr & V_TPR_MASK, 5);
	CHECK(vmcb.intercept_cr_write & INTERCEPT_CR8_WRITE);
	irr = -1;
	svm_prepare_events(&vcpu);
	CHECK(!(vmcb.intercept_cr_write & INTERCEPT_CR8_WRITE));
}

static void without_next_rip_cr8_is_always_watched(void)
{
	restart(-1);
	svm.nrips = false; /* TCG, which takes reserved bits */
	svm_prepare_events(&vcpu);
	CHECK(vmcb.intercept_cr_write & INTERCEPT_CR8_WRITE);
	sv.step = true; /* the write itself */
	svm_prepare_events(&vcpu);
	CHECK(!(vmcb.intercept_cr_write & INTERCEPT_CR8_WRITE));
	sv.step = false;
	svm_prepare_events(&vcpu);
	CHECK(vmcb.intercept_cr_write & INTERCEPT_CR8_WRITE);
}

static void an_offer_stands_beside_an_injected_exception(void)
{
	const struct vcpu_event gp = {.vector = 13, .type = EVENT_EXCEPTION, .has_error = true};

	restart(0x51);
	svm_inject(&vcpu, &gp);
	svm_prepare_events(&vcpu);
	CHECK(offers(0x51));
	CHECK_EQ(vmcb.eventinj,
		 13 | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | EVENT_ERROR_VALID | EVENT_VALID);
}

static void real_mode_gets_no_error_code(void)
{
	const struct vcpu_event gp = {.vector = 13, .type = EVENT_EXCEPTION, .has_error = true};

	restart(-1);
	vmcb.cr0 = 0;
	svm_inject(&vcpu, &gp);
	CHECK_EQ(vmcb.eventinj, 13 | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | EVENT_VALID);
}

static void an_extint_waits_for_its_window_and_goes_first(void)
{
	restart(0x51);
	extint = true;
	vcpu.rflags = 0;
	svm_prepare_events(&vcpu);
	CHECK(vmcb.vintr & V_IRQ);
	CHECK(vmcb.intercept_1 & INTERCEPT_VINTR);
	CHECK_EQ(acknowledged, 0);
	vmcb.vintr &= ~V_IRQ; /* nothing was offered, so nothing is accepted */
	svm_take_offered(&vcpu);
	CHECK_EQ(accepted, -1);
	vcpu.rflags = RFLAGS_IF;
	svm_prepare_events(&vcpu);
	CHECK_EQ(acknowledged, 1);
	CHECK_EQ(vmcb.eventinj, 0x30 | EVENT_VALID);
	CHECK(offers(0x51));
	CHECK_EQ(self_ipis, 0);
}

static void without_next_rip_shadows_are_stepped_and_extints_exit(void)
{
	restart(0x51);
	svm.nrips = false;
	vmcb.interrupt_shadow = INTERRUPT_SHADOW;
	svm_prepare_events(&vcpu);
	CHECK(sv.step);
	CHECK(!(vmcb.vintr & V_IRQ));
	restart(-1);
	svm.nrips = false;
	extint = true;
	svm_prepare_events(&vcpu);
	CHECK_EQ(vmcb.eventinj, 0x30 | EVENT_VALID);
	CHECK_EQ(self_ipis, 1);
	restart(0x51);
	vmcb.interrupt_shadow = INTERRUPT_SHADOW; /* the processor knows */
	svm_prepare_events(&vcpu);
	CHECK(!sv.step);
	CHECK(offers(0x51));
}

static void an_nmi_does_not_disturb_the_offer(void)
{
	restart(0x51);
	vcpu.nmi_pending = 1;
	svm_prepare_events(&vcpu);
	CHECK_EQ(vmcb.eventinj, 2 | EVENT_NMI << EVENT_TYPE_SHIFT | EVENT_VALID);
	CHECK(svm_nmi_blocked(&vcpu));
	CHECK(offers(0x51));
	CHECK_EQ(vcpu.nmi_pending, 0);
}

int main(void)
{
	RUN(an_interrupt_is_offered_and_accepted_when_taken);
	RUN(a_higher_one_takes_its_place);
	RUN(cr8_is_watched_while_an_interrupt_is_requested);
	RUN(without_next_rip_cr8_is_always_watched);
	RUN(an_offer_stands_beside_an_injected_exception);
	RUN(real_mode_gets_no_error_code);
	RUN(an_extint_waits_for_its_window_and_goes_first);
	RUN(without_next_rip_shadows_are_stepped_and_extints_exit);
	RUN(an_nmi_does_not_disturb_the_offer);
	return check_result();
}
