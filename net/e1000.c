// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Intel's gigabit family: 8254x and 82574, with legacy descriptors. What differs between models is
 * in the table; a card with its queues elsewhere (igb) is one more line.
 *
 * The device is not trusted: each wait has an end, a descriptor's length is checked, and a card
 * that stands still is reset.
 */
#include <errno.h>
#include <string.h>
#include "hv/log.h"
#include "net/drivers.h"
#include "net/e1000_regs.h"

#define REGS_BYTES    0x20000u
#define RX_DESCS      128u
#define TX_DESCS      64u
#define BUFFER_BYTES  2048u
#define INTEL	      0x8086
#define RESET_TRIES   100
#define STUCK_SECONDS 2
#define ITR_UNIT_NS   256
#define ITR_US	      50 /* at most 20,000 interrupts a second */
#define WANTED	      (INT_LSC | INT_RXDMT0 | INT_RXO | INT_RXT0)

struct e1000_model {
	uint16_t device;
	const char *name;
	uint16_t rx_queue, tx_queue; /* register blocks */
	uint8_t eerd_done, eerd_addr_shift;
	bool express; /* has to let go of the bus before a reset */
};

static const struct e1000_model models[] = {
	{0x100e, "82540EM", 0x2800, 0x3800, 4, 8, false},
	{0x100f, "82545EM", 0x2800, 0x3800, 4, 8, false},
	{0x10d3, "82574L", 0x2800, 0x3800, 1, 2, true},
	{0x10f6, "82574LA", 0x2800, 0x3800, 1, 2, true},
};

struct e1000 {
	struct netdev net;
	const struct e1000_model *model;
	struct pcidev pci;
	struct pcidev_irq irq;
	volatile uint32_t *regs;
	struct e1000_rx_desc *rx;
	struct e1000_tx_desc *tx;
	uint8_t *rx_buf, *tx_buf;
	uint32_t rx_next;	  /* the descriptor that is filled next */
	uint32_t tx_next, tx_old; /* free running: handed over, and taken back */
	uint64_t tx_since;	  /* tick at which the oldest one was handed over */
	bool truncated;		  /* the rest of a frame over several buffers is dropped */
	struct log_ratelimit limit;
};

static uint32_t reg_read(const struct e1000 *e, unsigned reg)
{
	return e->regs[reg / 4];
}

static void reg_write(const struct e1000 *e, unsigned reg, uint32_t v)
{
	e->regs[reg / 4] = v;
}

static void flush(const struct e1000 *e)
{
	(void)reg_read(e, E1000_STATUS);
}

static struct e1000 *of(struct netdev *d)
{
	return (struct e1000 *)d; /* its first member */
}

/* Where it is, for messages. */
#define AT_F	"net: %02x:%02x.%x"
#define AT(net) (net)->bus, (net)->dev, (net)->fn

/* --- reset (8254x manual, 14.3 and 14.5; 82574 datasheet, 4.6) --- */

/* Until none of the bits is set; false: they stay. */
static bool wait_clear(const struct e1000 *e, unsigned reg, uint32_t bits)
{
	for (unsigned i = 0; i < RESET_TRIES; i++) {
		if (!(reg_read(e, reg) & bits))
			return true;
		tsc_delay_us(100);
	}
	return false;
}

static void quiet(const struct e1000 *e)
{
	reg_write(e, E1000_IMC, UINT32_MAX);
	reg_write(e, E1000_RCTL, 0);
	reg_write(e, E1000_TCTL, TCTL_PSP);
	flush(e);
}

static int reset(struct e1000 *e)
{
	quiet(e);
	if (e->model->express) {
		reg_write(e, E1000_CTRL, reg_read(e, E1000_CTRL) | CTRL_GIO_MASTER_DISABLE);
		if (!wait_clear(e, E1000_STATUS, STATUS_GIO_MASTER_ENABLE))
			log_debug(AT_F ": requests of before are pending at the reset",
				  AT(&e->net));
	}
	tsc_delay_us(5000); /* what is on its way over the bus */
	reg_write(e, E1000_CTRL, reg_read(e, E1000_CTRL) | CTRL_RST);
	tsc_delay_us(5000); /* no access for a moment, and the EEPROM is read */
	if (reg_read(e, E1000_STATUS) == UINT32_MAX)
		return -ENODEV;
	/* Bochs leaves the bit as it is written, and everything else, too. */
	if (!wait_clear(e, E1000_CTRL, CTRL_RST))
		reg_write(e, E1000_CTRL, reg_read(e, E1000_CTRL) & ~(uint32_t)CTRL_RST);
	quiet(e);
	(void)reg_read(e, E1000_ICR);
	return 0;
}

