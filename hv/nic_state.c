// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A network card's registers and what was caught, in an image: read out of one card, written into
 * another of the model. Layout: docs/state-format.md. Frozen, and nothing settles any more.
 */
#include "hv/nic_internal.h"
#include "hv/state.h"

#define ICR_DERIVED (1u << 31 | 1u << 24) /* INT_ASSERTED, OTHER */
#define CTRL_ACTION (CTRL_RST | CTRL_PHY_RST)
#define TX_DESC	    16u
#define NIC_ENTRY_BYTES \
	(8 + 2 + 2 * NIC_PARTS + NIC_DESC_BYTES) /* of a caught one, less its data */

enum { /* MDIC: an access to a register of the PHY */
       MDIC_DATA = 0xffff,
       MDIC_REG_SHIFT = 16,
       MDIC_PHY_1 = 1 << 21,
       MDIC_WRITE = 1 << 26,
       MDIC_READ = 2 << 26,
       MDIC_READY = 1 << 28,
       MDIC_OP = 3 << 26,
       MDIC_ERROR = 1 << 30,
};
#define MDIC_TRIES 200 /* of 10 us */

/* What makes sense without a restart of the negotiation: ANAR, 1000BASE-T control, BMCR. */
static const uint8_t phy_registers[NIC_PHY_REGISTERS] = {4, 9, 0};
/* BMCR's reset and restart, which clear themselves; in Bochs they stay. */
static const uint16_t phy_actions[NIC_PHY_REGISTERS] = {0, 0, 0x8200};

enum { TX_BAL, TX_BAH, TX_LEN, TX_HEAD, TX_TAIL, TX_REGISTERS };
static const uint8_t tx_registers[TX_REGISTERS] = {E1000_BAL, E1000_BAH, E1000_LEN, E1000_HEAD,
						   E1000_TAIL};

enum { AS_MDIC, AS_RCTL, AS_TCTL, AS_IMS, AS_ICR, CONTROLS };

struct ring_image {
	uint64_t base;
	uint32_t bytes, head, tail;
	uint8_t active;
};

struct nic_image {
	uint32_t saved[NIC_SAVED_MAX];
	uint16_t phy[NIC_PHY_REGISTERS];
	uint32_t control[CONTROLS];
	uint32_t tx[NIC_QUEUES][TX_REGISTERS];
	struct ring_image rx[NIC_QUEUES];
	uint32_t statistics[NIC_STATISTICS];
};

/* --- the PHY --- */

static uint32_t mdic(const struct nic *n, uint32_t command)
{
	uint32_t v = 0;

	put(n, E1000_MDIC, command);
	for (unsigned i = 0; i < MDIC_TRIES; i++) {
		v = get(n, E1000_MDIC);
		if (v & MDIC_READY)
			break;
		n->io.delay_us(n->io.ctx, 10);
	}
	return v;
}

/* The guest's own access, which it may be waiting for, is made again. A card on which there was
 * none yet is left as if BMCR had been read. */
static uint32_t last_access(uint32_t v)
{
	if (!(v & MDIC_OP))
		return MDIC_PHY_1 | MDIC_READ;
	v &= ~(uint32_t)(MDIC_READY | MDIC_ERROR);
	return v & MDIC_READ ? v & ~(uint32_t)MDIC_DATA : v;
}

static void read_phy(const struct nic *n, struct nic_image *m)
{
	m->control[AS_MDIC] = last_access(get(n, E1000_MDIC));
	for (unsigned i = 0; i < NIC_PHY_REGISTERS; i++)
		m->phy[i] = (uint16_t)mdic(n, (uint32_t)phy_registers[i] << MDIC_REG_SHIFT |
						      MDIC_PHY_1 | MDIC_READ) &
			    (uint16_t)~phy_actions[i];
}

