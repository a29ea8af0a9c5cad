// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/pcidev.h"
#include <string.h>
#include "hv/log.h"

/* Configuration space (PCI 3.0, 6.1, 6.2, 6.8). */
enum {
	VENDOR_ID = 0x00,
	DEVICE_ID = 0x02,
	COMMAND = 0x04,
	STATUS = 0x06,
	CLASS = 0x0a,
	HEADER_TYPE = 0x0e,
	BAR0 = 0x10,
	CAPABILITIES = 0x34,
	INTERRUPT_LINE = 0x3c,
	INTERRUPT_PIN = 0x3d,
};
enum { COMMAND_MEMORY = 1 << 1, COMMAND_MASTER = 1 << 2, COMMAND_INTX_DISABLE = 1 << 10 };
enum { STATUS_CAPABILITIES = 1 << 4 };
enum { HEADER_MULTIFUNCTION = 0x80 };
enum { CAP_PM = 0x01, CAP_MSI = 0x05, CAP_MSIX = 0x11 };
enum { PMCSR = 4, PMCSR_STATE = 3 };
enum { MSI_CONTROL = 2, MSI_ENABLE = 1 << 0, MSI_MULTIPLE = 7 << 4, MSI_64BIT = 1 << 7 };
enum { MSI_ADDRESS = 4, MSI_UPPER = 8, MSI_DATA_32 = 8, MSI_DATA_64 = 12 };
enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_MASK_ALL = 1 << 14, MSIX_ENABLE = 1 << 15 };
enum { MSIX_ENTRY = 16, MSIX_SIZE = 0x7ff };

#define CAPABILITIES_MAX 48 /* what fits configuration space: a list that is a loop ends */
#define MSI_BASE	 0xfee00000u
#define BUSES		 256u
#define PROBE_US	 200
#define APIC_ID_MAX	 0xffu /* what a message and an IOAPIC entry have room for */
#define STRANGE_MAX	 1000
#define BAR_BYTES_MAX	 (64ull << 20)

/* --- configuration space --- */

uint32_t pcidev_read32(const struct pcidev *p, unsigned reg)
{
	return host_pci_read32(p->bus, p->dev, p->fn, (uint8_t)reg);
}

uint16_t pcidev_read16(const struct pcidev *p, unsigned reg)
{
	return (uint16_t)(pcidev_read32(p, reg & ~3u) >> 8 * (reg & 2));
}

uint8_t pcidev_read8(const struct pcidev *p, unsigned reg)
{
	return (uint8_t)(pcidev_read32(p, reg & ~3u) >> 8 * (reg & 3));
}

void pcidev_write32(const struct pcidev *p, unsigned reg, uint32_t v)
{
	host_pci_write32(p->bus, p->dev, p->fn, (uint8_t)reg, v);
}

/* The neighbour of COMMAND is STATUS, whose bits are cleared by ones: it is written as zeroes. */
void pcidev_write16(const struct pcidev *p, unsigned reg, uint16_t v)
{
	uint32_t old = reg == COMMAND ? 0 : pcidev_read32(p, reg & ~3u);
	unsigned shift = 8 * (reg & 2);

	pcidev_write32(p, reg & ~3u, (old & ~(0xffffu << shift)) | (uint32_t)v << shift);
}

static bool present(struct pcidev *p)
{
	uint32_t id = pcidev_read32(p, VENDOR_ID);

	if ((id & 0xffff) == 0xffff || id == 0)
		return false;
	p->vendor = (uint16_t)id;
	p->device = (uint16_t)(id >> 16);
	p->class = pcidev_read16(p, CLASS);
	return true;
}

/* Buses are numbered by the firmware, with gaps, and below several roots: each is asked. */
void pcidev_each(bool (*fn)(const struct pcidev *p, void *arg), void *arg)
{
	for (unsigned slot = 0; slot < BUSES * 32; slot++) {
		struct pcidev p = {.bus = (uint8_t)(slot / 32), .dev = slot % 32};
		unsigned functions = 1;

		for (unsigned f = 0; f < functions; f++) {
			p.fn = (uint8_t)f;
			if (!present(&p))
				continue;
			if (f == 0 && pcidev_read8(&p, HEADER_TYPE) & HEADER_MULTIFUNCTION)
				functions = 8;
			if (!fn(&p, arg))
				return;
		}
	}
}

unsigned pcidev_capability(const struct pcidev *p, uint8_t id, unsigned from)
{
	unsigned at;

	if (!(pcidev_read16(p, STATUS) & STATUS_CAPABILITIES))
		return 0;
	at = pcidev_read8(p, from ? from + 1 : CAPABILITIES) & ~3u;
	for (unsigned n = 0; at >= 0x40 && n < CAPABILITIES_MAX; n++) {
		if (pcidev_read8(p, at) == id)
			return at;
		at = pcidev_read8(p, at + 1) & ~3u;
	}
	return 0;
}

