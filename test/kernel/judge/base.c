// SPDX-License-Identifier: GPL-2.0-or-later
/* IA32_APIC_BASE (SDM vol. 3, "Local APIC Status and Location", "x2APIC State Transitions"), in
 * xAPIC mode, and once more at the very end: what disables the local APIC. */
#include "test/kernel/judge/judge.h"

#define CPUID_APIC (1u << 9)
#define MODES	   ((uint64_t)(BASE_EN | BASE_EXTD))

static volatile uint64_t base2;

static void read_base2(void)
{
	base2 = rdmsr(MSR_APIC_BASE);
}

static void bsp_flag(void)
{
	EXPECT(rdmsr(MSR_APIC_BASE) & BASE_BSP, "IA32_APIC_BASE is %lx", rdmsr(MSR_APIC_BASE));
}

static void bsp_flag2(void)
{
	EXPECT(cpu2_run(read_base2), "no answer");
	EXPECT(!(base2 & BASE_BSP) && (base2 & BASE_EN), "IA32_APIC_BASE is %lx", base2);
}

static void reserved(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	static const uint64_t bits[] = {1, 1 << 7, 1 << 9, 1ull << 62};

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		EXPECT(wrmsr_faults(MSR_APIC_BASE, base | bits[i]), "%lx is taken", bits[i]);
}

static void msrs_in_xapic(void)
{
	EXPECT(rdmsr_faults(MSR_X2APIC + 2), "RDMSR 802h does not fault");
	EXPECT(wrmsr_faults(MSR_X2APIC + 0xb, 0), "WRMSR 80bh does not fault");
}

static void invalid(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) & ~MODES;

	EXPECT(wrmsr_faults(MSR_APIC_BASE, base | BASE_EXTD), "EN=0, EXTD=1 does not fault");
}

static void identity(void)
{
	uint32_t id = apic_id();

	EXPECT(id == cpuid(1, 0).ebx >> 24, "ID %x, CPUID says %x", id, cpuid(1, 0).ebx >> 24);
	EXPECT((apic_read(APIC_VERSION) & 0xff) >= 0x10 &&
		       (apic_read(APIC_VERSION) >> 16 & 0xff) >= 3,
	       "version %x", apic_read(APIC_VERSION));
}

static void illegal_register(void)
{
	static const unsigned offset[] = {0x000, 0x010, 0x040, 0x3a0, 0x3f0};

	for (unsigned i = 0; i < sizeof(offset) / sizeof(offset[0]); i++) {
		uint32_t esr;

		apic_read(offset[i]);
		esr = apic_error();
		EXPECT(esr == 1u << 7, "register %x: ESR %x", offset[i], esr);
	}
}

/* --- at the end, in whatever mode --- */

/* False: #GP. */
static bool set_mode(uint64_t mode)
{
	if (wrmsr_faults(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & ~MODES) | mode))
		return false;
	x2apic = rdmsr(MSR_APIC_BASE) & BASE_EXTD;
	return true;
}

static bool enable_again(void)
{
	return set_mode(0) && set_mode(BASE_EN) && (rdmsr(MSR_APIC_BASE) & MODES) == BASE_EN;
}

/* As after a reset. */
static bool is_reset(void)
{
	return apic_read(APIC_SVR) == 0xff && apic_read(APIC_TPR) == 0 &&
	       apic_read(APIC_LVT_TIMER) == LVT_MASKED && apic_read(APIC_LVT_LINT0) == LVT_MASKED &&
	       apic_read(APIC_LVT_LINT1) == LVT_MASKED && apic_read(APIC_LVT_ERROR) == LVT_MASKED &&
	       apic_read(APIC_TMICT) == 0 && apic_read(APIC_TDCR) == 0;
}

static void set_something(void)
{
	apic_write(APIC_TPR, 0x30);
	apic_write(APIC_LVT_TIMER, 0x77);
	apic_write(APIC_LVT_ERROR, 0x78);
	apic_write(APIC_TDCR, 3);
}

static void disable(void)
{
	uint32_t id = apic_id();

	set_something();
	EXPECT(set_mode(0), "#GP");
	EXPECT(!(cpuid(1, 0).edx & CPUID_APIC), "CPUID shows an APIC while it is disabled");
	EXPECT(set_mode(BASE_EN) && rdmsr(MSR_APIC_BASE) & BASE_EN, "it cannot be enabled again");
	EXPECT(cpuid(1, 0).edx & CPUID_APIC, "CPUID shows none while it is enabled");
	EXPECT(is_reset(), "its registers survived");
	EXPECT(apic_id() == id, "its ID is %x, was %x", apic_id(), id);
}

/* The way out of "disabled" is xAPIC mode alone. */
static void from_disabled(void)
{
	EXPECT(set_mode(0), "#GP");
	EXPECT(!set_mode(MODES), "disabled to x2APIC does not fault");
	EXPECT(!set_mode(BASE_EXTD), "disabled to EN=0, EXTD=1 does not fault");
	EXPECT(enable_again(), "it cannot be enabled again");
}

static void from_x2apic(void)
{
	uint32_t id = apic_id();

	EXPECT(enable_again() && set_mode(MODES), "#GP");
	set_something();
	EXPECT(enable_again(), "it cannot be enabled again");
	EXPECT(is_reset(), "registers survived");
	EXPECT(apic_id() == id, "the ID is %x, was %x", apic_id(), id);
}

/* Interrupts work after all this. */
static void alive(void)
{
	EXPECT(enable_again(), "it cannot be enabled again");
	apic_setup();
	ipi(apic_id(), FIXED | ICR_ASSERT | 0x53);
	irq_on();
	EXPECT(WAIT(taken(0x53) == 1), "%u interrupts", taken(0x53));
}

const struct check base_checks[] = {
	{"bsp-flag", bsp_flag, 0},
	{"bsp-flag-2", bsp_flag2, NEED_CPU2},
	{"reserved", reserved, 0},
	{"invalid", invalid, 0},
	{"identity", identity, 0},
	{"illegal-register", illegal_register, 0},
	{"msrs-in-xapic", msrs_in_xapic, NEED_X2APIC},
	{0},
};
const struct check disable_checks[] = {
	{"and-enable", disable, 0},
	{"from-disabled", from_disabled, NEED_X2APIC},
	{"from-x2apic", from_x2apic, NEED_X2APIC},
	{"alive", alive, 0},
	{0},
};