static void write_phy(const struct nic *n, const struct nic_image *m)
{
	for (unsigned i = 0; i < NIC_PHY_REGISTERS; i++)
		(void)mdic(n, (uint32_t)phy_registers[i] << MDIC_REG_SHIFT | MDIC_PHY_1 |
				      MDIC_WRITE | (m->phy[i] & (uint16_t)~phy_actions[i]));
}

/* --- transmission: a packet that has been begun is begun anew --- */

/* 8254x manual, 3.3: DEXT tells the newer kinds, DTYP of a context descriptor is 0. */
static bool is_context(const uint8_t *d)
{
	return d[11] & 0x20 && !(d[10] & 0xf0);
}

static bool ends_packet(const uint8_t *d)
{
	return !is_context(d) && d[11] & 1;
}

/* The first descriptor of the packet in which the head stands, with the contexts before it. */
static uint32_t packet_start(const struct nic *n, const uint32_t tx[TX_REGISTERS])
{
	uint64_t base = ((uint64_t)tx[TX_BAH] << 32 | tx[TX_BAL]) & ~15ull;
	uint32_t len = tx[TX_LEN] / TX_DESC, at = tx[TX_HEAD];
	const uint8_t *ring = n->io.guest(n->io.ctx, base, tx[TX_LEN]);

	if (!ring || at >= len || tx[TX_TAIL] >= len || at == tx[TX_TAIL])
		return at;
	for (uint32_t i = 0; i < len; i++) {
		uint32_t before = at ? at - 1 : len - 1;

		if (before == tx[TX_TAIL] || ends_packet(ring + (size_t)before * TX_DESC))
			break;
		at = before;
	}
	return at;
}

/* --- out of the card --- */

static void read_rings(struct nic *n, struct nic_image *m)
{
	for (unsigned q = 0; q < n->family->queues; q++) {
		const struct nic_ring *r = &n->rx[q];
		const unsigned b = n->family->rx[q];
		struct ring_image *i = &m->rx[q];

		*i = (struct ring_image){r->base, r->bytes, nic_shadow_read(n, b + E1000_HEAD),
					 nic_shadow_read(n, b + E1000_TAIL), 1};
		if (!r->active)
			*i = (struct ring_image){(uint64_t)get(n, b + E1000_BAH) << 32 |
							 get(n, b + E1000_BAL),
						 get(n, b + E1000_LEN), get(n, b + E1000_HEAD),
						 get(n, b + E1000_TAIL), 0};
		for (unsigned k = 0; k < TX_REGISTERS; k++)
			m->tx[q][k] = get(n, n->family->tx[q] + tx_registers[k]);
		m->tx[q][TX_HEAD] = packet_start(n, m->tx[q]);
	}
}

static void read_card(struct nic *n, struct nic_image *m)
{
	unsigned k = 0;

	memset(m, 0, sizeof(*m));
	for (const struct nic_saved *s = n->family->saved; s->count; s++)
		for (unsigned i = 0; i < s->count; i++)
			m->saved[k++] = get(n, s->first + 4 * i);
	read_phy(n, m);
	(void)mdic(n, m->control[AS_MDIC]);
	m->control[AS_RCTL] = n->resume ? n->rctl : get(n, E1000_RCTL);
	m->control[AS_TCTL] = n->tctl;
	m->control[AS_IMS] = n->ims;
	put(n, E1000_IMC, UINT32_MAX); /* until the thaw: nobody hears of what is set again */
	m->control[AS_ICR] = get(n, E1000_ICR); /* clears it */
	put(n, E1000_ICS, m->control[AS_ICR] & ~ICR_DERIVED);
	m->control[AS_ICR] &= ~ICR_DERIVED;
	read_rings(n, m);
	nic_statistics_collect(n);
	memcpy(m->statistics, n->statistics, sizeof(m->statistics));
}

/* --- the section --- */

static unsigned saved_count(const struct nic *n)
{
	unsigned k = 0;

	for (const struct nic_saved *s = n->family->saved; s->count; s++)
		k += s->count;
	return k;
}

static void put_words(struct state_writer *w, const uint32_t *v, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		state_put32(w, v[i]);
}

