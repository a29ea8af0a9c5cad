/* build: hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Its timer, against SDM vol. 3, "APIC Timer". */
#include "test/unit/lapic_access.h"

static void one_shot_fires_once_on_time(void)
{
	rig_reset();
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
	wr(0, APIC_TDCR, 0x3); /* by 16 */
	rig_jump(1000);
	wr(0, APIC_TMICT, 1000);
	CHECK_EQ(rd(0, APIC_TMCCT), 1000);
	CHECK_EQ(rig_advance(1000 + 8000), 0);
	CHECK_EQ(rd(0, APIC_TMCCT), 500);
	CHECK_EQ(rig_advance(1000 + 15999), 0);
	CHECK_EQ(rd(0, APIC_TMCCT), 1);
	CHECK_EQ(rig_advance(1000 + 16000), 1);
	CHECK_EQ(take(0), TIMER_VECTOR);
	CHECK_EQ(rd(0, APIC_TMCCT), 0);
	CHECK_EQ(rd(0, APIC_TMICT), 1000);
	CHECK_EQ(rig_advance(1000000), 0);
	CHECK_EQ(take(0), -1);
}

static void every_divider_divides(void)
{
	static const struct {
		uint32_t code, by;
	} row[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		rig_reset();
		wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
		wr(0, APIC_TDCR, row[i].code);
		wr(0, APIC_TMICT, 100000);
		CHECK_EQ(rig_advance(100000ull * row[i].by - 1), 0);
		CHECK_EQ(take(0), -1);
		CHECK_EQ(rd(0, APIC_TMCCT), 1);
		CHECK_EQ(rig_advance(100000ull * row[i].by), 1);
		CHECK_EQ(take(0), TIMER_VECTOR);
	}
	rig_reset(); /* the longest */
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
	wr(0, APIC_TDCR, 10);
	wr(0, APIC_TMICT, 0xffffffff);
	CHECK_EQ(rd(0, APIC_TMCCT), 0xffffffff);
	CHECK_EQ(rig_advance(0xffffffffull * 128 - 1), 0);
	CHECK_EQ(rig_advance(0xffffffffull * 128), 1);
}

static void periodic_timers_do_not_drift(void)
{
	const uint64_t period = 1000003;

	rig_reset();
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_PERIODIC << 17);
	wr(0, APIC_TDCR, 0xb);
	wr(0, APIC_TMICT, (uint32_t)period);
	for (uint64_t n = 1; n <= 1000; n++) {
		uint64_t late = n * 7919 % period; /* served late, by any part of a period */

		CHECK_EQ(rig_advance(n * period - 1), 0);
		CHECK_EQ(take(0), -1);
		rig_jump(n * period + late);
		CHECK_EQ(rd(0, APIC_TMCCT), period - late);
		rig_run_timers();
		CHECK_EQ(take(0), TIMER_VECTOR);
		wr(0, APIC_EOI, 0);
		CHECK_EQ(rd(0, APIC_TMCCT), period - late);
	}
	rig_jump(1010 * period + 5); /* ten are missed: one interrupt, and in phase again */
	rig_run_timers();
	CHECK_EQ(take(0), TIMER_VECTOR);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(take(0), -1);
	CHECK_EQ(rig_advance(1011 * period - 1), 0);
	CHECK_EQ(rig_advance(1011 * period), 1);
	wr(0, APIC_TMICT, 0);
	CHECK_EQ(rig_advance(2000 * period), 0);
	CHECK_EQ(rd(0, APIC_TMCCT), 0);
}

static void short_periods_do_not_flood_the_host(void)
{
	static const uint32_t count[] = {1, 2, 999, 49999};

	for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
		unsigned stops;

		rig_reset();
		wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_PERIODIC << 17);
		wr(0, APIC_TDCR, 0xb);
		wr(0, APIC_TMICT, count[i]);
		stops = rig_advance(10000000);
		CHECK(stops >= 100 && stops <= 202);
		CHECK_EQ(take(0), TIMER_VECTOR);
		CHECK_EQ(lapic(0)->timer_deadline.v % count[i], 0); /* still in phase */
		CHECK(rd(0, APIC_TMCCT) >= 1 && rd(0, APIC_TMCCT) <= count[i]);
		wr(0, APIC_LVT_TIMER, TIMER_VECTOR); /* one-shot: ends with the current period */
		CHECK_EQ(rig_advance(10000000 + count[i]), 1);
		CHECK_EQ(rig_advance(20000000), 0);
	}
}

