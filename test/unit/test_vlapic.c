/* build: hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's local APIC against SDM vol. 3, chapter "APIC": registers, interrupts, modes. */
#include <errno.h>
#include "test/unit/lapic_access.h"

static void reset_state_is_the_manuals(void)
{
	rig_reset();
	vlapic_reset(lapic(2));
	CHECK_EQ(rd(2, APIC_ID), 0x12u << 24);
	CHECK_EQ(rd(2, APIC_VERSION), 0x00050014);
	CHECK_EQ(rd(2, APIC_DFR), 0xffffffff);
	CHECK_EQ(rd(2, APIC_SVR), 0xff);
	CHECK_EQ(rd(2, APIC_LVT_TIMER), 0x10000);
	CHECK_EQ(rd(2, APIC_LVT_ERROR), 0x10000);
	CHECK_EQ(rd(2, APIC_TMCCT), 0);
	CHECK(vlapic_enabled(lapic(2)) && !vlapic_x2apic(lapic(2)));
}

static void higher_vectors_come_first(void)
{
	rig_reset();
	vlapic_post(lapic(0), 0x31, false);
	vlapic_post(lapic(0), 0x80, false);
	vlapic_post(lapic(0), 0x8f, false);
	CHECK_EQ(take(0), 0x8f);
	CHECK_EQ(take(0), -1); /* 80h is of the same class */
	CHECK_EQ(rd(0, APIC_PPR), 0x80);
	vlapic_post(lapic(0), 0x90, false);
	CHECK_EQ(take(0), 0x90);
	CHECK_EQ(vlapic_highest_isr(lapic(0)), 0x90);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(take(0), -1);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(take(0), 0x80);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(take(0), 0x31);
	CHECK_EQ(rd(0, APIC_ISR + 0x10), 1u << 0x11);
	wr(0, APIC_EOI, 0);
	wr(0, APIC_EOI, 0); /* one too many */
	CHECK_EQ(vlapic_highest_isr(lapic(0)), -1);
	CHECK_EQ(vlapic_highest_irr(lapic(0)), -1);
}

static void task_priority_holds_back(void)
{
	rig_reset();
	wr(0, APIC_TPR, 0x55);
	CHECK_EQ(vlapic_get_cr8(lapic(0)), 5);
	CHECK_EQ(rd(0, APIC_PPR), 0x55);
	vlapic_post(lapic(0), 0x5f, false);
	CHECK_EQ(take(0), -1);
	vlapic_post(lapic(0), 0x60, false);
	CHECK_EQ(take(0), 0x60);
	CHECK_EQ(rd(0, APIC_PPR), 0x60);
	CHECK_EQ(rd(0, APIC_APR), 0x60);
	wr(0, APIC_EOI, 0);
	vlapic_set_cr8(lapic(0), 4);
	CHECK_EQ(rd(0, APIC_TPR), 0x40);
	CHECK_EQ(take(0), 0x5f);
}

static void level_interrupts_broadcast_their_eoi(void)
{
	rig_reset();
	vlapic_post(lapic(0), 0x41, false);
	CHECK_EQ(take(0), 0x41);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(rig_broadcasts, 0);
	lapic(0)->tmr_changed = false;
	vlapic_post(lapic(0), 0x41, true);
	CHECK_EQ(take(0), 0x41);
	CHECK(lapic(0)->tmr_changed);
	CHECK_EQ(rd(0, APIC_TMR + 0x20), 2);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(rig_broadcasts, 1);
	CHECK_EQ(rig_broadcast_vector, 0x41);
	vlapic_eoi_exit(lapic(0), 0x41);
	CHECK_EQ(rig_broadcasts, 2);
	vlapic_post(lapic(0), 0x41, false);
	CHECK_EQ(take(0), 0x41);
	CHECK_EQ(rd(0, APIC_TMR + 0x20), 0);
}

