/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's board: who creates its units, and the few calls between them and the rest of hv/.
 * Each *_init registers its bus regions and its unit; boot only, one CPU. `q`: the boot CPU's timer
 * queue.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/memmap.h"
#include "timevirt/vtimer.h"

void pic_init(void);		   /* 8259 pair, ELCR */
void ioapic_init(void);		   /* 24 pins at 0xfec00000, ID: see acpi tables */
void pit_init(struct vtimerq *q);  /* 8254 at 40h, port 61h with channel 2 */
void hpet_init(struct vtimerq *q); /* 0xfed00000, legacy replacement, 3 comparators or more */
void pm_init(struct vtimerq *q);   /* ACPI PM1 event/control block and PM timer; S5 */
void rtc_init(struct vtimerq *q,
	      uint64_t unix_seconds); /* MC146818 at 70h/71h; wall clock at virtual time 0 */
void vuart_init(uint16_t port, unsigned irq); /* 16550A, IRQ 4 */
void ports_init(void); /* 80h, 92h, 64h (absent 8042: reset pulse only), B2h, CF9h, EDh... */
void pci_root_init(const struct guest_map
			   *m); /* mechanism #1 and ECAM; host bridge 00:00.0 and LPC/ISA bridge */

#define IOAPIC_BASE 0xfec00000ull
#define HPET_BASE   0xfed00000ull
#define ECAM_BASE   0xfc000000ull /* bus 0 only; reserved in E820 and in a PNP0C02 resource */
#define ECAM_SIZE   0x100000ull
#define PM_BASE	    0x600 /* PM1a_EVT 600h, PM1a_CNT 604h, PM_TMR 608h */
#define SCI_IRQ	    9
#define ROM_GPA	    0xc0000ull /* option ROMs on a PC; here nothing: all-ones */
#define ROM_SIZE    0x20000ull
#define TABLES_GPA  0xe0000ull
#define TABLES_SIZE 0x20000ull

/* Fill the 128 KiB shown at E0000: RSDP, XSDT, FADT, FACS, MADT, HPET, MCFG, DSDT (AML from
 * hv/dsdt.asl), and an Intel MP table for acpi=off. Returns the RSDP's guest-physical address.
 * Pure. */
struct acpi_config {
	unsigned n_cpus;
	uint32_t apic_ids[256];
	uint64_t pci_base, pci_end;
};
uint64_t acpi_tables_build(void *tables, const struct acpi_config *c);

/* Guest boot (hv/linux.c): boot_params, command line and E820 into guest RAM below 640 KiB. Needs
 * the tables in place. */
struct linux_entry {
	uint64_t rip; /* 32-bit entry point */
	uint64_t boot_params;
	uint64_t gdt_base; /* flat GDT for the 32-bit protocol: 10h code, 18h data */
	uint32_t gdt_limit;
	uint64_t stack; /* top of a small stack in guest RAM */
};
int linux_prepare(const struct handoff *h, const struct guest_map *m, uint64_t rsdp,
		  struct linux_entry *e);

/* Guest console: virtual UART <-> hv/console.c. platform_lock held. */
bool console_guest_putc(
	uint8_t c); /* false: no room; the UART keeps THRE down until vuart_tx_room() */
void vuart_tx_room(void);
bool vuart_receive(uint8_t c); /* false: its FIFO is full; console keeps the byte until
				  console_guest_rx_room() */
void console_guest_rx_room(void);

/* What the guest asks of the whole machine; any vCPU, any lock held (they only set a request).
 * `why` is a literal. */
void node_guest_reset(const char *why);
void node_guest_poweroff(void);