void pcidev_quiesce(const struct pcidev *p)
{
	unsigned msi = pcidev_capability(p, CAP_MSI, 0), msix = pcidev_capability(p, CAP_MSIX, 0);
	uint16_t command = pcidev_read16(p, COMMAND);

	pcidev_write16(p, COMMAND, (uint16_t)((command & ~COMMAND_MASTER) | COMMAND_INTX_DISABLE));
	if (msi)
		pcidev_write16(p, msi + MSI_CONTROL,
			       pcidev_read16(p, msi + MSI_CONTROL) & (uint16_t)~MSI_ENABLE);
	if (msix)
		pcidev_write16(p, msix + MSIX_CONTROL,
			       pcidev_read16(p, msix + MSIX_CONTROL) & (uint16_t)~MSIX_ENABLE);
}

void pcidev_enable(const struct pcidev *p)
{
	unsigned pm = pcidev_capability(p, CAP_PM, 0);

	if (pm && pcidev_read16(p, pm + PMCSR) & PMCSR_STATE) {
		pcidev_write16(p, pm + PMCSR,
			       pcidev_read16(p, pm + PMCSR) & (uint16_t)~PMCSR_STATE);
		tsc_delay_us(10000); /* D3 to D0 (PCI Power Management 1.2, 5.6.1) */
	}
	pcidev_write16(p, COMMAND, pcidev_read16(p, COMMAND) | COMMAND_MEMORY);
}

void pcidev_enable_dma(const struct pcidev *p)
{
	pcidev_write16(p, COMMAND, pcidev_read16(p, COMMAND) | COMMAND_MASTER);
}

/* The size is what can't be written; decoding is off while it is asked for (PCI 3.0, 6.2.5.1). */
static uint64_t bar_size(const struct pcidev *p, unsigned reg, bool wide)
{
	uint16_t command = pcidev_read16(p, COMMAND);
	uint32_t low = pcidev_read32(p, reg), high = wide ? pcidev_read32(p, reg + 4) : 0;
	uint64_t mask;

	pcidev_write16(p, COMMAND, command & (uint16_t)~COMMAND_MEMORY);
	pcidev_write32(p, reg, UINT32_MAX);
	mask = (wide ? 0 : 0xffffffffull << 32) | (pcidev_read32(p, reg) & ~15u);
	pcidev_write32(p, reg, low);
	if (wide) {
		pcidev_write32(p, reg + 4, UINT32_MAX);
		mask |= (uint64_t)pcidev_read32(p, reg + 4) << 32;
		pcidev_write32(p, reg + 4, high);
	}
	pcidev_write16(p, COMMAND, command);
	return ~mask + 1;
}

void *pcidev_map_bar(const struct pcidev *p, unsigned bar, uint64_t *bytes)
{
	unsigned reg = BAR0 + 4 * bar;
	uint32_t low = pcidev_read32(p, reg);
	bool wide = (low & 6) == 4;
	uint64_t addr = low & ~15u;

	if (low & 1 || bar > 5 || (wide && bar == 5))
		return NULL;
	if (wide)
		addr |= (uint64_t)pcidev_read32(p, reg + 4) << 32;
	*bytes = bar_size(p, reg, wide);
	if (!addr || *bytes < 16 || *bytes > BAR_BYTES_MAX)
		return NULL;
	return mmio_map((hpa_t){addr}, *bytes);
}

/* --- interrupts --- */

static void interrupt(void *dev)
{
	struct pcidev_irq *irq = dev;

	irq->fired = true;
	if (irq->claim(irq->dev)) {
		irq->strange = 0;
	} else if (irq->gsi && ++irq->strange > STRANGE_MAX && !irq->lost) {
		/* Level-triggered, and whoever pulls it is not ours to silence. */
		host_ioapic_mask(irq->gsi, true);
		irq->lost = true;
	}
}

static bool use_msi(const struct pcidev *p, uint8_t vector, uint32_t apic_id)
{
	unsigned at = pcidev_capability(p, CAP_MSI, 0);
	uint16_t control;

	if (!at)
		return false;
	control = pcidev_read16(p, at + MSI_CONTROL);
	pcidev_write32(p, at + MSI_ADDRESS, MSI_BASE | apic_id << 12);
	if (control & MSI_64BIT)
		pcidev_write32(p, at + MSI_UPPER, 0);
	pcidev_write16(p, at + (control & MSI_64BIT ? MSI_DATA_64 : MSI_DATA_32), vector);
	control &= (uint16_t)~MSI_MULTIPLE;
	pcidev_write16(p, at + MSI_CONTROL, control | MSI_ENABLE);
	return true;
}

