/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A freeze of nic_model.h's card, step by step, for the tests of hv/nic.c: the shapes that rings
 * have, and what has to hold at each step. Include once, after check.h.
 */
#pragma once
#include "test/unit/nic_model.h"

#define MS     1000000ull
#define V      (1000 * MS) /* where the clock stands */
#define SETTLE (2 * MS)
#define EN     (TCTL_EN | TCTL_PSP)
#define MASK   0x01500085u

static inline vns_t at(uint64_t ns)
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

static inline struct driver *begin(const struct shape *s)
{
	model_reset(s->family);
	*reg(E1000_RFCTL) = s->rfctl;
	*reg(E1000_PSRCTL) = s->psrctl;
	*reg(E1000_RCTL) = s->rctl | RCTL_EN;
	*reg(E1000_TCTL) = EN;
	*reg(E1000_IMS) = MASK;
	return driver_begin(0, s->len, s->start);
}

static inline void freeze(uint64_t v)
{
	driver_now = at(v);
	nic_freeze(&nic, at(v), SETTLE);
	CHECK(!(*reg(E1000_TCTL) & TCTL_EN));
	CHECK_EQ(*reg(E1000_IMS), MASK & ~nic.family->rx_causes);
}

static inline void settled(void)
{
	nic_poll(&nic, at(V + SETTLE));
	CHECK_EQ(nic.phase, NIC_CATCHING);
}

/* Replays until it is over; the driver looks each time. Ends at this time. */
static inline uint64_t replay(struct driver *d, uint64_t now)
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

static inline void in_order(const struct driver *d, unsigned frames)
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

static inline uint32_t length_of(uint32_t i)
{
	return i % 7 == 0 ? 1514 : 60 + i * 97 % 1400;
}
