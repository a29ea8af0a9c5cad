/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers and rings, for the files of hv/nic.h. */
#pragma once
#include <string.h>
#include "hv/nic.h"
#include "net/e1000_regs.h"

#define NIC_BUDGET 65536 /* bytes copied at a time: some microseconds */

static inline uint32_t get(const struct nic *n, unsigned reg)
{
	return n->io.get(n->io.ctx, reg);
}

static inline void put(const struct nic *n, unsigned reg, uint32_t v)
{
	n->io.put(n->io.ctx, reg, v);
}

static inline void *guest(const struct nic *n, uint64_t gpa, size_t bytes)
{
	return n->io.guest(n->io.ctx, gpa, bytes);
}

static inline uint64_t own_base(const struct nic *n, const struct nic_ring *r)
{
	return n->io.bus_address(n->io.ctx, r->own);
}

static inline unsigned block(const struct nic *n, unsigned q)
{
	return n->family->rx[q];
}

/* RDH and RDT count units of 16 bytes, also where descriptors are larger. Here they are numbers of
 * descriptors; UINT32_MAX: inside of one. */
static inline uint32_t to_number(const struct nic_ring *r, uint32_t v)
{
	const uint32_t unit = r->format.bytes / NIC_RING_UNIT;

	return v % unit ? UINT32_MAX : v / unit;
}

static inline uint32_t to_units(const struct nic_ring *r, uint32_t number)
{
	return number * (r->format.bytes / NIC_RING_UNIT);
}

static inline uint32_t card_head(const struct nic *n, unsigned q)
{
	return to_number(&n->rx[q], get(n, block(n, q) + E1000_HEAD));
}

static inline void set_head(const struct nic *n, unsigned q, uint32_t number)
{
	put(n, block(n, q) + E1000_HEAD, to_units(&n->rx[q], number));
}

static inline void set_tail(const struct nic *n, unsigned q, uint32_t number)
{
	put(n, block(n, q) + E1000_TAIL, to_units(&n->rx[q], number));
}

static inline uint32_t after(const struct nic_ring *r, uint32_t i)
{
	return i + 1 == r->len ? 0 : i + 1;
}

static inline void set_base(const struct nic *n, unsigned q, uint64_t base)
{
	put(n, block(n, q) + E1000_BAH, (uint32_t)(base >> 32));
	put(n, block(n, q) + E1000_BAL, (uint32_t)base);
}

static inline uint8_t *guest_desc(const struct nic *n, const struct nic_ring *r, uint32_t i)
{
	return guest(n, r->base + (uint64_t)i * r->format.bytes, r->format.bytes);
}

/* --- hv/nic.c --- */
void nic_discard_all(struct nic *n); /* what was caught */

/* --- hv/nic_replay.c: the guest's hands on the card while our ring is on it --- */
bool nic_undisturbed(const struct nic *n); /* did it leave the card as it was? */
/* As a reset of the ring would: what the card still has for the guest is gone. */
void nic_abandon(struct nic *n);
