// SPDX-License-Identifier: GPL-2.0-or-later
/* After the thaw: what was caught goes to the guest's ring, until the card gets that one back. */
#include "hv/nic_internal.h"

#define DESC_COST 1024 /* of a descriptor, in bytes */
#define POLL_NS	  50000

/* --- the guest changes its mind while our ring is on the card --- */

bool nic_undisturbed(const struct nic *n)
{
	if (!(get(n, E1000_RCTL) & RCTL_EN))
		return false;
	for (unsigned q = 0; q < n->family->queues; q++) {
		const struct nic_ring *r = &n->rx[q];
		struct nic_format f = {0};

		if (!r->active)
			continue;
		if (get(n, block(n, q) + E1000_BAL) != (uint32_t)own_base(n, r) ||
		    !n->family->format(n, q, &f) || f.kind != r->format.kind ||
		    memcmp(f.size, r->format.size, sizeof(f.size)) != 0)
			return false;
	}
	return true;
}

void nic_abandon(struct nic *n)
{
	nic_discard_all(n);
	for (unsigned q = 0; q < n->family->queues; q++) {
		struct nic_ring *r = &n->rx[q];
		const unsigned b = block(n, q);

		if (r->active && get(n, b + E1000_BAL) == (uint32_t)own_base(n, r)) {
			put(n, b + E1000_TAIL, get(n, b + E1000_HEAD));
			set_base(n, q, r->base);
			set_head(n, q, r->head);
			set_tail(n, q, r->tail);
		}
		r->active = false;
	}
	n->overflowing = false;
	n->phase = NIC_RUNNING;
}

/* --- thaw --- */

/* Between the freeze and T' nobody sends. What was on the way comes soon after the one, what nodes
 * send that went on a little before this one soon before the other: the middle parts them. */
static void set_times(const struct nic *n, vns_t v, vns_t restart)
{
	uint64_t before = v.v, middle = v.v + (restart.v > v.v ? (restart.v - v.v) / 2 : 0);

	for (struct nic_caught *e = nic_pool_first(&n->pool); e; e = nic_pool_after(&n->pool, e)) {
		uint64_t at = e->at.v >= middle ? v.v : e->at.v;

		before = at > before ? at : before;
		e->at.v = before;
	}
}

/* A frame is where the next one goes in our ring. Emulated cards may take one though RDH = RDT,
 * right after RDT was written: it has slipped in before the base changed. */
static bool is_done(const struct nic_ring *r)
{
	return nic_desc_done(&r->format, r->own + (size_t)r->next * r->format.bytes);
}

/* Nothing is on the way to the guest, and the card has no descriptor. */
static bool is_idle(const struct nic *n)
{
	for (unsigned q = 0; q < n->family->queues; q++) {
		const struct nic_ring *r = &n->rx[q];

		if (!r->active)
			continue;
		set_tail(n, q, r->next);
		if (card_head(n, q) != r->next || is_done(r))
			return false;
		set_base(n, q, r->base);
		if (is_done(r))
			return false;
	}
	return true;
}

static void take_again(const struct nic *n)
{
	for (unsigned q = 0; q < n->family->queues; q++) {
		const struct nic_ring *r = &n->rx[q];

		if (!r->active)
			continue;
		set_base(n, q, own_base(n, r));
		set_tail(n, q, r->posted);
	}
}

/* The card gets its ring back, if it is idle. */
static bool hand_over(struct nic *n)
{
	if (!is_idle(n)) {
		take_again(n);
		return false;
	}
	for (unsigned q = 0; q < n->family->queues; q++) {
		struct nic_ring *r = &n->rx[q];

		if (!r->active)
			continue;
		if (r->head != r->next) /* only if the card lied */
			set_head(n, q, r->head);
		r->active = false;
		set_tail(n, q, r->tail);
	}
	n->counts.missed += nic_statistics_missed(n);
	return true;
}

