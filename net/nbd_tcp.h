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
	uint32_t give_up_ms; /* 0: requests wait for the server as long as it takes */
	void (*wake)(void);  /* something was completed: the device's user has work */
};

/* Connects and waits for that, a minute at most. NULL: it did not come about, and `why` says in one
 * line what is wrong and what to do. Never closed. Not in a fiber: its stack is too small. */
struct blockdev *nbd_open(const struct nbd_open_options *o, char *why, size_t size);

/* For net/ctlnet.c: the clock. False: no device is open, and it need not come again. */
bool nbd_tcp_tick(uint64_t now_ms);
