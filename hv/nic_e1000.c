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
#define RX_CAUSES	  (INT_RXDMT0 | INT_RXO | INT_RXT0 | INT_SRPD)

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
	n->io.put(n->io.ctx, E1000_ICS, INT_RXT0 | (queue ? INT_RXQ1 : INT_RXQ0));
}

/* 8254x manual, 13.4 to 13.6. */
static const struct nic_saved saved_82540em[] = {
	{0x0000, 1},   /* CTRL */
	{0x0018, 1},   /* CTRL_EXT */
	{0x0028, 3},   /* FCAL, FCAH, FCT */
	{0x0038, 1},   /* VET */
	{0x00c4, 1},   /* ITR */
	{0x0170, 1},   /* FCTTV */
	{0x0410, 1},   /* TIPG */
	{0x0458, 1},   /* AIT */
	{0x0e00, 1},   /* LEDCTL */
	{0x1000, 1},   /* PBA */
	{0x2160, 1},   /* FCRTL */
	{0x2168, 1},   /* FCRTH */
	{0x2820, 1},   /* RDTR */
	{0x2828, 2},   /* RXDCTL, RADV */
	{0x2c00, 1},   /* RSRPD */
	{0x3820, 1},   /* TIDV */
	{0x3828, 3},   /* TXDCTL, TADV, TSPMT */
	{0x5000, 1},   /* RXCSUM */
	{0x5200, 128}, /* MTA */
	{0x5400, 32},  /* RAL, RAH */
	{0x5600, 128}, /* VFTA */
	{0x5808, 1},   /* WUFC */
	{0, 0},
};

/* 82574 datasheet, 10.2. */
static const struct nic_saved saved_82574l[] = {
	{0x0000, 1},   /* CTRL */
	{0x0018, 1},   /* CTRL_EXT */
	{0x0028, 3},   /* FCAL, FCAH, FCT */
	{0x0038, 1},   /* VET */
	{0x00c4, 1},   /* ITR */
	{0x00dc, 8},   /* EIAC, IAM, IVAR, EITR0 to 4 */
	{0x0170, 1},   /* FCTTV */
	{0x0404, 1},   /* TCTL_EXT */
	{0x0410, 1},   /* TIPG */
	{0x0458, 1},   /* AIT */
	{0x0e00, 1},   /* LEDCTL */
	{0x1000, 1},   /* PBA */
	{0x2008, 1},   /* ERT */
	{0x2160, 1},   /* FCRTL */
	{0x2168, 1},   /* FCRTH */
	{0x2170, 1},   /* PSRCTL */
	{0x2820, 1},   /* RDTR */
	{0x2828, 2},   /* RXDCTL, RADV */
	{0x2928, 1},   /* RXDCTL1 */
	{0x2c00, 1},   /* RSRPD */
	{0x2c08, 1},   /* RAID */
	{0x3820, 1},   /* TIDV */
	{0x3828, 2},   /* TXDCTL, TADV */
	{0x3840, 1},   /* TARC0 */
	{0x3928, 1},   /* TXDCTL1 */
	{0x3940, 1},   /* TARC1 */
	{0x5000, 1},   /* RXCSUM */
	{0x5008, 1},   /* RFCTL */
	{0x5200, 128}, /* MTA */
	{0x5400, 32},  /* RAL, RAH */
	{0x5600, 128}, /* VFTA */
	{0x5808, 1},   /* WUFC */
	{0x5818, 1},   /* MRQC */
	{0x5c00, 32},  /* RETA */
	{0x5c80, 10},  /* RSSRK */
	{0, 0},
};

const struct nic_family nic_82540em = {
	.name = "82540EM",
	.queues = 1,
	.rx = {0x2800},
	.tx = {0x3800},
	.rx_page = 0x2000,
	.rx_causes = RX_CAUSES,
	.saved = saved_82540em,
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
	.rx_causes = RX_CAUSES | INT_ACK | INT_RXQ0 | INT_RXQ1,
	.saved = saved_82574l,
	.format = format_82574l,
	.flush = flush,
	.raise = raise_82574l,
};
