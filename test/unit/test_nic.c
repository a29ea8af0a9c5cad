/* build: hv/nic.c hv/nic_replay.c hv/nic_desc.c hv/nic_pool.c hv/nic_e1000.c hv/nic_state.c hv/nic_statistics.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A card's frames around a freeze: none is lost, none is altered, their order and times are kept.
 */
#include "test/unit/check.h"
#include "test/unit/nic_model.h"
#include "hv/state.h"

#define MS     1000000ull
#define V      (1000 * MS) /* where the clock stands */
#define SETTLE (2 * MS)
#define EN     (TCTL_EN | TCTL_PSP)
#define MASK   0x01500085u

static vns_t at(uint64_t ns)
{
	return (vns_t){ns};
}

static const struct shape {
	const char *name;
	const struct nic_family *family;
	uint32_t rctl, rfctl, psrctl;
	uint32_t len, start;
} shapes[] = {
	{"82540EM, legacy, 2048", &nic_82540em, 0, 0, 0, 256, 0},
	{"82540EM, legacy, 256, wraps", &nic_82540em, 3 << 16, 0, 0, 64, 61},
	{"82540EM, legacy, 8192", &nic_82540em, 2 << 16 | 1 << 25, 0, 0, 32, 30},
	{"82574L, legacy, 1024", &nic_82574l, 1 << 16, 0, 0, 128, 5},
	{"82574L, extended, 2048", &nic_82574l, 0, RFCTL_EXTEN, 0, 256, 250},
	{"82574L, extended, 3 KiB", &nic_82574l, 3u << 27, RFCTL_EXTEN, 0, 16, 9},
	{"82574L, split", &nic_82574l, 1 << 10, RFCTL_EXTEN, 0x00010102, 64, 60},
	{"82574L, split, no third buffer", &nic_82574l, 1 << 10, RFCTL_EXTEN, 0x00000402, 64, 3},
};

static struct driver *begin(const struct shape *s)
{
	model_reset(s->family);
	*reg(E1000_RFCTL) = s->rfctl;
	*reg(E1000_PSRCTL) = s->psrctl;
	*reg(E1000_RCTL) = s->rctl | RCTL_EN;
	*reg(E1000_TCTL) = EN;
	*reg(E1000_IMS) = MASK;
	return driver_begin(0, s->len, s->start);
}

static void freeze(uint64_t v)
{
	driver_now = at(v);
	nic_freeze(&nic, at(v), SETTLE);
	CHECK(!(*reg(E1000_TCTL) & TCTL_EN));
	CHECK_EQ(*reg(E1000_IMS), MASK & ~nic.family->rx_causes);
}

static void settled(void)
{
	nic_poll(&nic, at(V + SETTLE));
	CHECK_EQ(nic.phase, NIC_CATCHING);
}

/* Replays until it is over; the driver looks each time. Ends at this time. */
static uint64_t replay(struct driver *d, uint64_t now)
{
	for (unsigned i = 0; i < 100000 && nic.phase == NIC_REPLAYING; i++) {
		vns_t next = nic_replay(&nic, at(now));

		driver_now = at(now);
		driver_poll(d, true);
		if (nic.phase == NIC_REPLAYING && CHECK(next.v > now))
			now = next.v;
	}
	CHECK_EQ(nic.phase, NIC_RUNNING);
	driver_poll(d, true);
	driver_poll(d, true); /* what waited for descriptors */
	return now;
}

static void in_order(const struct driver *d, unsigned frames)
{
	CHECK_EQ(d->frames, frames);
	CHECK_EQ(d->wrong, 0);
	for (unsigned i = 0; i < d->frames; i++)
		if (!CHECK_EQ(d->number[i], i + 1))
			break;
	CHECK_EQ(card.bad_dma, 0);
	CHECK_EQ(card.dropped, 0);
	CHECK_EQ(card.rctl_writes, 0);
}

static uint32_t length_of(uint32_t i)
{
	return i % 7 == 0 ? 1514 : 60 + i * 97 % 1400;
}

static void come(uint32_t *n)
{
	++*n;
	model_receive(0, *n, length_of(*n));
}

