// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/nic_internal.h"

#define RING_UNIT      128u /* bytes; RDLEN is a multiple */
#define SWITCH_TRIES   8
#define WRITE_BACK_US  20 /* for descriptors of frames that are in memory */
#define DRAIN_US       2000
#define DRAIN_QUIET_US 20 /* the longest frame at 1 Gbit/s takes 12 */

void nic_init(struct nic *n, const struct nic_family *f, const struct nic_io *io, void *own,
	      void *pool, size_t pool_bytes)
{
	uint8_t *mem = own;

	*n = (struct nic){.family = f, .io = *io};
	for (unsigned q = 0; q < f->queues; q++, mem += NIC_OWN_BYTES(1)) {
		n->rx[q].own = mem;
		n->rx[q].copy = mem + NIC_RING_MAX;
		n->rx[q].area = mem + 2 * (size_t)NIC_RING_MAX;
	}
	nic_pool_init(&n->pool, pool, pool_bytes);
}

void nic_discard_all(struct nic *n)
{
	for (const struct nic_caught *e; (e = nic_pool_first(&n->pool)); nic_pool_drop(&n->pool))
		n->counts.discarded += e->last;
}

void nic_reset(struct nic *n)
{
	nic_discard_all(n);
	for (unsigned q = 0; q < n->family->queues; q++)
		n->rx[q].active = false;
	n->ims = n->tctl = 0;
	n->overflowing = n->resume = false;
	if (n->phase == NIC_REPLAYING)
		n->phase = NIC_RUNNING;
	else if (n->phase == NIC_SETTLING)
		n->phase = NIC_CATCHING;
}

/* --- what was received, into the pool --- */

/* `part` says where the data is (NULL: not in the guest's RAM, so nobody has it). False: no room.
 */
static bool catch (struct nic *n, unsigned q, const uint8_t *desc,
		   const uint8_t *const part[NIC_PARTS], vns_t now)
{
	const struct nic_format *f = &n->rx[q].format;
	uint16_t len[NIC_PARTS];
	size_t total = 0, at = 0;
	struct nic_caught *e;

	nic_desc_lengths(f, desc, len);
	for (unsigned i = 0; i < f->buffers; i++) {
		len[i] = part[i] ? len[i] : 0;
		total += len[i];
	}
	e = nic_pool_add(&n->pool, total);
	n->counts.overflows += !e && !n->overflowing;
	n->overflowing = !e;
	if (!e)
		return false;
	e->at = now;
	e->queue = (uint8_t)q;
	e->last = nic_desc_last(f, desc);
	memcpy(e->len, len, sizeof(len));
	memcpy(e->desc, desc, f->bytes);
	for (unsigned i = 0; i < f->buffers; at += len[i++])
		if (part[i])
			memcpy(e->data + at, part[i], len[i]);
	n->counts.caught += e->last;
	return true;
}

static void own_addresses(const struct nic *n, const struct nic_ring *r, uint32_t i,
			  const uint8_t *part[NIC_PARTS], uint64_t addr[NIC_PARTS])
{
	const struct nic_format *f = &r->format;
	size_t stride = 0, offset = 0;

	for (unsigned k = 0; k < f->buffers; k++)
		stride += f->size[k];
	for (unsigned k = 0; k < NIC_PARTS; k++) {
		part[k] = NULL;
		addr[k] = 0;
		if (k >= f->buffers || !f->size[k])
			continue;
		part[k] = r->area + i % r->buffers * stride + offset;
		addr[k] = n->io.bus_address(n->io.ctx, part[k]);
		offset += f->size[k];
	}
}

static void fill_own(const struct nic *n, const struct nic_ring *r, uint32_t i)
{
	const uint8_t *part[NIC_PARTS];
	uint64_t addr[NIC_PARTS];

	own_addresses(n, r, i, part, addr);
	nic_desc_fill(&r->format, r->own + (size_t)i * r->format.bytes, addr);
}

static uint32_t window_end(const struct nic_ring *r)
{
	uint32_t n = r->buffers < r->len ? r->buffers : r->len - 1, end = r->next + n;

	return end >= r->len ? end - r->len : end;
}

/* From our ring. */
static bool pull(struct nic *n, unsigned q, vns_t now)
{
	struct nic_ring *r = &n->rx[q];
	unsigned taken = 0;

	for (size_t before = n->pool.used; n->pool.used - before < NIC_BUDGET; taken++) {
		const uint8_t *desc = r->own + (size_t)r->next * r->format.bytes;
		const uint8_t *part[NIC_PARTS];
		uint8_t written[NIC_DESC_BYTES];
		uint64_t addr[NIC_PARTS];

		if (!nic_desc_done(&r->format, desc))
			break;
		memcpy(written, desc, r->format.bytes);
		own_addresses(n, r, r->next, part, addr);
		if (!catch (n, q, written, part, now))
			break;
		fill_own(n, r, r->next);
		r->next = after(r, r->next);
	}
	if (!taken) {
		/* it may wait for more before it writes back */
		if (!n->overflowing && card_head(n, q) != r->next)
			n->family->flush(n, q);
		return false;
	}
	r->posted = window_end(r);
	set_tail(n, q, r->posted);
	return true;
}

