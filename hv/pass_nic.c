// SPDX-License-Identifier: GPL-2.0-or-later
/* The experiment's network cards: which ones they are, and what passing them through takes that is
 * theirs alone. Registers: 82540EM and 82574 manuals, "Register Descriptions". */
#include <errno.h>
#include <string.h>
#include "hv/iommu.h"
#include "hv/log.h"
#include "hv/nic.h"
#include "hv/pass.h"

#define VENDOR_INTEL   0x8086
#define CLASS_ETHERNET 0x0200
#define MAC_BYTES      6

enum {
	CTRL = 0x0000,
	EERD = 0x0014,
	IMC = 0x00d8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	RAL0 = 0x5400,
	RAH0 = 0x5404,
};
#define CTRL_RST     (1u << 26)
#define RAH_AV	     (1u << 31)
#define EERD_START   1u
#define EERD_TRIES   1000
#define EERD_WAIT_US 10
#define RESET_US     10000 /* with the reload from the EEPROM */

static const struct model {
	uint16_t device;
	uint8_t eerd_done, eerd_address; /* bits of EERD */
	const char *name;
	const struct nic_family *family;
} models[] = {
	{0x100e, 4, 8, "Intel 82540EM", &nic_82540em},
	{0x10d3, 1, 2, "Intel 82574L", &nic_82574l},
};

static const struct model *model_of(struct host_pci at)
{
	uint32_t id = host_pci_get(at, PCI_VENDOR_ID, 4);

	for (unsigned i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (id == ((uint32_t)models[i].device << 16 | VENDOR_INTEL))
			return &models[i];
	return NULL;
}

static uint32_t get(const struct pass *p, unsigned reg)
{
	return *(volatile uint32_t *)(p->regs + reg);
}

static void put(const struct pass *p, unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)(p->regs + reg) = v;
}

/* --- its address --- */

static bool eeprom_word(const struct pass *p, const struct model *m, unsigned n, uint16_t *word)
{
	put(p, EERD, EERD_START | n << m->eerd_address);
	for (unsigned i = 0; i < EERD_TRIES; i++) {
		uint32_t v = get(p, EERD);

		*word = (uint16_t)(v >> 16);
		if (v & 1u << m->eerd_done)
			return true;
		tsc_delay_us(EERD_WAIT_US);
	}
	return false;
}

/* Receive Address 0, which the card loads from its EEPROM; the EEPROM, if it is not valid. */
static bool read_mac(const struct pass *p, const struct model *m, uint8_t mac[MAC_BYTES])
{
	uint32_t low = get(p, RAL0), high = get(p, RAH0);
	uint16_t word[3] = {(uint16_t)low, (uint16_t)(low >> 16), (uint16_t)high};

	for (unsigned i = 0; i < 3 && !(high & RAH_AV); i++)
		if (!eeprom_word(p, m, i, &word[i]))
			return false;
	memcpy(mac, word, MAC_BYTES);
	return true;
}

static void reset(struct pass *p)
{
	put(p, IMC, UINT32_MAX);
	put(p, RCTL, 0);
	put(p, TCTL, 0);
	put(p, CTRL, get(p, CTRL) | CTRL_RST);
	tsc_delay_us(RESET_US);
	put(p, IMC, UINT32_MAX);
}

/* --- which ones --- */

struct search {
	const struct handoff *h;
	bool found[HANDOFF_MAX_NICS];
};

static bool named_by_place(const struct nic_config *n, struct host_pci at)
{
	return !n->by_mac && n->bus == at.bus && n->dev == at.dev && n->fn == at.fn;
}

static bool by_mac_wanted(const struct handoff *h)
{
	for (unsigned i = 0; i < h->n_nics; i++)
		if (h->nics[i].by_mac && h->nics[i].role == NIC_ROLE_EXPERIMENT)
			return true;
	return false;
}

/* Bits of the keys that name this card. */
static uint32_t keys_of(const struct handoff *h, struct host_pci at, const uint8_t *mac)
{
	uint32_t keys = 0;

	for (unsigned i = 0; i < h->n_nics; i++) {
		const struct nic_config *n = &h->nics[i];

		if (named_by_place(n, at) || (n->by_mac && mac && !memcmp(n->mac, mac, MAC_BYTES)))
			keys |= 1u << i;
	}
	return keys;
}

