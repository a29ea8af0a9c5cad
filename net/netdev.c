// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/netdev.h"
#include "arch/x86_64/cpu.h"

uint64_t netdev_rx_stamp(struct netdev *d)
{
	uint64_t tsc = d->irq_tsc;

	d->irq_tsc = 0;
	return tsc ? tsc : rdtsc();
}
