// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupts of a passed-through function. The card always sends the hypervisor's vectors; what the
 * guest wrote as message or table is virtual, and its messages are sent in the handler. A card that
 * has MSI uses it for the guest's INTx, too: each message asserts the wire, and the guest's EOI
 * drops it. Else the physical wire is masked when it interrupts, until the guest's EOI.
 *
 * While the node is frozen what arrives is kept: one of each kind, as a LAPIC would.
 */
#include <errno.h>
#include <string.h>
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/pass.h"
#include "hv/bus.h"

enum { /* PCI 3.0, 6.8.1 */
       MSI_CONTROL = 2,
       MSI_ADDRESS = 4,
       MSI_ADDRESS_HIGH = 8,
       MSI_DATA_32 = 8,
       MSI_DATA_64 = 12,
       MSI_ENABLE = 1,
       MSI_64 = 1 << 7,
};
enum { /* 6.8.2 */
       MSIX_CONTROL = 2,
       MSIX_TABLE = 4,
       MSIX_PBA = 8,
       MSIX_SIZE = 0x7ff,
       MSIX_MASK_ALL = 1 << 14,
       MSIX_ENABLE = 1 << 15,
       MSIX_BIR = 7,
};
#define MSI_BYTES_32 10
#define MSI_BYTES_64 14

static struct pass *by_pin[PASS_MAX]; /* all, for ioapic_on_eoi */
static unsigned n_pins;

static uint32_t space32(const struct pass *p, unsigned reg)
{
	uint32_t v;

	memcpy(&v, p->space + reg, sizeof(v));
	return v;
}

static uint16_t space16(const struct pass *p, unsigned reg)
{
	return (uint16_t)space32(p, reg);
}

static void put16(struct pass *p, unsigned reg, uint16_t v)
{
	memcpy(p->space + reg, &v, sizeof(v));
}

static enum pass_mode wanted(const struct pass *p)
{
	if (p->msix && space16(p, p->msix + MSIX_CONTROL) & MSIX_ENABLE)
		return PASS_MSIX;
	if (p->msi && space16(p, p->msi + MSI_CONTROL) & MSI_ENABLE)
		return PASS_MSI;
	return space16(p, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE ? PASS_NO_IRQ : PASS_INTX;
}

static bool has_wire(const struct pass *p)
{
	return !p->msi && p->gsi >= 0;
}

uint16_t pass_irq_command(const struct pass *p)
{
	return has_wire(p) && wanted(p) == PASS_INTX ? 0 : PCI_COMMAND_INTX_DISABLE;
}

bool pass_intx(const struct pci_function *f)
{
	const struct pass *p = f->dev;

	return p->line;
}

/* --- to the guest --- */

static void send_msi(struct pass *p)
{
	bool wide = space16(p, p->msi + MSI_CONTROL) & MSI_64;
	uint64_t addr = space32(p, p->msi + MSI_ADDRESS);

	if (wide)
		addr |= (uint64_t)space32(p, p->msi + MSI_ADDRESS_HIGH) << 32;
	irq_msi(addr, space16(p, p->msi + (wide ? MSI_DATA_64 : MSI_DATA_32)));
}

static void set_line(struct pass *p, bool level)
{
	p->line = level;
	pci_intx_changed(&p->function);
}

static bool masked(const struct pass *p, unsigned n)
{
	return space16(p, p->msix + MSIX_CONTROL) & MSIX_MASK_ALL ||
	       p->entry[n].control & MSIX_ENTRY_MASKED;
}

static void send_pending(struct pass *p)
{
	unsigned n = p->mode == PASS_MSIX ? p->n_vectors : 1;

	if (p->frozen || p->mode == PASS_NO_IRQ)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct msix_entry *e = &p->entry[i];

		if (!e->pending || (p->mode == PASS_MSIX && masked(p, i)))
			continue;
		if (p->mode == PASS_INTX && p->line) /* after the EOI, then */
			continue;
		e->pending = false;
		if (p->mode == PASS_MSIX)
			irq_msi(e->address, e->data);
		else if (p->mode == PASS_MSI)
			send_msi(p);
		else
			set_line(p, true);
	}
}

/* A physical interrupt, before its EOI. */
static void arrived(void *dev)
{
	const struct pass_message *m = dev;
	struct pass *p = m->p;

	spin_lock(&platform_lock);
	if (has_wire(p))
		host_ioapic_mask((unsigned)p->gsi, true);
	p->entry[m->n].pending = true;
	send_pending(p);
	spin_unlock(&platform_lock);
}

