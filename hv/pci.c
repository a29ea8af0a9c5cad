// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Access to the configuration space of PCI bus 0: mechanism #1 (PCI 3.0, 3.2.2.3.2) and ECAM (PCI
 * Express base specification, 7.2.2). Functions that do not exist, and other buses, read all-ones.
 */
#include "hv/pci.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"

#define ADDRESS_ENABLE	 (1u << 31)
#define ADDRESS_WRITABLE (ADDRESS_ENABLE | 0x00fffffcu)

enum { BAR_IO = 1 << 0, BAR_MEM64 = 2 << 1, BAR_PREFETCH = 1 << 3 };

static struct pci_function *functions[PCI_FUNCTIONS];
static uint32_t address; /* CONFIG_ADDRESS */

/* Functions whose BARs are served here, and the windows in which they are. */
#define SERVED_MAX 24
#define IO_WINDOW  0x1000 /* to the end: below are the board's own ports */
static struct pci_function *served[SERVED_MAX];
static unsigned n_served;
static struct bus_region window;

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* --- BARs --- */

static size_t bar_reg(unsigned n)
{
	return PCI_BAR0 + 4 * (size_t)n;
}

static uint64_t bar_address(const struct pci_function *f, unsigned n)
{
	const uint8_t *reg = f->config + bar_reg(n);
	const struct pci_bar *b = &f->bar[n];
	uint16_t command = f->config[PCI_COMMAND];
	uint64_t addr;

	if (!(command & (b->type == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return PCI_BAR_UNMAPPED;
	addr = get32(reg) & (b->type == PCI_BAR_IO ? ~3u : ~15u);
	if (b->type == PCI_BAR_MEM64)
		addr |= (uint64_t)get32(reg + 4) << 32;
	/* all-ones is how a guest asks for the size; 0 is how a BAR comes out of reset */
	return addr == 0 || addr + b->size - 1 < addr ? PCI_BAR_UNMAPPED : addr;
}

static void update_bars(struct pci_function *f)
{
	for (unsigned n = 0; n < PCI_BARS; n++) {
		uint64_t addr;

		if (f->bar[n].type == PCI_BAR_NONE)
			continue;
		addr = bar_address(f, n);
		if (addr == f->bar_at[n])
			continue;
		if (f->decode)
			f->decode(f, n, addr);
		f->bar_at[n] = addr;
	}
}

static int setup_bar(struct pci_function *f, unsigned n)
{
	const struct pci_bar *b = &f->bar[n];
	uint32_t type = b->type == PCI_BAR_IO ? BAR_IO : b->prefetch ? BAR_PREFETCH : 0;
	uint64_t least = b->type == PCI_BAR_IO ? 4 : 16;

	f->bar_at[n] = PCI_BAR_UNMAPPED;
	if (b->type == PCI_BAR_NONE)
		return 0;
	if (b->size < least || b->size & (b->size - 1) ||
	    (b->type != PCI_BAR_MEM64 && b->size >> 32) ||
	    (b->type == PCI_BAR_MEM64 && (n + 1 == PCI_BARS || f->bar[n + 1].type != PCI_BAR_NONE)))
		return -EINVAL;
	if (b->type == PCI_BAR_MEM64) {
		type |= BAR_MEM64;
		put32(f->mask + bar_reg(n + 1), (uint32_t)(~(b->size - 1) >> 32));
	}
	put32(f->config + bar_reg(n), type);
	put32(f->mask + bar_reg(n), (uint32_t) ~(b->size - 1));
	return 0;
}

/* Whose BAR is at this address? */
static struct pci_function *bar_find(bool io, uint64_t addr, unsigned *n, uint64_t *inside)
{
	for (unsigned i = 0; i < n_served; i++) {
		struct pci_function *f = served[i];

		for (*n = 0; *n < PCI_BARS; ++*n) {
			enum pci_bar_type type = f->bar[*n].type;

			*inside = addr - f->bar_at[*n];
			if (type != PCI_BAR_NONE && (type == PCI_BAR_IO) == io &&
			    f->bar_at[*n] != PCI_BAR_UNMAPPED && *inside < f->bar[*n].size)
				return f;
		}
	}
	return NULL;
}

static void window_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	uint64_t inside;
	unsigned n;
	struct pci_function *f = bar_find(false, window.base + offset, &n, &inside);

	(void)dev;
	if (f)
		*val = f->bar_read(f, n, inside, size);
}

static void window_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	uint64_t inside;
	unsigned n;
	struct pci_function *f = bar_find(false, window.base + offset, &n, &inside);

	(void)dev;
	if (f)
		f->bar_write(f, n, inside, size, val);
}

static void io_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	uint64_t inside;
	unsigned n;
	struct pci_function *f = bar_find(true, IO_WINDOW + offset, &n, &inside);

	(void)dev;
	if (f)
		*val = f->bar_read(f, n, inside, size);
}

static void io_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	uint64_t inside;
	unsigned n;
	struct pci_function *f = bar_find(true, IO_WINDOW + offset, &n, &inside);

	(void)dev;
	if (f)
		f->bar_write(f, n, inside, size, val);
}

