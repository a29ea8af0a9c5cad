/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration space by mechanism #1 (PCI 3.0, 3.2.2.3.2), and the one chipset function that
 * arch/ itself needs. */
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };

static struct spinlock lock;

static void select_reg(uint8_t bus, uint8_t dev, uint8_t fn, uint8_t offset)
{
	outl(CONFIG_ADDRESS, 1u << 31 | (uint32_t)bus << 16 | (dev & 31u) << 11 | (fn & 7u) << 8 |
				     (offset & 0xfcu));
}

uint32_t host_pci_read32(uint8_t bus, uint8_t dev, uint8_t fn, uint8_t offset)
{
	uint32_t v;

	spin_lock(&lock);
	select_reg(bus, dev, fn, offset);
	v = inl(CONFIG_DATA);
	spin_unlock(&lock);
	return v;
}

void host_pci_write32(uint8_t bus, uint8_t dev, uint8_t fn, uint8_t offset, uint32_t v)
{
	spin_lock(&lock);
	select_reg(bus, dev, fn, offset);
	outl(CONFIG_DATA, v);
	spin_unlock(&lock);
}

#define PIIX4_PM_ID  0x71138086u
#define PIIX4_PMBA   0x40
#define PIIX4_PMREG  0x80
#define PIIX4_PMIOSE 1u /* the I/O space at PMBA is decoded */

static bool piix4_find(uint8_t *dev)
{
	for (*dev = 0; *dev < 32; (*dev)++)
		if (host_pci_read32(0, *dev, 3, 0) == PIIX4_PM_ID)
			return true;
	return false;
}

uint16_t piix4_pm_base(void)
{
	uint8_t dev;

	if (!piix4_find(&dev) || !(host_pci_read32(0, dev, 3, PIIX4_PMREG) & PIIX4_PMIOSE))
		return 0;
	return host_pci_read32(0, dev, 3, PIIX4_PMBA) & 0xffc0;
}

void piix4_pm_off(void)
{
	uint8_t dev;

	if (piix4_find(&dev))
		host_pci_write32(0, dev, 3, PIIX4_PMREG,
				 host_pci_read32(0, dev, 3, PIIX4_PMREG) & ~PIIX4_PMIOSE);
}