static void posting_kicks_once(void)
{
	rig_reset();
	vlapic_post(lapic(1), 0x41, false);
	vlapic_post(lapic(1), 0x41, false);
	CHECK_EQ(rig_events[1].kicks, 1);
	CHECK(vlapic_sync(lapic(1)));
	vlapic_post(lapic(1), 0x41, false);
	CHECK_EQ(rig_events[1].kicks, 2);
}

static void software_disable_masks_all(void)
{
	rig_reset();
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
	vlapic_post(lapic(0), 0x50, false);
	vlapic_sync(lapic(0));
	wr(0, APIC_SVR, 0xff);
	CHECK_EQ(rd(0, APIC_LVT_TIMER), TIMER_VECTOR | LVT_MASKED);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR); /* can't be unmasked now */
	CHECK_EQ(rd(0, APIC_LVT_TIMER), TIMER_VECTOR | LVT_MASKED);
	vlapic_post(lapic(0), 0x61, false);
	CHECK_EQ(take(0), 0x50); /* was accepted before */
	CHECK_EQ(take(0), -1);
	wr(0, APIC_SVR, 0x1ff);
	CHECK_EQ(rd(0, APIC_LVT_TIMER), TIMER_VECTOR | LVT_MASKED);
}

static void errors_show_after_a_write_to_esr(void)
{
	rig_reset();
	wr(0, APIC_LVT_ERROR, 0xfe);
	wr(0, APIC_ICR, 0x0004000f); /* self, vector 15 */
	CHECK_EQ(rd(0, APIC_ESR), 0);
	CHECK_EQ(take(0), 0xfe);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(rd(0, 0x010), 0); /* no such register; not re-armed, so no second interrupt */
	CHECK_EQ(take(0), -1);
	wr(0, APIC_ESR, 0);
	CHECK_EQ(rd(0, APIC_ESR), ESR_SEND_ILLEGAL | ESR_ILLEGAL_REGISTER);
	wr(0, APIC_ESR, 0);
	CHECK_EQ(rd(0, APIC_ESR), 0);
	vlapic_post(lapic(0), 3, false);
	CHECK_EQ(take(0), 0xfe);
	wr(0, APIC_ESR, 0xffffffff);
	CHECK_EQ(rd(0, APIC_ESR), ESR_RECV_ILLEGAL);
	wr(0, APIC_LVT_ERROR, 5); /* the error's own vector is an error */
	vlapic_post(lapic(0), 3, false);
	wr(0, APIC_ESR, 0);
	CHECK_EQ(rd(0, APIC_ESR), ESR_RECV_ILLEGAL);
}

static void registers_keep_only_their_bits(void)
{
	static const struct {
		unsigned reg;
		uint32_t kept;
	} row[] = {
		{APIC_TPR, 0xff},
		{APIC_LDR, 0xff000000},
		{APIC_DFR, 0xffffffff},
		{APIC_SVR, 0x3ff},
		{APIC_ICR_HIGH, 0xff000000},
		{APIC_LVT_TIMER, 0x700ff},
		{APIC_LVT_THERMAL, 0x107ff},
		{APIC_LVT_PERF, 0x107ff},
		{APIC_LVT_LINT0, 0x1a7ff},
		{APIC_LVT_LINT1, 0x1a7ff},
		{APIC_LVT_ERROR, 0x100ff},
		{APIC_TDCR, 0xb},
		{APIC_TMCCT, 0},
		{APIC_IRR, 0},
		{APIC_PPR, 0xf0},
	};

	rig_reset();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		wr(1, row[i].reg, 0xffffffff);
		if (row[i].reg != APIC_PPR)
			CHECK_EQ(rd(1, row[i].reg), row[i].kept);
	}
	wr(1, APIC_ID, 0xffffffff);
	CHECK_EQ(rd(1, APIC_ID), 1u << 24);
	wr(1, APIC_DFR, 0);
	CHECK_EQ(rd(1, APIC_DFR), 0x0fffffff);
	wr(1, APIC_ICR,
	   0xfff3dfff & ~0xc00u); /* fixed, all bits that can be; vector ff to nobody */
	CHECK_EQ(rd(1, APIC_ICR) & (1u << 12), 0);
}

