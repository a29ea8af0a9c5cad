/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network card of memory for hv/nic.c, as the manuals have it: registers, receive rings with
 * legacy, extended and split descriptors, a FIFO for what finds none. Frames are bytes; the card
 * splits them over buffers and says so in its write-back, with marks that must reach the driver.
 * And a driver: it gives descriptors, takes frames. Include once, after check.h.
 */
#pragma once
#include <stdlib.h>
#include "hv/nic.h"
#include "net/e1000_regs.h"

#define RAM_BASE    0x100000ull
#define RAM_SIZE    0x200000u
#define OWN_BASE    0xf00000000ull
#define OWN_SIZE    NIC_OWN_BYTES(NIC_QUEUES)
#define POOL_SIZE   65536u
#define REGS_SIZE   0x20000u
#define FIFO_FRAMES 256
#define FRAME_MAX   9000u

struct model_frame {
	unsigned queue;
	uint32_t bytes, number;
};

static struct {
	uint32_t regs[REGS_SIZE / 4];
	struct model_frame fifo[FIFO_FRAMES];
	unsigned fifo_first, fifo_n;
	unsigned dropped, bad_dma, raised;
	uint32_t signalled; /* causes in ICR that the CPU was told of */
	unsigned signals;   /* of LSC */
	uint64_t us;
	bool lazy; /* writes descriptors back when it is told to */
	bool lax;  /* as Bochs' card: after a write to RDT, RDH = RDT is a ring of free ones */
	bool fresh[NIC_QUEUES];
	unsigned rctl_writes, resets;
	uint16_t phy[32];
	void (*delayed)(void);	       /* called as time passes */
	void (*accessed)(unsigned at); /* called after each access of the interposer's */
} card;
static struct nic nic;
/* Each with its own red zones. */
static uint8_t model_ram[RAM_SIZE], model_own[OWN_SIZE] __attribute__((aligned(4096)));
static uint8_t model_pool[POOL_SIZE] __attribute__((aligned(16)));

static uint32_t *reg(unsigned at)
{
	return &card.regs[at % REGS_SIZE / 4];
}

/* Where DMA to this address goes. */
static uint8_t *bus(uint64_t at, size_t n)
{
	if (at - RAM_BASE < RAM_SIZE && n <= RAM_SIZE - (at - RAM_BASE))
		return model_ram + (at - RAM_BASE);
	if (at - OWN_BASE < OWN_SIZE && n <= OWN_SIZE - (at - OWN_BASE))
		return model_own + (at - OWN_BASE);
	card.bad_dma++;
	return NULL;
}

static uint8_t content(uint32_t number, uint32_t at)
{
	return (uint8_t)(number * 37 + at * 11 + (at >> 8));
}

/* --- the card --- */

/* As QEMU's with MSI-X: what was signalled stays in ICR, and is news again after it was masked. */
static void model_signal(void)
{
	uint32_t pending = *reg(E1000_ICR) & *reg(E1000_IMS);

	card.signals += pending & ~card.signalled & INT_LSC ? 1 : 0;
	card.signalled = pending;
}

/* What the descriptor that the frame's bytes [from, ...) go to will look like; how many went. */
static uint32_t model_write(const struct nic_format *f, uint8_t *desc, const struct model_frame *m,
			    uint32_t from)
{
	uint64_t addr[NIC_PARTS];
	uint32_t left = m->bytes - from, done = 0;
	uint16_t len[NIC_PARTS] = {0};
	uint8_t wb[NIC_DESC_BYTES] = {0};
	const unsigned status = f->kind == NIC_LEGACY ? 12 : 8;

	nic_desc_read(f, desc, addr);
	for (unsigned i = 0; i < f->buffers; i++) {
		uint32_t n = left < f->size[i] ? left : f->size[i];
		uint8_t *p = n ? bus(addr[i], n) : NULL;

		for (uint32_t k = 0; p && k < n; k++)
			p[k] = content(m->number, from + done + k);
		len[i] = (uint16_t)n;
		done += n;
		left -= n;
	}
	memcpy(wb + (f->kind == NIC_LEGACY ? 8 : 12), &len[0], 2);
	for (unsigned i = 1; i < f->buffers; i++)
		memcpy(wb + 18 + 2 * (i - 1), &len[i], 2);
	if (f->kind == NIC_LEGACY) {
		memcpy(wb, desc, 8);
		memcpy(wb + 10, &m->number, 2); /* checksum */
	} else {
		memcpy(wb, &m->number, 4); /* MRQ and hash */
		wb[14] = (uint8_t)m->number;
	}
	wb[status] = 1 | (left ? 0 : 2) | 0x20;
	memcpy(desc, wb, f->bytes);
	return done;
}

/* The card's own look: no access of the interposer's. */
static bool model_format(unsigned q, struct nic_format *f)
{
	void (*accessed)(unsigned at) = card.accessed;
	bool ok;

	card.accessed = NULL;
	ok = nic.family->format(&nic, q, f);
	card.accessed = accessed;
	return ok;
}

static uint32_t model_len(unsigned q, const struct nic_format *f)
{
	return *reg(nic.family->rx[q] + E1000_LEN) / f->bytes;
}

