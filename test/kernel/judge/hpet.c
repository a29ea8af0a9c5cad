// SPDX-License-Identifier: GPL-2.0-or-later
/* The HPET (IA-PC HPET specification 1.0a): main counter, and comparator 0 through the IOAPIC. */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x93

enum { CAP = 0x000, CONF = 0x010, ISR = 0x020, COUNTER = 0x0f0, T0_CONF = 0x100, T0_CMP = 0x108 };
enum { ENABLE = 1 << 0, LEGACY = 1 << 1 };
enum {
	INT_LEVEL = 1 << 1,
	INT_ENB = 1 << 2,
	PERIODIC = 1 << 3,
	PER_CAP = 1 << 4,
	SIZE_CAP = 1 << 5,
	VAL_SET = 1 << 6,
	MODE32 = 1 << 8,
};
#define ROUTE(pin)    ((uint64_t)(pin) << 9)
#define FS_PER_SECOND 1000000000000000ull
#define FS_PER_US     1000000000ull

static uint64_t period_fs(void)
{
	return hpet_read(CAP) >> 32;
}

static uint64_t counts(uint64_t us)
{
	return us * FS_PER_US / period_fs();
}

/* The highest pin that comparator 0 can be routed to. */
static unsigned pin(void)
{
	uint32_t cap = (uint32_t)(hpet_read(T0_CONF) >> 32);

	return cap ? 31 - (unsigned)__builtin_clz(cap) : 2;
}

static struct moment started;

static void start(uint64_t conf, uint64_t counter, uint64_t comparator)
{
	hpet_write(CONF, 0);
	hpet_write(COUNTER, counter);
	hpet_write(T0_CONF, conf | ROUTE(pin()));
	hpet_write(T0_CMP, comparator);
	started = DURING(hpet_write(CONF, ENABLE));
}

static void route(uint32_t trigger)
{
	ioapic_route(pin(), trigger | FIXED | VECTOR, (uint8_t)apic_id());
}

static void capabilities(void)
{
	uint64_t cap = hpet_read(CAP);

	EXPECT(cap & 0xff, "no revision");
	EXPECT((cap >> 8 & 31) >= 2, "%lu comparators", (cap >> 8 & 31) + 1);
	EXPECT(cap >> 15 & 1, "no legacy replacement");
	EXPECT(period_fs() && period_fs() <= 100000000, "a period of %lu fs", period_fs());
	EXPECT(hpet_read(T0_CONF) & PER_CAP, "comparator 0 is not periodic");
	EXPECT(hpet_read(T0_CONF) >> 32, "comparator 0 has no route");
}

static uint64_t counter(void)
{
	return hpet_read(COUNTER);
}

static void rate(void)
{
	struct rate r;

	hpet_write(CONF, ENABLE);
	r = rate_of(counter, UINT32_MAX, 20000);
	EXPECT(rate_near(r, FS_PER_SECOND / period_fs()), "%lu Hz, a period of %lu fs", r.hz,
	       period_fs());
}

static void halted(void)
{
	const uint64_t value = 0x123456789;
	struct moment enabled, read;
	uint64_t first, least, most;

	hpet_write(CONF, ENABLE);
	delay(100);
	hpet_write(CONF, 0);
	first = counter();
	delay(500);
	EXPECT(counter() == first, "it counts while it is halted");
	hpet_write(COUNTER, value);
	EXPECT(counter() == value, "it holds %lx", counter());
	enabled = DURING(hpet_write(CONF, ENABLE));
	delay(1000);
	read = DURING(first = counter());
	least = (read.from - enabled.to) * counts(1000) / ticks(1000);
	most = (read.to - enabled.from) * counts(1000) / ticks(1000);
	EXPECT(first - value + counts(5) >= least && first - value <= most + counts(5),
	       "%lx after %lx to %lx counts", first, least, most);
}

/* n interrupts, the first after `first` us, the others `period` us apart. */
static void expect_interrupts(struct moment begin, uint64_t first, uint64_t period, unsigned n)
{
	irq_on();
	EXPECT(WAIT(taken(VECTOR) >= n), "%u interrupts", taken(VECTOR));
	asm volatile("cli");
	for (unsigned i = 0; i < n; i++) {
		uint64_t span = ticks(first + i * period);
		int64_t off = off_time(my_log()->first[i].tsc, begin, span);

		EXPECT(off == 0, "interrupt %u is %ld us off", i + 1, off);
	}
}