static void get_words(struct state_reader *r, uint32_t *v, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		v[i] = state_get32(r);
}

static void put_entry(struct state_writer *w, const struct nic_caught *e)
{
	size_t data = 0;

	state_put64(w, e->at.v);
	state_put8(w, e->queue);
	state_put8(w, e->last);
	for (unsigned i = 0; i < NIC_PARTS; i++) {
		state_put16(w, e->len[i]);
		data += e->len[i];
	}
	state_put(w, e->desc, sizeof(e->desc));
	state_put(w, e->data, data);
}

static struct nic_image image; /* one card at a time, on the boot CPU */

int nic_save(struct nic *n, struct state_writer *w)
{
	struct nic_image *m = &image;

	read_card(n, m);
	state_put32(w, saved_count(n));
	put_words(w, m->saved, saved_count(n));
	for (unsigned i = 0; i < NIC_PHY_REGISTERS; i++)
		state_put16(w, m->phy[i]);
	put_words(w, m->control, CONTROLS);
	for (unsigned q = 0; q < n->family->queues; q++) {
		const struct ring_image *i = &m->rx[q];

		put_words(w, m->tx[q], TX_REGISTERS);
		state_put64(w, i->base);
		state_put32(w, i->bytes);
		state_put32(w, i->head);
		state_put32(w, i->tail);
		state_put8(w, i->active);
	}
	put_words(w, m->statistics, NIC_STATISTICS);
	state_put32(w, n->pool.entries);
	for (const struct nic_caught *e = nic_pool_first(&n->pool); e;
	     e = nic_pool_after(&n->pool, e))
		put_entry(w, e);
	return w->err;
}

static void get_image(const struct nic *n, struct state_reader *r, struct nic_image *m)
{
	memset(m, 0, sizeof(*m));
	if (!state_expect(r, state_get32(r), saved_count(n), "number of registers"))
		return;
	get_words(r, m->saved, saved_count(n));
	for (unsigned i = 0; i < NIC_PHY_REGISTERS; i++)
		m->phy[i] = state_get16(r);
	get_words(r, m->control, CONTROLS);
	for (unsigned q = 0; q < n->family->queues; q++) {
		struct ring_image *i = &m->rx[q];

		get_words(r, m->tx[q], TX_REGISTERS);
		i->base = state_get64(r);
		i->bytes = state_get32(r);
		i->head = state_get32(r);
		i->tail = state_get32(r);
		i->active = state_get8(r);
		state_require(r, i->active <= 1, "receive ring");
	}
	get_words(r, m->statistics, NIC_STATISTICS);
}

/* Of one caught descriptor; its data goes to `pool`, or is only looked at. */
static bool get_entry(const struct nic *n, struct state_reader *r, const struct nic_image *m,
		      struct nic_pool *pool, uint64_t *at)
{
	struct nic_caught head = {.at.v = state_get64(r)};
	size_t data = 0;

	head.queue = state_get8(r);
	head.last = state_get8(r);
	for (unsigned i = 0; i < NIC_PARTS; i++) {
		head.len[i] = state_get16(r);
		data += head.len[i];
	}
	state_get(r, head.desc, sizeof(head.desc));
	if (!state_require(r,
			   !r->err && head.last <= 1 && head.at.v >= *at &&
				   head.queue < n->family->queues && m->rx[head.queue].active &&
				   data <= r->size - r->pos,
			   "caught frame"))
		return false;
	*at = head.at.v;
	if (pool) {
		struct nic_caught *e = nic_pool_add(pool, data);

		if (!e) /* was looked at before */
			return false;
		head.size = e->size;
		memcpy(e, &head, sizeof(head));
		memcpy(e->data, r->buf + r->pos, data);
	}
	r->pos += data;
	return true;
}

static void get_entries(const struct nic *n, struct state_reader *r, const struct nic_image *m,
			struct nic_pool *pool)
{
	uint32_t count = state_get32(r);
	uint64_t at = 0, bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		size_t before = r->pos;

