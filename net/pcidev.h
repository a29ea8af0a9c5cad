/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node's physical PCI functions, as drivers see them (PCI 3.0; chapters in pcidev.c). Boot
 * only, on the boot CPU, unless it says otherwise.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arch/x86_64/arch.h"

struct pcidev {
	uint8_t bus, dev, fn;
	uint16_t vendor, device;
	uint16_t class; /* base class and subclass */
};

#define PCI_CLASS_ETHERNET 0x0200u
#define PCI_BASE_NETWORK   0x02u

/* Every function of every bus, until fn returns false. */
void pcidev_each(bool (*fn)(const struct pcidev *p, void *arg), void *arg);

uint32_t pcidev_read32(const struct pcidev *p, unsigned reg);
uint16_t pcidev_read16(const struct pcidev *p, unsigned reg);
uint8_t pcidev_read8(const struct pcidev *p, unsigned reg);
void pcidev_write16(const struct pcidev *p, unsigned reg, uint16_t v);
void pcidev_write32(const struct pcidev *p, unsigned reg, uint32_t v);

/* DMA, INTx, MSI and MSI-X off: nothing of what the firmware's driver set up reaches memory. */
void pcidev_quiesce(const struct pcidev *p);
void pcidev_enable(const struct pcidev *p);	/* power state D0 and memory decoding */
void pcidev_enable_dma(const struct pcidev *p); /* once the device has been reset */

/* Offset of a capability, from the one after `from` (0: the first); 0: none. */
unsigned pcidev_capability(const struct pcidev *p, uint8_t id, unsigned from);
/* A memory BAR, mapped uncached; *bytes is its size. NULL: not a memory BAR, or not assigned. */
void *pcidev_map_bar(const struct pcidev *p, unsigned bar, uint64_t *bytes);

/*
 * Interrupts to the boot CPU by message, MSI or MSI-X (all of its vectors the same), or by wire,
 * INTx, which is found by trying: `trigger` makes the device interrupt. `claim` is called for each
 * interrupt on the boot CPU; false: it was another's, and after many of those the wire is given up.
 */
struct pcidev_irq {
	bool (*claim)(void *dev);
	void (*trigger)(void *dev);
	void *dev;
	unsigned gsi;	  /* INTx */
	unsigned strange; /* interrupts in a row that were not claimed */
	bool fired, lost;
};
/* They return how, "msi", "msi-x", "intx", or NULL: it does not work. enable: by message, else by
 * wire. */
const char *pcidev_irq_message(const struct pcidev *p, struct pcidev_irq *irq);
const char *pcidev_irq_wire(const struct pcidev *p, struct pcidev_irq *irq);
const char *pcidev_irq_enable(const struct pcidev *p, struct pcidev_irq *irq);