static void odd_accesses_do_no_harm(void)
{
	uint64_t val;

	rig_reset();
	vlapic_mmio_read(lapic(2), APIC_ID + 3, 1, &val);
	CHECK_EQ(val, 0x12);
	vlapic_mmio_read(lapic(2), APIC_ID + 2, 2, &val);
	CHECK_EQ(val, 0x1200);
	vlapic_mmio_read(lapic(2), APIC_VERSION, 8, &val);
	CHECK_EQ(val, 0x50014);
	vlapic_mmio_read(lapic(2), APIC_VERSION + 4, 4, &val);
	CHECK_EQ(val, 0);
	vlapic_mmio_write(lapic(2), APIC_TPR, 1, 0x70);
	vlapic_mmio_write(lapic(2), APIC_TPR + 4, 4, 0x70);
	vlapic_mmio_write(lapic(2), APIC_TPR, 8, 0x70);
	CHECK_EQ(rd(2, APIC_TPR), 0);
	wr(2, 0xff0, 1);
	CHECK_EQ(rd(2, 0xffc), 0);
}

static void icr(unsigned cpu, uint32_t dest, uint32_t low)
{
	wr(cpu, APIC_ICR_HIGH, dest << 24);
	wr(cpu, APIC_ICR, low);
	CHECK_EQ(rd(cpu, APIC_ICR) & (1u << 12), 0);
}

static void xapic_destinations(void)
{
	rig_reset();
	icr(0, 0x12, 0x4070);
	CHECK_EQ(receivers(0x70), 1u << 2);
	icr(0, 0x33, 0x4070);
	CHECK_EQ(receivers(0x70), 0);
	icr(0, 0xff, 0x4070);
	CHECK_EQ(receivers(0x70), 0xf);
	icr(1, 0, 0x44070);
	CHECK_EQ(receivers(0x70), 2);
	icr(1, 0, 0x84070);
	CHECK_EQ(receivers(0x70), 0xf);
	icr(1, 0, 0xc4070);
	CHECK_EQ(receivers(0x70), 0xd);

	for (unsigned i = 0; i < RIG_CPUS; i++)
		wr(i, APIC_LDR, 0x01000000u << i);
	icr(0, 0x0a, 0x4870);
	CHECK_EQ(receivers(0x70), 0xa);
	icr(0, 0xf0, 0x4870);
	CHECK_EQ(receivers(0x70), 0);
	icr(0, 0xff, 0x4870);
	CHECK_EQ(receivers(0x70), 0xf);

	for (unsigned i = 0; i < RIG_CPUS; i++) {
		wr(i, APIC_DFR, 0);
		wr(i, APIC_LDR, (i / 2) << 28 | 0x01000000u << i % 2);
	}
	icr(0, 0x13, 0x4870);
	CHECK_EQ(receivers(0x70), 0xc);
	icr(0, 0x02, 0x4870);
	CHECK_EQ(receivers(0x70), 2);
	icr(0, 0x2f, 0x4870);
	CHECK_EQ(receivers(0x70), 0);
}

static void lowest_priority_goes_to_one(void)
{
	unsigned first;

	rig_reset();
	for (unsigned i = 0; i < RIG_CPUS; i++)
		wr(i, APIC_LDR, 0x01000000u << i);
	vlapic_deliver(0x0f, true, DELIVERY_LOWEST, 0x70, false);
	first = receivers(0x70);
	CHECK(first && !(first & (first - 1)));
	for (unsigned n = 0; n < 10; n++) {
		vlapic_deliver(0x0f, true, DELIVERY_LOWEST, 0x70, false);
		CHECK_EQ(receivers(0x70), first);
	}
	for (unsigned i = 0; i < RIG_CPUS; i++) {
		if (i != 3)
			wr(i, APIC_SVR, 0xff);
	}
	vlapic_deliver(0x0f, true, DELIVERY_LOWEST, 0x70, false);
	CHECK_EQ(receivers(0x70), 1u << 3);
}

