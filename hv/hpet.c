// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * High precision event timer (IA-PC HPET specification 1.0a): 100 MHz, 64 bits, three comparators,
 * legacy replacement, no FSB delivery.
 *
 * One tick is 10 ns of virtual time, so that the counter is exact and Linux's calibration against
 * it is, too. A timer keeps `due`, the tick (of virtual time) of its next match; periodic matches
 * stay on the grid of the first one.
 */
#include "hv/hpet.h"
#include <stddef.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vcpu.h"

#define TIMERS	       3
#define TICK_NS	       10
#define PERIOD_FS      10000000ull
#define FLOOR_TICKS    2000 /* 20 us: periodic interrupts come no faster */
#define DUE_NEVER      UINT64_MAX
#define ROUTES_ALLOWED 0x00f00000u /* GSIs 20-23, shared with no PCI interrupt */

enum { /* registers */
       CAP = 0x000,
       CONF = 0x010,
       ISR = 0x020,
       COUNTER = 0x0f0,
       TIMER0 = 0x100,
       TIMER_STRIDE = 0x20,
       TIMER_CONF = 0x00,
       TIMER_CMP = 0x08,
};

#define CAP_VALUE (PERIOD_FS << 32 | HPET_BLOCK_ID)

enum { ENABLE_CNF = 1 << 0, LEG_RT_CNF = 1 << 1 };
enum { /* timer configuration */
       INT_TYPE_LEVEL = 1 << 1,
       INT_ENB = 1 << 2,
       TYPE_PERIODIC = 1 << 3,
       PER_INT_CAP = 1 << 4,
       SIZE_CAP = 1 << 5,
       VAL_SET = 1 << 6,
       MODE32 = 1 << 8,
       ROUTE_SHIFT = 9,
       ROUTE_MASK = 31 << 9,
       CONF_WRITABLE = INT_TYPE_LEVEL | INT_ENB | TYPE_PERIODIC | VAL_SET | MODE32 | ROUTE_MASK,
};

struct hpet_timer {
	uint32_t conf;	 /* CONF_WRITABLE bits */
	uint64_t cmp;	 /* comparator; in periodic mode the accumulator */
	uint64_t period; /* last value written in periodic mode, ticks */
	uint64_t due;	 /* tick of virtual time of the next match, DUE_NEVER while halted */
};

static struct hpet {
	uint32_t conf, isr;
	uint64_t counter; /* halted: its value; running: its value at tick 0 of virtual time */
	struct hpet_timer t[TIMERS];
	struct vtimer timer;
} hpet;

static uint64_t tick_at(vns_t t)
{
	return t.v / TICK_NS;
}

static bool running(void)
{
	return hpet.conf & ENABLE_CNF;
}

bool hpet_legacy_routing(void)
{
	return hpet.conf & LEG_RT_CNF;
}

static uint64_t counter_at(uint64_t now)
{
	return running() ? hpet.counter + now : hpet.counter;
}

static uint64_t width_mask(const struct hpet_timer *t)
{
	return t->conf & MODE32 ? UINT32_MAX : UINT64_MAX;
}

/* --- wires --- */

/* ISA IRQ that timer n drives under legacy replacement, -1: none */
static int legacy_irq(unsigned n)
{
	static const int8_t irq[TIMERS] = {0, 8, -1};

	return hpet_legacy_routing() ? irq[n] : -1;
}

static unsigned route_of(const struct hpet_timer *t)
{
	return (t->conf & ROUTE_MASK) >> ROUTE_SHIFT;
}

static bool asserts(unsigned n)
{
	const uint32_t want = INT_TYPE_LEVEL | INT_ENB;

	return running() && hpet.isr >> n & 1 && (hpet.t[n].conf & want) == want;
}

/* Level-triggered outputs; timers that share a GSI are wired-OR. */
static void drive_levels(void)
{
	uint32_t level = 0;

	for (unsigned n = 0; n < TIMERS; n++) {
		if (legacy_irq(n) < 0 && asserts(n))
			level |= 1u << route_of(&hpet.t[n]);
		else if (legacy_irq(n) >= 0)
			irq_isa_set((unsigned)legacy_irq(n), asserts(n));
	}
	for (unsigned gsi = 0; gsi < GSI_COUNT; gsi++) {
		if (ROUTES_ALLOWED >> gsi & 1)
			irq_set(gsi, level >> gsi & 1);
	}
}

