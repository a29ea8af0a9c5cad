// SPDX-License-Identifier: GPL-2.0-or-later
/* The families of cards that hv/nic.c knows: 82540EM (8254x manual), 82574L (82574 datasheet). */
#include "hv/nic.h"
#include "net/e1000_regs.h"

#define RCTL_BSIZE_SHIFT  16
#define RCTL_BSEX	  (1u << 25)
#define RCTL_FLXBUF_SHIFT 27 /* KiB, if not 0 */
#define RCTL_DTYP_SHIFT	  10
#define DTYP_SPLIT	  1u
#define PSRCTL_UNIT0	  128u
#define PSRCTL_UNIT	  1024u
#define RDTR_FPD	  (1u << 31)
#define INT_RXQ0	  (1u << 20)

static void one_buffer(uint32_t rctl, struct nic_format *f)
{
	f->buffers = 1;
	f->size[0] = 2048u >> (rctl >> RCTL_BSIZE_SHIFT & 3);
	if (rctl & RCTL_BSEX)
		f->size[0] *= 16;
}

static bool format_82540em(const struct nic *n, unsigned queue, struct nic_format *f)
{
	uint32_t rctl = n->io.get(n->io.ctx, E1000_RCTL);

	(void)queue;
	*f = (struct nic_format){.kind = NIC_LEGACY, .bytes = 16};
	one_buffer(rctl, f);
	return f->size[0] <= 16384; /* a value of the manual's table */
}

static bool format_82574l(const struct nic *n, unsigned queue, struct nic_format *f)
{
	uint32_t rctl = n->io.get(n->io.ctx, E1000_RCTL), split;

	if (!(n->io.get(n->io.ctx, E1000_RFCTL) & RFCTL_EXTEN))
		return format_82540em(n, queue, f);
	*f = (struct nic_format){.kind = NIC_EXTENDED, .bytes = 16};
	if ((rctl >> RCTL_DTYP_SHIFT & 3) != DTYP_SPLIT) {
		one_buffer(rctl, f);
		if (rctl >> RCTL_FLXBUF_SHIFT & 15)
			f->size[0] = 1024 * (rctl >> RCTL_FLXBUF_SHIFT & 15);
		return f->size[0] <= 16384;
	}
	split = n->io.get(n->io.ctx, E1000_PSRCTL);
	f->kind = NIC_SPLIT;
	f->bytes = 32;
	f->buffers = NIC_PARTS;
	f->size[0] = PSRCTL_UNIT0 * (split & 0x7f);
	for (unsigned i = 1; i < NIC_PARTS; i++)
		f->size[i] = PSRCTL_UNIT * (split >> 8 * i & 0x3f);
	return f->size[0] != 0;
}

/* RDTR.FPD clears itself; not everywhere. */
static void flush(const struct nic *n, unsigned queue)
{
	unsigned reg = n->family->rx[queue] + E1000_DELAY;
	uint32_t v = n->io.get(n->io.ctx, reg) & ~RDTR_FPD;

	n->io.put(n->io.ctx, reg, v | RDTR_FPD);
	n->io.put(n->io.ctx, reg, v);
}

static void raise_82540em(const struct nic *n, unsigned queue)
{
	(void)queue;
	n->io.put(n->io.ctx, E1000_ICS, INT_RXT0);
}

static void raise_82574l(const struct nic *n, unsigned queue)
{
	n->io.put(n->io.ctx, E1000_ICS, INT_RXT0 | INT_RXQ0 << queue);
}

const struct nic_family nic_82540em = {
	.name = "82540EM",
	.queues = 1,
	.rx = {0x2800},
	.tx = {0x3800},
	.rx_page = 0x2000,
	.format = format_82540em,
	.flush = flush,
	.raise = raise_82540em,
};

const struct nic_family nic_82574l = {
	.name = "82574L",
	.queues = 2,
	.rx = {0x2800, 0x2900},
	.tx = {0x3800, 0x3900},
	.rx_page = 0x2000,
	.format = format_82574l,
	.flush = flush,
	.raise = raise_82574l,
};