static void x2apic_destinations(void)
{
	x2apic_all();
	CHECK_EQ(rdx(2, APIC_ID), 0x12);
	CHECK_EQ(rdx(2, APIC_LDR), 0x00010004);
	CHECK_EQ(rdx(3, APIC_LDR), 0x00020020);
	CHECK_EQ(wrx(0, APIC_ICR, 0x25ull << 32 | 0x4070), 0);
	CHECK_EQ(receivers(0x70), 1u << 3);
	CHECK_EQ(rdx(0, APIC_ICR), 0x25ull << 32 | 0x4070);
	CHECK_EQ(wrx(0, APIC_ICR, 0x00010005ull << 32 | 0x4870), 0);
	CHECK_EQ(receivers(0x70), 1u << 2);
	CHECK_EQ(wrx(0, APIC_ICR, 0x00000003ull << 32 | 0x4870), 0);
	CHECK_EQ(receivers(0x70), 3);
	CHECK_EQ(wrx(0, APIC_ICR, 0xffffffffull << 32 | 0x4870), 0);
	CHECK_EQ(receivers(0x70), 0xf);
	CHECK_EQ(wrx(0, APIC_ICR, 0xffull << 32 | 0x4070), 0); /* an ID like any other */
	CHECK_EQ(receivers(0x70), 0);
	vlapic_deliver(0xff, false, DELIVERY_FIXED, 0x70, false); /* an MSI's broadcast */
	CHECK_EQ(receivers(0x70), 0xf);
	CHECK_EQ(wrx(2, APIC_SELF_IPI, 0x70), 0);
	CHECK_EQ(receivers(0x70), 4);
	CHECK_EQ(wrx(2, APIC_SELF_IPI, 7), 0);
	CHECK_EQ(wrx(2, APIC_ESR, 0), 0);
	CHECK_EQ(rdx(2, APIC_ESR), ESR_SEND_ILLEGAL);
}

static void init_sipi_nmi_reach_the_vcpu(void)
{
	rig_reset();
	icr(0, 1, 0xc500); /* INIT, level, assert */
	icr(0, 1, 0x8500); /* de-assert */
	icr(0, 1, 0x4699);
	icr(0, 1, 0x4400);
	CHECK_EQ(rig_events[1].inits, 1);
	CHECK_EQ(rig_events[1].sipis, 1);
	CHECK_EQ(rig_events[1].sipi_vector, 0x99);
	CHECK_EQ(rig_events[1].nmis, 1);
	icr(0, 0, 0xc4400); /* NMI to all others */
	CHECK_EQ(rig_events[0].nmis, 0);
	CHECK_EQ(rig_events[2].nmis + rig_events[3].nmis, 2);
	icr(0, 1, 0x4200); /* SMI, reserved and ExtINT do nothing */
	icr(0, 1, 0x4370);
	icr(0, 1, 0x4770);
	CHECK_EQ(receivers(0), 0);
	wr(2, APIC_SVR, 0xff); /* software-disabled: INIT still gets through */
	icr(0, 0x12, 0x4500);
	CHECK_EQ(rig_events[2].inits, 1);
	vlapic_init_reset(lapic(1));
	CHECK_EQ(rd(1, APIC_ID), 1u << 24);
	CHECK_EQ(rd(1, APIC_SVR), 0xff);
}