static void oneshot(void)
{
	route(0);
	start(INT_ENB, 0, counts(2000));
	expect_interrupts(started, 2000, 0, 1);
	irq_on();
	delay(5000);
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
	EXPECT(hpet_read(T0_CMP) == counts(2000), "the comparator holds %lx", hpet_read(T0_CMP));
}

static void start_periodic(uint64_t conf, uint64_t us)
{
	hpet_write(CONF, 0);
	hpet_write(COUNTER, 0);
	hpet_write(T0_CONF, conf | PERIODIC | VAL_SET | ROUTE(pin()));
	hpet_write(T0_CMP, counts(us)); /* the first match */
	hpet_write(T0_CMP, counts(us)); /* the period */
	started = DURING(hpet_write(CONF, ENABLE));
}

static void periodic(void)
{
	route(0);
	start_periodic(INT_ENB, 500);
	expect_interrupts(started, 500, 500, 10);
}

/* In periodic mode the comparator moves on by the period at each match. */
static void accumulates(void)
{
	uint64_t before, comparator, after;

	start_periodic(0, 300);
	delay(1400);
	before = counter();
	comparator = hpet_read(T0_CMP);
	after = counter();
	EXPECT(comparator % counts(300) == 0 && comparator + counts(5) > before &&
		       comparator <= after + counts(300),
	       "the comparator is %lu, the counter %lu to %lu, the period %lu", comparator, before,
	       after, counts(300));
}

static void without_enable(void)
{
	route(0);
	start(0, 0, counts(500));
	irq_on();
	delay(2000);
	EXPECT(taken(VECTOR) == 0, "%u interrupts", taken(VECTOR));
}

/* A comparator behind the counter waits for the counter to come round. */
static void behind(void)
{
	route(0);
	start(INT_ENB, 100000, 50000);
	irq_on();
	delay(2000);
	EXPECT(taken(VECTOR) == 0, "%u interrupts", taken(VECTOR));
}

/* With 32 bits a one-shot comparator interrupts as the counter wraps, too ("Non-Periodic Mode"). */
static void wraps_at_32(void)
{
	route(0);
	start(INT_ENB | MODE32, 0x100000000ull - counts(500), counts(700));
	expect_interrupts(started, 500, 700, jitter ? 1 : 2); /* two may have become one */
}

static unsigned times, status;

static void level_handler(struct trap_frame *f)
{
	(void)f;
	status += hpet_read(ISR) & 1;
	if (++times == 3)
		hpet_write(ISR, 1);
	apic_eoi();
}

/* The status bit holds the line up until a 1 is written to it. */
static void level(void)
{
	times = status = 0;
	irq_handle(VECTOR, level_handler);
	route(RTE_LEVEL);
	start(INT_ENB | INT_LEVEL, 0, counts(1000));
	EXPECT(!(hpet_read(ISR) & 1), "status before the match");
	irq_on();
	EXPECT(WAIT(times == 3), "%u interrupts", times);
	delay(2000);
	EXPECT(times == 3, "%u interrupts after the status was cleared", times);
	EXPECT(status == 3, "status set in %u of 3 handlers", status);
	EXPECT(!(hpet_read(ISR) & 1), "status at the end");
}

/* Legacy replacement: comparator 0 is IRQ 0, which the PIT has lost. */
static void legacy(void)
{
	ioapic_route(PIT_PIN, FIXED | VECTOR, (uint8_t)apic_id());
	start(INT_ENB, 0, counts(200000));
	hpet_write(CONF, ENABLE | LEGACY);
	pit_program(0, 2, 1193);
	irq_on();
	delay(3000);
	EXPECT(taken(VECTOR) == 0, "%u interrupts of the PIT", taken(VECTOR));
	hpet_write(T0_CMP, counter() + counts(1000));
	EXPECT(WAIT(taken(VECTOR)), "no interrupt of the comparator");
	hpet_write(CONF, ENABLE);
	irq_log[0].count[VECTOR] = 0;
	EXPECT(WAIT(taken(VECTOR) >= 2), "the PIT does not come back");
}

const struct check hpet_checks[] = {
	{"capabilities", capabilities, 0},
	{"rate", rate, 0},
	{"halted", halted, 0},
	{"one-shot", oneshot, 0},
	{"periodic", periodic, 0},
	{"accumulates", accumulates, 0},
	{"without-enable", without_enable, 0},
	{"behind", behind, 0},
	{"wraps-at-32", wraps_at_32, 0},
	{"level", level, 0},
	{"legacy", legacy, 0},
	{0},
};
