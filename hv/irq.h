/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt wires of the guest's machine. Devices drive GSIs; the IOAPIC (24 pins, GSI = pin) and,
 * for GSI < 16, the 8259 pair see the level. The PIT's channel 0 drives GSI 2 (ISA IRQ 0; MADT has
 * the override), so irq_isa() maps 0 -> 2.
 *
 * `level` is "asserted": whether that is a high or a low wire (the IOAPIC's polarity bit) is
 * between the board and its ACPI tables, and the bit is only kept.
 *
 * Context: irq_set/irq_pulse with platform_lock held; irq_msi from anywhere.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define GSI_COUNT 24

void irq_set(unsigned gsi, bool level);
static inline void irq_pulse(unsigned gsi) /* an edge */
{
	irq_set(gsi, true);
	irq_set(gsi, false);
}
/* ISA IRQ number (0-15): IRQ 0 goes to IOAPIC pin 2 and PIC input 0; all others have GSI = IRQ. */
void irq_isa_set(unsigned irq, bool level);

/* An MSI or IOAPIC message: address and data as in SDM vol. 3, "Message Signalled Interrupts". */
void irq_msi(uint64_t addr, uint32_t data);

/* Called by a LAPIC on EOI of a level-triggered vector (any vCPU, takes platform_lock itself). */
void ioapic_eoi_broadcast(uint8_t vector);

/* Called when a level-triggered pin's interrupt is over, before the wire is looked at again;
 * platform_lock held. One for all pins; boot. */
void ioapic_on_eoi(void (*fn)(unsigned gsi));

/* 8259: INTR output changed -> vlapic LINT0 of every LAPIC (hv/vlapic.h: vlapic_set_lint0).
 * Acknowledge cycle: */
int pic_intack(void); /* vector; spurious IRQ7 vector if nothing is pending; takes platform_lock
			 itself; vCPUs: vlapic_intack */
bool pic_intr(void);  /* state of the INTR wire, lock-free */

/* What irq_set drives; for hv/irq.c and tests. IOAPIC pin 0 is the 8259's INTR. */
void ioapic_set_pin(unsigned pin, bool level);
void pic_set_input(unsigned irq, bool level);
