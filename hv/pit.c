// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * 8254 programmable interval timer and port 61h (8254 data sheet; modes 0-5, read-back, BCD).
 *
 * A channel is not ticked: it is a function of the tick at which its count was loaded. Ticks are
 * 1193182 Hz since virtual time 0. Channel 0 drives ISA IRQ 0; its edges lie on the grid of the
 * load tick, however late they are delivered.
 */
#include <stddef.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/hpet.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "timevirt/rate.h"

#define PIT_HZ	      1193182ull
#define PIT_FLOOR     24	  /* ticks, 20 us: edges of channel 0 come no faster */
#define PIT_TICKS_MAX (1ll << 55) /* beyond any virtual time */
#define EDGE_NONE     INT64_MAX
#define CHANNEL_FLAGS 10
#define REFRESH_NS    15085 /* port 61h bit 4 toggles once per DRAM refresh request */

enum { RW_LATCH, RW_LSB, RW_MSB, RW_WORD };
enum phase {
	IDLE,	 /* no count yet, or waiting for the gate to rise */
	PAUSED,	 /* modes 0 and 4 with the gate low: `load` is the number of ticks counted so far */
	RUNNING, /* `load` is the tick at which the count was, or will be, loaded */
};
enum {
	P61_GATE2 = 1 << 0,
	P61_SPEAKER = 1 << 1,
	P61_CHECKS = 3 << 2, /* parity and channel check enables: kept, without effect */
	P61_REFRESH = 1 << 4,
	P61_OUT2 = 1 << 5,
};

struct channel {
	union {
		uint8_t flags[CHANNEL_FLAGS]; /* all the bytes, for save and load */
		struct {
			uint8_t control;    /* bits 5-0 of the control word: RW, mode, BCD */
			uint8_t gate;	    /* 0, 1 */
			uint8_t phase;	    /* enum phase */
			uint8_t null_count; /* a count is written (or awaited), not loaded */
			uint8_t write_msb;  /* RW_WORD: the next write is the high byte */
			uint8_t read_msb;   /* RW_WORD: the next read is the high byte */
			uint8_t lsb;	    /* low byte written, waiting for the high one */
			uint8_t latched;    /* latched bytes not yet read: 0-2 */
			uint8_t status_latched;
			uint8_t status;
		};
	};
	uint16_t latch;	     /* as the bus reads it */
	uint16_t hold;	     /* what the bus reads while idle */
	uint32_t count;	     /* 0 = none written since the control word */
	uint32_t next_count; /* takes over at next_at (modes 2, 3) or at the next trigger; 0 = none
			      */
	int64_t load;
	int64_t next_at;
};

_Static_assert(offsetof(struct channel, latch) == CHANNEL_FLAGS, "flags cover all the bytes");

static struct pit {
	struct channel ch[3];
	uint8_t port61;
	bool out2; /* channel 2's OUT, until virtual time out2_until (0: not known) */
	vns_t out2_until;
	int64_t edge; /* tick of IRQ 0's next edge or EDGE_NONE */
	struct vtimer timer;
} pit;

static int64_t tick_at(vns_t t)
{
	return (int64_t)rate_ns_to_cycles(t.v, PIT_HZ);
}

static unsigned mode_of(const struct channel *c)
{
	unsigned m = c->control >> 1 & 7;

	return m > 5 ? m - 4 : m; /* 6 and 7 are 2 and 3 */
}

static unsigned rw_of(const struct channel *c)
{
	return c->control >> 4 & 3;
}

static bool periodic(const struct channel *c)
{
	return mode_of(c) == 2 || mode_of(c) == 3;
}

static bool triggered(const struct channel *c)
{
	return mode_of(c) == 1 || mode_of(c) == 5;
}

/* Ticks since the count was loaded; negative while there is none. */
static int64_t elapsed(const struct channel *c, int64_t now)
{
	if (c->phase == RUNNING)
		return now - c->load;
	return c->phase == PAUSED ? c->load : -1;
}

static uint32_t modulus(const struct channel *c)
{
	return c->control & 1 ? 10000 : 65536;
}

/* Ticks that the high half of mode 3 takes: (N + 1) / 2 for odd N. */
static int64_t high_half(uint32_t n)
{
	return (n + 1) / 2;
}