static uint32_t model_free(unsigned q, const struct nic_format *f)
{
	uint32_t len = model_len(q, f), head = *reg(nic.family->rx[q] + E1000_HEAD),
		 tail = *reg(nic.family->rx[q] + E1000_TAIL), unit = f->bytes / 16;

	if (head % unit || tail % unit)
		return 0;
	head /= unit;
	tail /= unit;

	if (!len || head >= len || tail >= len)
		return 0;
	if (tail == head && card.fresh[q])
		return len;
	return tail >= head ? tail - head : len - head + tail;
}

static bool model_store(const struct model_frame *m)
{
	const unsigned b = nic.family->rx[m->queue];
	struct nic_format f;
	uint32_t room = 0, from = 0;

	if (!(*reg(E1000_RCTL) & RCTL_EN) || !model_format(m->queue, &f))
		return false;
	for (unsigned i = 0; i < f.buffers; i++)
		room += f.size[i];
	if ((uint64_t)model_free(m->queue, &f) * room < m->bytes)
		return false;
	do {
		uint32_t head = *reg(b + E1000_HEAD) / (f.bytes / 16);
		uint64_t at = ((uint64_t)*reg(b + E1000_BAH) << 32 | *reg(b + E1000_BAL)) +
			      (uint64_t)head * f.bytes;
		uint8_t *desc = bus(at, f.bytes);

		if (!desc)
			return true;
		from += model_write(&f, desc, m, from);
		head = head + 1 == model_len(m->queue, &f) ? 0 : head + 1;
		*reg(b + E1000_HEAD) = head * (f.bytes / 16); /* in units of 16 bytes */
		card.fresh[m->queue] = false;
	} while (from < m->bytes);
	*reg(E1000_ICR) |= INT_RXT0;
	model_signal();
	return true;
}

static void model_flush_fifo(void)
{
	while (card.fifo_n && model_store(&card.fifo[card.fifo_first])) {
		card.fifo_first = (card.fifo_first + 1) % FIFO_FRAMES;
		card.fifo_n--;
	}
}

/* A frame comes from the wire. */
static void model_receive(unsigned q, uint32_t number, uint32_t bytes)
{
	if (!(*reg(E1000_RCTL) & RCTL_EN) || card.fifo_n == FIFO_FRAMES) {
		card.dropped++;
		return;
	}
	card.fifo[(card.fifo_first + card.fifo_n++) % FIFO_FRAMES] =
		(struct model_frame){q, bytes, number};
	model_flush_fifo();
}

/* Of 64 bits, cleared by a read of the upper half? */
static bool model_pair(unsigned at)
{
	at &= ~7u;
	return at == 0x4088 || at == 0x4090 || at == 0x40c0 || at == 0x40c8;
}

static void model_mdic(uint32_t v)
{
	uint16_t *phy = &card.phy[v >> 16 & 31];

	if (v >> 26 & 1)
		*phy = (uint16_t)v;
	*reg(E1000_MDIC) = (v & ~0xffffu) | 1u << 28 | *phy;
}

static uint32_t model_get(void *ctx, unsigned at)
{
	uint32_t v = *reg(at);

	(void)ctx;
	if (at == E1000_ICR || (at >= 0x4000 && at < 0x4140 && !model_pair(at)))
		*reg(at) = 0;
	if (model_pair(at) && at & 4)
		*reg(at) = *reg(at - 4) = 0;
	return v;
}

static void model_put(void *ctx, unsigned at, uint32_t v)
{
	(void)ctx;
	if (at == E1000_RCTL)
		card.rctl_writes++;
	if (at == E1000_IMS)
		*reg(E1000_IMS) |= v;
	else if (at == E1000_IMC)
		*reg(E1000_IMS) &= ~v;
	else if (at == E1000_ICS) {
		*reg(E1000_ICR) |= v;
		card.raised++;
	} else if (at == E1000_MDIC)
		model_mdic(v);
	else
		*reg(at) = v;
	for (unsigned q = 0; q < nic.family->queues; q++)
		if (at == (unsigned)(nic.family->rx[q] + E1000_TAIL))
			card.fresh[q] = card.lax;
	model_signal();
	model_flush_fifo();
}

static uint32_t model_io_get(void *ctx, unsigned at)
{
	uint32_t v = model_get(ctx, at);

	if (card.accessed)
		card.accessed(at);
	return v;
}

static void model_io_put(void *ctx, unsigned at, uint32_t v)
{
	model_put(ctx, at, v);
	if (card.accessed)
		card.accessed(at);
}

static void model_delay(void *ctx, unsigned us)
{
	(void)ctx;
	card.us += us;
	if (card.delayed)
		card.delayed();
}

static void *model_guest(void *ctx, uint64_t gpa, size_t n)
{
	(void)ctx;
	return gpa - RAM_BASE < RAM_SIZE && n <= RAM_SIZE - (gpa - RAM_BASE)
		       ? model_ram + (gpa - RAM_BASE)
		       : NULL;
}

