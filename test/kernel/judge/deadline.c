// SPDX-License-Identifier: GPL-2.0-or-later
/* The local APIC's timer in TSC-deadline mode (SDM vol. 3, "TSC-Deadline Mode"). */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x42

static void arm(uint64_t deadline)
{
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	asm volatile("mfence" : : : "memory"); /* xAPIC: the mode before the deadline */
	wrmsr(MSR_TSC_DEADLINE, deadline);
}

static void future(void)
{
	uint64_t due = rdtsc() + ticks(2000), at;
	int64_t off;

	arm(due);
	EXPECT(rdmsr(MSR_TSC_DEADLINE) == due, "the MSR holds %lx, not %lx",
	       rdmsr(MSR_TSC_DEADLINE), due);
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	at = my_log()->first[0].tsc;
	EXPECT(at >= due, "%lu ticks early", due - at);
	off = off_time(at, (struct moment){due, due}, 0);
	EXPECT(off == 0, "%ld us off", off);
	delay(3000);
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

static void past(void)
{
	struct moment armed;
	int64_t off;

	irq_on();
	armed = DURING(arm(rdtsc() - ticks(1000)));
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	off = off_time(my_log()->first[0].tsc, armed, 0);
	EXPECT(off == 0, "%ld us off", off);
	wrmsr(MSR_TSC_DEADLINE, 1);
	EXPECT(WAIT(taken(VECTOR) == 2), "no interrupt at 1");
}

static void none_after(uint64_t us)
{
	irq_on();
	delay(us);
	asm volatile("cli");
	EXPECT(taken(VECTOR) == 0, "%u interrupts", taken(VECTOR));
}

static void zero_disarms(void)
{
	arm(rdtsc() + ticks(1000));
	wrmsr(MSR_TSC_DEADLINE, 0);
	none_after(2000);
}

/* "Transitioning between TSC-deadline mode and other timer modes also disarms the timer." */
static void mode_disarms(void)
{
	static const uint32_t mode[] = {0, LVT_PERIODIC};

	for (unsigned i = 0; i < 2; i++) {
		arm(rdtsc() + ticks(1000));
		apic_write(APIC_LVT_TIMER, mode[i] | VECTOR);
		none_after(2000);
		EXPECT(apic_read(APIC_TMCCT) == 0, "current count %x", apic_read(APIC_TMCCT));
		/* and back: not armed again */
		apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
		none_after(1000);
	}
}

static void count_disarmed(void)
{
	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TMICT, (uint32_t)(apic_timer_hz() / 1000));
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	EXPECT(apic_read(APIC_TMCCT) == 0, "current count %x", apic_read(APIC_TMCCT));
	none_after(2000);
}

/* In the other modes WRMSR is ignored and RDMSR gives 0. */
static void other_modes(void)
{
	static const uint32_t mode[] = {0, LVT_PERIODIC};

	for (unsigned i = 0; i < 2; i++) {
		apic_write(APIC_LVT_TIMER, mode[i] | VECTOR);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks(500));
		EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0, "the MSR holds %lx", rdmsr(MSR_TSC_DEADLINE));
		none_after(1000);
	}
}

/* In TSC-deadline mode writes to the initial count are ignored, and the current count reads 0. */
static void count_ignored(void)
{
	uint64_t due = rdtsc() + ticks(2000);

	arm(due);
	apic_write(APIC_TMICT, (uint32_t)(apic_timer_hz() / 2000));
	EXPECT(apic_read(APIC_TMCCT) == 0, "current count %x", apic_read(APIC_TMCCT));
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	EXPECT(my_log()->first[0].tsc >= due, "an interrupt by the count");
}

static void rearm(void)
{
	uint64_t now = rdtsc(), due = now + ticks(1500), at;

	arm(now + ticks(500));
	wrmsr(MSR_TSC_DEADLINE, due);
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	at = my_log()->first[0].tsc;
	EXPECT(at >= due, "at the earlier deadline");
	now = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, now + ticks(3000));
	wrmsr(MSR_TSC_DEADLINE, now + ticks(300));
	EXPECT(WAIT(taken(VECTOR) == 2), "no second interrupt");
	EXPECT(off_time(my_log()->first[1].tsc, (struct moment){now, now}, ticks(300)) == 0,
	       "at the later deadline");
}

/* The deadline passes though the interrupt is masked. */
static void masked(void)
{
	apic_write(APIC_LVT_TIMER, LVT_MASKED | LVT_DEADLINE | VECTOR);
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks(500));
	delay(1500);
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	none_after(500);
}

/* When the timer interrupts, or would but for its mask, it clears the MSR. */
static void clears_msr(void)
{
	arm(rdtsc() + ticks(500));
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0, "it holds %lx afterwards", rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - ticks(500));
	EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0, "a past deadline stays: %lx", rdmsr(MSR_TSC_DEADLINE));
	apic_write(APIC_LVT_TIMER, LVT_MASKED | LVT_DEADLINE | VECTOR);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks(500));
	delay(1000);
	EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0, "masked: it holds %lx", rdmsr(MSR_TSC_DEADLINE));
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks(5000));
	apic_write(APIC_LVT_TIMER, VECTOR);
	EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0, "another mode: it holds %lx", rdmsr(MSR_TSC_DEADLINE));
}

const struct check deadline_checks[] = {
	{"future", future, NEED_DEADLINE},
	{"past", past, NEED_DEADLINE},
	{"zero-disarms", zero_disarms, NEED_DEADLINE},
	{"mode-disarms", mode_disarms, NEED_DEADLINE},
	{"count-disarmed", count_disarmed, NEED_DEADLINE},
	{"other-modes", other_modes, NEED_DEADLINE},
	{"count-ignored", count_ignored, NEED_DEADLINE},
	{"rearm", rearm, NEED_DEADLINE},
	{"masked", masked, NEED_DEADLINE},
	{"clears-msr", clears_msr, NEED_DEADLINE},
	{0},
};