static void apic_base_transitions(void)
{
	enum { OFF, X, X2, BAD, MODES };
	static const uint64_t value[MODES] = {LAPIC_BASE, XAPIC, X2APIC, LAPIC_BASE | BASE_EXTD};
	static const bool legal[3][MODES] = {
		[OFF] = {true, true, false, false},
		[X] = {true, true, true, false},
		[X2] = {true, false, true, false},
	};
	uint64_t val;

	for (unsigned from = 0; from < 3; from++) {
		for (unsigned to = 0; to < MODES; to++) {
			rig_reset();
			if (from != X)
				CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, value[from]), 0);
			CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, value[to]),
				 legal[from][to] ? 0 : -EINVAL);
			CHECK_EQ(vlapic_rdmsr(lapic(0), MSR_BASE, &val), 0);
			CHECK_EQ(val, value[legal[from][to] ? to : from] | BASE_BSP);
		}
	}
	rig_reset();
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, XAPIC | 0x200), -EINVAL);
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, XAPIC | 1), -EINVAL);
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, XAPIC + 0x1000), -EINVAL);
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, XAPIC | 1ull << 40), -EINVAL);
	wr(0, APIC_TPR, 0x30);
	vlapic_post(lapic(0), 0x70, false);
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, LAPIC_BASE),
		 0); /* off: forgets all, hears nothing */
	CHECK_EQ(rd(0, APIC_SVR), 0xffffffff);
	vlapic_post(lapic(0), 0x71, false);
	icr(1, 0, 0x4500);
	CHECK_EQ(rig_events[0].inits, 0);
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, XAPIC), 0);
	CHECK_EQ(take(0), -1);
	CHECK_EQ(rd(0, APIC_TPR), 0);
	CHECK_EQ(rd(0, APIC_SVR), 0xff);
}

static void x2apic_keeps_xapic_state(void)
{
	rig_reset();
	wr(0, APIC_TPR, 0x30);
	wr(0, APIC_ICR_HIGH, 0x55000000);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
	wr(0, APIC_TMICT, 5000000);
	rig_jump(1000000);
	CHECK_EQ(vlapic_wrmsr(lapic(0), MSR_BASE, X2APIC), 0);
	CHECK_EQ(rdx(0, APIC_TPR), 0x30);
	CHECK_EQ(rdx(0, APIC_ICR), 0);
	CHECK_EQ(rdx(0, APIC_TMCCT), 4500000);
	CHECK_EQ(rdx(0, APIC_SVR), 0x1ff);
	CHECK_EQ(rd(0, APIC_TPR), 0xffffffff); /* the page is gone */
	wr(0, APIC_TPR, 0);
	CHECK_EQ(rdx(0, APIC_TPR), 0x30);
}