/* Frames before, while it settles, while it is frozen, and while what was caught is delivered. */
static void through_a_freeze(const struct shape *s)
{
	struct driver *d = begin(s);
	uint32_t n = 0;
	uint64_t now = V + 1;

	printf("  %s\n", s->name);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 3; i++)
			come(&n);
		driver_poll(d, true);
		come(&n); /* the driver has not seen it */
		freeze(V);
		for (unsigned i = 0; i < 2; i++) {
			come(&n);
			nic_poll(&nic, at(V + (i + 1) * 100000));
		}
		settled();
		for (unsigned i = 0; i < 12; i++) {
			come(&n);
			nic_poll(&nic, at(V + SETTLE + i * MS));
		}
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		nic_start(&nic);
		CHECK_EQ(*reg(E1000_TCTL), EN);
		CHECK_EQ(*reg(E1000_IMS), MASK);
		CHECK_EQ(nic.phase, NIC_REPLAYING);
		driver_poll(d, true);
		CHECK_EQ(d->frames, n - 14);
		come(&n); /* live: it waits for its turn */
		now = replay(d, V);
		CHECK(now >= V + SETTLE + 11 * MS && now < V + SETTLE + 12 * MS);
		come(&n); /* the card's own again */
		driver_poll(d, true);
		driver_poll(d, true);
		in_order(d, n);
		CHECK_EQ(nic.counts.caught, nic.counts.delivered);
	}
	CHECK_EQ(nic.counts.left_alone + nic.counts.damaged + nic.counts.overflows, 0);
}

static void none_is_lost(void)
{
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		through_a_freeze(&shapes[i]);
}

static void nothing_comes(void)
{
	struct driver *d = begin(&shapes[4]);

	freeze(V);
	settled();
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	CHECK_EQ(nic.phase, NIC_RUNNING); /* no trap, no replay */
	nic_start(&nic);
	model_receive(0, 1, 60);
	driver_poll(d, true);
	in_order(d, 1);
}

static void each_at_its_time(void)
{
	struct driver *d = begin(&shapes[4]);

	freeze(V);
	settled();
	model_receive(0, 1, 60);
	nic_poll(&nic, at(V + 5 * MS));
	model_receive(0, 2, 60);
	nic_poll(&nic, at(V + 9 * MS));
	nic_thaw(&nic, at(V + 900 * MS), at(V), at(V + 900 * MS));
	nic_replay(&nic, at(V + 5 * MS - 1));
	driver_poll(d, false);
	CHECK_EQ(d->frames, 0);
	nic_replay(&nic, at(V + 5 * MS));
	driver_poll(d, false);
	CHECK_EQ(d->frames, 1);
	CHECK_EQ(card.raised, 1);
	nic_replay(&nic, at(V + 9 * MS - 1));
	driver_poll(d, false);
	CHECK_EQ(d->frames, 1);
	nic_replay(&nic, at(V + 9 * MS));
	driver_poll(d, false);
	in_order(d, 2);
	CHECK_EQ(nic.phase, NIC_RUNNING);
}

/* A node that goes on before us: its frames come at once, but none overtakes. */
static void from_nodes_that_run(void)
{
	struct driver *d = begin(&shapes[4]);

	freeze(V);
	settled();
	model_receive(0, 1, 60);
	nic_poll(&nic, at(V + 100 * MS));
	nic_thaw(&nic, at(V + 101 * MS), at(V), at(V + 99 * MS));
	nic_replay(&nic, at(V));
	driver_poll(d, true);
	in_order(d, 1);

	d = begin(&shapes[4]); /* it has gone on a millisecond before T', by our clock */
	freeze(V);
	settled();
	model_receive(0, 1, 60);
	nic_poll(&nic, at(V + 98 * MS));
	nic_thaw(&nic, at(V + 99 * MS), at(V), at(V + 99 * MS));
	nic_replay(&nic, at(V));
	driver_poll(d, true);
	in_order(d, 1);
	CHECK_EQ(nic.phase, NIC_RUNNING);

	d = begin(&shapes[4]);
	freeze(V);
	settled();
	model_receive(0, 1, 60);
	nic_poll(&nic, at(V + 5 * MS));
	model_receive(0, 2, 60);
	nic_poll(&nic, at(V + 100 * MS));
	nic_thaw(&nic, at(V + 101 * MS), at(V), at(V + 99 * MS));
	nic_replay(&nic, at(V + 4 * MS));
	driver_poll(d, true);
	CHECK_EQ(d->frames, 0);
	nic_replay(&nic, at(V + 5 * MS));
	driver_poll(d, true);
	in_order(d, 2);
}

