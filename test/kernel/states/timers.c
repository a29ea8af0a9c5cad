// SPDX-License-Identifier: GPL-2.0-or-later
/* Timers that are running: they come when they are due in the guest's time. */
#include "test/kernel/states/states.h"

#define SHORT_US (jitter ? 40000u : 2000u) /* in real time 2 ms may pass at once */
#define BEFORE	 4			   /* interrupts until the freeze */
#define PERIODS	 8

static void wait_until_taken(uint8_t vector, unsigned n)
{
	irq_on();
	EXPECT(WAIT(taken(vector) >= n), "vector %x came %u times, wanted %u", vector,
	       taken(vector), n);
	asm volatile("cli");
}

/* The same for what takes seconds: nothing else wakes the CPU. */
static void sleep_until_taken(uint8_t vector, unsigned n)
{
	while (taken(vector) < n)
		seq_halt();
}

/* Interrupts of a periodic source lie on a grid, which the first `before` show: each may be late by
 * what the node did meanwhile (in real time by what the host did), the earliest counts. Of those
 * that follow, up to `periods`, none is early, and `late` says how late the latest is. */
static void check_grid(uint8_t vector, uint64_t period_ns, unsigned before, unsigned periods)
{
	const struct irq_log *l = my_log();
	uint64_t period = period_ns * (tsc_hz / 1000) / 1000000;
	uint64_t start = l->first[0].tsc, latest = 0, slack = jitter ? period : ticks(20);

	for (unsigned i = 1; i < before; i++)
		if (l->first[i].tsc - i * period < start)
			start = l->first[i].tsc - i * period;
	for (unsigned i = before; i <= periods; i++) {
		uint64_t due = start + i * period, at = l->first[i].tsc;

		EXPECT(l->first[i].vector == vector, "vector %x", l->first[i].vector);
		EXPECT(at + slack >= due, "%lu ticks early at the %u. period", due - at, i);
		if (at > due && at - due > latest)
			latest = at - due;
	}
	say("due", start + before * period); /* the next one */
	say("late", latest);
}

/* --- the local APIC's --- */

static void one_shot(void)
{
	uint64_t due = start_timer(TIMER, argument("us", SHORT_US)), before, after;
	uint32_t count, left;

	before = rdtsc();
	count = apic_read(APIC_TMCCT);
	here();
	left = apic_read(APIC_TMCCT);
	after = rdtsc();
	/* what the count has lost is what the TSC has gained; in real time it may have run out */
	EXPECT((jitter && !left) || (left < count &&
				     (count - left) * (tsc_hz / 1000) / 1000000 <= after - before),
	       "the count went from %u to %u in %lu ticks", count, left, after - before);
	wait_until_taken(TIMER, 1);
	check_due(TIMER, due);
	EXPECT(apic_read(APIC_TMCCT) == 0, "the count goes on");
}

static void periodic(void)
{
	uint64_t us = argument("us", SHORT_US);

	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | TIMER);
	apic_write(APIC_TMICT, (uint32_t)us * 1000);
	wait_until_taken(TIMER, BEFORE);
	here();
	wait_until_taken(TIMER, PERIODS);
	check_grid(TIMER, us * 1000, BEFORE, PERIODS - 1);
}

static void deadline(void)
{
	uint64_t due;

	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | TIMER);
	asm volatile("mfence" : : : "memory");
	due = rdtsc() + ticks(argument("us", SHORT_US));
	wrmsr(MSR_TSC_DEADLINE, due);
	here();
	EXPECT(taken(TIMER) || rdtsc() >= due || rdmsr(MSR_TSC_DEADLINE) == due || rdtsc() >= due,
	       "the deadline is %lx, was %lx", rdmsr(MSR_TSC_DEADLINE), due);
	wait_until_taken(TIMER, 1);
	check_due(TIMER, due);
	EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0, "still armed");
}

/* A deadline in the past: at once, and once. */
static void deadline_past(void)
{
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | TIMER);
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1);
	here();
	EXPECT(apic_bit(APIC_IRR, TIMER), "not pending");
	wait_until_taken(TIMER, 1);
	delay(100);
	EXPECT(taken(TIMER) == 1, "came %u times", taken(TIMER));
}

/* Masked while it runs out: nothing comes. */
static void masked(void)
{
	uint64_t us = argument("us", SHORT_US);

	start_timer(TIMER, us);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | TIMER);
	here();
	delay(2 * us);
	apic_write(APIC_LVT_TIMER, TIMER);
	let_in();
	EXPECT(my_log()->total == 0, "it came");
}

const struct scenario timer_scenarios[] = {{"one-shot", one_shot}, {"periodic", periodic},
					   {"deadline", deadline}, {"deadline-past", deadline_past},
					   {"masked", masked},	   {0}};

/* --- the board's --- */

static void pit(void)
{
	uint64_t us = argument("us", SHORT_US), due;
	uint64_t count = us * PIT_HZ / 1000000;

	ioapic_route(PIT_PIN, DEVICE, (uint8_t)apic_id());
	due = rdtsc() + count * (tsc_hz / 1000) / (PIT_HZ / 1000 + 1);
	pit_program(0, 0, (uint16_t)count);
	here();
	wait_until_taken(DEVICE, 1);
	check_due(DEVICE, due);
}

