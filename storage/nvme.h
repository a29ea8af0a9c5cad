/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first namespace of an NVMe controller (NVM Express 1.4). Context: the boot CPU, boot. */
#pragma once
#include "storage/drive.h"

/* Takes the controller over; its bus mastering is on. `regs`: the first 8 KiB of BAR 0, the rest is
 * not used. `found` is called if there is a namespace that can be used.
 * -ENODEV: the controller does not answer, or refuses. -ENOMEM. -ENOTSUP: no 4 KiB pages, sectors
 * that are not 512 bytes, or doorbells too far apart. */
int nvme_init(volatile void *regs, void (*found)(struct drive *d, void *arg), void *arg);