/* --- the address --- */

static int eeprom_read(const struct e1000 *e, unsigned word, uint16_t *v)
{
	uint32_t done = 1u << e->model->eerd_done, r;

	reg_write(e, E1000_EERD, word << e->model->eerd_addr_shift | EERD_START);
	for (unsigned i = 0; i < RESET_TRIES; i++) {
		r = reg_read(e, E1000_EERD);
		if (r & done) {
			*v = (uint16_t)(r >> EERD_DATA_SHIFT);
			return 0;
		}
		tsc_delay_us(10);
	}
	return -ETIMEDOUT;
}

static bool usable(const uint8_t mac[6])
{
	static const uint8_t none[6];

	return memcmp(mac, none, 6) != 0 && !(mac[0] & 1);
}

/* The card takes it from its EEPROM at a reset; a model that does not is asked for the EEPROM. */
static int read_mac(struct e1000 *e)
{
	uint32_t low = reg_read(e, E1000_RAL0), high = reg_read(e, E1000_RAH0);
	uint8_t *mac = e->net.mac;

	memcpy(mac, &low, 4);
	memcpy(mac + 4, &high, 2);
	if (high & RAH_AV && usable(mac))
		return 0;
	for (size_t i = 0; i < 3; i++) {
		uint16_t word;
		int err = eeprom_read(e, (unsigned)i, &word);

		if (err)
			return err;
		memcpy(mac + 2 * i, &word, sizeof(word));
	}
	return usable(mac) ? 0 : -EINVAL;
}

/* --- start --- */

static void set_queue(const struct e1000 *e, unsigned block, const void *ring, unsigned bytes)
{
	uint64_t pa = virt_to_phys(ring).v;

	reg_write(e, block + E1000_BAL, (uint32_t)pa);
	reg_write(e, block + E1000_BAH, (uint32_t)(pa >> 32));
	reg_write(e, block + E1000_LEN, bytes);
	reg_write(e, block + E1000_HEAD, 0);
	reg_write(e, block + E1000_TAIL, 0);
	reg_write(e, block + E1000_DELAY, 0);
	reg_write(e, block + E1000_ABS, 0);
}

static void set_filters(const struct e1000 *e)
{
	uint32_t low, high = 0;

	memcpy(&low, e->net.mac, 4);
	memcpy(&high, e->net.mac + 4, 2);
	for (unsigned i = 0; i < 128; i++)
		reg_write(e, E1000_MTA + 4 * i, 0);
	for (unsigned i = 1; i < 16; i++)
		reg_write(e, E1000_RAL + 8 * i + 4, 0);
	reg_write(e, E1000_RAL0, low);
	reg_write(e, E1000_RAH0, high | RAH_AV);
	reg_write(e, E1000_RXCSUM, 0);
	if (e->model->express)
		reg_write(e, E1000_RFCTL, 0); /* legacy descriptors */
}

