// SPDX-License-Identifier: GPL-2.0-or-later
/* Physical PCI functions: finding them, their capabilities and BARs, MSI, and where the boards that
 * are known take their INTx pins. */
#include <errno.h>
#include "arch/x86_64/internal.h"

enum {
	COMMAND = 0x04,
	CLASS = 0x08,
	HEADER_TYPE = 0x0e,
	BAR0 = 0x10,
	SECONDARY_BUS = 0x19,
	CAPABILITIES = 0x34,
	INTERRUPT_PIN = 0x3d,
};
#define COMMAND_DECODE	    3u
#define STATUS_CAPABILITIES (1u << 20) /* of the dword at COMMAND */
#define MULTI_FUNCTION	    0x80u
#define TYPE_BRIDGE	    1u
#define CLASS_PCI_BRIDGE    0x0604u
#define CAPABILITIES_MAX    48 /* what fits: a list that is longer has a loop */

#define MSI_ENABLE   (1u << 0)
#define MSI_MULTIPLE (7u << 4) /* messages that are used, as a power of two */
#define MSI_64	     (1u << 7)

uint32_t host_pci_get(struct host_pci p, unsigned offset, unsigned size)
{
	uint32_t v = host_pci_read32(p.bus, p.dev, p.fn, offset & 0xfc) >> 8 * (offset & 3);

	return size == 4 ? v : v & ((1u << 8 * size) - 1);
}

void host_pci_set(struct host_pci p, unsigned offset, unsigned size, uint32_t v)
{
	unsigned shift = 8 * (offset & 3);
	uint32_t mask = (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1) << shift;
	uint32_t old = size == 4 ? 0 : host_pci_read32(p.bus, p.dev, p.fn, offset & 0xfc);

	host_pci_write32(p.bus, p.dev, p.fn, offset & 0xfc, (old & ~mask) | (v << shift & mask));
}

void host_pci_command(struct host_pci p, uint16_t command)
{
	host_pci_write32(p.bus, p.dev, p.fn, COMMAND, command);
}

/* --- finding --- */

struct walk {
	bool (*fn)(struct host_pci p, void *ctx);
	void *ctx;
	uint32_t seen[256 / 32]; /* buses: firmware that numbers them wrongly must not loop us */
};

static bool each_on_bus(struct walk *w, uint8_t bus);

static bool is_bridge(struct host_pci p)
{
	return host_pci_get(p, CLASS + 2, 2) == CLASS_PCI_BRIDGE &&
	       (host_pci_get(p, HEADER_TYPE, 1) & ~MULTI_FUNCTION) == TYPE_BRIDGE;
}

static bool visit(struct walk *w, struct host_pci p)
{
	if (w->fn(p, w->ctx))
		return true;
	return is_bridge(p) && each_on_bus(w, (uint8_t)host_pci_get(p, SECONDARY_BUS, 1));
}

static bool each_on_bus(struct walk *w, uint8_t bus)
{
	if (w->seen[bus / 32] & 1u << bus % 32)
		return false;
	w->seen[bus / 32] |= 1u << bus % 32;
	for (uint8_t dev = 0; dev < 32; dev++) {
		struct host_pci p = {bus, dev, 0};
		unsigned functions;

		if (host_pci_get(p, 0, 2) == 0xffff)
			continue;
		functions = host_pci_get(p, HEADER_TYPE, 1) & MULTI_FUNCTION ? 8 : 1;
		for (; p.fn < functions; p.fn++)
			if (host_pci_get(p, 0, 2) != 0xffff && visit(w, p))
				return true;
	}
	return false;
}

void host_pci_each(bool (*fn)(struct host_pci p, void *ctx), void *ctx)
{
	struct walk w = {.fn = fn, .ctx = ctx};

	each_on_bus(&w, 0);
}

/* 00:00.0 is the host's, and no bridge to a bus. */
static bool is_host(struct host_pci p)
{
	return !p.bus && !p.dev && !p.fn;
}

static bool note_bridge(struct host_pci p, void *ctx)
{
	struct host_pci *to = ctx;
	uint8_t below = (uint8_t)host_pci_get(p, SECONDARY_BUS, 1);

	if (is_bridge(p) && below && is_host(to[below]))
		to[below] = p;
	return false;
}

bool host_pci_bridge_to(uint8_t bus, struct host_pci *bridge)
{
	static struct host_pci to[256]; /* by secondary bus */
	static bool known;

	if (!known)
		host_pci_each(note_bridge, to);
	known = true;
	*bridge = to[bus];
	return !is_host(*bridge);
}

unsigned host_pci_capability(struct host_pci p, uint8_t id)
{
	unsigned at;

	if (!(host_pci_get(p, COMMAND, 4) & STATUS_CAPABILITIES))
		return 0;
	at = host_pci_get(p, CAPABILITIES, 1) & 0xfc;
	for (unsigned i = 0; at >= 0x40 && i < CAPABILITIES_MAX; i++) {
		if (host_pci_get(p, at, 1) == id)
			return at;
		at = host_pci_get(p, at + 1, 1) & 0xfc;
	}
	return 0;
}

