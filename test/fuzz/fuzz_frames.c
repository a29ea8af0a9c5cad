// SPDX-License-Identifier: GPL-2.0-or-later
/* build: net/e1000.c net/netdev.c net/stack.c */
/* What a card may write to its ring, and what of it reaches lwIP: an input is descriptors (status,
 * errors, length) with the bytes of their frames. The card's registers are plain memory. */
#include "net/stack.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/quiet.h"

#define TSC_HZ 1000000u /* a clock that runs a thousand times faster: time-outs come about */
#include "test/unit/register_card.h"

#define DESCS 128u

static struct e1000_rx_desc *rx;
static unsigned next, sent;

static void start(void)
{
	const struct pcidev p = {.vendor = 0x8086, .device = 0x10d3};
	const struct stack_config c = {.ip = 0x0a090003, .prefix = 24, .gateway = 0x0a090001};
	uint32_t low, high = 0;

	memcpy(&low, mac, 4);
	memcpy(&high, mac + 4, 2);
	set_reg(E1000_RAL0, low);
	set_reg(E1000_RAH0, high | RAH_AV);
	set_reg(E1000_STATUS, STATUS_LU);
	card = e1000_driver.probe(&p);
	REQUIRE(card && memcmp(card->mac, mac, 6) == 0);
	card->receive = stack_input;
	card->wake = wake;
	REQUIRE(card->ops->start(card) == 0);
	rx = (struct e1000_rx_desc *)((uint64_t)get_reg(0x2804) << 32 | get_reg(0x2800));
	stack_init(card, &c);
	(void)stack_timers();
}

/* The card takes what it is given to send, as long as it is what a wire can carry. */
static void transmit(void)
{
	struct e1000_tx_desc *tx =
		(struct e1000_tx_desc *)((uint64_t)get_reg(0x3804) << 32 | get_reg(0x3800));

	for (; sent != get_reg(0x3818); sent = (sent + 1) % 64) {
		REQUIRE(tx[sent].length >= NETDEV_FRAME_MIN && tx[sent].length <= NETDEV_FRAME_MAX);
		tx[sent].status = 1;
	}
}

static void fill(const uint8_t *data, size_t bytes, const uint8_t head[4])
{
	struct e1000_rx_desc *r = &rx[next];

	REQUIRE(!(r->status & RXD_DD));
	memcpy((void *)r->addr, data, bytes);
	if (bytes >= 6 && !(head[2] & 1)) /* else hardly any would be for us */
		memcpy((void *)r->addr, mac, 6);
	r->length = head[2] & 2 ? (uint16_t)(head[3] << 8 | head[2]) : (uint16_t)bytes;
	r->errors = head[1];
	r->status = head[0] | RXD_DD;
	next = (next + 1) % DESCS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned filled = 0, polled = 0;

	if (!card)
		start();
	while (size >= 6 && filled < DESCS - 1) {
		size_t bytes = data[4] | (data[5] & 7) << 8;

		bytes = bytes < size - 6 ? bytes : size - 6;
		fill(data + 6, bytes, data);
		data += 6 + bytes;
		size -= 6 + bytes;
		filled++;
	}
	while (card->ops->poll(card)) {
		polled++;
		transmit();
	}
	REQUIRE(polled == filled);
	(void)stack_timers();
	transmit();
	REQUIRE(!card->failed);
	return 0;
}
