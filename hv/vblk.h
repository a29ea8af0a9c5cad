/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's disk as a virtio block device (virtio 1.2, 5.2) at 00:01.0, with a queue for each
 * vCPU. Requests go to hv/disk.h; those that were taken from a queue and not given back are part of
 * the device's state, and begin anew at the thaw.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

void vblk_init(uint64_t sectors, unsigned queues); /* boot, after pci_root_init */
/* Takes what is in the queues. Boot CPU. */
void vblk_poll(void);
bool vblk_driven(void); /* the guest's driver has the device */