static void start(struct e1000 *e)
{
	uint32_t ctrl = reg_read(e, E1000_CTRL);

	ctrl &= ~(CTRL_PHY_RST | CTRL_ILOS | CTRL_FRCSPD | CTRL_FRCDPX | CTRL_GIO_MASTER_DISABLE);
	if (!e->model->express)
		ctrl &= ~(uint32_t)CTRL_LRST;
	reg_write(e, E1000_CTRL, ctrl | CTRL_SLU | CTRL_ASDE);
	memset(e->rx, 0, RX_DESCS * sizeof(*e->rx));
	memset(e->tx, 0, TX_DESCS * sizeof(*e->tx));
	for (unsigned i = 0; i < RX_DESCS; i++)
		e->rx[i].addr = virt_to_phys(e->rx_buf + (size_t)i * BUFFER_BYTES).v;
	e->rx_next = e->tx_next = e->tx_old = 0;
	e->truncated = false;
	set_filters(e);
	set_queue(e, e->model->rx_queue, e->rx, RX_DESCS * sizeof(*e->rx));
	set_queue(e, e->model->tx_queue, e->tx, TX_DESCS * sizeof(*e->tx));
	reg_write(e, E1000_ITR, ITR_US * 1000 / ITR_UNIT_NS);
	reg_write(e, E1000_TIPG, TIPG_COPPER);
	reg_write(e, E1000_TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
	reg_write(e, E1000_RCTL, RCTL_EN | RCTL_MPE | RCTL_BAM | RCTL_BSIZE_2048 | RCTL_SECRC);
	reg_write(e, e->model->rx_queue + E1000_TAIL, RX_DESCS - 1);
}

static void look_at_link(struct e1000 *e)
{
	static const uint16_t speeds[] = {10, 100, 1000, 1000};
	uint32_t status = reg_read(e, E1000_STATUS);

	e->net.link = status & STATUS_LU;
	e->net.mbps = speeds[status >> STATUS_SPEED_SHIFT & 3];
}

static void failed(struct e1000 *e, const char *why)
{
	e->net.failed = true;
	e->net.link = false;
	log_error(AT_F ": the control card %s: the node goes on without its control network",
		  AT(&e->net), why);
}

static void restart(struct e1000 *e, const char *why)
{
	if (log_ratelimited(&e->limit))
		log_warn(AT_F ": %s: reset", AT(&e->net), why);
	e->net.counts.resets++;
	if (reset(e) != 0) {
		failed(e, "does not answer any more");
		return;
	}
	start(e);
	reg_write(e, E1000_IMS, WANTED);
}

/* --- frames --- */

static void take_back(struct e1000 *e)
{
	uint64_t now = rdtsc();

	while (e->tx_old != e->tx_next) {
		const volatile struct e1000_tx_desc *t = &e->tx[e->tx_old % TX_DESCS];

		if (!(t->status & TXD_DD))
			break;
		e->tx_old++;
		e->tx_since = now;
	}
}

static int e1000_send(struct netdev *d, const void *frame, size_t n, struct netdev_stamp *stamp)
{
	struct e1000 *e = of(d);
	uint32_t i = e->tx_next % TX_DESCS;
	struct netdev_stamp unused;

	if (n < NETDEV_FRAME_MIN || n > NETDEV_FRAME_MAX)
		return -EMSGSIZE;
	take_back(e);
	if (d->failed || !d->link || e->tx_next - e->tx_old == TX_DESCS - 1) {
		d->counts.tx_dropped++;
		return d->failed || !d->link ? -ENETDOWN : -EAGAIN;
	}
	if (e->tx_old == e->tx_next)
		e->tx_since = rdtsc();
	memcpy(e->tx_buf + (size_t)i * BUFFER_BYTES, frame, n);
	e->tx[i] =
		(struct e1000_tx_desc){.addr = virt_to_phys(e->tx_buf + (size_t)i * BUFFER_BYTES).v,
				       .length = (uint16_t)n,
				       .cmd = TXC_EOP | TXC_IFCS | TXC_RS};
	e->tx_next++;
	d->counts.tx_frames++;
	d->counts.tx_bytes += n;
	stamp = stamp ? stamp : &unused;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the descriptor before the tail */
	stamp->before = rdtsc();
	reg_write(e, e->model->tx_queue + E1000_TAIL, e->tx_next % TX_DESCS);
	stamp->after = rdtsc();
	return 0;
}

/* A frame of one buffer, in its bounds, without errors. */
static bool good(struct e1000 *e, const struct e1000_rx_desc *r)
{
	bool whole = r->status & RXD_EOP, rest = e->truncated;

	e->truncated = !whole;
	return whole && !rest && !(r->errors & (RXE_CE | RXE_SE | RXE_SEQ | RXE_RXE)) &&
	       r->length >= NETDEV_FRAME_MIN && r->length <= NETDEV_FRAME_MAX;
}

static bool filled(const struct e1000 *e)
{
	const volatile struct e1000_rx_desc *r = &e->rx[e->rx_next];

	return r->status & RXD_DD;
}

static bool e1000_poll(struct netdev *d)
{
	struct e1000 *e = of(d);
	uint32_t i = e->rx_next;
	struct e1000_rx_desc r;
	uint64_t tsc;

	if (d->failed || !filled(e))
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	r = e->rx[i]; /* the device could change it */
	tsc = netdev_rx_stamp(d);
	if (good(e, &r)) {
		d->counts.rx_frames++;
		d->counts.rx_bytes += r.length;
		d->receive(d, e->rx_buf + (size_t)i * BUFFER_BYTES, r.length, tsc);
	} else {
		d->counts.rx_errors++;
	}
	e->rx[i] = (struct e1000_rx_desc){
		.addr = virt_to_phys(e->rx_buf + (size_t)i * BUFFER_BYTES).v};
	e->rx_next = (i + 1) % RX_DESCS;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	reg_write(e, e->model->rx_queue + E1000_TAIL, i);
	return true;
}

static bool e1000_rest(struct netdev *d)
{
	struct e1000 *e = of(d);

	if (d->failed)
		return false;
	reg_write(e, E1000_IMS, WANTED);
	flush(e);
	return filled(e);
}

static void e1000_check(struct netdev *d)
{
	struct e1000 *e = of(d);

	if (d->failed)
		return;
	if (e->irq.lost)
		d->wired = "polled";
	if (reg_read(e, E1000_STATUS) == UINT32_MAX) {
		failed(e, "has gone from the bus");
		return;
	}
	look_at_link(e);
	take_back(e);
	if (d->link && e->tx_old != e->tx_next && rdtsc() - e->tx_since > STUCK_SECONDS * tsc_hz())
		restart(e, "the card does not send what it was given");
}

static void e1000_stop(struct netdev *d)
{
	struct e1000 *e = of(d);

	d->failed = true;
	quiet(e);
	pcidev_quiesce(&e->pci);
}

/* --- attach --- */

static const struct e1000_model *find_model(const struct pcidev *p)
{
	for (unsigned i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (p->vendor == INTEL && p->device == models[i].device)
			return &models[i];
	return NULL;
}

static const char *e1000_model(const struct pcidev *p)
{
	const struct e1000_model *m = find_model(p);

	return m ? m->name : NULL;
}

/* From irq_dispatch. */
static bool claim(void *dev)
{
	uint64_t now = rdtsc();
	struct e1000 *e = dev;
	uint32_t cause = reg_read(e, E1000_ICR);

	if (!cause || cause == UINT32_MAX)
		return false;
	reg_write(e, E1000_IMC, UINT32_MAX); /* until e1000_rest */
	if (e->model->express) /* reading clears only in some modes (82574 datasheet, 10.2.4.1) */
		reg_write(e, E1000_ICR, cause);
	if (cause & INT_LSC)
		look_at_link(e);
	e->net.irq_tsc = filled(e) ? now : 0; /* a slice may have fetched what it was raised for */
	e->net.counts.interrupts++;
	e->net.wake(&e->net);
	return true;
}

static void trigger(void *dev)
{
	struct e1000 *e = dev;

	reg_write(e, E1000_IMS, INT_LSC);
	reg_write(e, E1000_ICS, INT_LSC);
	flush(e);
}

static bool allocate(struct e1000 *e)
{
	e->rx = pages_alloc(1);
	e->tx = pages_alloc(1);
	e->rx_buf = pages_alloc((size_t)RX_DESCS * BUFFER_BYTES / PAGE_SIZE);
	e->tx_buf = pages_alloc((size_t)TX_DESCS * BUFFER_BYTES / PAGE_SIZE);
	return e->rx && e->tx && e->rx_buf && e->tx_buf;
}

static int e1000_start(struct netdev *d)
{
	struct e1000 *e = of(d);

	if (!allocate(e))
		return -ENOMEM;
	pcidev_enable_dma(&e->pci);
	start(e);
	e->irq = (struct pcidev_irq){.claim = claim, .trigger = trigger, .dev = e};
	d->wired = pcidev_irq_enable(&e->pci, &e->irq);
	if (!d->wired)
		d->wired = "polled";
	look_at_link(e);
	reg_write(e, E1000_IMS, WANTED);
	return 0;
}

static const struct netdev_ops ops = {.start = e1000_start,
				      .send = e1000_send,
				      .poll = e1000_poll,
				      .rest = e1000_rest,
				      .check = e1000_check,
				      .stop = e1000_stop};

static const char *bring_up(struct e1000 *e)
{
	uint64_t bytes = 0;

	pcidev_enable(&e->pci);
	e->regs = pcidev_map_bar(&e->pci, 0, &bytes);
	if (!e->regs || bytes < REGS_BYTES)
		return "has no usable registers (BAR 0): let the firmware assign its resources";
	if (reset(e) != 0)
		return "does not answer";
	if (read_mac(e) != 0)
		return "has no MAC address in its EEPROM";
	return NULL;
}

static struct netdev *e1000_probe(const struct pcidev *p)
{
	struct e1000 *e = heap_alloc(sizeof(*e));
	const char *trouble;

	e->model = find_model(p);
	e->pci = *p;
	e->limit.burst = 2;
	e->net = (struct netdev){
		.ops = &ops, .model = e->model->name, .bus = p->bus, .dev = p->dev, .fn = p->fn};
	trouble = bring_up(e);
	if (trouble) {
		log_error(AT_F ": %s %s", AT(&e->net), e->net.model, trouble);
		pcidev_quiesce(p);
		return NULL;
	}
	return &e->net;
}

const struct nic_driver e1000_driver = {.model = e1000_model, .probe = e1000_probe};
