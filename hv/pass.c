// SPDX-License-Identifier: GPL-2.0-or-later
/* A physical PCI function on the guest's bus: its configuration space, its BARs, its unit. */
#include "hv/pass.h"
#include <errno.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "hv/vcpu.h"

#define FIRST_SLOT  2 /* 0 is the host bridge, 1 the disk */
#define IO_BYTES    8
#define IO_BAR_SIZE 32
enum { IOADDR = 0, IODATA = 4 };

static struct pass *passed[PASS_MAX];
static unsigned n_passed;
static bool stopped; /* atomic: nobody masters the bus any more */
static uint64_t work_due = UINT64_MAX;

/* --- registers --- */

static uint64_t regs_read(const struct pass *p, uint64_t offset, unsigned size)
{
	const volatile uint8_t *r = p->regs + offset;

	switch (size) {
	case 1:
		return *r;
	case 2:
		return *(const volatile uint16_t *)r;
	case 4:
		return *(const volatile uint32_t *)r;
	default:
		return *(const volatile uint32_t *)r |
		       (uint64_t) * (const volatile uint32_t *)(r + 4) << 32;
	}
}

static void regs_write(const struct pass *p, uint64_t offset, unsigned size, uint64_t val)
{
	volatile uint8_t *r = p->regs + offset;

	switch (size) {
	case 1:
		*r = (uint8_t)val;
		break;
	case 2:
		*(volatile uint16_t *)r = (uint16_t)val;
		break;
	case 4:
		*(volatile uint32_t *)r = (uint32_t)val;
		break;
	default:
		*(volatile uint32_t *)r = (uint32_t)val;
		*(volatile uint32_t *)(r + 4) = (uint32_t)(val >> 32);
		break;
	}
}

/* --- pages that are trapped: whole registers --- */

static bool is_trapped(const struct pass *p, uint64_t offset)
{
	return offset / PAGE_SIZE < PASS_PAGES_MAX && p->trapped >> offset / PAGE_SIZE & 1;
}

static uint64_t card_read(struct pass *p, uint64_t offset, unsigned size)
{
	const unsigned shift = 8 * (offset & 3), reg = (unsigned)offset & ~3u;
	uint64_t v;

	if (!is_trapped(p, offset))
		return regs_read(p, offset, size);
	v = p->card->read(p, reg) >> shift;
	return size == 8 ? v | (uint64_t)p->card->read(p, reg + 4) << 32 : v;
}

static void card_write(struct pass *p, uint64_t offset, unsigned size, uint64_t val)
{
	if (!is_trapped(p, offset)) {
		regs_write(p, offset, size, val);
	} else if (size >= 4) {
		p->card->write(p, (unsigned)offset, (uint32_t)val);
		if (size == 8)
			p->card->write(p, (unsigned)offset + 4, (uint32_t)(val >> 32));
	}
}

/* IODATA reaches registers only, and whole ones: the card does not say what else it would do. */
static bool ioaddr_valid(const struct pass *p)
{
	return !(p->ioaddr & 3) && p->ioaddr < p->bar[0].size;
}

static uint64_t io_read(struct pass *p, uint64_t offset, unsigned size)
{
	if (size != 4 || offset >= IO_BYTES)
		return UINT64_MAX;
	if (offset == IOADDR)
		return p->ioaddr;
	return ioaddr_valid(p) ? card_read(p, p->ioaddr, 4) : 0;
}

static void io_write(struct pass *p, uint64_t offset, unsigned size, uint64_t val)
{
	if (size != 4)
		return;
	if (offset == IOADDR)
		p->ioaddr = (uint32_t)val;
	else if (offset == IODATA && ioaddr_valid(p))
		card_write(p, p->ioaddr, 4, val);
}

static uint64_t bar_read(struct pci_function *f, unsigned n, uint64_t offset, unsigned size)
{
	struct pass *p = f->dev;

	if (n == 0)
		return card_read(p, offset, size);
	return n == p->io_bar ? io_read(p, offset, size) : pass_msix_bar_read(p, offset, size);
}

static void bar_write(struct pci_function *f, unsigned n, uint64_t offset, unsigned size,
		      uint64_t val)
{
	struct pass *p = f->dev;

	if (n == 0)
		card_write(p, offset, size, val);
	else if (n == p->io_bar)
		io_write(p, offset, size, val);
	else
		pass_msix_bar_write(p, offset, size, val);
}

/* --- BAR 0 in the nested tables --- */

static void flush(void)
{
	for (unsigned i = 0; i < vcpu_count(); i++)
		vcpu_request(vcpu_get(i), VCPU_REQ_FLUSH);
}

