/* build: hv/vuart.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test/unit/check.h"
#include "test/unit/board.h"

enum { COM = 0x3f8 };
enum { DATA = COM, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static void restart(void)
{
	units_reset();
	board.out_len = 0;
	board.out_room = sizeof(board.out);
	board.rx_room = 0;
	out8(MCR, 0x0b);
	irq_isa_set(4, false);
	board_count_from_here();
}

static void test_power_on(void)
{
	units_reset();
	CHECK_EQ(in8(IER), 0);
	CHECK_EQ(in8(IIR), 1);
	CHECK_EQ(in8(LSR), 0x60);
	CHECK_EQ(in8(MSR), 0xb0);
	out8(SCR, 0x5a);
	CHECK_EQ(in8(SCR), 0x5a);
	out8(IER, 0xff);
	CHECK_EQ(in8(IER), 0x0f);
	out8(IIR, 0xe7); /* a 16550A, not a 16750 */
	CHECK_EQ(in8(IIR) & 0xf0, 0xc0);
	out8(LCR, 0x83);
	out8(DATA, 0x0c);
	out8(IER, 1);
	CHECK_EQ(in8(DATA), 0x0c);
	CHECK_EQ(in8(IER), 1);
	out8(LCR, 3);
	CHECK_EQ(in8(IER), 0x0f);
}

static void test_transmit(void)
{
	restart();
	out8(IER, 2); /* THRE is up: interrupts at once */
	CHECK(board.isa[4]);
	CHECK_EQ(in8(IIR), 2);
	CHECK(!board.isa[4]);
	CHECK_EQ(in8(IIR), 1);
	out8(IER, 0);
	out8(IER, 2);
	CHECK_EQ(in8(IIR), 2);
	out8(DATA, 'a');
	CHECK(board.isa[4]);
	CHECK_EQ(in8(IIR), 2);
	CHECK_EQ(board.out_len, 1);
	CHECK_EQ(board.out[0], 'a');
}

static void test_console_without_room(void)
{
	restart();
	out8(IIR, 1);
	out8(IER, 2);
	(void)in8(IIR);
	board.out_room = 2;
	for (char c = 'a'; c < 'a' + 20; c++)
		out8(DATA, (uint8_t)c);
	CHECK_EQ(board.out_len, 2);
	CHECK_EQ(in8(LSR), 0);
	CHECK(!board.isa[4]);
	CHECK(board_round_trip_keeps_time());
	vuart_tx_room();
	CHECK_EQ(in8(LSR), 0);
	board.out_room = 200;
	units_thaw(); /* asks the console again */
	CHECK_EQ(in8(LSR), 0x60);
	CHECK(board.isa[4]);
	CHECK_EQ(in8(IIR), 0xc2);
	CHECK_EQ(board.out_len, 18); /* 2 and a full FIFO */
	CHECK(!memcmp(board.out, "abcdefghijklmnopqr", 18));
}

static void test_receive(void)
{
	restart();
	out8(IER, 1);
	CHECK(vuart_receive('x'));
	CHECK(!vuart_receive('y')); /* no FIFO: one byte */
	CHECK(board.isa[4]);
	CHECK_EQ(in8(IIR), 4);
	CHECK_EQ(in8(LSR), 0x61);
	CHECK_EQ(in8(DATA), 'x');
	CHECK_EQ(board.rx_room, 1);
	CHECK(!board.isa[4]);
	CHECK_EQ(in8(LSR), 0x60);
	/* FIFO of 16, trigger level 8 */
	out8(IIR, 0x81);
	CHECK(vuart_receive(0));
	CHECK_EQ(in8(IIR), 0xcc); /* below the level: timeout */
	for (uint8_t i = 1; i < 16; i++)
		CHECK(vuart_receive(i));
	CHECK(!vuart_receive(16));
	CHECK_EQ(in8(IIR), 0xc4);
	CHECK(board_round_trip_keeps_time());
	for (uint8_t i = 0; i < 16; i++)
		CHECK_EQ(in8(DATA), i);
	CHECK_EQ(board.rx_room, 2);
	CHECK_EQ(in8(IIR), 0xc1);
	CHECK(vuart_receive(7));
	out8(IIR, 0x83);
	CHECK_EQ(in8(LSR), 0x60);
}

static void test_priorities_and_out2(void)
{
	restart();
	out8(IER, 15);
	CHECK(vuart_receive('x'));
	out8(MCR, 0x1f); /* loop: CTS, DSR, DCD stay, RI rises */
	CHECK(!board.isa[4]);
	out8(DATA, 'l'); /* no room in loop-back: overrun */
	out8(MCR, 0x0b);
	CHECK(board.isa[4]);
	CHECK_EQ(in8(IIR), 6);
	CHECK_EQ(in8(LSR), 0x63);
	CHECK_EQ(in8(IIR), 4);
	CHECK_EQ(in8(DATA), 'x');
	CHECK_EQ(in8(IIR), 2);
	CHECK_EQ(in8(IIR), 0); /* RI fell */
	CHECK_EQ(in8(MSR), 0xb4);
	CHECK_EQ(in8(IIR), 1);
	out8(IER, 0);
	out8(IER, 2);
	CHECK(board.isa[4]);
	out8(MCR, 3);
	CHECK(!board.isa[4]);
}

static void test_flow_control(void)
{
	restart();
	out8(IIR, 1);
	CHECK(vuart_receive('a'));
	out8(MCR, 0x09); /* RTS down */
	CHECK(!vuart_receive('b'));
	CHECK_EQ(in8(DATA), 'a');
	CHECK_EQ(board.rx_room, 0);
	out8(MCR, 0x0b);
	CHECK_EQ(board.rx_room, 1);
	CHECK(vuart_receive('b'));
	out8(MCR, 0x08); /* not in use for flow control: DTR is down, too */
	CHECK(vuart_receive('c'));
}

static void test_loopback(void)
{
	restart();
	out8(IIR, 7);
	out8(MCR, 0x1a); /* as Linux probes: RTS and OUT2 */
	CHECK_EQ(in8(MSR) & 0xf0, 0x90);
	out8(DATA, 'q');
	CHECK_EQ(board.out_len, 0);
	CHECK_EQ(in8(LSR), 0x61);
	CHECK(!vuart_receive('z'));
	CHECK_EQ(in8(DATA), 'q');
	CHECK_EQ(board.rx_room, 0);
	out8(MCR, 0x0b);
	CHECK_EQ(board.rx_room, 1);
	CHECK_EQ(in8(MSR) & 0xf0, 0xb0);
}

int main(void)
{
	vtimerq_init(&board.q, NULL);
	vuart_init(COM, 4);
	RUN(test_power_on);
	RUN(test_transmit);
	RUN(test_console_without_room);
	RUN(test_receive);
	RUN(test_priorities_and_out2);
	RUN(test_flow_control);
	RUN(test_loopback);
	return check_result();
}