/* Let a count that was written during a period take over at the end of it. */
static void settle(struct channel *c, int64_t now)
{
	if (c->next_count && now >= c->next_at) {
		/* in mode 3 the low half may come next: its count starts half a period in */
		bool low = mode_of(c) == 3 && (c->next_at - c->load) % c->count != 0;

		c->count = c->next_count;
		c->load = c->next_at - (low ? high_half(c->count) : 0);
		c->next_count = 0;
		c->null_count = 0;
	}
	if (elapsed(c, now) >= 0 && !c->next_count)
		c->null_count = 0;
}

static uint16_t to_bus(const struct channel *c, int64_t value)
{
	int64_t m = modulus(c);
	unsigned v = (unsigned)((value % m + m) % m);

	if (!(c->control & 1))
		return (uint16_t)v;
	return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

/* The counting element as the bus reads it. */
static uint16_t read_count(const struct channel *c, int64_t now)
{
	int64_t e = elapsed(c, now), n = c->count;

	if (e < 0)
		return c->hold;
	if (mode_of(c) == 2)
		return to_bus(c, n - e % n);
	if (mode_of(c) == 3) {
		e %= n;
		if (e >= high_half(c->count))
			e -= high_half(c->count);
		return to_bus(c, n - (n & 1) - 2 * e);
	}
	return to_bus(c, n - e);
}

static bool out(const struct channel *c, int64_t now)
{
	int64_t e = elapsed(c, now), n = c->count;

	if (e < 0)
		return mode_of(c) != 0;
	switch (mode_of(c)) {
	case 0:
	case 1:
		return e >= n;
	case 2:
		return e % n != n - 1;
	case 3:
		return e % n < high_half(c->count);
	default:
		return e != n;
	}
}

/* Tick of the first rising edge of OUT at or after `from` (or EDGE_NONE). */
static int64_t next_edge(const struct channel *c, int64_t from)
{
	int64_t at;

	if (c->phase != RUNNING)
		return EDGE_NONE;
	switch (mode_of(c)) {
	case 0:
		at = c->load + c->count;
		return at >= from ? at : EDGE_NONE;
	case 2:
	case 3:
		if (c->next_count)
			return c->next_at; /* looked at again there, with the new count */
		at = c->load + c->count;
		if (at < from)
			at += (from - at + c->count - 1) / c->count * c->count;
		return at;
	case 4:
		at = c->load + c->count + 1;
		return at >= from ? at : EDGE_NONE;
	default:
		return EDGE_NONE; /* channel 0's gate never rises */
	}
}

static vns_t edge_deadline(void)
{
	return (vns_t){rate_cycles_to_ns_up((uint64_t)pit.edge, PIT_HZ)}; /* EDGE_NONE: never */
}

static void arm(void)
{
	vtimer_arm(&pit.timer, hpet_legacy_routing() ? VNS_NEVER : edge_deadline());
}

static void drive(bool level)
{
	if (!hpet_legacy_routing())
		irq_isa_set(0, level);
}

/* Channel 0 was programmed: OUT as it is now, and when it rises. */
static void reprogrammed(int64_t now)
{
	drive(out(&pit.ch[0], now));
	pit.edge = next_edge(&pit.ch[0], now + 1);
	arm();
}

/* An edge is due. Those missed meanwhile are one; the next lies on the same grid. */
static void deliver(int64_t now)
{
	struct channel *c = &pit.ch[0];

	if (pit.edge > now)
		return;
	/* where a new count takes over in the middle of mode 3's period OUT falls; anywhere else it
	 * rises */
	bool falls = c->next_count && mode_of(c) == 3 && (c->next_at - c->load) % c->count != 0;

	settle(c, now);
	falls = falls && now < c->load + c->count;
	drive(false);
	if (!falls)
		drive(true);
	pit.edge = next_edge(c, now + PIT_FLOOR);
	arm();
}

static void pit_fire(struct vtimer *t, vns_t now)
{
	(void)t;
	spin_lock(&platform_lock);
	deliver(tick_at(now));
	spin_unlock(&platform_lock);
}

void pit_route_changed(void)
{
	int64_t now = tick_at(node_now());

	settle(&pit.ch[0], now);
	pit.edge = next_edge(&pit.ch[0], now + 1);
	arm();
}

/* "Loaded on the next CLK pulse"; with the gate low modes 0 and 4 do not count yet, 2 and 3 wait
 * for it to rise. */
static void start(struct channel *c, int64_t now)
{
	if (c->gate) {
		c->phase = RUNNING;
		c->load = now + 1;
	} else {
		c->phase = periodic(c) ? IDLE : PAUSED;
		c->load = 0;
	}
}

/* The count register is full: load it now, at the period's end, or at the next trigger. */
static void count_written(struct channel *c, uint16_t raw, int64_t now)
{
	uint32_t n = raw;

	if (c->control & 1)
		n = (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15);
	if (n == 0)
		n = modulus(c);
	c->null_count = 1;
	if (periodic(c) && elapsed(c, now) >= 0) {
		int64_t in = elapsed(c, now) % c->count;
		bool high = mode_of(c) == 3 && in < high_half(c->count);

		c->next_count = n;
		c->next_at = now - in + (high ? high_half(c->count) : c->count);
	} else if (triggered(c) && c->phase == RUNNING) { /* the one-shot is not disturbed */
		c->next_count = n;
		c->next_at = PIT_TICKS_MAX;
	} else {
		c->hold = read_count(c, now);
		c->count = n;
		if (!triggered(c))
			start(c, now);
	}
}

static void control_written(struct channel *c, uint8_t v, int64_t now)
{
	c->hold = read_count(c, now);
	c->control = v & 0x3f;
	c->phase = IDLE;
	c->count = c->next_count = 0;
	c->null_count = 1;
	c->write_msb = c->read_msb = 0;
	c->latched = 0;
	c->status_latched = 0;
}

static void latch_count(struct channel *c, int64_t now)
{
	if (c->latched)
		return;
	c->latch = read_count(c, now);
	c->latched = rw_of(c) == RW_WORD ? 2 : 1;
	c->read_msb = 0;
}

static void latch_status(struct channel *c, int64_t now)
{
	if (c->status_latched)
		return;
	c->status = (uint8_t)(out(c, now) << 7 | c->null_count << 6 | c->control);
	c->status_latched = 1;
}

static void read_back(uint8_t v, int64_t now)
{
	for (unsigned i = 0; i < 3; i++) {
		if (!(v >> (i + 1) & 1))
			continue;
		if (!(v & 0x20))
			latch_count(&pit.ch[i], now);
		if (!(v & 0x10))
			latch_status(&pit.ch[i], now);
	}
}

static void command(uint8_t v, int64_t now)
{
	unsigned i = v >> 6;

	if (i == 3) {
		read_back(v, now);
	} else if ((v >> 4 & 3) == RW_LATCH) {
		latch_count(&pit.ch[i], now);
	} else {
		control_written(&pit.ch[i], v, now);
		if (i == 0)
			reprogrammed(now);
	}
}

static void channel_write(unsigned i, uint8_t v, int64_t now)
{
	struct channel *c = &pit.ch[i];

	switch (rw_of(c)) {
	case RW_LSB:
		count_written(c, v, now);
		break;
	case RW_MSB:
		count_written(c, (uint16_t)(v << 8), now);
		break;
	default:
		c->write_msb = !c->write_msb;
		if (!c->write_msb) {
			count_written(c, (uint16_t)(v << 8 | c->lsb), now);
			break;
		}
		c->lsb = v;
		if (mode_of(c) == 0) { /* "writing the first byte disables counting" */
			c->hold = read_count(c, now);
			c->phase = IDLE;
			c->count = 0;
		}
	}
	if (i == 0)
		reprogrammed(now);
}

static uint8_t channel_read(struct channel *c, int64_t now)
{
	uint16_t v;
	unsigned rw = rw_of(c);
	bool high = rw == RW_MSB || (rw == RW_WORD && c->read_msb);

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	v = c->latched ? c->latch : read_count(c, now);
	if (c->latched)
		c->latched--;
	if (rw == RW_WORD)
		c->read_msb = !c->read_msb;
	return (uint8_t)(high ? v >> 8 : v);
}

/* Only channel 2's gate can be moved, by port 61h. */
static void set_gate(struct channel *c, bool gate, int64_t now)
{
	if (c->gate == gate)
		return;
	c->gate = gate;
	if (triggered(c) || periodic(c)) {
		c->hold = read_count(c, now);
		/* a one-shot that runs is not disturbed by the gate's fall */
		if (c->next_count && (gate || periodic(c))) {
			c->count = c->next_count;
			c->next_count = 0;
		}
		if (gate && c->count)
			start(c, now);
		else if (periodic(c))
			c->phase = IDLE;
	} else if (gate && c->phase == PAUSED) { /* modes 0, 4: go on where it stood */
		c->phase = RUNNING;
		c->load = now - c->load;
	} else if (!gate && c->phase == RUNNING) {
		c->phase = PAUSED;
		c->load = now > c->load ? now - c->load : 0;
	}
}

/* Channel 2's OUT, and how long that holds: in the modes that a kernel calibrates with. */
static void look_at_out2(vns_t t)
{
	struct channel *c = &pit.ch[2];
	int64_t now = tick_at(t);

	settle(c, now);
	pit.out2 = out(c, now);
	pit.out2_until.v = 0;
	if (mode_of(c) <= 1 && elapsed(c, now) >= 0)
		pit.out2_until.v =
			pit.out2 || c->phase == PAUSED
				? UINT64_MAX
				: rate_cycles_to_ns_up((uint64_t)(c->load + c->count), PIT_HZ);
}

/* Before anything that a channel's state may change by. */
static void catch_up(int64_t now)
{
	pit.out2_until.v = 0;
	deliver(now);
	for (unsigned i = 0; i < 3; i++)
		settle(&pit.ch[i], now);
}

static void pit_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	int64_t now = tick_at(node_now());

	(void)dev;
	(void)size;
	catch_up(now);
	*val = offset == 3 ? 0xff : channel_read(&pit.ch[offset], now);
}

