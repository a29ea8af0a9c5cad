// SPDX-License-Identifier: GPL-2.0-or-later
/* Access to the local APIC in the mode in force, and the mode (SDM vol. 3, "Advanced Programmable
 * Interrupt Controller"). */
#include "test/kernel/judge/judge.h"

#define XAPIC_PAGE 0xfee00000u
#define VECTORS	   256

bool x2apic;

static volatile uint32_t *mmio(unsigned offset)
{
	return (volatile uint32_t *)(uintptr_t)(XAPIC_PAGE + offset);
}

uint32_t apic_read(unsigned offset)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + offset / 16) : *mmio(offset);
}

void apic_write(unsigned offset, uint32_t v)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + offset / 16, v);
	else
		*mmio(offset) = v;
}

bool apic_bit(unsigned bitmap, uint8_t vector)
{
	return apic_read(bitmap + vector / 32 * 16) >> vector % 32 & 1;
}

uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

uint32_t apic_error(void)
{
	uint32_t esr;

	apic_write(APIC_ESR, 0); /* what was detected comes into the register */
	esr = apic_read(APIC_ESR);
	apic_write(APIC_ESR, 0);
	return esr;
}

void ipi(uint32_t dest, uint32_t command)
{
	if (x2apic) {
		asm volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)dest << 32 | command);
		return;
	}
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR, command);
	WAIT(!(apic_read(APIC_ICR) & ICR_PENDING));
}

static void drain(void)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		bool any = false;

		for (unsigned w = 0; w < 8; w++)
			any |= apic_read(APIC_ISR + w * 16) != 0;
		if (!any)
			return;
		apic_eoi();
	}
}

void apic_setup(void)
{
	apic_write(APIC_SVR, SVR_ENABLE | SPURIOUS);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	apic_write(APIC_TDCR, TDCR_1);
	apic_write(APIC_TMICT, 0);
	if (!x2apic) {
		apic_write(APIC_DFR, 0xffffffff);
		apic_write(APIC_LDR, 1u << (24 + cpu_index()));
	}
	drain();
	apic_write(APIC_TPR, 0);
	for (unsigned i = 0; i < VECTORS / 8; i++)
		irq_moment();
	apic_error();
}

/* To x2APIC mode and to stay there: the way back leads through "disabled", which not every machine
 * leaves again (SDM vol. 3, "x2APIC State Transitions"). */
void apic_enter_x2apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_EN | BASE_EXTD);
	x2apic = true;
	apic_setup();
}

static uint64_t down_counter(void)
{
	return UINT32_MAX - apic_read(APIC_TMCCT);
}

uint32_t apic_timer_hz(void)
{
	static uint32_t hz;

	if (!hz) {
		apic_write(APIC_TMICT, UINT32_MAX);
		hz = (uint32_t)rate_of(down_counter, UINT32_MAX, 20000).hz;
		apic_write(APIC_TMICT, 0);
	}
	return hz;
}

struct msr_access {
	uint32_t msr;
	uint64_t value;
};

static void do_rdmsr(void *arg)
{
	const struct msr_access *a = arg;

	rdmsr(a->msr);
}

static void do_wrmsr(void *arg)
{
	const struct msr_access *a = arg;

	wrmsr(a->msr, a->value);
}

#define GP 14 /* guarded(): 1 + vector */

bool rdmsr_faults(uint32_t msr)
{
	struct msr_access a = {.msr = msr};

	return guarded(do_rdmsr, &a) == GP;
}

bool wrmsr_faults(uint32_t msr, uint64_t v)
{
	struct msr_access a = {msr, v};

	return guarded(do_wrmsr, &a) == GP;
}
