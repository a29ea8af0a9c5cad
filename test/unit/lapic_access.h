/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the local APIC do to it: as software does, by MMIO and MSRs. */
#pragma once
#include "test/unit/check.h"
#include "test/unit/lapic_rig.h"

#define MSR_BASE     0x1b
#define MSR_DEADLINE 0x6e0
#define MSR_X2(reg)  (0x800 + (reg) / 16)
#define XAPIC	     (LAPIC_BASE | BASE_EN)
#define X2APIC	     (LAPIC_BASE | BASE_EN | BASE_EXTD)
#define TIMER_VECTOR 0x60

static inline uint32_t rd(unsigned cpu, unsigned reg)
{
	uint64_t val;

	vlapic_mmio_read(lapic(cpu), reg, 4, &val);
	return (uint32_t)val;
}

static inline void wr(unsigned cpu, unsigned reg, uint32_t val)
{
	vlapic_mmio_write(lapic(cpu), reg, 4, val);
}

static inline uint64_t rdx(unsigned cpu, unsigned reg)
{
	uint64_t val = 0xbad;

	CHECK_EQ(vlapic_rdmsr(lapic(cpu), MSR_X2(reg), &val), 0);
	return val;
}

static inline int wrx(unsigned cpu, unsigned reg, uint64_t val)
{
	return vlapic_wrmsr(lapic(cpu), MSR_X2(reg), val);
}

static inline void x2apic_all(void)
{
	rig_reset();
	for (unsigned i = 0; i < RIG_CPUS; i++)
		CHECK_EQ(vlapic_wrmsr(lapic(i), MSR_BASE, X2APIC | (i ? 0 : BASE_BSP)), 0);
}

/* What the CPU would take next, and take it. */
static inline int take(unsigned cpu)
{
	int vector;

	vlapic_sync(lapic(cpu));
	vector = vlapic_pending(lapic(cpu));
	if (vector >= 0)
		vlapic_accept(lapic(cpu), (uint8_t)vector);
	return vector;
}

/* Which CPUs got `vector`, as a bit mask; all their IRRs are empty after it. */
static inline unsigned receivers(uint8_t vector)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < RIG_CPUS; i++) {
		int got = take(i);

		if (got < 0)
			continue;
		CHECK_EQ(got, vector);
		mask |= 1u << i;
		if (vlapic_x2apic(lapic(i)))
			CHECK_EQ(wrx(i, APIC_EOI, 0), 0);
		else
			wr(i, APIC_EOI, 0);
	}
	return mask;
}

static inline void intr(bool level)
{
	rig_intr = level;
	vlapic_set_lint0(level);
}