static void frozen_while_it_replays(void)
{
	struct driver *d = begin(&shapes[4]);

	freeze(V);
	settled();
	for (uint32_t i = 0; i < 10; i++) {
		model_receive(0, i + 1, 60);
		nic_poll(&nic, at(V + 3 * MS + i * MS));
	}
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	nic_replay(&nic, at(V + 6 * MS)); /* four of them */
	driver_poll(d, true);
	CHECK_EQ(d->frames, 4);
	freeze(V + 6 * MS);
	CHECK_EQ(nic.phase, NIC_CATCHING);
	model_receive(0, 11, 60);
	nic_poll(&nic, at(V + 7 * MS)); /* between the times of others: it does not overtake */
	nic_thaw(&nic, at(V + 90 * MS), at(V + 6 * MS), at(V + 90 * MS));
	CHECK_EQ(replay(d, V + 6 * MS), V + 12 * MS);
	in_order(d, 11);
}

static void ring_without_descriptors(void)
{
	struct driver *d = begin(&shapes[1]);
	uint32_t n = 0;

	freeze(V);
	settled();
	while (n < 100) { /* the guest has 63 */
		model_receive(0, ++n, 60);
		nic_poll(&nic, at(V + 3 * MS));
	}
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	for (unsigned i = 0; i < 10; i++)
		nic_replay(&nic, at(V + 3 * MS + i));
	CHECK_EQ(driver_get(nic.family->rx[0] + E1000_HEAD), d->tail);
	CHECK_EQ(nic.pool.entries, 37);
	driver_now = at(V + 4 * MS);
	driver_poll(d, true);
	driver_poll(d, true);
	replay(d, V + 4 * MS);
	in_order(d, 100);
}

/* More than there is room for: it waits in the card, which drops what it must. */
static void no_room(void)
{
	struct driver *d = begin(&shapes[4]);
	uint32_t n = 0;

	freeze(V);
	settled();
	while (nic.counts.overflows == 0 && n < 1000) {
		model_receive(0, ++n, 1514);
		nic_poll(&nic, at(V + 3 * MS));
	}
	CHECK(n > 30 && n < 50);
	for (unsigned i = 0; i < 100; i++) {
		model_receive(0, ++n, 1514);
		nic_poll(&nic, at(V + 3 * MS));
	}
	CHECK_EQ(nic.counts.overflows, 1);
	*reg(0x4010) = 3; /* MPC: as if the card had dropped some */
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	replay(d, V);
	in_order(d, n);
	CHECK_EQ(nic.counts.missed, 3);
	CHECK_EQ(nic_statistics_read(&nic, 0x4010), 3); /* the guest is told, too */
}

static void reset_by_the_guest(void)
{
	for (unsigned how = 0; how < 3; how++) {
		struct driver *d = begin(&shapes[4]);

		freeze(V);
		settled();
		model_receive(0, 77, 60);
		nic_poll(&nic, at(V + 3 * MS));
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		if (how == 0) { /* the whole card */
			memset(card.regs, 0, sizeof(card.regs));
			card.fifo_n = 0;
		} else if (how == 1) { /* reception */
			*reg(E1000_RCTL) = 0;
		}
		if (how < 2)
			CHECK_EQ(nic_replay(&nic, at(V)).v, VNS_NEVER.v);
		*reg(E1000_RFCTL) = RFCTL_EXTEN;
		d = driver_begin(0, 128, 0); /* how 2: only the ring, under our hands */
		*reg(E1000_RCTL) = RCTL_EN;
		CHECK_EQ(nic.phase, NIC_RUNNING);
		CHECK_EQ(nic.counts.discarded, 1);
		model_receive(0, 1, 60);
		driver_poll(d, true);
		in_order(d, 1);
	}
}

/* No ring, or one that can't be: the card is left as it is. */
static void left_alone(void)
{
	static const struct {
		unsigned reg;
		uint32_t v;
		bool odd;
	} cases[] = {
		{0x2800 + E1000_LEN, 0, false},	      {E1000_RCTL, 0, false},
		{0x2800 + E1000_LEN, 0x20000, true},  {0x2800 + E1000_LEN, 100, true},
		{0x2800 + E1000_BAH, 5, true},	      {0x2800 + E1000_HEAD, 5000, true},
		{0x2800 + E1000_TAIL, 5000, true},    {E1000_RCTL, RCTL_EN | 1 << 25, true},
		{0x2800 + E1000_BAL, 0x2ffff0, true},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t before;

		begin(&shapes[4]);
		*reg(cases[i].reg) = cases[i].v;
		before = *reg(0x2800 + E1000_BAL);
		freeze(V);
		settled();
		CHECK_EQ(*reg(0x2800 + E1000_BAL), before);
		CHECK_EQ(nic.counts.left_alone, cases[i].odd);
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		nic_start(&nic);
		CHECK_EQ(nic.phase, NIC_RUNNING);
		CHECK_EQ(*reg(E1000_IMS), MASK);
		CHECK_EQ(*reg(E1000_TCTL), EN);
	}
}

