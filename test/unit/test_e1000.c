/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: net/e1000.c net/netdev.c */
/* The gigabit driver on a card whose registers are plain memory: what it does with a card that
 * stands still, lies, or goes away. */
#include <errno.h>
#include "test/unit/check.h"
#include "test/unit/quiet.h"

#define TSC_HZ 1000u /* so that seconds are over at once */
#include "test/unit/register_card.h"

#define RX_BLOCK    0x2800u
#define TX_BLOCK    0x3800u
#define STUCK_TICKS 2000u /* two of TSC_HZ's seconds */

static unsigned received;
static size_t received_bytes;
static uint8_t frame[NETDEV_FRAME_MAX + 1];

/* --- the card --- */

static void *ring(unsigned block)
{
	return (void *)((uint64_t)get_reg(block + E1000_BAH) << 32 | get_reg(block + E1000_BAL));
}

static void take_frame(struct netdev *d, const void *data, size_t n, uint64_t tsc)
{
	(void)d, (void)data;
	CHECK(tsc != 0);
	received++;
	received_bytes += n;
}

static void start(uint16_t device)
{
	const struct pcidev p = {.vendor = 0x8086, .device = device};
	uint32_t low, high = 0;

	memset(regs, 0, sizeof(regs));
	memcpy(&low, mac, 4);
	memcpy(&high, mac + 4, 2);
	set_reg(E1000_RAL0, low);
	set_reg(E1000_RAH0, high | RAH_AV);
	set_reg(E1000_STATUS, STATUS_LU | 2 << STATUS_SPEED_SHIFT);
	received = quiesced = 0;
	received_bytes = 0;
	card = e1000_driver.probe(&p);
	if (!CHECK(card != NULL))
		abort();
	card->receive = take_frame;
	card->wake = wake;
	CHECK_EQ(card->ops->start(card), 0);
}

static void models(void)
{
	const struct pcidev other = {.vendor = 0x8086, .device = 0x1234};

	CHECK(e1000_driver.model(&other) == NULL);
	start(0x100e);
	CHECK_STR(card->model, "82540EM");
	CHECK(memcmp(card->mac, mac, 6) == 0);
	CHECK(card->link);
	CHECK_EQ(card->mbps, 1000);
	CHECK_STR(card->wired, "polled");
	CHECK_EQ(get_reg(RX_BLOCK + E1000_TAIL), 127);
	CHECK(get_reg(E1000_RCTL) & RCTL_EN);
	CHECK(!(get_reg(E1000_CTRL) & CTRL_RST)); /* this one's does not clear itself */
}

/* No address where it is looked for first, and an EEPROM that never answers. */
static void no_address(void)
{
	const struct pcidev p = {.vendor = 0x8086, .device = 0x10d3};

	memset(regs, 0, sizeof(regs));
	quiesced = 0;
	CHECK(e1000_driver.probe(&p) == NULL);
	CHECK_EQ(quiesced, 1);
}

static void frames_are_sent(void)
{
	struct e1000_tx_desc *tx;
	struct netdev_stamp stamp;

	start(0x10d3);
	tx = ring(TX_BLOCK);
	memset(frame, 0x5a, sizeof(frame));
	CHECK_EQ(card->ops->send(card, frame, 60, &stamp), 0);
	CHECK(stamp.before && stamp.before <= stamp.after);
	CHECK_EQ(get_reg(TX_BLOCK + E1000_TAIL), 1);
	CHECK_EQ(tx[0].length, 60);
	CHECK(memcmp((void *)tx[0].addr, frame, 60) == 0);
	CHECK(card->ops->send(card, frame, NETDEV_FRAME_MAX + 1, NULL) == -EMSGSIZE);
	CHECK(card->ops->send(card, frame, NETDEV_FRAME_MIN - 1, NULL) == -EMSGSIZE);
}