static void give(struct pass *p, const struct model *m, const uint8_t mac[MAC_BYTES],
		 uint32_t settle_us)
{
	int err = pass_wire_add(p, m->family, settle_us);

	if (!err)
		err = pass_add(p);
	if (!err)
		iommu_assign(p->at.bus, p->at.dev, p->at.fn, IOMMU_GUEST);
	if (err == -ENOMEM)
		log_error("nic %02x:%02x.%x: no memory to catch its frames in at a freeze, so it "
			  "stays off: raise hv_memory=",
			  p->at.bus, p->at.dev, p->at.fn);
	else if (err == -ENOTSUP)
		log_error("nic %02x:%02x.%x: this board's interrupt routing is not known, and the "
			  "card "
			  "has no MSI: use another card",
			  p->at.bus, p->at.dev, p->at.fn);
	else if (err)
		log_error("nic %02x:%02x.%x can't be given to the guest (%d): it stays off",
			  p->at.bus, p->at.dev, p->at.fn, err);
	else
		log_info("%s: %s %02x:%02x:%02x:%02x:%02x:%02x at %02x:%02x.%x is the guest's",
			 p->unit.name, m->name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
			 p->at.bus, p->at.dev, p->at.fn);
}

/* One key's role counts for a card: by its place, if both name it. */
static void consider(struct search *s, struct pass *p, const struct model *m)
{
	uint8_t mac[MAC_BYTES];
	uint32_t keys;
	enum nic_role role = NIC_ROLE_NONE;

	if (!read_mac(p, m, mac)) {
		log_error("nic %02x:%02x.%x: its EEPROM does not answer: the card is broken",
			  p->at.bus, p->at.dev, p->at.fn);
		return;
	}
	keys = keys_of(s->h, p->at, mac);
	for (unsigned i = 0; i < s->h->n_nics; i++) {
		if (!(keys >> i & 1))
			continue;
		s->found[i] = true;
		if (role == NIC_ROLE_NONE || !s->h->nics[i].by_mac)
			role = (enum nic_role)s->h->nics[i].role;
	}
	if (role == NIC_ROLE_EXPERIMENT)
		give(p, m, mac, s->h->nic_settle);
}

static bool look(struct host_pci at, void *ctx)
{
	struct search *s = ctx;
	const struct model *m = model_of(at);
	uint16_t command = (uint16_t)host_pci_get(at, PCI_COMMAND, 2);
	struct host_bar regs;
	struct pass *p;

	if (!m || (!by_mac_wanted(s->h) && !keys_of(s->h, at, NULL)))
		return false;
	regs = host_pci_bar(at, 0);
	if (regs.io || !regs.base || regs.size < RAH0 + 4) {
		log_error(
			"nic %02x:%02x.%x: the firmware gave its registers no address: it can't be "
			"used",
			at.bus, at.dev, at.fn);
		return false;
	}
	p = heap_alloc(sizeof(*p));
	*p = (struct pass){.at = at, .model = m->name, .reset = reset};
	p->regs = mmio_map((hpa_t){regs.base}, regs.size);
	if (!p->regs)
		panic("no room to map the registers of a network card");
	host_pci_command(at, command | PCI_COMMAND_MEMORY);
	consider(s, p, m);
	if (!p->unit.dev) /* somebody else's */
		host_pci_command(at, command);
	return false;
}

static void not_found(const struct nic_config *n)
{
	const struct host_pci at = {n->bus, n->dev, n->fn};
	uint32_t id = n->by_mac ? UINT32_MAX : host_pci_get(at, PCI_VENDOR_ID, 4);

	if (n->by_mac)
		log_error("nic.%02x:%02x:%02x:%02x:%02x:%02x=experiment: no Intel 82540EM or "
			  "82574L has "
			  "this address: correct the key",
			  n->mac[0], n->mac[1], n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	else if (id == UINT32_MAX)
		log_error("nic.%02x:%02x.%x=experiment: there is nothing: correct the key", n->bus,
			  n->dev, n->fn);
	else
		log_error("nic.%02x:%02x.%x=experiment: %04x:%04x can't be passed through: use an "
			  "Intel 82540EM (8086:100e) or 82574L (8086:10d3)",
			  n->bus, n->dev, n->fn, id & 0xffff, id >> 16);
}

void pass_nics(const struct handoff *h)
{
	struct search s = {.h = h};
	bool any = false;

	for (unsigned i = 0; i < h->n_nics; i++)
		any |= h->nics[i].role == NIC_ROLE_EXPERIMENT;
	if (!any)
		return;
	host_pci_each(look, &s);
	for (unsigned i = 0; i < h->n_nics; i++)
		if (!s.found[i] && h->nics[i].role == NIC_ROLE_EXPERIMENT)
			not_found(&h->nics[i]);
}