static void pit_periodic(void)
{
	uint64_t count = argument("us", SHORT_US) * PIT_HZ / 1000000;

	ioapic_route(PIT_PIN, DEVICE, (uint8_t)apic_id());
	pit_program(0, 2, (uint16_t)count);
	wait_until_taken(DEVICE, BEFORE);
	here();
	wait_until_taken(DEVICE, PERIODS);
	check_grid(DEVICE, count * 1000000000 / PIT_HZ, BEFORE, PERIODS - 1);
}

#define HPET_CONF   0x010
#define HPET_COUNT  0x0f0
#define HPET_T0	    0x100
#define HPET_T0_CMP 0x108
#define HPET_NS	    10 /* this board's */
enum {
	HPET_ENABLE = 1 << 2,
	HPET_PERIODIC = 1 << 3,
	HPET_SET = 1 << 6,
	HPET_ROUTE_SHIFT = 9,
	HPET_ROUTES_SHIFT = 32
};

static void start_hpet(uint32_t conf, uint64_t us)
{
	unsigned pin = (unsigned)__builtin_ctz((unsigned)(hpet_read(HPET_T0) >> HPET_ROUTES_SHIFT));

	ioapic_route(pin, DEVICE, (uint8_t)apic_id());
	hpet_write(HPET_COUNT, 0);
	hpet_write(HPET_T0, pin << HPET_ROUTE_SHIFT | HPET_ENABLE | conf);
	hpet_write(HPET_T0_CMP, us * 1000 / HPET_NS);
	if (conf & HPET_PERIODIC)
		hpet_write(HPET_T0_CMP, us * 1000 / HPET_NS);
}

static void hpet(void)
{
	uint64_t us = argument("us", SHORT_US), due;

	start_hpet(0, us);
	due = rdtsc() + ticks(us);
	hpet_write(HPET_CONF, 1);
	here();
	wait_until_taken(DEVICE, 1);
	check_due(DEVICE, due);
}

static void hpet_periodic(void)
{
	uint64_t us = argument("us", SHORT_US);

	start_hpet(HPET_PERIODIC | HPET_SET, us);
	hpet_write(HPET_CONF, 1);
	wait_until_taken(DEVICE, BEFORE);
	here();
	wait_until_taken(DEVICE, PERIODS);
	check_grid(DEVICE, us * 1000, BEFORE, PERIODS - 1);
}

#define RTC_1024_HZ 6
#define RTC_24H	    2

static void rtc_serve(struct trap_frame *f)
{
	(void)f;
	rtc_read(RTC_C);
	apic_eoi();
}

/* Register A's rate gives 2^15 Hz >> (rs - 1). */
static void rtc(void)
{
	irq_handle(DEVICE, rtc_serve);
	ioapic_route(RTC_IRQ, DEVICE, (uint8_t)apic_id());
	rtc_periodic(RTC_1024_HZ);
	wait_until_taken(DEVICE, BEFORE);
	here();
	wait_until_taken(DEVICE, PERIODS);
	check_grid(DEVICE, 1000000000 / 1024, BEFORE, PERIODS - 1);
}

#define SECONDS_BEFORE 3
#define SECONDS	       5

/* The interrupt at each second's end. */
static void rtc_update(void)
{
	irq_handle(DEVICE, rtc_serve);
	ioapic_route(RTC_IRQ, DEVICE, (uint8_t)apic_id());
	rtc_write(RTC_B, RTC_24H | RTC_UF);
	rtc_read(RTC_C);
	sleep_until_taken(DEVICE, SECONDS_BEFORE);
	here();
	sleep_until_taken(DEVICE, SECONDS);
	check_grid(DEVICE, 1000000000, SECONDS_BEFORE, SECONDS - 1);
}

/* The alarm, two seconds on. */
static void rtc_alarm(void)
{
	uint8_t now;

	irq_handle(DEVICE, rtc_serve);
	ioapic_route(RTC_IRQ, DEVICE, (uint8_t)apic_id());
	now = rtc_read(0);
	while (rtc_read(0) == now)
		;
	now = rtc_read(0);
	now = (uint8_t)((now >> 4) * 10 + (now & 15) + 2) % 60; /* BCD */
	rtc_write(1, (uint8_t)(now / 10 << 4 | now % 10));
	rtc_write(3, 0xff);
	rtc_write(5, 0xff);
	rtc_write(RTC_B, RTC_24H | RTC_AF);
	rtc_read(RTC_C);
	here();
	uint64_t before = rdtsc();

	sleep_until_taken(DEVICE, 1);
	say("after", my_log()->first[0].tsc - before);
	EXPECT(rtc_read(0) == (uint8_t)(now / 10 << 4 | now % 10), "at second %x", rtc_read(0));
}

const struct scenario board_scenarios[] = {{"pit", pit},
					   {"pit-periodic", pit_periodic},
					   {"hpet", hpet},
					   {"hpet-periodic", hpet_periodic},
					   {"rtc", rtc},
					   {"rtc-update", rtc_update},
					   {"rtc-alarm", rtc_alarm},
					   {0}};