static void unmap(const struct pass *p, uint64_t addr)
{
	if (!pci_in_window(addr, p->bar[0].size))
		return;
	for (uint64_t i = 0; i < p->bar[0].size; i += PAGE_SIZE)
		if (!is_trapped(p, i))
			vcpu_ops->unmap_device(addr + i);
	flush();
}

/* What can't be mapped is trapped, and reaches the card all the same. */
static void map(const struct pass *p, uint64_t addr)
{
	int err = 0;

	if (!pci_in_window(addr, p->bar[0].size))
		return;
	for (uint64_t i = 0; i < p->bar[0].size && !err; i += PAGE_SIZE)
		if (!is_trapped(p, i))
			err = vcpu_ops->map_device(addr + i, p->bar[0].base + i);
	if (err)
		log_error("%s: its registers can't be mapped for the guest (%d), each access is an "
			  "exit: raise hv_memory=",
			  p->unit.name, err);
}

void pass_trap(struct pass *p, unsigned page, bool trapped)
{
	const uint64_t addr = p->function.bar_at[0], at = (uint64_t)page * PAGE_SIZE;

	if (is_trapped(p, at) == trapped)
		return;
	p->trapped ^= 1u << page;
	if (!pci_in_window(addr, p->bar[0].size))
		return;
	if (trapped) {
		vcpu_ops->unmap_device(addr + at);
		flush();
	} else {
		(void)vcpu_ops->map_device(addr + at, p->bar[0].base + at); /* it was there */
	}
}

static void decode(struct pci_function *f, unsigned n, uint64_t addr)
{
	const struct pass *p = f->dev;

	if (n != 0)
		return;
	unmap(p, f->bar_at[0]);
	map(p, addr);
}

/* --- configuration space --- */

static uint16_t space16(const struct pass *p, unsigned reg)
{
	return (uint16_t)(p->space[reg] | p->space[reg + 1] << 8);
}

