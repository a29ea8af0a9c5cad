/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network block devices (storage/nbd.h) over TCP on the control network. Context: the boot CPU, as
 * net/stack.h; nbd_open at boot, after ctlnet_init.
 */
#pragma once
#include <stdbool.h>
#include "storage/blockdev.h"

struct nbd_open_options {
	bool read_only;
	uint32_t give_up_ms; /* 0: requests wait for the server as long as it takes */
	void (*wake)(void);  /* something was completed: the device's user has work */
};

/* "nbd://10.0.0.1:10809/export": connects and waits for that, a minute at most. NULL: it did not
 * come about, and the log says why and what to do. Never closed. */
struct blockdev *nbd_open(const char *url, const struct nbd_open_options *o);

/* For net/ctlnet.c: the clock. False: no device is open, and it need not come again. */
bool nbd_tcp_tick(uint64_t now_ms);
