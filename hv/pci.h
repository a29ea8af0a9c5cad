/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's PCI bus 0: configuration space of its functions, and their BARs.
 *
 * A device fills a struct pci_function and adds it at boot; it owns the memory. Configuration space
 * is bytes with a write mask: what the mask allows lands in `config`, the rest is read-only. BARs
 * and the command register are ordinary bytes too; `decode` tells the device when what it decodes
 * has changed. Context: the callbacks run with platform_lock held.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE	 256
#define PCIE_CONFIG_SIZE 4096
#define PCI_BARS	 6
#define PCI_FUNCTIONS	 256 /* of bus 0 */
#define PCI_DEVFN(d, f)	 ((uint8_t)((d) << 3 | (f)))

enum pci_register {
	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION_ID = 0x08,
	PCI_CLASS_CODE = 0x09, /* 3 bytes: interface, subclass, base class */
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};
enum pci_command {
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_INTX_DISABLE = 1 << 10,
};

enum pci_status { PCI_STATUS_INTERRUPT = 1 << 3, PCI_STATUS_CAPABILITIES = 1 << 4 };
enum pci_capability { PCI_CAP_MSI = 0x05, PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

enum pci_bar_type { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };
struct pci_bar {
	enum pci_bar_type type; /* MEM64 takes the next slot as well, which stays PCI_BAR_NONE */
	bool prefetch;
	uint64_t size; /* bytes, a power of two; 16 or more (memory), 4 or more (I/O) */
};

#define PCI_BAR_UNMAPPED UINT64_MAX

struct pci_function {
	const char *name;
	void *dev;
	uint8_t devfn;
	uint16_t config_size;	      /* PCI_CONFIG_SIZE or PCIE_CONFIG_SIZE */
	uint8_t *config, *mask, *w1c; /* config_size bytes each; mask: writable, w1c: write 1 to
					 clear (may be NULL) */
	struct pci_bar bar[PCI_BARS];
	uint64_t bar_at[PCI_BARS]; /* kept by pci.c: address that is decoded now, or
				      PCI_BAR_UNMAPPED */
	/* Optional. Configuration space changed at [reg, reg + size); config holds the new values.
	 */
	void (*written)(struct pci_function *f, unsigned reg, unsigned size);
	/* Optional. Return true and the value to answer a read in place of config. */
	bool (*read)(struct pci_function *f, unsigned reg, unsigned size, uint32_t *val);
	/* Optional. BAR n moved from bar_at[n] to `addr` (either may be PCI_BAR_UNMAPPED);
	 * bar_at[n] is set afterwards. */
	void (*decode)(struct pci_function *f, unsigned n, uint64_t addr);
	/* Optional. Does it assert its INTA? */
	bool (*intx)(const struct pci_function *f);
	/* Optional, both or none. Accesses to BARs that lie in the window for them, aligned, of 1
	 * to 8 bytes (I/O: 4). */
	uint64_t (*bar_read)(struct pci_function *f, unsigned n, uint64_t offset, unsigned size);
	void (*bar_write)(struct pci_function *f, unsigned n, uint64_t offset, unsigned size,
			  uint64_t val);
};

/* Boot only, after pci_root_init. Sets the BARs' type bits and masks. -EEXIST: devfn taken;
 * -EINVAL: sizes; -ENOSPC: too many with bar_read. */
int pci_add(struct pci_function *f);

/* GSI of a function's pin (1-4 = INTA-INTD): as in the _PRT of dsdt.asl and in the MP table. */
static inline unsigned pci_gsi(uint8_t devfn, unsigned pin)
{
	return 16 + ((devfn >> 3) + pin - 1) % 4;
}

/* What f->intx() says has changed: the wire is shared. platform_lock held. */
void pci_intx_changed(const struct pci_function *f);
/* Does [addr, addr + size) lie in the window for memory BARs? */
bool pci_in_window(uint64_t addr, uint64_t size);

/* Port CF9h lies inside the CF8h register: byte accesses are handed to hv/ports.c. */
uint8_t ports_cf9_read(void);
void ports_cf9_write(uint8_t v);