static void two_queues(void)
{
	struct driver *a = begin(&shapes[4]), *b = driver_begin(1, 64, 10);

	freeze(V);
	model_receive(1, 1, 1000);
	model_receive(0, 1, 100);
	settled();
	for (uint32_t i = 2; i <= 20; i++) {
		model_receive(i & 1, i / 2 + 1, 100 * i);
		nic_poll(&nic, at(V + 2 * MS + i * MS));
	}
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	for (uint64_t now = V; nic.phase == NIC_REPLAYING && now < V + 100 * MS; now += 50000) {
		nic_replay(&nic, at(now));
		driver_poll(a, false);
		driver_poll(b, false);
	}
	in_order(a, 11);
	CHECK_EQ(b->frames, 10);
	CHECK_EQ(b->wrong, 0);
	for (unsigned i = 0; i < b->frames; i++)
		CHECK_EQ(b->number[i], i == 0 ? 1 : i + 1);
	CHECK(*reg(E1000_ICR) & INT_RXQ0 && *reg(E1000_ICR) & INT_RXQ1);
}

/* A link change of long ago is no news at a thaw; one while frozen is. */
static void old_news(void)
{
	begin(&shapes[4]);
	model_put(NULL, E1000_ICS, INT_LSC);
	CHECK_EQ(card.signals, 1);
	freeze(V);
	settled();
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	CHECK_EQ(*reg(E1000_IMS), MASK);
	CHECK_EQ(card.signals, 1);

	begin(&shapes[4]);
	freeze(V);
	settled();
	model_put(NULL, E1000_ICS, INT_LSC);
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	CHECK_EQ(card.signals, 1);
}

/* A frame that comes between the look at the head and the write of the tail. */
static uint32_t racing;
static uint32_t race_get(void *ctx, unsigned r)
{
	uint32_t v = model_get(ctx, r);

	if (racing && r == 0x2800 + E1000_HEAD && racing <= 3)
		model_receive(0, racing++, 300);
	return v;
}

static void a_frame_at_the_switch(void)
{
	struct driver *d = begin(&shapes[4]);

	freeze(V);
	nic.io.get = race_get;
	racing = 1;
	settled();
	racing = 4;
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	racing = 0;
	replay(d, V);
	in_order(d, 3);
}

/* And one between any two accesses of the freeze itself; the driver looks before anything is
 * replayed. */
static unsigned freeze_access, comes_at;
static void come_at_the_freeze(void)
{
	if (comes_at && ++freeze_access == comes_at)
		model_receive(0, 1, 300);
}

static uint32_t freeze_get(void *ctx, unsigned r)
{
	uint32_t v = model_get(ctx, r);

	come_at_the_freeze();
	return v;
}

static void freeze_put(void *ctx, unsigned r, uint32_t v)
{
	model_put(ctx, r, v);
	come_at_the_freeze();
}

static void one_at_each_access(const struct shape *s)
{
	unsigned accesses = UINT32_MAX;

	for (comes_at = 1; comes_at <= accesses; comes_at++) {
		struct driver *d = begin(s);

		nic.io.get = freeze_get;
		nic.io.put = freeze_put;
		freeze_access = 0;
		freeze(V);
		accesses = freeze_access;
		nic.io.get = model_get;
		nic.io.put = model_put;
		if (accesses < comes_at)
			model_receive(0, 1, 300);
		settled();
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		driver_poll(d, true);
		replay(d, V);
		for (unsigned i = 2; i <= 2 * s->len; i++) {
			model_receive(0, i, 300);
			driver_poll(d, true);
		}
		if (!CHECK_EQ(d->frames, 2 * s->len))
			printf("  %s, after access %u\n", s->name, comes_at);
		in_order(d, 2 * s->len);
	}
	CHECK(comes_at > 10);
	comes_at = 0;
}

static void a_frame_at_the_freeze(void)
{
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		one_at_each_access(&shapes[i]);
}