static void divider_and_mode_change_under_way(void)
{
	rig_reset();
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
	wr(0, APIC_TDCR, 0xb);
	wr(0, APIC_TMICT, 1000000);
	rig_jump(400000);
	wr(0, APIC_TDCR, 0); /* 600000 counts to go, by 2 */
	CHECK_EQ(rd(0, APIC_TMCCT), 600000);
	CHECK_EQ(rig_advance(1000000), 0);
	CHECK_EQ(rd(0, APIC_TMCCT), 300000);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_PERIODIC << 17);
	CHECK_EQ(rd(0, APIC_TMCCT), 300000);
	CHECK_EQ(rig_advance(1600000), 1);
	CHECK_EQ(rd(0, APIC_TMCCT), 1000000);
	CHECK_EQ(rig_advance(3599999), 0);
	CHECK_EQ(rig_advance(3600000), 1);
	CHECK_EQ(take(0), TIMER_VECTOR);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_DEADLINE << 17); /* disarms */
	CHECK_EQ(rd(0, APIC_TMICT), 0);
	CHECK_EQ(rd(0, APIC_TMCCT), 0);
	wr(0, APIC_TMICT, 77); /* ignored */
	CHECK_EQ(rd(0, APIC_TMICT), 0);
	CHECK_EQ(rig_advance(10000000), 0);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_RESERVED << 17);
	wr(0, APIC_TMICT, 77);
	CHECK_EQ(rig_advance(20000000), 0);
}

static void masked_timers_expire_silently(void)
{
	rig_reset();
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | LVT_MASKED);
	wr(0, APIC_TMICT, 1000);
	rig_advance(10000);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR);
	CHECK_EQ(take(0), -1);
	CHECK_EQ(rd(0, APIC_TMCCT), 0);
	wr(0, APIC_LVT_TIMER, 9); /* illegal vector */
	wr(0, APIC_TMICT, 1000);
	rig_advance(20000);
	wr(0, APIC_ESR, 0);
	CHECK_EQ(rd(0, APIC_ESR), ESR_RECV_ILLEGAL);
}

static uint64_t deadline(unsigned cpu)
{
	uint64_t val = 0xbad;

	CHECK_EQ(vlapic_rdmsr(lapic(cpu), MSR_DEADLINE, &val), 0);
	return val;
}

static void tsc_deadline_compares_the_guests_tsc(void)
{
	rig_reset();
	rig_jump(1000000);
	vlapic_wrmsr(lapic(0), MSR_DEADLINE,
		     node_ticks() + 1000); /* not in deadline mode: ignored */
	CHECK_EQ(deadline(0), 0);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_DEADLINE << 17);
	rig_vcpu[0].tsc_adjust = (uint64_t)-123456789;
	for (uint64_t n = 1; n < 2000; n += 7) {
		uint64_t tsc = node_ticks() + rig_vcpu[0].tsc_adjust, at = tsc + n;

		vlapic_wrmsr(lapic(0), MSR_DEADLINE, at);
		CHECK_EQ(deadline(0), at);
		rig_jump(vtimerq_next(&rig_queue[0]).v - 1);
		rig_run_timers();
		CHECK_EQ(take(0), -1);
		CHECK_EQ(rig_advance(vtimerq_next(&rig_queue[0]).v), 1);
		tsc = node_ticks() + rig_vcpu[0].tsc_adjust;
		CHECK(tsc >= at && tsc - at <= RIG_HZ / NSEC_PER_SEC + 1);
		CHECK_EQ(deadline(0), 0);
		CHECK_EQ(take(0), TIMER_VECTOR);
		wr(0, APIC_EOI, 0);
	}
}

static void tsc_deadline_edge_cases(void)
{
	rig_reset();
	rig_jump(1000000);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_DEADLINE << 17);
	vlapic_wrmsr(lapic(0), MSR_DEADLINE, 1); /* long ago */
	CHECK_EQ(take(0), TIMER_VECTOR);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(deadline(0), 0);
	vlapic_wrmsr(lapic(0), MSR_DEADLINE, node_ticks() + 100000);
	vlapic_wrmsr(lapic(0), MSR_DEADLINE, 0); /* disarm */
	CHECK_EQ(rig_advance(10000000), 0);
	vlapic_wrmsr(lapic(0), MSR_DEADLINE, UINT64_MAX); /* never */
	CHECK_EQ(rig_advance(100 * NSEC_PER_SEC), 0);
	CHECK_EQ(deadline(0), UINT64_MAX);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR); /* leaving the mode disarms */
	CHECK_EQ(deadline(0), 0);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_DEADLINE << 17);
	CHECK_EQ(deadline(0), 0);
	vlapic_wrmsr(lapic(0), MSR_DEADLINE, node_ticks() + RIG_HZ);
	rig_vcpu[0].tsc_adjust = RIG_HZ * 2; /* the guest moved its TSC past it */
	vlapic_wrmsr(lapic(0), MSR_DEADLINE, deadline(0));
	CHECK_EQ(take(0), TIMER_VECTOR);
}

int main(void)
{
	RUN(one_shot_fires_once_on_time);
	RUN(every_divider_divides);
	RUN(periodic_timers_do_not_drift);
	RUN(short_periods_do_not_flood_the_host);
	RUN(divider_and_mode_change_under_way);
	RUN(masked_timers_expire_silently);
	RUN(tsc_deadline_compares_the_guests_tsc);
	RUN(tsc_deadline_edge_cases);
	return check_result();
}
