/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network block devices (storage/nbd.h) over TCP on the control network. Context: the boot CPU, as
 * net/stack.h; nbd_open at boot, after ctlnet_init.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "storage/blockdev.h"

struct nbd_open_options {
	uint32_t ip; /* 10.0.0.1 = 0x0a000001 */
	uint16_t port;
	const char *export; /* copied */
	bool read_only;
	void (*wake)(void); /* something was completed: the device's user has work */
};

/* Connects and waits for that, a minute at most. NULL: it did not come about, and `why` says in one
 * line what is wrong and what to do. Never closed. Not in a fiber: its stack is too small. */
struct blockdev *nbd_open(const struct nbd_open_options *o, char *why, size_t size);

bool nbd_tcp_in_use(void);
/* Without a server for so long, requests end with -ETIMEDOUT; 0, as at first: they wait. */
void nbd_tcp_give_up(uint32_t ms);
/* The longest that somebody has waited without a connection that answers; 0: nobody does. */
uint64_t nbd_tcp_away_ms(void);

/* For net/ctlnet.c: the clock. False: no device is open, and it need not come again. */
bool nbd_tcp_tick(uint64_t now_ms);
