// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/requester.h"

#define CAP_PCI_EXPRESS	    0x10
#define CAP_TYPE(registers) ((registers) >> 4 & 15)
#define TYPE_TO_PCI	    7 /* bridge from PCI Express to PCI */

static void add(struct requester_ids *ids, struct host_pci p)
{
	if (ids->n < REQUESTER_IDS_MAX)
		ids->id[ids->n++] = requester_id(p);
}

/* With PCI Express on its upper side a bridge speaks as device 0 of the bus below; between two
 * conventional buses, as itself. Ports of PCI Express pass what they get. */
static void add_bridge(struct requester_ids *ids, struct host_pci bridge, uint8_t below)
{
	unsigned cap = host_pci_capability(bridge, CAP_PCI_EXPRESS);

	if (!cap)
		add(ids, bridge);
	else if (CAP_TYPE(host_pci_get(bridge, cap + 2, 2)) == TYPE_TO_PCI)
		add(ids, (struct host_pci){.bus = below});
}

void requester_ids(struct host_pci at, struct requester_ids *ids)
{
	struct host_pci bridge;

	ids->n = 0;
	add(ids, at);
	/* a bridge is on a bus nearer to the root, unless the firmware has numbered them wrongly */
	for (uint8_t bus = at.bus; host_pci_bridge_to(bus, &bridge) && bridge.bus < bus;
	     bus = bridge.bus)
		add_bridge(ids, bridge, bus);
}