/* A card that takes frames though it has no descriptor, again and again between two accesses. */
static unsigned slips, slip_every, slip_count;
static void slip(unsigned r)
{
	/* not at what the card itself looks at, and not between the halves of an address */
	if (r != 0x2800 + E1000_HEAD && r != 0x2800 + E1000_TAIL && r != 0x2800 + E1000_BAL)
		return;
	if (slips && slips <= 8 && ++slip_count % slip_every == 0)
		model_receive(0, slips++, 300);
}

static uint32_t slip_get(void *ctx, unsigned r)
{
	uint32_t v = model_get(ctx, r);

	slip(r);
	return v;
}

static void slip_put(void *ctx, unsigned r, uint32_t v)
{
	model_put(ctx, r, v);
	slip(r);
}

static void a_frame_slips_in(void)
{
	for (slip_every = 1; slip_every < 12; slip_every++) {
		struct driver *d = begin(&shapes[4]);

		card.lax = true;
		freeze(V);
		nic.io.get = slip_get;
		nic.io.put = slip_put;
		slips = 1;
		slip_count = 0;
		settled();
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		replay(d, V);
		while (slips <= 8)
			model_receive(0, slips++, 300);
		slips = 0;
		driver_poll(d, true);
		in_order(d, 8);
	}
}

/* Transmission that does not come to rest is counted, and not waited for. */
static void busy_transmitter(void)
{
	*reg(0x3800 + E1000_HEAD) = (*reg(0x3800 + E1000_HEAD) + 1) % 256;
}

static void transmission_stuck(void)
{
	begin(&shapes[4]);
	card.delayed = busy_transmitter;
	freeze(V);
	CHECK_EQ(nic.counts.tx_stuck, 1);
	CHECK(card.us < 5000);
}

/* --- images --- */

static int save(uint8_t *buf, size_t size)
{
	struct state_writer w;

	state_writer_init(&w, buf, size);
	state_begin(&w, "nic 0", 2);
	CHECK_EQ(nic_save(&nic, &w), 0);
	state_end(&w);
	return state_finish(&w);
}

/* The section's payload is cut. */
static bool load(const uint8_t *buf, int size, size_t less)
{
	struct state_image i;
	struct state_reader r;

	CHECK_EQ(state_open(&i, buf, (size_t)size), 0);
	CHECK_EQ(state_next(&i, &r), 0);
	r.size -= less;
	return nic_load(&nic, &r, model_card_reset);
}

static void transmit_ring(void)
{
	static const struct {
		uint8_t type, cmd;
	} d[8] = {
		{0x10, 0x21}, /* the end of a packet */
		{0x00, 0x21}, /* context: its bit 0 is no EOP */
		{0x10, 0x20}, {0x10, 0x20}, {0x10, 0x21}, {0x00, 0x01}, /* legacy, a packet */
		{0, 0},	      {0, 0},
	};
	uint8_t *ring = model_ram + 0x180000;

	memset(ring, 0, 128);
	for (unsigned i = 0; i < 8; i++) {
		ring[16 * i + 10] = d[i].type;
		ring[16 * i + 11] = d[i].cmd;
	}
	*reg(0x3800 + E1000_BAL) = RAM_BASE + 0x180000;
	*reg(0x3800 + E1000_LEN) = 128;
	*reg(0x3800 + E1000_TAIL) = 6;
}