static const struct bus_region io_window = {.name = "pci i/o",
					    .base = IO_WINDOW,
					    .size = 0x10000 - IO_WINDOW,
					    .max_size = 4,
					    .read = io_read,
					    .write = io_write};

bool pci_in_window(uint64_t addr, uint64_t size)
{
	return addr >= window.base && addr - window.base < window.size &&
	       size <= window.size - (addr - window.base);
}

static int serve(struct pci_function *f)
{
	if (n_served == SERVED_MAX)
		return -ENOSPC;
	if (!n_served && (bus_add_mmio(&window) != 0 || bus_add_io(&io_window) != 0))
		return -EINVAL;
	served[n_served++] = f;
	return 0;
}

int pci_add(struct pci_function *f)
{
	if (functions[f->devfn])
		return -EEXIST;
	if (f->config_size != PCI_CONFIG_SIZE && f->config_size != PCIE_CONFIG_SIZE)
		return -EINVAL;
	for (unsigned n = 0; n < PCI_BARS; n++) {
		if (setup_bar(f, n))
			return -EINVAL;
	}
	if (f->bar_read && serve(f) != 0)
		return -ENOSPC;
	functions[f->devfn] = f;
	return 0;
}

/* --- INTx: one wire for all functions that are routed to it --- */

static unsigned gsi_of(const struct pci_function *f)
{
	return pci_gsi(f->devfn, f->config[PCI_INTERRUPT_PIN]);
}

void pci_intx_changed(const struct pci_function *f)
{
	bool level = false;

	for (unsigned i = 0; i < n_served; i++) {
		const struct pci_function *g = served[i];

		if (g->intx && gsi_of(g) == gsi_of(f))
			level |= g->intx(g);
	}
	irq_set(gsi_of(f), level);
}

/* --- configuration space --- */

static uint32_t config_read(uint8_t devfn, unsigned reg, unsigned size)
{
	struct pci_function *f = functions[devfn];
	uint32_t v = 0;

	if (!f || reg + size > f->config_size)
		return UINT32_MAX;
	if (f->read && f->read(f, reg, size, &v))
		return v;
	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)f->config[reg + i] << 8 * i;
	return v;
}

static void config_write(uint8_t devfn, unsigned reg, unsigned size, uint32_t v)
{
	struct pci_function *f = functions[devfn];

	if (!f || reg + size > f->config_size)
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t b = (uint8_t)(v >> 8 * i), mask = f->mask[reg + i];

		f->config[reg + i] = (uint8_t)((f->config[reg + i] & ~mask) | (b & mask));
		if (f->w1c)
			f->config[reg + i] &= (uint8_t) ~(b & f->w1c[reg + i]);
	}
	if (reg < PCI_BAR0 + 4 * PCI_BARS)
		update_bars(f);
	if (f->written)
		f->written(f, reg, size);
}

/* --- mechanism #1: CF8h is a register for 32-bit accesses only --- */

static void cf8_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	if (size == 4)
		*val = address;
	else if (size == 1 && offset == 1)
		*val = ports_cf9_read();
	else
		*val = UINT32_MAX;
}

static void cf8_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	if (size == 4)
		address = (uint32_t)val & ADDRESS_WRITABLE;
	else if (size == 1 && offset == 1)
		ports_cf9_write((uint8_t)val);
}

/* Enabled, and bus 0 (bits 23-16)? */
static bool selected(void)
{
	return (address & (ADDRESS_ENABLE | 0x00ff0000)) == ADDRESS_ENABLE;
}

static void cfc_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	*val = UINT32_MAX;
	if (selected())
		*val = config_read((uint8_t)(address >> 8), (address & 0xfc) + (unsigned)offset,
				   size);
}

static void cfc_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	if (selected())
		config_write((uint8_t)(address >> 8), (address & 0xfc) + (unsigned)offset, size,
			     (uint32_t)val);
}

/* --- ECAM --- */

static void ecam_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	*val = config_read((uint8_t)(offset >> 12), offset & 0xfff, size);
}

static void ecam_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	config_write((uint8_t)(offset >> 12), offset & 0xfff, size, (uint32_t)val);
}

/* --- the two functions of every board --- */

#define BRIDGE(what, fn, vendor, device, subclass)                                                \
	{                                                                                         \
		.name = (what), .devfn = (fn), .config_size = PCI_CONFIG_SIZE,                    \
		.config =                                                                         \
			(uint8_t[PCI_CONFIG_SIZE]){                                               \
				(vendor)&0xff,                                                    \
				(vendor) >> 8,                                                    \
				(device)&0xff,                                                    \
				(device) >> 8,                                                    \
				[PCI_COMMAND] =                                                   \
					PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, \
				[PCI_CLASS_CODE + 1] = (subclass),                                \
				[PCI_CLASS_CODE + 2] = 0x06,                                      \
			},                                                                        \
		.mask = (uint8_t[PCI_CONFIG_SIZE]){[PCI_INTERRUPT_LINE] = 0xff},                  \
	}