static void pulse(unsigned n)
{
	unsigned gsi = route_of(&hpet.t[n]);

	if (legacy_irq(n) >= 0) {
		irq_isa_set((unsigned)legacy_irq(n), true);
		irq_isa_set((unsigned)legacy_irq(n), false);
	} else if (ROUTES_ALLOWED >> gsi & 1) {
		irq_pulse(gsi);
	}
}

/* --- matches --- */

/* With 32 bits a one-shot timer interrupts as the counter wraps, too (2.3.9.2.1). */
static bool interrupts_at_wrap(const struct hpet_timer *t)
{
	return (t->conf & (MODE32 | TYPE_PERIODIC)) == MODE32;
}

/* The first match at tick `from` or later. With 32 bits in one-shot mode the counter's wrap is one,
 * too, but not a counter that was just set to 0. */
static void find_match(struct hpet_timer *t, uint64_t from, bool set)
{
	uint64_t counter = counter_at(from), delta = (t->cmp - counter) & width_mask(t);
	uint64_t wrap = set && !(uint32_t)counter ? 1ull << 32 : -counter & UINT32_MAX;

	if (interrupts_at_wrap(t) && wrap < delta)
		delta = wrap;
	if (!running() || __builtin_add_overflow(from, delta, &t->due))
		t->due = DUE_NEVER;
}

/* The comparator, the counter or a mode changed: when is the next match? An equal value matches
 * now. */
static void schedule(struct hpet_timer *t, uint64_t now)
{
	find_match(t, now, true);
}

/* Ticks from one periodic match to the next, 0: one-shot. */
static uint64_t period_of(const struct hpet_timer *t)
{
	return t->conf & TYPE_PERIODIC ? t->period & width_mask(t) : 0;
}

/* Step past all matches up to `now`. True if there was one; those missed count as one. */
static bool match(struct hpet_timer *t, uint64_t now)
{
	uint64_t step = period_of(t), ahead;

	if (t->due > now)
		return false;
	if (!step) {
		find_match(t, now + 1, false);
		return true;
	}
	if (__builtin_mul_overflow((now - t->due) / step + 1, step, &ahead) ||
	    __builtin_add_overflow(t->due, ahead, &t->due))
		t->due = DUE_NEVER;
	t->cmp = (t->cmp + ahead) & width_mask(t);
	return true;
}

/* The tick for which the vtimer is armed: matches that cannot interrupt are found when somebody
 * looks. */
static uint64_t wanted(const struct hpet_timer *t, uint64_t floor)
{
	uint64_t step = period_of(t), at = t->due;

	if (!(t->conf & INT_ENB))
		return DUE_NEVER;
	if (step && step < FLOOR_TICKS && at < floor)
		at += (floor - at + step - 1) / step * step;
	return at;
}

static void arm(uint64_t floor)
{
	uint64_t first = DUE_NEVER;
	vns_t deadline = VNS_NEVER;

	for (unsigned n = 0; n < TIMERS; n++) {
		uint64_t at = wanted(&hpet.t[n], floor);

		if (at < first)
			first = at;
	}
	if (first < DUE_NEVER / TICK_NS)
		deadline.v = first * TICK_NS;
	vtimer_arm(&hpet.timer, deadline);
}

static void catch_up(uint64_t now)
{
	for (unsigned n = 0; n < TIMERS; n++) {
		struct hpet_timer *t = &hpet.t[n];

		if (!running() || !match(t, now))
			continue;
		if (t->conf & INT_TYPE_LEVEL)
			hpet.isr |= 1u << n;
		else if (t->conf & INT_ENB)
			pulse(n);
	}
	drive_levels();
}

static void hpet_fire(struct vtimer *t, vns_t now)
{
	(void)t;
	spin_lock(&platform_lock);
	catch_up(tick_at(now));
	arm(tick_at(now) + FLOOR_TICKS);
	spin_unlock(&platform_lock);
}

/* --- registers --- */

static uint64_t timer_read(unsigned n, unsigned reg)
{
	const struct hpet_timer *t = &hpet.t[n];

	if (reg == TIMER_CONF)
		return (uint64_t)ROUTES_ALLOWED << 32 | t->conf | PER_INT_CAP | SIZE_CAP;
	return reg == TIMER_CMP ? t->cmp & width_mask(t) : 0;
}

static uint64_t reg_read(unsigned reg, uint64_t now)
{
	switch (reg) {
	case CAP:
		return CAP_VALUE;
	case CONF:
		return hpet.conf;
	case ISR:
		return hpet.isr;
	case COUNTER:
		return counter_at(now);
	default:
		if (reg < TIMER0 || reg >= TIMER0 + TIMERS * TIMER_STRIDE)
			return 0;
		return timer_read((reg - TIMER0) / TIMER_STRIDE, reg % TIMER_STRIDE);
	}
}

