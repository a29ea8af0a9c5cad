/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network card of the hypervisor's own: what a driver offers, and what it asks for.
 *
 * Frames are Ethernet without FCS, 14 to NETDEV_FRAME_MAX bytes. Times are ticks of the boot CPU's
 * TSC, so they go on while the guest is frozen. Context: the boot CPU's loop with interrupts off;
 * only `wake` is called from irq_dispatch, also on the boot CPU. No call waits for the hardware
 * longer than a register takes, but for a reset in `check` (some tens of milliseconds; rare).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETDEV_FRAME_MIN 14
#define NETDEV_FRAME_MAX 1518 /* a VLAN tag included */

struct netdev;

/* Around the write that hands a frame to the card: it left the node after `before`. */
struct netdev_stamp {
	uint64_t before, after;
};

struct netdev_counts {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_errors;  /* frames that the card or the driver found damaged */
	uint64_t rx_dropped; /* the stack had no memory */
	uint64_t tx_dropped; /* no descriptor was free, or no link */
	uint64_t interrupts, resets;
};

struct netdev_ops {
	/* Once, after the probe: rings, interrupts, reception. `receive` and `wake` are set.
	 * -ENOMEM. */
	int (*start)(struct netdev *d);
	/* Copies the frame and hands it over. -ENETDOWN: no link, or the card has failed; -EAGAIN:
	 * the ring is full; -EMSGSIZE. `stamp` may be NULL. */
	int (*send)(struct netdev *d, const void *frame, size_t n, struct netdev_stamp *stamp);
	/* Takes one frame from the ring, if there is one, and gives it to `receive`. */
	bool (*poll)(struct netdev *d);
	/* After poll said that there is nothing more: the card may interrupt again. True: something
	 * came meanwhile. */
	bool (*rest)(struct netdev *d);
	/* About once a second: link, and a card that stands still. */
	void (*check)(struct netdev *d);
	/* For good: no interrupts, no DMA. */
	void (*stop)(struct netdev *d);
};

struct netdev {
	const struct netdev_ops *ops;
	const char *model; /* "82574L" */
	uint8_t bus, dev, fn;
	uint8_t mac[6];
	bool link;
	bool failed; /* its registers read all-ones, or it can't be reset */
	uint32_t mbps;
	const char *wired; /* how it interrupts: "msi", "msi-x", "intx", "polled" */
	uint64_t irq_tsc;  /* at the latest interrupt that found a frame; 0: used up */
	struct netdev_counts counts;
	/* The owner's. The frame is the callee's until it returns. `tsc`: it was in memory then;
	 * the interrupt's time for the first frame after one. */
	void (*receive)(struct netdev *d, const void *frame, size_t n, uint64_t tsc);
	void (*wake)(struct netdev *d); /* it has interrupted, and stays silent until `rest` */
	void *owner;
};

/* The time for a frame that a driver has just found. */
uint64_t netdev_rx_stamp(struct netdev *d);
