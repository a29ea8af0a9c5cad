/* build: hv/nic.c hv/nic_replay.c hv/nic_desc.c hv/nic_pool.c hv/nic_e1000.c hv/nic_state.c hv/nic_statistics.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A frame that comes between two accesses of the interposer to the card is not lost, not altered.
 */
#include "test/unit/check.h"
#include "test/unit/nic_rig.h"

static uint32_t come_next; /* the number of the next frame */
static unsigned accesses;

static void come(void)
{
	model_receive(0, come_next++, 300);
}

/* Between the look at the head and the write of the tail. */
static void come_at_head(unsigned r)
{
	if (r == (unsigned)(nic.family->rx[0] + E1000_HEAD) && come_next <= 3)
		come();
}

static void a_frame_at_the_switch(void)
{
	struct driver *d = begin(&shapes[4]);

	freeze(V);
	come_next = 1;
	card.accessed = come_at_head;
	settled();
	card.accessed = NULL;
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	replay(d, V);
	in_order(d, 3);
}

/* One between any two accesses from the freeze to the hand-over, and one with it, so that there is
 * something to replay; the driver looks before anything is replayed. */
static unsigned comes_after;
static void come_once(unsigned r)
{
	(void)r;
	if (++accesses == comes_after)
		come();
}

static void after_an_access(const struct shape *s, bool caught)
{
	struct driver *d = begin(s);

	come_next = 1;
	accesses = 0;
	card.accessed = come_once;
	freeze(V);
	settled();
	if (caught)
		come();
	nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
	driver_poll(d, true);
	replay(d, V);
	card.accessed = NULL;
	while (come_next <= 2 * s->len) { /* two laps: a stale descriptor shows */
		come();
		driver_poll(d, true);
	}
	if (!CHECK_EQ(d->frames, 2 * s->len))
		printf("  %s, after access %u\n", s->name, comes_after);
	in_order(d, 2 * s->len);
}

static void a_frame_at_any_access(void)
{
	for (unsigned i = 0; i < 2 * sizeof(shapes) / sizeof(shapes[0]); i++) {
		comes_after = 0;
		do {
			comes_after++;
			after_an_access(&shapes[i / 2], i & 1);
		} while (comes_after < accesses);
		CHECK(comes_after > 30);
	}
}

/* A card that takes frames though it has no descriptor, again and again between two accesses. */
static unsigned slip_every;
static void slip_in(unsigned r)
{
	const unsigned b = nic.family->rx[0];

	/* not at what the card itself looks at, and not between the halves of an address */
	if (r != b + E1000_HEAD && r != b + E1000_TAIL && r != b + E1000_BAL)
		return;
	if (come_next <= 8 && ++accesses % slip_every == 0)
		come();
}

static void a_frame_slips_in(void)
{
	for (slip_every = 1; slip_every < 12; slip_every++) {
		struct driver *d = begin(&shapes[4]);

		card.lax = true;
		freeze(V);
		come_next = 1;
		accesses = 0;
		card.accessed = slip_in;
		settled();
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		replay(d, V);
		card.accessed = NULL;
		while (come_next <= 8)
			come();
		driver_poll(d, true);
		in_order(d, 8);
	}
}

int main(void)
{
	RUN(a_frame_at_the_switch);
	RUN(a_frame_at_any_access);
	RUN(a_frame_slips_in);
	return check_result();
}
