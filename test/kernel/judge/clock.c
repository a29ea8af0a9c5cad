// SPDX-License-Identifier: GPL-2.0-or-later
/* Time for the checks: the TSC, measured once against the ACPI PM timer. */
#include "test/kernel/judge/judge.h"

#define PM_HZ	  3579545u
#define PM_MASK	  0xffffffu /* 24 bits are there in any case */
#define TRIES	  8
#define NARROW_US 2
#define TOLERANCE 300 /* ppm */
#define EARLY_US  3   /* emulators count timers in microseconds */
#define RATE_PART 2000

uint64_t tsc_hz = 1000000000; /* until it is measured */
bool jitter;
uint64_t wait_limit = UINT64_MAX / 2; /* until tsc_hz is measured */
static uint64_t late_us;
static uint16_t pm_port;

uint64_t ticks(uint64_t us)
{
	return us * (tsc_hz / 1000) / 1000;
}

void delay(uint64_t us)
{
	uint64_t end = rdtsc() + ticks(us);

	while (rdtsc() < end)
		asm volatile("pause");
}

void allow(uint64_t us)
{
	delay(jitter ? us + 30000 : us);
}

uint64_t pm_read(void)
{
	return inl(pm_port) & PM_MASK;
}

uint64_t late_ticks(uint64_t span)
{
	return ticks(late_us) + span / RATE_PART;
}

int64_t off_time(uint64_t at, struct moment begin, uint64_t span)
{
	int64_t early = (int64_t)(begin.from + span - at), late = (int64_t)(at - begin.to - span);
	int64_t per_us = (int64_t)(tsc_hz / 1000000);

	if (early > (int64_t)(ticks(EARLY_US) + span / RATE_PART))
		return -early / per_us;
	if (!jitter && late > (int64_t)late_ticks(span))
		return late / per_us;
	return 0;
}

/* The reading that took the least time. */
struct sample sample(uint64_t (*read)(void))
{
	struct sample best = {.width = UINT64_MAX};

	for (unsigned i = 0; i < TRIES && best.width > ticks(NARROW_US); i++) {
		uint64_t before = rdtsc(), value = read(), after = rdtsc();

		if (after - before < best.width)
			best = (struct sample){after, after - before, value};
	}
	return best;
}

struct rate rate_of(uint64_t (*read)(void), uint64_t mask, uint64_t us)
{
	struct sample a = sample(read), b;
	uint64_t counts, span;

	delay(us);
	b = sample(read);
	counts = (b.value - a.value) & mask;
	span = b.tsc - a.tsc;
	return (struct rate){counts * (tsc_hz / 1000) / span * 1000 +
				     counts * (tsc_hz / 1000) % span * 1000 / span,
			     (a.width + b.width) * 1000000 / span +
				     (counts ? 2000000 / counts : 1000000)};
}

bool rate_near(struct rate r, uint64_t hz)
{
	uint64_t diff = r.hz > hz ? r.hz - hz : hz - r.hz;

	return diff <= hz / 1000 * (TOLERANCE + r.slack_ppm) / 1000 + 1;
}

void clock_init(void)
{
	struct sample a, b;
	uint64_t counts;

	pm_port = (uint16_t)option_number("pmtimer", 0x608);
	a = sample(pm_read);
	do {
		b = sample(pm_read);
		counts = (b.value - a.value) & PM_MASK;
	} while (counts < PM_HZ / 20);
	tsc_hz = (b.tsc - a.tsc) * PM_HZ / counts;
	late_us = option_number("late", 60);
	wait_limit = (jitter ? 5 : 2) * tsc_hz;
}

static void rate(void)
{
	struct rate r = rate_of(pm_read, PM_MASK, 30000);

	EXPECT(rate_near(r, PM_HZ), "%lu Hz by the TSC", r.hz);
}

static void monotonic(void)
{
	uint64_t last = pm_read();

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now = pm_read();

		EXPECT(((now - last) & PM_MASK) < PM_MASK / 2, "%lx after %lx", now, last);
		last = now;
	}
}

const struct check pm_checks[] = {{"rate", rate, 0}, {"monotonic", monotonic, 0}, {0}};