		if (!get_entry(n, r, m, pool, &at))
			return;
		bytes += nic_pool_bytes(r->pos - before - NIC_ENTRY_BYTES);
	}
	state_require(r, bytes <= n->pool.bytes, "caught frames: more than there is room for");
}

/* --- into the card --- */

static void write_registers(const struct nic *n, const struct nic_image *m)
{
	unsigned k = 0;

	for (const struct nic_saved *s = n->family->saved; s->count; s++)
		for (unsigned i = 0; i < s->count; i++, k++)
			put(n, s->first + 4 * i,
			    s->first + 4 * i == E1000_CTRL ? m->saved[k] & ~CTRL_ACTION
							   : m->saved[k]);
	write_phy(n, m);
	(void)mdic(n, m->control[AS_MDIC]);
}

static void write_tx(const struct nic *n, const struct nic_image *m)
{
	put(n, E1000_TCTL, m->control[AS_TCTL] & ~(uint32_t)TCTL_EN);
	for (unsigned q = 0; q < n->family->queues; q++)
		for (unsigned k = 0; k < TX_REGISTERS; k++)
			put(n, n->family->tx[q] + tx_registers[k], m->tx[q][k]);
}

static void write_rx(struct nic *n, unsigned q, const struct ring_image *i)
{
	const unsigned b = n->family->rx[q];

	n->rx[q].active = false;
	put(n, b + E1000_BAH, (uint32_t)(i->base >> 32));
	put(n, b + E1000_BAL, (uint32_t)i->base);
	put(n, b + E1000_LEN, i->bytes);
	put(n, b + E1000_HEAD, i->head);
	put(n, b + E1000_TAIL, i->head);
}

static unsigned entries_of(const struct nic *n, unsigned q)
{
	unsigned count = 0;

	for (const struct nic_caught *e = nic_pool_first(&n->pool); e;
	     e = nic_pool_after(&n->pool, e))
		count += e->queue == q;
	return count;
}

/* Reception itself is enabled by the next nic_poll. */
static void start_reception(struct nic *n, const struct nic_image *m)
{
	for (unsigned q = 0; q < n->family->queues; q++)
		write_rx(n, q, &m->rx[q]);
	put(n, E1000_RCTL, m->control[AS_RCTL] & ~(uint32_t)RCTL_EN);
	for (unsigned q = 0; q < n->family->queues; q++)
		if (m->rx[q].active)
			nic_take_loaded(n, q, m->rx[q].tail, entries_of(n, q));
	n->rctl = m->control[AS_RCTL];
	n->resume = true;
	for (unsigned q = 0; q < n->family->queues; q++)
		if (n->rx[q].active)
			nic_post(n, q);
		else
			put(n, n->family->rx[q] + E1000_TAIL, m->rx[q].tail);
}

bool nic_load(struct nic *n, struct state_reader *r, void (*reset)(void *ctx))
{
	struct nic_image *m = &image;
	struct state_reader again;
	size_t entries;

	get_image(n, r, m);
	entries = r->pos;
	get_entries(n, r, m, NULL);
	if (!state_commit(r))
		return false;
	again = *r;
	again.pos = entries;
	reset(n->io.ctx);
	nic_reset(n);
	n->phase = NIC_CATCHING;
	get_entries(n, &again, m, &n->pool);
	n->ims = m->control[AS_IMS];
	n->tctl = m->control[AS_TCTL];
	memcpy(n->statistics, m->statistics, sizeof(m->statistics));
	write_registers(n, m);
	write_tx(n, m);
	start_reception(n, m);
	nic_statistics_forget(n);
	(void)get(n, E1000_ICR);
	put(n, E1000_ICS, m->control[AS_ICR]);
	return true;
}

void nic_scramble(struct nic *n, void (*reset)(void *ctx))
{
	reset(n->io.ctx);
	nic_reset(n);
	n->ims = n->tctl = 0xa5a5a5a5;
	memset(n->statistics, 0xa5, sizeof(n->statistics));
}
