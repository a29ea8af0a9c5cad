/* build: hv/requester.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As whom a PCI function's requests reach an IOMMU, on made-up trees of bridges. */
#include "hv/requester.h"
#include "test/unit/check.h"

#define CAP  0x40u /* PCI Express, of bridges that have it */
#define NONE 255u

enum { PORT = 4, TO_PCI = 7 }; /* types of PCI Express */

static struct bridge {
	struct host_pci at;
	uint8_t below;
	unsigned type; /* NONE: conventional */
} bridges[8];
static unsigned n_bridges;

static void bridge(uint8_t bus, uint8_t dev, uint8_t below, unsigned type)
{
	bridges[n_bridges++] = (struct bridge){{bus, dev, 0}, below, type};
}

bool host_pci_bridge_to(uint8_t bus, struct host_pci *found)
{
	for (unsigned i = 0; i < n_bridges; i++)
		if (bus && bridges[i].below == bus) {
			*found = bridges[i].at;
			return true;
		}
	return false;
}

static const struct bridge *bridge_at(struct host_pci p)
{
	for (unsigned i = 0; i < n_bridges; i++)
		if (requester_id(bridges[i].at) == requester_id(p))
			return &bridges[i];
	return NULL;
}

unsigned host_pci_capability(struct host_pci p, uint8_t id)
{
	const struct bridge *b = bridge_at(p);

	return b && b->type != NONE && id == 0x10 ? CAP : 0;
}

uint32_t host_pci_get(struct host_pci p, unsigned offset, unsigned size)
{
	CHECK(offset == CAP + 2 && size == 2);
	return bridge_at(p)->type << 4 | 2;
}

static void ports_say_nothing_of_their_own(void)
{
	struct requester_ids ids;

	n_bridges = 0;
	bridge(0, 1, 1, PORT);
	bridge(1, 0, 2, PORT);
	requester_ids((struct host_pci){2, 3, 1}, &ids);
	CHECK_EQ(ids.n, 1);
	CHECK_EQ(ids.id[0], 0x0219);
	requester_ids((struct host_pci){0, 31, 2}, &ids);
	CHECK_EQ(ids.n, 1);
	CHECK_EQ(ids.id[0], 0x00fa);
}

static void a_bridge_to_pci_speaks_as_device_0_below(void)
{
	struct requester_ids ids;

	n_bridges = 0;
	bridge(0, 1, 1, PORT);
	bridge(1, 0, 2, TO_PCI);
	requester_ids((struct host_pci){2, 3, 0}, &ids);
	CHECK_EQ(ids.n, 2);
	CHECK_EQ(ids.id[1], 0x0200);
	bridge(2, 4, 3, NONE); /* and a conventional one behind it, as itself */
	requester_ids((struct host_pci){3, 1, 0}, &ids);
	CHECK_EQ(ids.n, 3);
	CHECK_EQ(ids.id[0], 0x0308);
	CHECK_EQ(ids.id[1], 0x0220);
	CHECK_EQ(ids.id[2], 0x0200);
}

static void wrong_numbers_come_to_an_end(void)
{
	struct requester_ids ids;

	n_bridges = 0;
	bridge(2, 0, 1, NONE);
	bridge(1, 0, 2, NONE);
	requester_ids((struct host_pci){2, 3, 0}, &ids);
	CHECK(ids.n >= 1 && ids.n <= REQUESTER_IDS_MAX);
	requester_ids((struct host_pci){1, 3, 0}, &ids);
	CHECK_EQ(ids.n, 1);
}

int main(void)
{
	RUN(ports_say_nothing_of_their_own);
	RUN(a_bridge_to_pci_speaks_as_device_0_below);
	RUN(wrong_numbers_come_to_an_end);
	return check_result();
}