/* A card that still asserts its wire interrupts again at once. */
static void eoi(unsigned gsi)
{
	for (unsigned i = 0; i < n_pins; i++) {
		struct pass *p = by_pin[i];

		if (!p->line || pci_gsi(p->function.devfn, 1) != gsi)
			continue;
		set_line(p, false);
		if (has_wire(p) && p->mode == PASS_INTX)
			host_ioapic_mask((unsigned)p->gsi, false);
		send_pending(p); /* a message that came meanwhile tells of something new */
	}
}

/* --- to the card --- */

static void write_entry(const struct pass *p, unsigned n)
{
	volatile uint32_t *e = p->table + n * MSIX_ENTRY_BYTES / 4;

	e[0] = HOST_MSI_ADDRESS(cpu_get(0)->apic_id);
	e[1] = 0;
	e[2] = p->message[n].vector;
	e[3] = p->entry[n].control & MSIX_ENTRY_MASKED;
}

static void leave(struct pass *p)
{
	if (p->mode == PASS_MSIX)
		host_pci_set(p->at, p->msix + MSIX_CONTROL, 2, 0);
	else if (p->msi)
		host_msi_disable(p->at, p->msi);
	else if (has_wire(p))
		host_ioapic_mask((unsigned)p->gsi, true);
}

static void enter(struct pass *p)
{
	uint32_t boot_cpu = cpu_get(0)->apic_id;

	if (p->mode == PASS_MSIX) {
		for (unsigned i = 0; i < p->n_vectors; i++)
			write_entry(p, i);
		host_pci_set(p->at, p->msix + MSIX_CONTROL, 2,
			     space16(p, p->msix + MSIX_CONTROL) & (MSIX_ENABLE | MSIX_MASK_ALL));
	} else if (p->mode != PASS_NO_IRQ && p->msi) {
		host_msi_enable(p->at, p->msi, p->message[0].vector, boot_cpu);
	} else if (p->mode == PASS_INTX && has_wire(p)) {
		host_ioapic_mask((unsigned)p->gsi, p->line || p->entry[0].pending);
	}
}

void pass_irq_apply(struct pass *p)
{
	enum pass_mode mode = wanted(p);

	if (mode != p->mode) {
		leave(p);
		if (p->line && mode != PASS_INTX)
			set_line(p, false);
		p->entry[0].pending = false;
		p->mode = mode;
		enter(p);
	} else if (mode == PASS_MSIX) {
		host_pci_set(p->at, p->msix + MSIX_CONTROL, 2,
			     space16(p, p->msix + MSIX_CONTROL) & (MSIX_ENABLE | MSIX_MASK_ALL));
	}
	send_pending(p);
}

/* Messages that the card wanted to send since the load are lost: each is sent once, since drivers
 * bear with one too many. A wire tells by itself. */
void pass_irq_resume(struct pass *p)
{
	leave(p);
	p->mode = wanted(p);
	enter(p);
	for (unsigned i = 0; i < p->n_vectors && (p->mode == PASS_MSIX || p->msi); i++)
		p->entry[i].pending |= i == 0 || p->mode == PASS_MSIX;
	send_pending(p);
}

void pass_irq_reset(struct pass *p)
{
	p->line = false;
	for (unsigned i = 0; i < PASS_VECTORS_MAX; i++)
		p->entry[i] = (struct msix_entry){.control = MSIX_ENTRY_MASKED};
}

/* --- the table's BAR --- */

uint64_t pass_msix_bar_read(const struct pass *p, uint64_t offset, unsigned size)
{
	uint64_t bytes = (uint64_t)p->n_vectors * MSIX_ENTRY_BYTES;

	if (offset - p->msix_table < bytes)
		return msix_read(p->entry, p->n_vectors, offset - p->msix_table, size);
	if (offset - p->msix_pba < 8)
		return msix_pending(p->entry, p->n_vectors, offset - p->msix_pba);
	return 0;
}

void pass_msix_bar_write(struct pass *p, uint64_t offset, unsigned size, uint64_t val)
{
	uint64_t inside = offset - p->msix_table;

	msix_write(p->entry, p->n_vectors, inside, size, val);
	if (p->mode == PASS_MSIX && inside / MSIX_ENTRY_BYTES < p->n_vectors) {
		write_entry(p, (unsigned)inside / MSIX_ENTRY_BYTES);
		send_pending(p);
	}
}

/* --- boot --- */