static void saved_and_loaded(void)
{
	static uint8_t first[POOL_SIZE + 8192], second[sizeof(first)];

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct driver *d = begin(&shapes[i]);
		int size;

		model_receive(0, 1, 200);
		driver_poll(d, true);
		*reg(0x5200) = 0x12345678;
		card.phy[4] = 0xde1;
		card.phy[0] = 0x1340; /* a restart that stays set, as in Bochs */
		transmit_ring();
		*reg(0x3800 + E1000_HEAD) = 3; /* inside a packet */
		*reg(0x4074) = 7;	       /* GPRC */
		*reg(0x4088) = 0xfffffff0;
		freeze(V);
		settled();
		for (uint32_t k = 2; k <= 10; k++) {
			model_receive(0, k, length_of(k));
			nic_poll(&nic, at(V + 2 * MS + k * MS));
		}
		*reg(E1000_ICR) = 0x84;
		size = save(first, sizeof(first));
		if (!CHECK(size > 0))
			return;
		CHECK_EQ(*reg(E1000_ICR), 0x84);
		nic_scramble(&nic, model_card_reset);
		CHECK(load(first, size, 0));
		CHECK_EQ(save(second, sizeof(second)), size);
		CHECK(memcmp(first, second, (size_t)size) == 0);
		CHECK_EQ(*reg(0x5200), 0x12345678);
		CHECK_EQ(card.phy[4], 0xde1);
		CHECK_EQ(card.phy[0], 0x1140);
		CHECK_EQ(*reg(0x3800 + E1000_HEAD), 1); /* with its context */
		CHECK_EQ(*reg(E1000_TCTL), EN & ~TCTL_EN);
		CHECK_EQ(*reg(E1000_ICR), 0x84);
		nic_poll(&nic, at(V + 19 * MS));
		card.rctl_writes = 0; /* of the load: there is no live wire */
		for (uint32_t k = 11; k <= 13; k++) {
			model_receive(0, k, length_of(k));
			nic_poll(&nic, at(V + 20 * MS));
		}
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		nic_start(&nic);
		CHECK_EQ(*reg(E1000_TCTL), EN);
		CHECK_EQ(*reg(E1000_IMS), MASK);
		replay(d, V);
		model_receive(0, 14, 99);
		driver_poll(d, true);
		in_order(d, 14);
		CHECK_EQ(nic_statistics_read(&nic, 0x4074), 7);
		CHECK_EQ(nic_statistics_read(&nic, 0x4074), 0);
		*reg(0x4088) = 0x20;
		CHECK_EQ(nic_statistics_read(&nic, 0x4088), 0x10);
		CHECK_EQ(nic_statistics_read(&nic, 0x408c), 1);
		CHECK_EQ(nic_statistics_read(&nic, 0x4088), 0);
	}
}

static void bad_images(void)
{
	static uint8_t image[POOL_SIZE + 8192], bad[sizeof(image)];
	struct state_reader r = {.buf = bad};
	int size;

	begin(&shapes[4]);
	freeze(V);
	settled();
	model_receive(0, 1, 60);
	nic_poll(&nic, at(V + 3 * MS));
	size = save(image, sizeof(image));
	for (size_t less = 1; less < 200; less += 7)
		CHECK(!load(image, size, less));
	CHECK_EQ(card.resets, 0);
	CHECK_EQ(nic.pool.entries, 1);
	r.size = (size_t)size - 32 - 40; /* the payload: headers are hv/state.c's */
	memcpy(bad, image + 32 + 40, r.size);
	for (size_t k = 0; k < r.size; k++) /* any byte: refused or taken, no harm */
		for (unsigned bit = 0; bit < 8; bit += 7) {
			bad[k] ^= (uint8_t)(1u << bit);
			r.pos = 0;
			r.err = 0;
			r.refused = NULL;
			(void)nic_load(&nic, &r, model_card_reset);
			nic_poll(&nic, at(V + 4 * MS));
			bad[k] ^= (uint8_t)(1u << bit);
		}
}

static void pool_is_first_in_first_out(void)
{
	static uint8_t mem[1000] __attribute__((aligned(16)));
	uint32_t in = 0, out = 0;
	struct nic_pool p;

	nic_pool_init(&p, mem, sizeof(mem));
	CHECK(!nic_pool_first(&p));
	nic_pool_drop(&p);
	CHECK(!nic_pool_add(&p, 1000));
	for (uint32_t turn = 0; turn < 5000; turn++) {
		struct nic_caught *e = nic_pool_add(&p, turn * 7 % 200);

		if (e) {
			e->at.v = in++;
			memset(e->data, (int)in, turn * 7 % 200);
		}
		if (!e || turn % 3 == 0) {
			uint32_t n = 0;

			for (e = nic_pool_first(&p); e; e = nic_pool_after(&p, e))
				CHECK_EQ(e->at.v, out + n++);
			CHECK_EQ(n, p.entries);
			if (n) {
				out++;
				nic_pool_drop(&p);
			}
		}
	}
	CHECK(out > 1000);
	while (nic_pool_first(&p))
		nic_pool_drop(&p);
	CHECK_EQ(p.used, 0);
}

int main(void)
{
	RUN(none_is_lost);
	RUN(nothing_comes);
	RUN(each_at_its_time);
	RUN(from_nodes_that_run);
	RUN(frozen_while_it_replays);
	RUN(ring_without_descriptors);
	RUN(no_room);
	RUN(reset_by_the_guest);
	RUN(left_alone);
	RUN(two_queues);
	RUN(old_news);
	RUN(a_frame_at_the_freeze);
	RUN(a_frame_at_the_switch);
	RUN(a_frame_slips_in);
	RUN(transmission_stuck);
	RUN(saved_and_loaded);
	RUN(bad_images);
	RUN(pool_is_first_in_first_out);
	return check_result();
}
