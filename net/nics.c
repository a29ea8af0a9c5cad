// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/nics.h"
#include <string.h>
#include "boot/handoff.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/drivers.h"

static const struct nic_driver *const drivers[] = {&e1000_driver, &virtio_net_driver, NULL};

static const struct nic_driver *driver_of(const struct pcidev *p)
{
	const struct nic_driver *const *d = drivers;

	while (*d && !(*d)->model(p))
		d++;
	return *d;
}

static bool quiesce(const struct pcidev *p, void *arg)
{
	(void)arg;
	if (p->class >> 8 == PCI_BASE_NETWORK)
		pcidev_quiesce(p);
	return true;
}

void nics_quiesce(void)
{
	pcidev_each(quiesce, NULL);
}

/* --- the control card --- */

struct search {
	const struct handoff *h;
	struct netdev *found;
	unsigned keys; /* that ask for a control card by its MAC */
};

static bool is_control(const struct nic_config *n, const struct pcidev *p, const uint8_t *mac)
{
	if (n->role != NIC_ROLE_CONTROL || n->by_mac != (mac != NULL))
		return false;
	return mac ? memcmp(n->mac, mac, 6) == 0
		   : n->bus == p->bus && n->dev == p->dev && n->fn == p->fn;
}

static bool asked_for(const struct handoff *h, const struct pcidev *p, const uint8_t *mac)
{
	for (uint32_t i = 0; i < h->n_nics; i++)
		if (is_control(&h->nics[i], p, mac))
			return true;
	return false;
}

static void list_card(const struct pcidev *p, const struct netdev *d)
{
	const struct nic_driver *driver = driver_of(p);
	char mac[32] = "";

	if (d)
		(void)fmt(mac, sizeof(mac), ", %02x:%02x:%02x:%02x:%02x:%02x", d->mac[0], d->mac[1],
			  d->mac[2], d->mac[3], d->mac[4], d->mac[5]);
	log_info("net: %02x:%02x.%x %04x:%04x %s%s", p->bus, p->dev, p->fn, p->vendor, p->device,
		 driver ? driver->model(p) : "without a driver of the hypervisor's", mac);
}

/* A card is reset to learn its MAC only if some key goes by that. */
static bool consider(const struct pcidev *p, void *arg)
{
	struct search *s = arg;
	bool by_address = asked_for(s->h, p, NULL);
	const struct nic_driver *driver = driver_of(p);
	struct netdev *d = NULL;

	if (p->class != PCI_CLASS_ETHERNET)
		return true;
	if (driver && (by_address || s->keys))
		d = driver->probe(p);
	list_card(p, d);
	if (by_address && !driver)
		log_error("net: there is no driver for %02x:%02x.%x: give another card the role "
			  "control",
			  p->bus, p->dev, p->fn);
	if (!d)
		return true;
	if (!s->found && (by_address || asked_for(s->h, p, d->mac)))
		s->found = d;
	else
		d->ops->stop(d);
	return true;
}

struct netdev *nics_control(const struct handoff *h)
{
	struct search s = {.h = h};
	unsigned wanted = 0;

	for (uint32_t i = 0; i < h->n_nics; i++) {
		wanted += h->nics[i].role == NIC_ROLE_CONTROL;
		s.keys += h->nics[i].role == NIC_ROLE_CONTROL && h->nics[i].by_mac;
	}
	if (!wanted)
		return NULL;
	pcidev_each(consider, &s);
	if (!s.found)
		log_error("net: no card is what nic.WHICH=control asks for: correct the key (the "
			  "cards are listed above)");
	else if (wanted > 1)
		log_warn("net: one card has the role control, %02x:%02x.%x; the other keys that "
			 "ask for it are left out",
			 s.found->bus, s.found->dev, s.found->fn);
	return s.found;
}