/* --- from the guest's ring, while it settles --- */

static bool take_back(struct nic *n, unsigned q, vns_t now, bool whatever)
{
	struct nic_ring *r = &n->rx[q];
	const struct nic_format *f = &r->format;
	uint8_t *before = r->copy + (size_t)r->next * f->bytes, *desc = guest_desc(n, r, r->next);
	const uint8_t *part[NIC_PARTS] = {0};
	uint8_t written[NIC_DESC_BYTES];
	uint64_t addr[NIC_PARTS];
	uint16_t len[NIC_PARTS];

	if (!nic_desc_done(f, desc) && !whatever)
		return false;
	memcpy(written, desc, f->bytes);
	if (!nic_desc_done(f, written)) {
		nic_desc_mark_done(f, written);
		n->counts.damaged++;
	}
	nic_desc_read(f, before, addr);
	nic_desc_lengths(f, written, len);
	for (unsigned i = 0; i < f->buffers; i++)
		part[i] = len[i] ? guest(n, addr[i], len[i]) : NULL;
	if (!catch (n, q, written, part, now)) {
		if (!whatever)
			return false;
		nic_desc_mark_done(f, written); /* a frame without an end: the driver drops it */
		memset(part, 0, sizeof(part));
		n->counts.damaged++;
		if (!catch (n, q, written, part, now))
			return false;
	}
	memcpy(desc, before, f->bytes);
	r->next = after(r, r->next);
	return true;
}

static bool pull_settling(struct nic *n, unsigned q, vns_t now)
{
	struct nic_ring *r = &n->rx[q];
	uint32_t head = card_head(n, q);
	bool any = false;

	while (head < r->len && r->next != head && take_back(n, q, now, false))
		any = true;
	return any;
}

/* --- the switch --- */

/* RDH = RDT: frames wait in the card. `tail` is put back if the head was faster. */
static bool starve(const struct nic *n, unsigned q, uint32_t tail)
{
	for (unsigned i = 0; i < SWITCH_TRIES; i++) {
		uint32_t head = card_head(n, q);

		if (head == UINT32_MAX)
			return false;
		set_tail(n, q, head);
		if (card_head(n, q) == head)
			return true;
		set_tail(n, q, tail);
	}
	return false;
}

static void await_write_back(struct nic *n, unsigned q, vns_t now)
{
	const struct nic_ring *r = &n->rx[q];
	uint32_t head = 0;

	for (unsigned i = 0; i < WRITE_BACK_US; i++) {
		pull_settling(n, q, now);
		head = card_head(n, q);
		if (head >= r->len || r->next == head)
			return;
		n->family->flush(n, q);
		n->io.delay_us(n->io.ctx, 1);
	}
	while (r->next != head && take_back(n, q, now, true))
		;
}

static void fill_all(const struct nic *n, const struct nic_ring *r)
{
	for (uint32_t i = 0; i < r->len; i++)
		fill_own(n, r, i);
}

static void switch_ring(struct nic *n, unsigned q, vns_t now)
{
	struct nic_ring *r = &n->rx[q];

	fill_all(n, r);
	if (!starve(n, q, r->tail)) { /* frames came without end: they stay where they are */
		n->counts.left_alone++;
		r->active = false;
		return;
	}
	await_write_back(n, q, now);
	set_base(n, q, own_base(n, r));
	pull_settling(n, q, now); /* see is_done */
	r->posted = window_end(r);
	set_tail(n, q, r->posted);
	n->counts.switches++;
}

void nic_settle(struct nic *n, vns_t now)
{
	if (n->phase != NIC_SETTLING)
		return;
	for (unsigned q = 0; q < n->family->queues; q++)
		if (n->rx[q].active)
			switch_ring(n, q, now);
	n->phase = NIC_CATCHING;
}

/* --- freeze --- */

/* No more frames leave; what does before is caught by the peers. */
static void stop_transmission(struct nic *n)
{
	uint32_t head[NIC_QUEUES] = {0};
	unsigned quiet = 0;

	n->tctl = get(n, E1000_TCTL);
	put(n, E1000_TCTL, n->tctl & ~(uint32_t)TCTL_EN);
	for (unsigned us = 0; us < DRAIN_US && quiet < DRAIN_QUIET_US; us++, quiet++) {
		for (unsigned q = 0; q < n->family->queues; q++) {
			uint32_t now = get(n, n->family->tx[q] + E1000_HEAD);

			if (now != head[q])
				quiet = 0;
			head[q] = now;
		}
		if (get(n, E1000_TDFH) != get(n, E1000_TDFT))
			quiet = 0;
		n->io.delay_us(n->io.ctx, 1);
	}
	n->counts.tx_stuck += quiet < DRAIN_QUIET_US;
}

