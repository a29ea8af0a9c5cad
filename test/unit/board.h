/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board for tests of single devices: virtual time that the test moves, wires that count their
 * edges, and what devices ask of the node. Include once per program, after check.h.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "test/unit/images.h"
#include "test/unit/quiet.h"
#include "timevirt/vtimer.h"

static struct {
	vns_t now;
	struct vtimerq q;
	bool isa[16], gsi[GSI_COUNT];
	unsigned isa_edges[16], gsi_edges[GSI_COUNT]; /* rising */
	unsigned fires;				      /* timer interrupts of the host */
	unsigned resets, poweroffs;
	char out[256]; /* what the guest wrote to its console */
	unsigned out_len, out_room, rx_room;
} board = {.out_room = 256};

vns_t node_now(void)
{
	return board.now;
}

static inline void board_line(bool *level, unsigned *edges, bool v)
{
	if (v && !*level)
		++*edges;
	*level = v;
}

void irq_isa_set(unsigned irq, bool level)
{
	board_line(&board.isa[irq], &board.isa_edges[irq], level);
}

void irq_set(unsigned gsi, bool level)
{
	if (gsi < 16)
		irq_isa_set(gsi, level);
	board_line(&board.gsi[gsi], &board.gsi_edges[gsi], level);
}

void node_guest_reset(const char *why)
{
	(void)why;
	board.resets++;
}

void node_guest_poweroff(void)
{
	board.poweroffs++;
}

bool console_guest_putc(uint8_t c)
{
	if (board.out_len >= board.out_room)
		return false;
	board.out[board.out_len++] = (char)c;
	return true;
}

void console_guest_rx_room(void)
{
	board.rx_room++;
}

/* Let virtual time run to `t`, firing timers exactly at their deadlines. */
static inline void board_run_to(uint64_t t)
{
	while (vtimerq_next(&board.q).v <= t) {
		if (vtimerq_next(&board.q).v > board.now.v)
			board.now = vtimerq_next(&board.q);
		vtimerq_run(&board.q, board.now);
		board.fires++;
	}
	board.now.v = t;
}

static inline void board_run(uint64_t ns)
{
	board_run_to(board.now.v + ns);
}

/* The same, but everything is late: nothing fires before `t`. */
static inline void board_run_late(uint64_t ns)
{
	board.now.v += ns;
	vtimerq_run(&board.q, board.now);
	board.fires++;
}

static inline void board_count_from_here(void)
{
	memset(board.isa_edges, 0, sizeof(board.isa_edges));
	memset(board.gsi_edges, 0, sizeof(board.gsi_edges));
	board.fires = 0;
}

static inline uint8_t in8(uint16_t port)
{
	return (uint8_t)bus_io_read(port, 1);
}

static inline void out8(uint16_t port, uint8_t v)
{
	bus_io_write(port, 1, v);
}

/* The round trip must not change what the guest sees: is anything armed differently? */
static inline bool board_round_trip_keeps_time(void)
{
	uint64_t next = vtimerq_next(&board.q).v;

	return image_round_trip() && vtimerq_next(&board.q).v == next;
}
