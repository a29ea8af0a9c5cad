/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of the machine itself: AHCI, NVMe, IDE with bus mastering. They are the hypervisor's;
 * the guest sees neither them nor their controllers. Looked for only if the configuration names
 * one.
 *
 * Names count what was found, by PCI address and port: ahci0, ahci1, ..., nvme0, ..., ide0, ...
 * Context: the boot CPU.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "storage/drive.h"

#define DRIVES_MAX 32

void drives_find(void); /* boot */
unsigned drives_count(void);
struct drive *drives_get(unsigned n);
struct drive *drives_by_name(const char *name); /* NULL */
bool drives_poll(void);				/* true: something has changed */
bool drives_late(void); /* one of them has taken too long since drives_forgive() */
/* After a freeze, and at the start. `patient`: requests that take too long don't end with an error,
 * but are tried again. */
void drives_forgive(bool patient);
/* Tick of the TSC at which to look again even without an interrupt; UINT64_MAX: nothing is in
 * flight. */
uint64_t drives_due(void);
/* Before the machine is reset or switched off: no more access to memory. */
void drives_off(void);