static bool use_msix(const struct pcidev *p, uint8_t vector, uint32_t apic_id)
{
	unsigned at = pcidev_capability(p, CAP_MSIX, 0), entries;
	volatile uint32_t *entry;
	uint64_t bytes;
	uint32_t table;
	uint8_t *bar;

	if (!at)
		return false;
	table = pcidev_read32(p, at + MSIX_TABLE);
	entries = (pcidev_read16(p, at + MSIX_CONTROL) & MSIX_SIZE) + 1u;
	bar = pcidev_map_bar(p, table & 7, &bytes);
	if (!bar || (table & ~7u) + (uint64_t)entries * MSIX_ENTRY > bytes)
		return false;
	entry = (volatile uint32_t *)(bar + (table & ~7u));
	pcidev_write16(p, at + MSIX_CONTROL, MSIX_ENABLE | MSIX_MASK_ALL);
	for (unsigned i = 0; i < entries; i++, entry += MSIX_ENTRY / 4) {
		entry[0] = MSI_BASE | apic_id << 12;
		entry[1] = 0;
		entry[2] = vector;
		entry[3] = 0;
	}
	pcidev_write16(p, at + MSIX_CONTROL, MSIX_ENABLE);
	return true;
}

/* Does an interrupt come within PROBE_US? */
static bool fires(struct pcidev_irq *irq, bool trigger)
{
	uint64_t end = rdtsc() + tsc_hz() / 1000000 * PROBE_US;

	irq->fired = false;
	if (trigger)
		irq->trigger(irq->dev);
	do {
		irq_window();
	} while (!irq->fired && rdtsc() < end);
	return irq->fired;
}

static bool try_pin(struct pcidev_irq *irq, unsigned gsi, uint8_t vector, uint32_t apic_id)
{
	if (host_ioapic_in_use(gsi) || host_ioapic_route(gsi, vector, apic_id, true, true) != 0)
		return false;
	/* a wire that somebody else pulls already is of no use */
	if (!fires(irq, false) && fires(irq, true)) {
		irq->gsi = gsi;
		irq->strange = 0;
		return true;
	}
	host_ioapic_mask(gsi, true);
	return false;
}

/*
 * Which wire a pin is on, only AML says (_PRT), and that can't be run here. So the device is made
 * to interrupt, and each pin that can carry PCI interrupts is watched; first the one that the
 * firmware wrote down, which holds where interrupts go to the same inputs as in 8259 times.
 */
static bool find_wire(const struct pcidev *p, struct pcidev_irq *irq, uint8_t vector,
		      uint32_t apic_id)
{
	static const uint8_t pins[] = {16, 17, 18, 19, 20, 21, 22, 23, 9, 10, 11, 5, 6, 7, 14, 15};
	uint8_t line = pcidev_read8(p, INTERRUPT_LINE);
	uint16_t command = pcidev_read16(p, COMMAND);

	if (!pcidev_read8(p, INTERRUPT_PIN))
		return false;
	pcidev_write16(p, COMMAND, command & (uint16_t)~COMMAND_INTX_DISABLE);
	if (line > 4 && line < 16 && try_pin(irq, line, vector, apic_id))
		return true;
	for (unsigned i = 0; i < sizeof(pins); i++)
		if (pins[i] != line && try_pin(irq, pins[i], vector, apic_id))
			return true;
	pcidev_write16(p, COMMAND, command);
	return false;
}

const char *pcidev_irq_message(const struct pcidev *p, struct pcidev_irq *irq)
{
	uint32_t apic_id = cpu_get(0)->apic_id;
	int vector = apic_id > APIC_ID_MAX ? -1 : irq_vector_alloc(interrupt, irq);

	if (vector >= 0 && use_msi(p, (uint8_t)vector, apic_id))
		return "msi";
	if (vector >= 0 && use_msix(p, (uint8_t)vector, apic_id))
		return "msi-x";
	return NULL;
}

const char *pcidev_irq_wire(const struct pcidev *p, struct pcidev_irq *irq)
{
	uint32_t apic_id = cpu_get(0)->apic_id;
	int vector = apic_id > APIC_ID_MAX ? -1 : irq_vector_alloc(interrupt, irq);

	return vector >= 0 && find_wire(p, irq, (uint8_t)vector, apic_id) ? "intx" : NULL;
}

const char *pcidev_irq_enable(const struct pcidev *p, struct pcidev_irq *irq)
{
	const char *how = pcidev_irq_message(p, irq);

	return how ? how : pcidev_irq_wire(p, irq);
}
