/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions of the machine that are the guest's. It sees each one on its bus 0, with its own
 * IDs; its registers are mapped where the guest puts the BAR, its DMA is direct, its interrupts
 * come through the hypervisor. Configuration space, the I/O BAR and the MSI-X table are virtual.
 *
 * The function masters the bus while the guest says so, and the node is neither being reset nor
 * loaded. Context: platform_lock held, unless something else is said.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arch/x86_64/arch.h"
#include "hv/msix.h"
#include "hv/pci.h"
#include "hv/unit.h"

#define PASS_MAX	 16
#define PASS_VECTORS_MAX 16 /* of a function */
#define PASS_PAGES_MAX	 32 /* of BAR 0 that can be trapped */

/* How the guest wants interrupts of a function. */
enum pass_mode { PASS_NO_IRQ, PASS_INTX, PASS_MSI, PASS_MSIX };

struct pass;
/* What of the card itself is held at a freeze, and virtual (hv/pass_wire.c). Offsets: in BAR 0. */
struct pass_card {
	void (*reset)(struct pass *p);
	void (*freeze)(struct pass *p);
	void (*thaw)(struct pass *p);
	void (*start)(struct pass *p); /* the clock goes on now */
	int (*save)(struct pass *p, struct state_writer *w);
	bool (*load)(struct pass *p, struct state_reader *r); /* commits, and takes it */
	void (*scramble)(struct pass *p);
	size_t (*image_bytes)(struct pass *p);		/* of what save will write, at most */
	uint64_t (*work)(struct pass *p);		/* frozen; the host tick of the next call */
	uint32_t (*read)(struct pass *p, unsigned reg); /* in a page that is trapped */
	void (*write)(struct pass *p, unsigned reg, uint32_t v);
};
struct pass_message { /* what a physical vector stands for */
	struct pass *p;
	unsigned n;
	uint8_t vector;
};

struct pass {
	/* the family's, before pass_add */
	struct host_pci at;
	const char *model;
	volatile uint8_t *regs;	       /* BAR 0 */
	unsigned io_bar;	       /* IOADDR and IODATA (82540EM manual, 13.2.2); 0: none */
	void (*reset)(struct pass *p); /* to its power-on state: no DMA, no interrupts */
	const struct pass_card *card;  /* NULL: only what is around it is virtual */
	void *card_dev;

	/* hv/pass.c's */
	struct pci_function function;
	uint8_t space[PCI_CONFIG_SIZE], space_mask[PCI_CONFIG_SIZE];
	struct host_bar bar[PCI_BARS];
	uint32_t ioaddr;
	uint32_t trapped;    /* bit n: page n of BAR 0, below PASS_PAGES_MAX */
	bool frozen, loaded; /* since the freeze */
	struct unit unit;

	/* hv/pass_irq.c's */
	unsigned msi, msix; /* capabilities, at the same place for guest and card; 0: none */
	unsigned msix_bar;
	uint32_t msix_table, msix_pba; /* offsets in it */
	unsigned n_vectors;	       /* entries of the table */
	volatile uint32_t *table;      /* the physical one */
	enum pass_mode mode;	       /* for which the card is set up */
	int gsi;		       /* physical one of INTA; negative: none that is known */
	bool line;		       /* the guest sees INTA asserted */
	struct msix_entry entry[PASS_VECTORS_MAX]; /* entry[0].pending: also of INTx and MSI */
	struct pass_message message[PASS_VECTORS_MAX];
};

/* Boot, after pci_root_init. `p` is kept. What fails has been logged; then the guest does not see
 * it. */
int pass_add(struct pass *p);
/* The machine is about to be reset, or the guest is finished: no more DMA. Any lock held. */
void pass_stop(void);

/* The guest's accesses to this page of BAR 0 go to card->read and write, or again to the card. */
void pass_trap(struct pass *p, unsigned page, bool trapped);

const struct pass *pass_at(unsigned n); /* in order of the guest's bus; NULL: no more */

/* --- the freeze; boot CPU --- */
void pass_start(void);	 /* the clock has just been started, all cards may transmit */
uint64_t pass_due(void); /* frozen: host tick at which pass_work is due; UINT64_MAX */
void pass_work(void);
size_t pass_image_bytes(void); /* frozen: beyond a few KiB for each */

/* --- hv/pass_irq.c --- */
int pass_irq_init(struct pass *p);    /* boot: the capabilities, vectors, the pin's route */
void pass_irq_apply(struct pass *p);  /* configuration space or the node's state has changed */
void pass_irq_resume(struct pass *p); /* the same, after a load */
void pass_irq_reset(struct pass *p);  /* nothing is pending, the table is masked */
uint16_t pass_irq_command(const struct pass *p); /* the physical command register's bits */
bool pass_intx(const struct pci_function *f);
uint64_t pass_msix_bar_read(const struct pass *p, uint64_t offset, unsigned size);
void pass_msix_bar_write(struct pass *p, uint64_t offset, unsigned size, uint64_t val);

/* --- hv/pass_wire.c --- */
struct nic;
struct nic_family;
int pass_wire_add(struct pass *p, const struct nic_family *f,
		  uint32_t settle_us); /* boot, before pass_add; -ENOMEM */
const struct nic *pass_wire_nic(const struct pass *p);

/* --- hv/pass_nic.c --- */
void pass_nics(const struct handoff *h); /* boot: the experiment's cards, as the keys name them */