void nic_thaw(struct nic *n, vns_t now, vns_t v, vns_t restart)
{
	nic_poll(n, now);
	nic_settle(n, now);
	nic_poll(n, now);
	set_times(n, v, restart);
	n->phase = !n->pool.entries && hand_over(n) ? NIC_RUNNING : NIC_REPLAYING;
	put(n, E1000_IMS, n->ims & ~get(n, E1000_IMS));
}

void nic_start(const struct nic *n)
{
	put(n, E1000_TCTL, n->tctl);
}

/* --- replay --- */

static bool deliver(struct nic *n, const struct nic_caught *e)
{
	struct nic_ring *r = &n->rx[e->queue];
	uint64_t addr[NIC_PARTS];
	size_t at = 0;
	uint8_t *desc;

	if (r->head == r->tail)
		return false;
	desc = guest_desc(n, r, r->head);
	r->head = after(r, r->head);
	if (!desc) /* its ring is no RAM any more: nobody sees the frame */
		return true;
	nic_desc_read(&r->format, desc, addr);
	for (unsigned i = 0; i < r->format.buffers; at += e->len[i++]) {
		void *p = e->len[i] ? guest(n, addr[i], e->len[i]) : NULL;

		if (p)
			memcpy(p, e->data + at, e->len[i]);
	}
	nic_desc_write_back(&r->format, desc, e->desc);
	n->counts.delivered += e->last;
	return true;
}

vns_t nic_replay(struct nic *n, vns_t now)
{
	unsigned raise = 0, cost = 0;
	const struct nic_caught *e;
	uint64_t next;

	if (n->phase != NIC_REPLAYING)
		return VNS_NEVER;
	if (!nic_undisturbed(n)) {
		nic_abandon(n);
		return VNS_NEVER;
	}
	nic_poll(n, now);
	while (cost < NIC_BUDGET && (e = nic_pool_first(&n->pool)) && e->at.v <= now.v) {
		if (!deliver(n, e))
			break;
		cost += e->size + DESC_COST;
		raise |= (unsigned)e->last << e->queue;
		nic_pool_drop(&n->pool);
	}
	for (unsigned q = 0; q < n->family->queues; q++)
		if (raise >> q & 1)
			n->family->raise(n, q);
	e = nic_pool_first(&n->pool);
	if (!e && hand_over(n)) {
		n->phase = NIC_RUNNING;
		return VNS_NEVER;
	}
	next = e && e->at.v < now.v + POLL_NS ? e->at.v : now.v + POLL_NS;
	return (vns_t){next > now.v ? next : now.v + (cost < NIC_BUDGET ? POLL_NS : 1)};
}

static struct nic_ring *ring_of(struct nic *n, unsigned reg, unsigned *offset)
{
	for (unsigned q = 0; q < n->family->queues; q++) {
		*offset = reg - block(n, q);
		if (*offset <= E1000_TAIL && n->rx[q].active)
			return &n->rx[q];
	}
	return NULL;
}

uint32_t nic_shadow_read(struct nic *n, unsigned reg)
{
	unsigned offset;
	const struct nic_ring *r = ring_of(n, reg, &offset);

	if (!r)
		return get(n, reg);
	switch (offset) {
	case E1000_BAL:
		return (uint32_t)r->base;
	case E1000_BAH:
		return (uint32_t)(r->base >> 32);
	case E1000_LEN:
		return r->bytes;
	case E1000_HEAD:
		return to_units(r, r->head);
	case E1000_TAIL:
		return to_units(r, r->tail);
	default:
		return get(n, reg);
	}
}

void nic_shadow_write(struct nic *n, unsigned reg, uint32_t v, vns_t now)
{
	unsigned offset;
	struct nic_ring *r = ring_of(n, reg, &offset);

	if (r && offset == E1000_TAIL && nic_undisturbed(n)) {
		r->tail = to_number(r, (uint16_t)v);
		nic_replay(n, now); /* something may have waited for descriptors */
		return;
	}
	if (r)
		nic_abandon(n);
	put(n, reg, v);
}
