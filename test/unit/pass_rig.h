/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A physical card for hv/pass*.c: configuration space with MSI and MSI-X, registers in memory,
 * vectors that the test sends. Include once per program, after check.h and the board.
 */
#pragma once
#include <assert.h>
#include "hv/pass.h"

enum { CARD_MSI = 0xd0, CARD_MSIX = 0xa0, CARD_VECTORS = 5, CARD_REGS = 0x20000 };
#define CARD_TABLE_BAR	 3
#define CARD_IO_BAR	 2
#define CARD_BASE	 0xfe000000ull
#define CARD_VECTOR0	 0x40
#define CARD_GSI	 22
#define CARD_MSIX_ENABLE (1u << 15)

static struct {
	uint8_t config[256];
	bool has_msi;
	uint16_t command;
	uint8_t msi_vector; /* 0: off */
	bool wire_masked, wire_routed;
	irq_handler handler[16];
	void *dev[16];
	unsigned vectors, resets;
	uint8_t regs[CARD_REGS] __attribute__((aligned(4096)));
	uint32_t table[CARD_VECTORS * 4];
	unsigned mapped; /* pages in the nested tables */
} phys;
static struct pass pass_card;

static inline void phys_put(unsigned at, uint32_t v, unsigned n)
{
	memcpy(phys.config + at, &v, n);
}

uint32_t host_pci_get(struct host_pci p, unsigned offset, unsigned size)
{
	uint32_t v = 0;

	(void)p;
	memcpy(&v, phys.config + offset, size);
	return v;
}

void host_pci_set(struct host_pci p, unsigned offset, unsigned size, uint32_t v)
{
	(void)p;
	phys_put(offset, v, size);
}

void host_pci_command(struct host_pci p, uint16_t command)
{
	(void)p;
	phys.command = command;
}

unsigned host_pci_capability(struct host_pci p, uint8_t id)
{
	(void)p;
	if (!phys.has_msi)
		return 0;
	return id == PCI_CAP_MSI ? CARD_MSI : id == PCI_CAP_MSIX ? CARD_MSIX : 0;
}

struct host_bar host_pci_bar(struct host_pci p, unsigned n)
{
	(void)p;
	switch (n) {
	case 0:
		return (struct host_bar){CARD_BASE, CARD_REGS, false};
	case CARD_IO_BAR:
		return (struct host_bar){0xc000, 0x20, true};
	case CARD_TABLE_BAR:
		return (struct host_bar){CARD_BASE + CARD_REGS, 0x4000, false};
	default:
		return (struct host_bar){0};
	}
}

void host_msi_enable(struct host_pci p, unsigned cap, uint8_t vector, uint32_t apic_id)
{
	(void)p, (void)cap, (void)apic_id;
	phys.msi_vector = vector;
}

void host_msi_disable(struct host_pci p, unsigned cap)
{
	(void)p, (void)cap;
	phys.msi_vector = 0;
}

int host_pci_intx_gsi(struct host_pci p)
{
	(void)p;
	return CARD_GSI;
}

int host_ioapic_route(unsigned gsi, uint8_t vector, uint32_t apic_id, bool level, bool low)
{
	(void)vector, (void)apic_id;
	phys.wire_routed = gsi == CARD_GSI && level && low;
	return 0;
}

void host_ioapic_mask(unsigned gsi, bool masked)
{
	(void)gsi;
	phys.wire_masked = masked;
}

int irq_vector_alloc(irq_handler fn, void *dev)
{
	assert(phys.vectors < 16);
	phys.handler[phys.vectors] = fn;
	phys.dev[phys.vectors] = dev;
	return CARD_VECTOR0 + (int)phys.vectors++;
}

void *mmio_map(hpa_t p, size_t bytes)
{
	(void)bytes;
	return p.v == CARD_BASE + CARD_REGS ? (void *)phys.table : (void *)phys.regs;
}

struct cpu *cpu_get(unsigned index)
{
	static struct cpu boot;

	(void)index;
	return &boot;
}

void vcpu_request(struct vcpu *v, uint32_t req)
{
	(void)v, (void)req;
}

static int pass_rig_map(uint64_t gpa, uint64_t hpa)
{
	(void)gpa, (void)hpa;
	phys.mapped++;
	return 0;
}

static void pass_rig_unmap(uint64_t gpa)
{
	(void)gpa;
	phys.mapped--;
}

static void pass_rig_reset(struct pass *p)
{
	(void)p;
	phys.resets++;
}

/* The card sends its vector n. */
static inline void phys_interrupt(unsigned n)
{
	phys.handler[n](phys.dev[n]);
}

/* After pci_root_init. */
static inline void pass_rig_add(bool msi)
{
	phys_put(PCI_VENDOR_ID, 0x10d38086, 4);
	phys_put(PCI_CLASS_CODE, 0x020000, 3);
	phys_put(CARD_MSI + 2, 0x80, 2);
	phys_put(CARD_MSIX + 2, CARD_VECTORS - 1, 2);
	phys_put(CARD_MSIX + 4, CARD_TABLE_BAR, 4);
	phys_put(CARD_MSIX + 8, 0x2000 | CARD_TABLE_BAR, 4);
	phys.has_msi = msi;
	pass_card = (struct pass){.regs = phys.regs, .reset = pass_rig_reset};
	assert(pass_add(&pass_card) == 0);
}