static uint64_t model_bus_address(void *ctx, const void *own)
{
	(void)ctx;
	return OWN_BASE + (uint64_t)((const uint8_t *)own - model_own);
}

/* CTRL.RST: what waited is gone. */
static inline void model_card_reset(void *ctx)
{
	(void)ctx;
	memset(card.regs, 0, sizeof(card.regs));
	memset(card.phy, 0, sizeof(card.phy));
	card.fifo_n = 0;
	card.resets++;
}

static inline void model_reset(const struct nic_family *f)
{
	const struct nic_io io = {.get = model_io_get,
				  .put = model_io_put,
				  .delay_us = model_delay,
				  .guest = model_guest,
				  .bus_address = model_bus_address};

	memset(&card, 0, sizeof(card));
	memset(model_ram, 0, sizeof(model_ram));
	memset(model_own, 0, sizeof(model_own));
	memset(model_pool, 0, sizeof(model_pool));
	nic_init(&nic, f, &io, model_own, model_pool, POOL_SIZE);
}

/* --- a driver --- */

static struct driver {
	unsigned q;
	struct nic_format f;
	uint64_t ring, buffers;
	uint32_t len, clean, tail;
	uint32_t number[4096]; /* of the frames it got, in order */
	unsigned frames, wrong;
	uint32_t partial; /* bytes of the frame so far */
} drivers[NIC_QUEUES];

/* Through the shadow, where the page is trapped. */
static inline uint32_t driver_get(unsigned at)
{
	return nic.phase == NIC_REPLAYING && at / 4096 == nic.family->rx_page / 4096
		       ? nic_shadow_read(&nic, at)
		       : model_get(NULL, at);
}

static vns_t driver_now;
static void driver_put(unsigned at, uint32_t v)
{
	if (nic.phase == NIC_REPLAYING && at / 4096 == nic.family->rx_page / 4096)
		nic_shadow_write(&nic, at, v, driver_now);
	else
		model_put(NULL, at, v);
}

static uint8_t *driver_desc(const struct driver *d, uint32_t i)
{
	return model_ram + (d->ring - RAM_BASE) + (size_t)i * d->f.bytes;
}

static uint32_t driver_stride(const struct driver *d)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < d->f.buffers; i++)
		n += d->f.size[i];
	return n;
}

static void driver_fill(const struct driver *d, uint32_t i)
{
	uint64_t addr[NIC_PARTS] = {0}, at = d->buffers + (uint64_t)i * driver_stride(d);

	for (unsigned k = 0; k < d->f.buffers; at += d->f.size[k++])
		addr[k] = d->f.size[k] ? at : 0;
	nic_desc_fill(&d->f, driver_desc(d, i), addr);
}

/* Registers of the format are set; the ring starts at `start`. */
static inline struct driver *driver_begin(unsigned q, uint32_t len, uint32_t start)
{
	struct driver *d = &drivers[q];
	const unsigned b = nic.family->rx[q];

	*d = (struct driver){.q = q, .len = len, .clean = start};
	CHECK(model_format(q, &d->f));
	d->ring = RAM_BASE + 0x10000 * q;
	d->buffers = RAM_BASE + 0x20000 + (uint64_t)q * 0xe0000;
	for (uint32_t i = 0; i < len; i++)
		driver_fill(d, i);
	d->tail = (start + len - 1) % len;
	driver_put(b + E1000_BAL, (uint32_t)d->ring);
	driver_put(b + E1000_BAH, 0);
	driver_put(b + E1000_LEN, len * d->f.bytes);
	driver_put(b + E1000_HEAD, start * (d->f.bytes / 16));
	driver_put(b + E1000_TAIL, d->tail * (d->f.bytes / 16));
	return d;
}

static void driver_take(struct driver *d, const uint8_t *desc)
{
	uint64_t at = d->buffers + (uint64_t)d->clean * driver_stride(d);
	uint16_t len[NIC_PARTS];
	uint32_t number = 0;

	nic_desc_lengths(&d->f, desc, len);
	if (d->f.kind == NIC_LEGACY)
		memcpy(&number, desc + 10, 2);
	else
		memcpy(&number, desc, 4);
	for (unsigned i = 0; i < d->f.buffers; at += d->f.size[i++])
		for (unsigned k = 0; k < len[i]; k++, d->partial++)
			d->wrong += model_ram[at - RAM_BASE + k] != content(number, d->partial);
	if (!nic_desc_last(&d->f, desc))
		return;
	if (d->frames < 4096)
		d->number[d->frames] = number;
	d->frames++;
	d->partial = 0;
}

/* Its interrupt handler: all that is there; new descriptors, if `repost`. */
static inline void driver_poll(struct driver *d, bool repost)
{
	while (nic_desc_done(&d->f, driver_desc(d, d->clean)) && d->clean != d->tail) {
		driver_take(d, driver_desc(d, d->clean));
		driver_fill(d, d->clean);
		d->clean = (d->clean + 1) % d->len;
	}
	if (!repost)
		return;
	d->tail = (d->clean + d->len - 1) % d->len;
	driver_put(nic.family->rx[d->q] + E1000_TAIL, d->tail * (d->f.bytes / 16));
}