static void pit_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	int64_t now = tick_at(node_now());

	(void)dev;
	(void)size;
	catch_up(now);
	if (offset == 3)
		command((uint8_t)val, now);
	else
		channel_write((unsigned)offset, (uint8_t)val, now);
}

static void port61_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	vns_t t = node_now();

	(void)dev;
	(void)offset;
	(void)size;
	/* Quickly: kernels calibrate the TSC by reading this in a loop, and take a slow one for an
	 * SMI. */
	if (t.v >= pit.out2_until.v)
		look_at_out2(t);
	*val = pit.port61 | (t.v / REFRESH_NS % 2 ? P61_REFRESH : 0) | (pit.out2 ? P61_OUT2 : 0);
}

static void port61_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	int64_t now = tick_at(node_now());

	(void)dev;
	(void)offset;
	(void)size;
	catch_up(now);
	pit.port61 = val & (P61_GATE2 | P61_SPEAKER | P61_CHECKS);
	set_gate(&pit.ch[2], val & P61_GATE2, now);
}

static void pit_reset(void *dev)
{
	(void)dev;
	for (unsigned i = 0; i < 3; i++)
		pit.ch[i] = (struct channel){.control = RW_WORD << 4, .gate = i < 2};
	pit.port61 = 0;
	pit.out2_until.v = 0;
	pit.edge = EDGE_NONE;
	vtimer_cancel(&pit.timer);
}