/* So many that a ring's length is a multiple: neighbours on the ring never share one. */
static uint32_t buffers_for(const struct nic_ring *r)
{
	size_t stride = 0;
	uint32_t n = NIC_BUFFERS_MAX;

	for (unsigned i = 0; i < r->format.buffers; i++)
		stride += r->format.size[i];
	while (n && (r->len % n || n * stride > NIC_BUFFER_AREA))
		n /= 2;
	return n;
}

static bool look_at_ring(struct nic *n, unsigned q)
{
	struct nic_ring *r = &n->rx[q];
	const unsigned b = block(n, q);
	const void *descs;

	if (!n->family->format(n, q, &r->format))
		return false;
	r->base = ((uint64_t)get(n, b + E1000_BAH) << 32 | get(n, b + E1000_BAL)) & ~15ull;
	r->bytes = get(n, b + E1000_LEN);
	r->tail = to_number(r, get(n, b + E1000_TAIL));
	descs = guest(n, r->base, r->bytes);
	if (r->bytes > NIC_RING_MAX || r->bytes % RING_UNIT || !descs)
		return false;
	/* before the head is read: what comes in between must not be in the copy as done */
	memcpy(r->copy, descs, r->bytes);
	r->head = card_head(n, q);
	r->len = r->bytes / r->format.bytes;
	r->buffers = buffers_for(r);
	r->next = r->head;
	return r->head < r->len && r->tail < r->len && r->buffers;
}

static void take_ring(struct nic *n, unsigned q)
{
	struct nic_ring *r = &n->rx[q];

	r->active = false;
	if (!(get(n, E1000_RCTL) & RCTL_EN) || !get(n, block(n, q) + E1000_LEN))
		return;
	if (!look_at_ring(n, q)) {
		n->counts.left_alone++;
		return;
	}
	r->active = true;
}

/* Of receptions the guest hears when they are replayed. Other causes stay as they are: some cards
 * keep in ICR what they have signalled, and would do so again when it is unmasked. */
static void mask_receptions(struct nic *n)
{
	n->ims = get(n, E1000_IMS);
	put(n, E1000_IMC, n->family->rx_causes);
}

void nic_freeze(struct nic *n, vns_t now, uint64_t settle_ns)
{
	stop_transmission(n);
	mask_receptions(n);
	if (n->phase == NIC_REPLAYING && nic_undisturbed(n)) {
		n->phase = NIC_CATCHING;
		return;
	}
	if (n->phase == NIC_REPLAYING)
		nic_abandon(n);
	(void)nic_statistics_missed(n);
	n->settled = (vns_t){now.v + settle_ns};
	for (unsigned q = 0; q < n->family->queues; q++)
		take_ring(n, q);
	n->phase = NIC_SETTLING;
	if (!settle_ns)
		nic_settle(n, now);
}

void nic_post(const struct nic *n, unsigned q)
{
	set_tail(n, q, n->rx[q].posted);
}

void nic_take_loaded(struct nic *n, unsigned q, uint32_t tail, unsigned caught)
{
	struct nic_ring *r = &n->rx[q];

	r->active = look_at_ring(n, q);
	if (!r->active) { /* an image that contradicts itself */
		n->counts.left_alone++;
		return;
	}
	r->tail = to_number(r, tail);
	r->next = (r->head + caught) % r->len;
	set_head(n, q, r->next);
	set_tail(n, q, r->next);
	fill_all(n, r);
	set_base(n, q, own_base(n, r));
	r->posted = window_end(r);
}

bool nic_watches(const struct nic *n)
{
	bool any = false;

	for (unsigned q = 0; q < n->family->queues; q++)
		any |= n->rx[q].active;
	return any && (n->phase == NIC_SETTLING || n->phase == NIC_CATCHING);
}

bool nic_poll(struct nic *n, vns_t now)
{
	bool any = n->phase == NIC_SETTLING;

	if (n->resume)
		put(n, E1000_RCTL, n->rctl);
	n->resume = false;
	for (unsigned q = 0; q < n->family->queues; q++)
		if (n->rx[q].active)
			any |= n->phase == NIC_SETTLING ? pull_settling(n, q, now)
							: pull(n, q, now);
	if (n->phase == NIC_SETTLING && (now.v >= n->settled.v || n->pool.used > n->pool.bytes / 2))
		nic_settle(n, now);
	return any;
}