static void x2apic_faults_on_reserved(void)
{
	static const struct {
		unsigned reg;
		uint64_t good, bad;
	} row[] = {
		{APIC_TPR, 0xff, 0x100},
		{APIC_EOI, 0, 1},
		{APIC_SVR, 0x1ff, 0x1000},
		{APIC_ESR, 0, 1},
		{APIC_ICR, 0xffffffff000c4070, 0x2000},
		{APIC_ICR, 0x4070, 0x100000},
		{APIC_LVT_TIMER, 0x50060, 0x100},
		{APIC_LVT_THERMAL, 0x10760, 0x8000},
		{APIC_LVT_LINT0, 0x1f760, 0x20000},
		{APIC_LVT_ERROR, 0x11060, 0x200},
		{APIC_TMICT, 0xffffffff, 0x100000000},
		{APIC_TDCR, 0xb, 4},
		{APIC_SELF_IPI, 0x70, 0x100},
	};
	static const unsigned read_only[] = {APIC_ID,  APIC_VERSION,	APIC_PPR, APIC_LDR,
					     APIC_ISR, APIC_TMR + 0x70, APIC_IRR, APIC_TMCCT};
	static const unsigned absent[] = {0,	 APIC_APR, APIC_RRD, APIC_DFR, APIC_ICR_HIGH,
					  0x2f0, 0x3a0,	   0x400,    0xff0};
	uint64_t val;

	x2apic_all();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		CHECK_EQ(wrx(0, row[i].reg, row[i].good), 0);
		CHECK_EQ(wrx(0, row[i].reg, row[i].bad), -EINVAL);
		if (row[i].reg != APIC_ICR)
			CHECK_EQ(wrx(0, row[i].reg, row[i].good | 1ull << 32), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
		CHECK_EQ(vlapic_rdmsr(lapic(0), MSR_X2(read_only[i]), &val), 0);
		CHECK_EQ(wrx(0, read_only[i], 0), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		CHECK_EQ(vlapic_rdmsr(lapic(0), MSR_X2(absent[i]), &val), -EINVAL);
		CHECK_EQ(wrx(0, absent[i], 0), -EINVAL);
	}
	CHECK_EQ(vlapic_rdmsr(lapic(0), MSR_X2(APIC_EOI), &val), -EINVAL);
	CHECK_EQ(vlapic_rdmsr(lapic(0), MSR_X2(APIC_SELF_IPI), &val), -EINVAL);
	rig_reset();
	CHECK_EQ(vlapic_rdmsr(lapic(0), MSR_X2(APIC_ID), &val), -EINVAL);
	CHECK_EQ(wrx(0, APIC_TPR, 0), -EINVAL);
}

/* --- LINT0 --- */

static void extint_comes_through_lint0(void)
{
	rig_reset();
	intr(true);
	CHECK(!vlapic_extint(lapic(0)));
	CHECK_EQ(rig_events[0].kicks, 0);
	vlapic_virtual_wire(lapic(0));
	CHECK(vlapic_extint(lapic(0)) && !vlapic_extint(lapic(1)));
	intr(false);
	CHECK(!vlapic_extint(lapic(0)));
	intr(true);
	CHECK_EQ(rig_events[0].kicks, 1);
	CHECK_EQ(rig_events[1].kicks, 0);
	wr(0, APIC_LVT_LINT0, 0x10700);
	CHECK(!vlapic_extint(lapic(0)));
	vlapic_wrmsr(lapic(0), MSR_BASE, LAPIC_BASE); /* off: the boot CPU's pin is INTR */
	vlapic_wrmsr(lapic(1), MSR_BASE, LAPIC_BASE);
	CHECK(vlapic_extint(lapic(0)) && !vlapic_extint(lapic(1)));
}

/* A message, and one acknowledge cycle for it, whatever LINT0 is programmed for. */
static void extint_comes_as_a_message(void)
{
	rig_reset();
	vlapic_deliver(lapic(1)->id, false, DELIVERY_EXTINT, 0x55, false);
	CHECK(vlapic_extint(lapic(1)) && !vlapic_extint(lapic(0)));
	CHECK_EQ(rig_events[1].kicks, 1);
	CHECK(!vlapic_sync(lapic(1)));
	CHECK_EQ(vlapic_intack(lapic(1)), 0x33);
	CHECK(!vlapic_extint(lapic(1)));
	vlapic_init_reset(lapic(1)); /* software-disabled: it takes none */
	vlapic_deliver(lapic(1)->id, false, DELIVERY_EXTINT, 0x55, false);
	CHECK(!vlapic_extint(lapic(1)));
	wr(0, APIC_ICR, 0x44700); /* "reserved" as an IPI: to itself */
	CHECK(!vlapic_extint(lapic(0)));
}

static void lint0_delivers_by_its_mode(void)
{
	rig_reset();
	wr(0, APIC_LVT_LINT0, DELIVERY_NMI << 8);
	wr(1, APIC_LVT_LINT0, 0x55);
	wr(2, APIC_LVT_LINT0, 0x56 | LVT_LEVEL);
	intr(true);
	for (unsigned i = 0; i < RIG_CPUS; i++)
		vlapic_sync(lapic(i));
	CHECK_EQ(rig_events[0].nmis, 1);
	CHECK_EQ(take(1), 0x55);
	CHECK_EQ(take(2), 0x56);
	CHECK_EQ(rd(2, APIC_LVT_LINT0), 0x56 | LVT_LEVEL | LVT_REMOTE_IRR);
	wr(1, APIC_EOI, 0);
	wr(2, APIC_EOI, 0);
	CHECK_EQ(take(1), -1);
	CHECK_EQ(take(2), 0x56); /* still up */
	intr(false);
	wr(2, APIC_EOI, 0);
	CHECK_EQ(take(2), -1);
	CHECK_EQ(rd(2, APIC_LVT_LINT0), 0x56 | LVT_LEVEL);
}

/* --- APIC-write exits: the value is in the page before anybody looks --- */

static void landed(unsigned reg, uint32_t val)
{
	reg_set(lapic(0), reg, val);
	vlapic_apic_write(lapic(0), reg);
}

static void apic_write_exits_have_the_side_effects(void)
{
	rig_reset();
	landed(APIC_ID, 0x77000000);
	CHECK_EQ(rd(0, APIC_ID), 0);
	landed(APIC_DFR, 0);
	CHECK_EQ(rd(0, APIC_DFR), 0x0fffffff);
	landed(APIC_LVT_TIMER, 0xfffc0000 | LVT_MASKED | TIMER_VECTOR);
	CHECK_EQ(rd(0, APIC_LVT_TIMER), 0x50000 | TIMER_VECTOR);
	landed(APIC_LVT_TIMER, TIMER_VECTOR);
	landed(APIC_TDCR, 0xb);
	landed(APIC_TMICT, 5000);
	CHECK_EQ(rig_advance(5000), 1);
	landed(APIC_TMICT, 5000);
	landed(APIC_LVT_TIMER, TIMER_VECTOR | TIMER_DEADLINE << 17);
	CHECK_EQ(rd(0, APIC_TMICT), 0);
	CHECK_EQ(rig_advance(10000), 0);
	landed(APIC_TMICT, 5000);
	CHECK_EQ(rd(0, APIC_TMICT), 0);
	CHECK_EQ(take(0), TIMER_VECTOR);
	landed(APIC_EOI, 0x1234);
	CHECK_EQ(vlapic_highest_isr(lapic(0)), -1);
	landed(APIC_ICR_HIGH, 0x12000000);
	landed(APIC_ICR, 0x4070);
	CHECK_EQ(receivers(0x70), 4);
	landed(APIC_ICR, 0x4002);
	landed(APIC_ESR, 0x55);
	CHECK_EQ(rd(0, APIC_ESR), ESR_SEND_ILLEGAL);
	landed(APIC_SVR, 0xff);
	CHECK_EQ(rd(0, APIC_LVT_TIMER), 0x50000 | TIMER_VECTOR);
	landed(0xff0, 1);
}

int main(void)
{
	RUN(reset_state_is_the_manuals);
	RUN(higher_vectors_come_first);
	RUN(task_priority_holds_back);
	RUN(level_interrupts_broadcast_their_eoi);
	RUN(posting_kicks_once);
	RUN(software_disable_masks_all);
	RUN(errors_show_after_a_write_to_esr);
	RUN(registers_keep_only_their_bits);
	RUN(odd_accesses_do_no_harm);
	RUN(xapic_destinations);
	RUN(lowest_priority_goes_to_one);
	RUN(x2apic_destinations);
	RUN(init_sipi_nmi_reach_the_vcpu);
	RUN(apic_base_transitions);
	RUN(x2apic_keeps_xapic_state);
	RUN(x2apic_faults_on_reserved);
	RUN(extint_comes_through_lint0);
	RUN(extint_comes_as_a_message);
	RUN(lint0_delivers_by_its_mode);
	RUN(apic_write_exits_have_the_side_effects);
	return check_result();
}