static int pit_save(void *dev, struct state_writer *w)
{
	(void)dev;
	for (unsigned i = 0; i < 3; i++) {
		const struct channel *c = &pit.ch[i];

		state_put(w, c->flags, sizeof(c->flags));
		state_put16(w, c->latch);
		state_put16(w, c->hold);
		state_put32(w, c->count);
		state_put32(w, c->next_count);
		state_put64(w, (uint64_t)c->load);
		state_put64(w, (uint64_t)c->next_at);
	}
	state_put8(w, pit.port61);
	state_put64(w, (uint64_t)pit.edge);
	return w->err;
}

/* Can a channel be in this state? Ticks are bounded so that no difference of two overflows. */
static void check_channel(const struct channel *c, struct state_reader *r)
{
	bool may_wait = periodic(c) || triggered(c);

	state_require(r, c->control <= 0x3f && rw_of(c) != RW_LATCH, "control");
	state_require(r, c->gate <= 1, "gate");
	state_require(r, c->null_count <= 1 && c->write_msb <= 1 && c->read_msb <= 1, "null_count");
	state_require(r, c->latched <= 2 && c->status_latched <= 1, "latched");
	state_require(r, c->count <= 65536 && (c->count || c->phase == IDLE), "count");
	state_require(r, c->next_count <= 65536, "next_count");
	state_require(r, !c->next_count || (c->phase == RUNNING && may_wait), "next_count");
	state_require(r, c->phase <= RUNNING && (c->phase != PAUSED || !may_wait), "phase");
	state_require(
		r, c->load >= (c->phase == PAUSED ? 0 : -PIT_TICKS_MAX) && c->load <= PIT_TICKS_MAX,
		"load");
	state_require(r, c->next_at >= 0 && c->next_at <= PIT_TICKS_MAX, "next_at");
	state_require(r, !c->next_count || c->next_at >= c->load, "next_at");
}