static void conf_write(uint32_t v, uint64_t now)
{
	uint32_t changed = hpet.conf ^ v;
	uint64_t counter = counter_at(now);

	if (changed & LEG_RT_CNF) { /* the wires change hands: nobody drives them for a moment */
		irq_isa_set(0, false);
		irq_isa_set(8, false);
	}
	hpet.conf = v;
	if (changed & ENABLE_CNF) {
		hpet.counter = running() ? counter - now : counter;
		for (unsigned n = 0; n < TIMERS; n++)
			schedule(&hpet.t[n], now);
	}
	if (changed & LEG_RT_CNF) {
		pit_route_changed();
		rtc_route_changed();
	}
}

static void timer_conf_write(unsigned n, uint32_t v, uint64_t now)
{
	struct hpet_timer *t = &hpet.t[n];
	uint32_t conf = v & CONF_WRITABLE, old = t->conf;

	/* "If the value is not supported ... the value read back will not match what was written"
	 */
	if (!(ROUTES_ALLOWED >> ((conf & ROUTE_MASK) >> ROUTE_SHIFT) & 1))
		conf = (conf & ~(uint32_t)ROUTE_MASK) | (old & ROUTE_MASK);
	if (!(conf & TYPE_PERIODIC))
		conf &= ~(uint32_t)VAL_SET;
	t->conf = conf;
	if (!(conf & INT_TYPE_LEVEL))
		hpet.isr &= ~(1u << n);
	if ((old ^ conf) & (MODE32 | TYPE_PERIODIC)) {
		t->cmp &= width_mask(t);
		t->period &= width_mask(t);
		schedule(t, now);
	}
}

/* `mask`: the half that a 32-bit access writes. */
static void timer_cmp_write(unsigned n, uint64_t v, uint64_t mask, uint64_t now)
{
	struct hpet_timer *t = &hpet.t[n];

	if (t->conf & TYPE_PERIODIC)
		t->period = ((t->period & ~mask) | (v & mask)) & width_mask(t);
	if (t->conf & TYPE_PERIODIC && !(t->conf & VAL_SET))
		return;
	t->cmp = ((t->cmp & ~mask) | (v & mask)) & width_mask(t);
	/* self-clearing, but only once both halves of a 64-bit accumulator can have been written */
	if (mask >> 32 || t->conf & MODE32)
		t->conf &= ~(uint32_t)VAL_SET;
	schedule(t, now);
}

static void counter_write(uint64_t v, uint64_t mask, uint64_t now)
{
	hpet.counter = (counter_at(now) & ~mask) | (v & mask);
	if (running())
		hpet.counter -= now;
	for (unsigned n = 0; n < TIMERS; n++)
		schedule(&hpet.t[n], now);
}

static void timer_write(unsigned reg, uint64_t v, uint64_t mask, uint64_t now)
{
	unsigned n = (reg - TIMER0) / TIMER_STRIDE;

	if (reg < TIMER0 || n >= TIMERS)
		return;
	if (reg % TIMER_STRIDE == TIMER_CONF && mask & UINT32_MAX)
		timer_conf_write(n, (uint32_t)v, now);
	else if (reg % TIMER_STRIDE == TIMER_CMP)
		timer_cmp_write(n, v, mask, now);
}

static void reg_write(unsigned reg, uint64_t v, uint64_t mask, uint64_t now)
{
	switch (reg) {
	case CONF:
		if (mask & UINT32_MAX)
			conf_write(v & (ENABLE_CNF | LEG_RT_CNF), now);
		break;
	case ISR:
		hpet.isr &= ~(uint32_t)(v & mask);
		break;
	case COUNTER:
		counter_write(v, mask, now);
		break;
	default:
		timer_write(reg, v, mask, now);
	}
}

static void hpet_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	uint64_t now = tick_at(node_now()), v;

	(void)dev;
	if ((offset & ~7u) != COUNTER) /* the clocksource's path is short */
		catch_up(now);
	v = reg_read(offset & ~7u, now) >> (offset % 8 * 8);
	*val = size < 8 ? v & ((1ull << size * 8) - 1) : v;
}

