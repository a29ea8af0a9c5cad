// SPDX-License-Identifier: GPL-2.0-or-later
/* The MC146818 (data sheet): periodic, update-ended and alarm interrupts against the TSC. */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x9b
#define UIP    0x80
enum { SECONDS = 0, SECONDS_ALARM = 1, MINUTES_ALARM = 3, HOURS_ALARM = 5 };
#define ANY 0xc0

static uint64_t at[64];
static unsigned times, flags;

static void handler(struct trap_frame *f)
{
	(void)f;
	flags = rtc_read(RTC_C);
	if (times < 64)
		at[times] = rdtsc();
	times++;
	apic_eoi();
}

static void setup(void)
{
	times = flags = 0;
	irq_handle(VECTOR, handler);
	ioapic_route(RTC_IRQ, FIXED | VECTOR, (uint8_t)apic_id());
}

/* Halts, so that emulated seconds pass quickly. */
static bool wait_times(unsigned n)
{
	uint64_t limit = rdtsc() + 4 * tsc_hz;

	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | 0xfd);
	apic_write(APIC_TMICT, apic_timer_hz() / 10);
	while (times < n && rdtsc() < limit)
		halt();
	apic_write(APIC_TMICT, 0);
	return times >= n;
}

/* Interrupt k comes that long after interrupt 0, both of which may be late. */
static bool regular(unsigned k, uint64_t span)
{
	int64_t error = (int64_t)(at[k] - at[0] - span), slack = (int64_t)late_ticks(span);

	return jitter || (error <= slack && -error <= slack);
}

static void periodic(void)
{
	static const uint8_t rs[] = {6, 3, 9}; /* 1024, 8192 and 128 Hz */
	static const unsigned n[] = {32, 60, 8};

	for (unsigned i = 0; i < 3; i++) {
		uint64_t period = tsc_hz / (32768u >> (rs[i] - 1));

		setup();
		rtc_periodic(rs[i]);
		EXPECT(wait_times(n[i]), "rate %u: %u interrupts", rs[i], times);
		rtc_quiet();
		EXPECT(flags & RTC_PF && flags & RTC_IRQF, "register C was %x", flags);
		for (unsigned k = 1; k < n[i]; k++)
			EXPECT(regular(k, k * period),
			       "rate %u: %lu ticks to interrupt %u, not %lu", rs[i], at[k] - at[0],
			       k + 1, k * period);
	}
}

/* The request stays up until register C is read. The second reading comes right after a flag was
 * set: the next one is a period away. */
static void keeps_request(void)
{
	uint64_t limit;

	setup();
	rtc_periodic(6);
	ioapic_route(RTC_IRQ, RTE_MASKED, 0);
	allow(2500);
	EXPECT(rtc_read(RTC_C) & RTC_PF, "no flag");
	limit = rdtsc() + tsc_hz;
	while (!(rtc_read(RTC_C) & RTC_PF))
		EXPECT(rdtsc() < limit, "no other flag");
	EXPECT(!(rtc_read(RTC_C) & RTC_PF), "the flag stays");
}

static void update_ended(void)
{
	uint8_t first, second;

	setup();
	rtc_write(RTC_B, 2 | RTC_UF);
	rtc_read(RTC_C);
	EXPECT(wait_times(1), "no interrupt");
	EXPECT(flags & RTC_UF, "register C was %x", flags);
	first = rtc_read(SECONDS);
	EXPECT(!(rtc_read(RTC_A) & UIP), "an update in progress as one ends");
	EXPECT(wait_times(2), "no second interrupt");
	second = rtc_read(SECONDS);
	EXPECT(first != second, "the seconds stay %x", first);
	EXPECT(regular(1, tsc_hz), "%lu ticks from one to the next", at[1] - at[0]);
}

/* Every minute and hour: the alarm comes with the second that is set. */
static void alarm(void)
{
	uint8_t now, next;

	setup();
	rtc_write(RTC_B, 2 | RTC_UF);
	rtc_read(RTC_C);
	EXPECT(wait_times(1), "no update");
	now = rtc_read(SECONDS); /* BCD */
	next = (uint8_t)((now & 15) == 9 ? (now & 0xf0) + 16 : now + 1);
	next = next >= 0x60 ? 0 : next;
	rtc_write(SECONDS_ALARM, next);
	rtc_write(MINUTES_ALARM, ANY);
	rtc_write(HOURS_ALARM, ANY);
	rtc_write(RTC_B, 2 | RTC_AF);
	rtc_read(RTC_C);
	EXPECT(wait_times(2), "no alarm");
	EXPECT(flags & RTC_AF, "register C was %x", flags);
	EXPECT(rtc_read(SECONDS) == next, "at second %x, not %x", rtc_read(SECONDS), next);
}

const struct check rtc_checks[] = {
	{"periodic", periodic, 0},
	{"keeps-request", keeps_request, 0},
	{"update-ended", update_ended, 0},
	{"alarm", alarm, 0},
	{0},
};
