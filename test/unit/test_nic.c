/* build: hv/nic.c hv/nic_replay.c hv/nic_desc.c hv/nic_pool.c hv/nic_e1000.c hv/nic_state.c hv/nic_statistics.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A card's frames around a freeze: none is lost, none is altered, their order and times are kept.
 */
#include "test/unit/check.h"
#include "test/unit/nic_rig.h"

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
	RUN(transmission_stuck);
	RUN(pool_is_first_in_first_out);
	return check_result();
}
