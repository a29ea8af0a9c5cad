/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parallel ATA disks behind a bus-mastering IDE controller: PIIX and those like it (82371SB manual;
 * Programming Interface for Bus Master IDE Controller 1.0; ATA8-ACS, ATA8-APT). Context: the boot
 * CPU, boot. */
#pragma once
#include "storage/drive.h"

struct ide_ports {	     /* of one channel; I/O addresses */
	uint16_t command;    /* data ... status: 0x1f0 */
	uint16_t control;    /* device control, alternate status: 0x3f6 */
	uint16_t bus_master; /* BMIC, BMIS, BMIDTP */
};

/* Takes a channel over from the firmware; the controller's bus mastering is on. `found` is called
 * for each of its disks, after drive_init(). -ENODEV: nothing answers there. -ENOMEM. */
int ide_init(const struct ide_ports *ports, void (*found)(struct drive *d, void *arg), void *arg);