/* --- BARs: PCI 3.0, 6.2.5.1 --- */

enum { BAR_IO = 1, BAR_TYPE = 6, BAR_64 = 4 };

struct host_bar host_pci_bar(struct host_pci p, unsigned n)
{
	unsigned at = BAR0 + 4 * n;
	uint32_t command = host_pci_get(p, COMMAND, 2), low = host_pci_get(p, at, 4), high = 0;
	struct host_bar b = {.io = low & BAR_IO};
	bool wide = !b.io && (low & BAR_TYPE) == BAR_64;

	host_pci_command(p, (uint16_t)(command & ~COMMAND_DECODE));
	host_pci_set(p, at, 4, UINT32_MAX);
	b.size = host_pci_get(p, at, 4);
	host_pci_set(p, at, 4, low);
	if (wide) {
		high = host_pci_get(p, at + 4, 4);
		host_pci_set(p, at + 4, 4, UINT32_MAX);
		b.size = (b.size & ~15ull) | (uint64_t)host_pci_get(p, at + 4, 4) << 32;
		host_pci_set(p, at + 4, 4, high);
	} else if (b.size) {
		b.size = (b.size | 0xffffffff00000000) & (b.io ? ~3ull : ~15ull);
		if (b.io && !(b.size & 0xffff0000)) /* the upper half need not be decoded */
			b.size |= 0xffff0000;
	}
	host_pci_command(p, (uint16_t)command);
	b.size = -b.size;
	b.base = (uint64_t)high << 32 | (low & (b.io ? ~3u : ~15u));
	return b;
}

/* --- MSI --- */

void host_msi_enable(struct host_pci p, unsigned cap, uint8_t vector, uint32_t apic_id)
{
	uint32_t control = host_pci_get(p, cap + 2, 2);
	unsigned data = cap + (control & MSI_64 ? 12 : 8);

	host_msi_disable(p, cap);
	host_pci_set(p, cap + 4, 4, HOST_MSI_ADDRESS(apic_id));
	if (control & MSI_64)
		host_pci_set(p, cap + 8, 4, 0);
	host_pci_set(p, data, 2, vector);
	host_pci_set(p, cap + 2, 2, (control & ~MSI_MULTIPLE) | MSI_ENABLE);
}

void host_msi_disable(struct host_pci p, unsigned cap)
{
	host_pci_set(p, cap + 2, 2, host_pci_get(p, cap + 2, 2) & ~MSI_ENABLE);
}

/* --- INTx of the boards that are known --- */

#define ID_ICH9_LPC	 0x29188086u
#define ID_PIIX3_ISA	 0x70008086u
#define PIRQ_GSI	 16 /* PIRQA; ICH9 data sheet, "APIC interrupt mapping" */
#define ICH9_RCBA	 0xf0
#define ICH9_RCBA_ENABLE 1u
#define ICH9_D31IR	 0x3140 /* D30IR, ... follow in steps of 4, but for D26IR */
#define ICH9_D25IR	 0x3150
#define PIIX3_PIRQRC	 0x60
#define PIIX3_PIRQ_OFF	 0x80u
#define PIIX3_IRQ	 11 /* what a route that firmware left open gets */
#define ELCR		 0x4d0

/* Slots of the chipset's own bus: the ones below 25 go to PIRQE-PIRQH in turn on QEMU's q35. */
static int ich9_gsi(struct host_pci p, unsigned pin)
{
	if (p.bus || p.dev >= 25)
		return -ENOTSUP;
	return PIRQ_GSI + 4 + (int)(p.dev + pin - 1) % 4;
}

/* PIRQ = slot + pin - 1, as on all boards with this chip but in the slot's first number: QEMU's and
 * Bochs's begin with slot 1. */
static int piix3_gsi(struct host_pci isa, struct host_pci p, unsigned pin)
{
	unsigned reg = PIIX3_PIRQRC + (p.dev + pin - 2) % 4, irq = host_pci_get(isa, reg, 1);
	bool level, low;
	uint16_t elcr;

	if (p.bus)
		return -ENOTSUP;
	if (irq & PIIX3_PIRQ_OFF) {
		irq = PIIX3_IRQ;
		host_pci_set(isa, reg, 1, irq);
	}
	irq &= 15;
	elcr = (uint16_t)(ELCR + irq / 8);
	outb(elcr, (uint8_t)(inb(elcr) | 1u << irq % 8));
	return (int)host_isa_gsi(irq, &level, &low);
}

int host_pci_intx_gsi(struct host_pci p)
{
	const struct host_pci lpc = {0, 31, 0}, isa = {0, 1, 0};
	unsigned pin = host_pci_get(p, INTERRUPT_PIN, 1);

	if (pin < 1 || pin > 4)
		return -ENODEV;
	if (host_pci_get(lpc, 0, 4) == ID_ICH9_LPC)
		return ich9_gsi(p, pin);
	if (host_pci_get(isa, 0, 4) == ID_PIIX3_ISA)
		return piix3_gsi(isa, p, pin);
	return -ENOTSUP;
}
