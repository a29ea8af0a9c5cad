/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node's network cards and their roles (docs/boot.md, nic.WHICH=ROLE). Boot only. */
#pragma once
#include "net/netdev.h"

struct handoff;

/* Takes every network function of the node off the bus: what the firmware and iPXE left running
 * must not write to memory that is the guest's from now on. */
void nics_quiesce(void);
/* The card with the role `control`, probed and not started; NULL: none is asked for, or it does not
 * work (the log says why). */
struct netdev *nics_control(const struct handoff *h);