/* IDs for which Linux has neither a driver that binds nor a fix-up that acts without the chip's
 * other functions. */
static struct pci_function bridges[] = {
	BRIDGE("host bridge", PCI_DEVFN(0, 0), 0x8086, 0x29c0, 0x00),
	BRIDGE("ISA bridge", PCI_DEVFN(0x1f, 0), 0x8086, 0x7110, 0x01),
};

/* --- unit --- */

static bool byte_changes(const struct pci_function *f, unsigned i)
{
	return f->mask[i] || (f->w1c && f->w1c[i]);
}

static uint8_t byte_mask(const struct pci_function *f, unsigned i)
{
	return (uint8_t)(f->mask[i] | (f->w1c ? f->w1c[i] : 0));
}

static void pci_reset(void *dev)
{
	(void)dev;
	address = 0;
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		struct pci_function *f = functions[i];

		if (!f)
			continue;
		for (unsigned b = 0; b < f->config_size; b++)
			f->config[b] &= (uint8_t)~byte_mask(f, b);
		update_bars(f);
	}
}

static unsigned function_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PCI_FUNCTIONS; i++)
		n += functions[i] != NULL;
	return n;
}

/* Of each function: devfn, its IDs, and the bytes that can change. */
static int pci_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put32(w, address);
	state_put32(w, function_count());
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		const struct pci_function *f = functions[i];

		if (!f)
			continue;
		state_put8(w, f->devfn);
		state_put32(w, get32(f->config + PCI_VENDOR_ID));
		for (unsigned b = 0; b < f->config_size; b++) {
			if (byte_changes(f, b))
				state_put8(w, f->config[b]);
		}
	}
	return w->err;
}

/* Read one function's bytes, and take them if `commit`. */
static void load_function(struct state_reader *r, struct pci_function *f, bool commit)
{
	state_expect(r, state_get8(r), f->devfn, "devfn");
	state_expect(r, state_get32(r), get32(f->config + PCI_VENDOR_ID), "vendor and device");
	for (unsigned b = 0; b < f->config_size; b++) {
		uint8_t v, mask = byte_mask(f, b);

		if (!byte_changes(f, b))
			continue;
		v = state_get8(r);
		if (commit)
			f->config[b] = (uint8_t)((f->config[b] & ~mask) | (v & mask));
		/* a scrambled byte keeps its fixed bits, so they can be compared */
		else
			state_expect(r, v & ~mask, f->config[b] & ~mask, "fixed bits");
	}
}

static void load_functions(struct state_reader *r, bool commit)
{
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		if (functions[i])
			load_function(r, functions[i], commit);
	}
}

static void pci_load(void *dev, struct state_reader *r)
{
	uint32_t addr = state_get32(r), n = state_get32(r);
	struct state_reader again = *r;

	(void)dev;
	state_require(r, !(addr & ~ADDRESS_WRITABLE), "address");
	if (!state_expect(r, n, function_count(), "number of functions"))
		return;
	load_functions(r, false);
	if (!state_commit(r))
		return;
	address = addr;
	load_functions(&again, true);
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		if (functions[i])
			update_bars(functions[i]);
	}
}

static void pci_scramble(void *dev)
{
	(void)dev;
	address = 0xa5a5a5a5 & ADDRESS_WRITABLE;
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		struct pci_function *f = functions[i];

		for (unsigned b = 0; f && b < f->config_size; b++)
			f->config[b] ^= 0xa5 & byte_mask(f, b);
	}
}

static const struct bus_region cf8 = {.name = "pci address",
				      .base = 0xcf8,
				      .size = 4,
				      .max_size = 4,
				      .read = cf8_read,
				      .write = cf8_write};
static const struct bus_region cfc = {.name = "pci data",
				      .base = 0xcfc,
				      .size = 4,
				      .max_size = 4,
				      .read = cfc_read,
				      .write = cfc_write};
static const struct bus_region ecam = {.name = "pci ecam",
				       .base = ECAM_BASE,
				       .size = ECAM_SIZE,
				       .max_size = 4,
				       .read = ecam_read,
				       .write = ecam_write};
static const struct unit pci_unit = {.name = "pci",
				     .version = 1,
				     .reset = pci_reset,
				     .save = pci_save,
				     .load = pci_load,
				     .scramble = pci_scramble};

void pci_root_init(const struct guest_map *m)
{
	ASSERT(m->pci_base < m->pci_end && m->pci_end <= ECAM_BASE);
	ASSERT(bus_add_io(&cf8) == 0 && bus_add_io(&cfc) == 0 && bus_add_mmio(&ecam) == 0);
	for (unsigned i = 0; i < sizeof(bridges) / sizeof(bridges[0]); i++)
		ASSERT(pci_add(&bridges[i]) == 0);
	ASSERT(unit_register(&pci_unit) == 0);
	window = (struct bus_region){.name = "pci window",
				     .base = m->pci_base,
				     .size = m->pci_end - m->pci_base,
				     .max_size = 8,
				     .read = window_read,
				     .write = window_write};
}