/* Full, then stuck: reset, and it works again. */
static void stuck(void)
{
	struct e1000_tx_desc *tx;
	unsigned n = 0;

	start(0x100e);
	while (n < 1000 && card->ops->send(card, frame, 60, NULL) == 0)
		n++;
	CHECK_EQ(n, 63);
	CHECK(card->ops->send(card, frame, 60, NULL) == -EAGAIN);
	CHECK_EQ(card->counts.tx_dropped, 2);
	tx = ring(TX_BLOCK);
	tx[0].status = TXD_DD;
	CHECK_EQ(card->ops->send(card, frame, 60, NULL), 0);
	for (uint64_t end = rdtsc() + 10 * STUCK_TICKS; rdtsc() < end;)
		;
	card->ops->check(card);
	CHECK_EQ(card->counts.resets, 1);
	CHECK(!card->failed);
	CHECK_EQ(card->ops->send(card, frame, 60, NULL), 0);
	CHECK_EQ(get_reg(TX_BLOCK + E1000_TAIL), 1);
}

static void gone(void)
{
	start(0x10d3);
	set_reg(E1000_STATUS, UINT32_MAX);
	card->ops->check(card);
	CHECK(card->failed && !card->link);
	CHECK(card->ops->send(card, frame, 60, NULL) == -ENETDOWN);
	CHECK(!card->ops->poll(card));
	CHECK(!card->ops->rest(card));
}

static void no_link(void)
{
	start(0x10d3);
	set_reg(E1000_STATUS, 0);
	card->ops->check(card);
	CHECK(!card->link && !card->failed);
	CHECK(card->ops->send(card, frame, 60, NULL) == -ENETDOWN);
	set_reg(E1000_STATUS, STATUS_LU);
	card->ops->check(card);
	CHECK_EQ(card->ops->send(card, frame, 60, NULL), 0);
}

static void fill(unsigned i, unsigned length, unsigned status, unsigned errors)
{
	struct e1000_rx_desc *rx = ring(RX_BLOCK);

	rx[i].length = (uint16_t)length;
	rx[i].errors = (uint8_t)errors;
	rx[i].status = (uint8_t)(RXD_DD | status);
}

/* Lengths beyond the buffer, frames over several buffers, errors: counted, and not handed on. */
static void what_the_card_says_is_checked(void)
{
	start(0x100e);
	fill(0, 60, RXD_EOP, 0);
	fill(1, 65535, RXD_EOP, 0);
	fill(2, 13, RXD_EOP, 0);
	fill(3, 60, RXD_EOP, RXE_CE);
	fill(4, 1518, 0, 0);
	fill(5, 1518, 0, 0);
	fill(6, 100, RXD_EOP, 0);
	fill(7, 1518, RXD_EOP, 0);
	for (unsigned i = 0; i < 8; i++)
		CHECK(card->ops->poll(card));
	CHECK(!card->ops->poll(card));
	CHECK_EQ(received, 2);
	CHECK_EQ(received_bytes, 60 + 1518);
	CHECK_EQ(card->counts.rx_errors, 6);
	CHECK_EQ(get_reg(RX_BLOCK + E1000_TAIL), 7);
	for (unsigned i = 0; i < 1000; i++) { /* several times around */
		fill((8 + i) % 128, 60, RXD_EOP, 0);
		CHECK(card->ops->poll(card));
	}
	CHECK_EQ(received, 1002);
}

static void stopped(void)
{
	start(0x10d3);
	card->ops->stop(card);
	CHECK_EQ(quiesced, 1);
	CHECK_EQ(get_reg(E1000_RCTL), 0);
	CHECK(card->ops->send(card, frame, 60, NULL) == -ENETDOWN);
}

int main(void)
{
	RUN(models);
	RUN(no_address);
	RUN(frames_are_sent);
	RUN(stuck);
	RUN(gone);
	RUN(no_link);
	RUN(what_the_card_says_is_checked);
	RUN(stopped);
	return check_result();
}