static void show_capability(struct pass *p, unsigned at, uint8_t id)
{
	p->space[at] = id;
	p->space[at + 1] = p->space[PCI_CAPABILITIES];
	p->space[PCI_CAPABILITIES] = (uint8_t)at;
	p->space[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
}

/* One message, no mask bits. */
static void show_msi(struct pass *p)
{
	uint16_t wide;

	p->msi = host_pci_capability(p->at, PCI_CAP_MSI);
	if (!p->msi)
		return;
	wide = host_pci_get(p->at, p->msi + MSI_CONTROL, 2) & MSI_64;
	show_capability(p, p->msi, PCI_CAP_MSI);
	put16(p, p->msi + MSI_CONTROL, wide);
	p->space_mask[p->msi + MSI_CONTROL] = MSI_ENABLE;
	memset(p->space_mask + p->msi + MSI_ADDRESS, 0xff,
	       (wide ? MSI_BYTES_64 : MSI_BYTES_32) - MSI_ADDRESS);
	p->space_mask[p->msi + MSI_ADDRESS] = 0xfc;
}

/* Only a table with a BAR of its own: its other pages would have to be the card's. */
static void show_msix(struct pass *p)
{
	unsigned at = host_pci_capability(p->at, PCI_CAP_MSIX);
	const struct host_bar *b;
	uint32_t table, pba;

	if (!at)
		return;
	table = host_pci_get(p->at, at + MSIX_TABLE, 4);
	pba = host_pci_get(p->at, at + MSIX_PBA, 4);
	p->n_vectors = (host_pci_get(p->at, at + MSIX_CONTROL, 2) & MSIX_SIZE) + 1;
	p->msix_bar = table & MSIX_BIR;
	p->msix_table = table & ~(uint32_t)MSIX_BIR;
	p->msix_pba = pba & ~(uint32_t)MSIX_BIR;
	b = &p->bar[p->msix_bar % PCI_BARS];
	if (p->msix_bar == 0 || p->msix_bar >= PCI_BARS || p->msix_bar == p->io_bar || b->io ||
	    (pba & MSIX_BIR) != p->msix_bar || !b->base || b->size >> 32 ||
	    p->n_vectors > PASS_VECTORS_MAX ||
	    p->msix_table + p->n_vectors * MSIX_ENTRY_BYTES > b->size || p->msix_pba + 8 > b->size)
		goto hidden;
	p->table =
		mmio_map((hpa_t){b->base + p->msix_table}, (size_t)p->n_vectors * MSIX_ENTRY_BYTES);
	if (!p->table)
		goto hidden;
	p->msix = at;
	p->function.bar[p->msix_bar] = (struct pci_bar){.type = PCI_BAR_MEM32, .size = b->size};
	show_capability(p, at, PCI_CAP_MSIX);
	put16(p, at + MSIX_CONTROL, (uint16_t)(p->n_vectors - 1));
	memcpy(p->space + at + MSIX_TABLE, &table, sizeof(table));
	memcpy(p->space + at + MSIX_PBA, &pba, sizeof(pba));
	p->space_mask[at + MSIX_CONTROL + 1] = (MSIX_ENABLE | MSIX_MASK_ALL) >> 8;
	return;
hidden:
	p->n_vectors = 1;
	log_warn("%s: its MSI-X table is laid out in a way that is not known: the guest does not "
		 "see "
		 "it",
		 p->unit.name);
}

static int take_vectors(struct pass *p)
{
	for (unsigned i = 0; i < p->n_vectors; i++) {
		int vector = irq_vector_alloc(arrived, &p->message[i]);

		if (vector < 0)
			return vector;
		p->message[i] = (struct pass_message){.p = p, .n = i, .vector = (uint8_t)vector};
	}
	return 0;
}

/* Masked until the guest's driver wants it. */
static int route_wire(struct pass *p)
{
	int err;

	p->gsi = host_pci_intx_gsi(p->at);
	if (p->gsi < 0)
		return p->gsi;
	err = host_ioapic_route((unsigned)p->gsi, p->message[0].vector, cpu_get(0)->apic_id, true,
				true);
	host_ioapic_mask((unsigned)p->gsi, true);
	return err;
}

int pass_irq_init(struct pass *p)
{
	int err;

	p->gsi = -ENODEV;
	p->n_vectors = 1;
	show_msi(p);
	show_msix(p);
	err = take_vectors(p);
	if (!err && !p->msi)
		err = route_wire(p);
	if (err)
		return err;
	ioapic_on_eoi(eoi);
	by_pin[n_pins++] = p;
	return 0;
}