static void apply(struct pass *p)
{
	uint16_t command = PCI_COMMAND_MEMORY | pass_irq_command(p);

	if (!__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
		command |= space16(p, PCI_COMMAND) & PCI_COMMAND_MASTER;
	pass_irq_apply(p);
	host_pci_command(p->at, command);
}

static void silence(const struct pass *p)
{
	host_pci_command(p->at, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
}

static void written(struct pci_function *f, unsigned reg, unsigned size)
{
	(void)reg;
	(void)size;
	apply(f->dev);
}

static bool space_read(struct pci_function *f, unsigned reg, unsigned size, uint32_t *val)
{
	const struct pass *p = f->dev;

	if (reg > PCI_STATUS || reg + size <= PCI_STATUS)
		return false;
	*val = 0;
	memcpy(val, p->space + reg, size);
	*val |= (p->line ? (uint32_t)PCI_STATUS_INTERRUPT : 0) << 8 * (PCI_STATUS - reg);
	return true;
}

static void copy(struct pass *p, unsigned reg, unsigned n)
{
	for (unsigned i = reg; i < reg + n; i++)
		p->space[i] = (uint8_t)host_pci_get(p->at, i, 1);
}

static void fill_space(struct pass *p)
{
	copy(p, PCI_VENDOR_ID, 4);
	copy(p, PCI_REVISION_ID, 4);
	copy(p, PCI_SUBSYSTEM_VENDOR_ID, 4);
	copy(p, PCI_INTERRUPT_PIN, 3); /* with MIN_GNT and MAX_LAT */
	p->space[PCI_INTERRUPT_PIN] = 1;
	p->space_mask[PCI_INTERRUPT_LINE] = 0xff;
	p->space_mask[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	p->space_mask[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8;
}

/* --- unit --- */

static void pass_reset(void *dev)
{
	struct pass *p = dev;

	silence(p);
	p->reset(p);
	if (p->card)
		p->card->reset(p);
	p->ioaddr = 0;
	pass_irq_reset(p);
	apply(p);
}

static void pass_freeze(void *dev)
{
	struct pass *p = dev;

	p->frozen = true;
	if (p->card) {
		p->card->freeze(p);
		work_due = 0;
	}
}

static void pass_thaw(void *dev)
{
	struct pass *p = dev;

	spin_lock(&platform_lock);
	p->frozen = false;
	if (p->loaded)
		pass_irq_resume(p);
	p->loaded = false;
	apply(p);
	if (p->card)
		p->card->thaw(p);
	spin_unlock(&platform_lock);
}

void pass_start(void)
{
	for (unsigned i = 0; i < n_passed; i++)
		if (passed[i]->card)
			passed[i]->card->start(passed[i]);
}

uint64_t pass_due(void)
{
	return work_due;
}

void pass_work(void)
{
	uint64_t due = UINT64_MAX;

	for (unsigned i = 0; i < n_passed; i++) {
		uint64_t next = passed[i]->card ? passed[i]->card->work(passed[i]) : UINT64_MAX;

		due = next < due ? next : due;
	}
	work_due = due;
}

/* What of the function is virtual, then what its family keeps. */
static int pass_save(void *dev, struct state_writer *w)
{
	struct pass *p = dev;

	state_put32(w, p->ioaddr);
	state_put8(w, p->line);
	state_put32(w, p->n_vectors);
	for (unsigned i = 0; i < p->n_vectors; i++) {
		state_put64(w, p->entry[i].address);
		state_put32(w, p->entry[i].data);
		state_put32(w, p->entry[i].control);
		state_put8(w, p->entry[i].pending);
	}
	return p->card ? p->card->save(p, w) : w->err;
}

static void look_entry(struct state_reader *r, struct msix_entry *e)
{
	uint8_t pending;

	e->address = state_get64(r);
	e->data = state_get32(r);
	e->control = state_get32(r);
	pending = state_get8(r);
	e->pending = pending;
	state_require(r, pending <= 1 && msix_valid(e), "msix entry");
}

/* The card stands still until the thaw: what it is told then depends on the section pci, too. */
static void pass_load(void *dev, struct state_reader *r)
{
	struct pass *p = dev;
	struct msix_entry entry[PASS_VECTORS_MAX];
	uint32_t ioaddr = state_get32(r);
	uint8_t line = state_get8(r);

	state_require(r, line <= 1, "line");
	if (!state_expect(r, state_get32(r), p->n_vectors, "number of vectors"))
		return;
	for (unsigned i = 0; i < p->n_vectors; i++)
		look_entry(r, &entry[i]);
	if (p->card ? !p->card->load(p, r) : !state_commit(r))
		return;
	silence(p);
	p->loaded = true;
	p->ioaddr = ioaddr;
	p->line = line;
	memcpy(p->entry, entry, p->n_vectors * sizeof(entry[0]));
}

static void pass_scramble(void *dev)
{
	struct pass *p = dev;

	p->ioaddr = 0xa5a5a5a5;
	p->line = !p->line;
	memset(p->entry, 0, sizeof(p->entry));
	if (p->card)
		p->card->scramble(p);
}

size_t pass_image_bytes(void)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n_passed; i++)
		bytes += passed[i]->card ? passed[i]->card->image_bytes(passed[i]) : 0;
	return bytes;
}

/* --- boot --- */

/* Registers, I/O and the MSI-X table; a flash BAR and the expansion ROM stay hidden. */
static int take_bars(struct pass *p)
{
	struct pci_function *f = &p->function;

	for (unsigned n = 0; n < PCI_BARS; n++) {
		p->bar[n] = host_pci_bar(p->at, n);
		if (p->bar[n].io && !p->io_bar && n)
			p->io_bar = n;
		if (!p->bar[n].io && (host_pci_get(p->at, PCI_BAR0 + 4 * n, 4) & 6) == 4)
			n++;
	}
	if (p->bar[0].io || !p->bar[0].base || p->bar[0].size % PAGE_SIZE || p->bar[0].size >> 32)
		return -ENODEV;
	f->bar[0] = (struct pci_bar){.type = PCI_BAR_MEM32, .size = p->bar[0].size};
	if (p->io_bar)
		f->bar[p->io_bar] = (struct pci_bar){.type = PCI_BAR_IO, .size = IO_BAR_SIZE};
	return 0;
}

int pass_add(struct pass *p)
{
	int err;

	if (n_passed == PASS_MAX)
		return -ENOSPC;
	p->function = (struct pci_function){
		.name = p->unit.name,
		.dev = p,
		.devfn = PCI_DEVFN(FIRST_SLOT + n_passed, 0),
		.config_size = PCI_CONFIG_SIZE,
		.config = p->space,
		.mask = p->space_mask,
		.read = space_read,
		.written = written,
		.decode = decode,
		.intx = pass_intx,
		.bar_read = bar_read,
		.bar_write = bar_write,
	};
	p->unit = (struct unit){.version = 2,
				.dev = p,
				.reset = pass_reset,
				.freeze = pass_freeze,
				.thaw = pass_thaw,
				.save = pass_save,
				.load = pass_load,
				.scramble = pass_scramble};
	fmt(p->unit.name, sizeof(p->unit.name), "nic %u", n_passed);
	silence(p);
	fill_space(p);
	err = take_bars(p);
	if (!err)
		err = pass_irq_init(p);
	if (!err)
		err = pci_add(&p->function);
	if (!err)
		err = unit_register(&p->unit);
	if (err)
		return err;
	passed[n_passed++] = p;
	return 0;
}

const struct pass *pass_at(unsigned n)
{
	return n < n_passed ? passed[n] : NULL;
}

void pass_stop(void)
{
	__atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < n_passed; i++)
		silence(passed[i]);
}
