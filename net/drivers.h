/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drivers that net/nics.c knows. */
#pragma once
#include "net/netdev.h"
#include "net/pcidev.h"

struct nic_driver {
	/* NULL: none of its models. */
	const char *(*model)(const struct pcidev *p);
	/* Resets the card, whose function is quiet, and reads its address. NULL: it does not work,
	 * and the log says why. */
	struct netdev *(*probe)(const struct pcidev *p);
};

extern const struct nic_driver e1000_driver, virtio_net_driver;
