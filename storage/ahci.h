/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SATA disks behind an AHCI controller (Serial ATA AHCI 1.3.1). Context: the boot CPU, boot. */
#pragma once
#include "storage/drive.h"

/* Takes the controller over from the firmware; its bus mastering is on. `regs`: ABAR. `found` is
 * called for each disk, whose name is the caller's to choose, after drive_init().
 * -ENODEV: the controller does not answer. -ENOMEM. */
int ahci_init(volatile void *regs, void (*found)(struct drive *d, void *arg), void *arg);