/* Edges lie on the channel's grid; none is to come only if there is no grid, or its end is past. */
static bool edge_valid(const struct channel *c, int64_t edge)
{
	if (edge == EDGE_NONE)
		return c->phase != RUNNING || !periodic(c);
	return next_edge(c, edge) == edge;
}

static void pit_load(void *dev, struct state_reader *r)
{
	struct channel ch[3] = {0};
	uint8_t port61;
	int64_t edge;

	(void)dev;
	for (unsigned i = 0; i < 3; i++) {
		state_get(r, ch[i].flags, sizeof(ch[i].flags));
		ch[i].latch = state_get16(r);
		ch[i].hold = state_get16(r);
		ch[i].count = state_get32(r);
		ch[i].next_count = state_get32(r);
		ch[i].load = (int64_t)state_get64(r);
		ch[i].next_at = (int64_t)state_get64(r);
		check_channel(&ch[i], r);
		state_require(r, i == 2 || ch[i].gate, "gate: only channel 2's can be low");
	}
	port61 = state_get8(r);
	edge = (int64_t)state_get64(r);
	state_require(r, !(port61 & ~(P61_GATE2 | P61_SPEAKER | P61_CHECKS)), "port61");
	state_require(r, ch[2].gate == (port61 & P61_GATE2),
		      "gate: channel 2's is bit 0 of port 61h");
	state_require(r, edge >= 0, "edge");
	/* the rest is sound, or this could divide by 0 */
	state_require(r, r->refused || edge_valid(&ch[0], edge), "edge: channel 0 has none there");
	if (!state_commit(r))
		return;
	for (unsigned i = 0; i < 3; i++)
		pit.ch[i] = ch[i];
	pit.port61 = port61;
	pit.out2_until.v = 0;
	pit.edge = edge;
	/* Armed even under legacy replacement (the HPET may be loaded later): it finds out when it
	 * fires. */
	vtimer_arm(&pit.timer, edge_deadline());
}

static void pit_scramble(void *dev)
{
	(void)dev;
	vtimer_cancel(&pit.timer);
	memset(pit.ch, 0xa5, sizeof(pit.ch));
	pit.port61 = 0xa5;
	pit.out2_until = VNS_NEVER;
	pit.edge = 1;
}

static const struct bus_region pit_ports = {.name = "pit",
					    .base = 0x40,
					    .size = 4,
					    .max_size = 1,
					    .read = pit_read,
					    .write = pit_write};
static const struct bus_region pit_port61 = {.name = "port 61h",
					     .base = 0x61,
					     .size = 1,
					     .max_size = 1,
					     .read = port61_read,
					     .write = port61_write};
static const struct unit pit_unit = {.name = "pit",
				     .version = 1,
				     .reset = pit_reset,
				     .save = pit_save,
				     .load = pit_load,
				     .scramble = pit_scramble};

void pit_init(struct vtimerq *q)
{
	vtimer_init(&pit.timer, q, pit_fire);
	pit_reset(NULL);
	ASSERT(bus_add_io(&pit_ports) == 0 && bus_add_io(&pit_port61) == 0 &&
	       unit_register(&pit_unit) == 0);
}