/* Accesses are 32 or 64 bits, aligned (section 2.3.2); others are dropped. */
static void hpet_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	uint64_t now = tick_at(node_now());
	unsigned shift = offset % 8 * 8;

	(void)dev;
	if (size < 4 || offset % size)
		return;
	catch_up(now);
	reg_write(offset & ~7u, val << shift, (size == 8 ? UINT64_MAX : UINT32_MAX) << shift, now);
	drive_levels();
	arm(now);
}

/* --- unit --- */

static void hpet_reset(void *dev)
{
	(void)dev;
	hpet.conf = hpet.isr = 0;
	hpet.counter = 0;
	for (unsigned n = 0; n < TIMERS; n++)
		hpet.t[n] = (struct hpet_timer){.cmp = UINT64_MAX, .due = DUE_NEVER};
	vtimer_cancel(&hpet.timer);
}

static int hpet_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put32(w, hpet.conf);
	state_put32(w, hpet.isr);
	state_put64(w, hpet.counter);
	for (unsigned n = 0; n < TIMERS; n++) {
		state_put32(w, hpet.t[n].conf);
		state_put64(w, hpet.t[n].cmp);
		state_put64(w, hpet.t[n].period);
		state_put64(w, hpet.t[n].due);
	}
	return w->err;
}

static void load_timer(struct hpet_timer *t, struct state_reader *r)
{
	unsigned route;

	t->conf = state_get32(r);
	t->cmp = state_get64(r);
	t->period = state_get64(r);
	t->due = state_get64(r);
	route = route_of(t);
	state_require(r,
		      !(t->conf & ~(uint32_t)CONF_WRITABLE) &&
			      (route == 0 || ROUTES_ALLOWED >> route & 1) &&
			      (!(t->conf & VAL_SET) || t->conf & TYPE_PERIODIC),
		      "timer's conf");
	state_require(r, !(t->cmp & ~width_mask(t)), "cmp: more than 32 bits in a 32-bit timer");
	state_require(r, !(t->period & ~width_mask(t)),
		      "period: more than 32 bits in a 32-bit timer");
}

/* Is the next match when the counter will show the comparator's value, or 0 after a wrap? None is
 * to come if the counter is halted, and once 64 bits have matched. */
static bool due_valid(const struct hpet *h, const struct hpet_timer *t)
{
	uint64_t counter = h->counter + t->due;

	if (t->due == DUE_NEVER)
		return !(h->conf & ENABLE_CNF) || !(t->conf & MODE32);
	return h->conf & ENABLE_CNF && (!((t->cmp - counter) & width_mask(t)) ||
					(interrupts_at_wrap(t) && !(uint32_t)counter));
}

static void hpet_load(void *dev, struct state_reader *r)
{
	struct hpet h = {0};

	(void)dev;
	h.conf = state_get32(r);
	h.isr = state_get32(r);
	h.counter = state_get64(r);
	for (unsigned n = 0; n < TIMERS; n++) {
		load_timer(&h.t[n], r);
		state_require(r, due_valid(&h, &h.t[n]), "due: not when the comparator matches");
		state_require(r, !(h.isr >> n & 1) || h.t[n].conf & INT_TYPE_LEVEL,
			      "isr: of an edge-triggered timer");
	}
	state_require(r, !(h.conf & ~(uint32_t)(ENABLE_CNF | LEG_RT_CNF)), "conf");
	state_require(r, !(h.isr >> TIMERS), "isr");
	if (!state_commit(r))
		return;
	hpet.conf = h.conf;
	hpet.isr = h.isr;
	hpet.counter = h.counter;
	memcpy(hpet.t, h.t, sizeof(hpet.t));
	arm(0);
}

static void hpet_scramble(void *dev)
{
	(void)dev;
	vtimer_cancel(&hpet.timer);
	hpet.conf = hpet.isr = 0;
	hpet.counter = 0xa5a5a5a5a5a5a5a5;
	memset(hpet.t, 0xa5, sizeof(hpet.t));
}

static const struct bus_region hpet_mmio = {.name = "hpet",
					    .base = HPET_BASE,
					    .size = 0x400,
					    .max_size = 8,
					    .read = hpet_read,
					    .write = hpet_write};
static const struct unit hpet_unit = {.name = "hpet",
				      .version = 1,
				      .reset = hpet_reset,
				      .save = hpet_save,
				      .load = hpet_load,
				      .scramble = hpet_scramble};

void hpet_init(struct vtimerq *q)
{
	vtimer_init(&hpet.timer, q, hpet_fire);
	hpet_reset(NULL);
	ASSERT(bus_add_mmio(&hpet_mmio) == 0 && unit_register(&hpet_unit) == 0);
}
