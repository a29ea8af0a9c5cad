/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who sees an interrupt wire, and where a message goes. */
#include "hv/irq.h"
#include "hv/vlapic.h"

#define PIT_GSI \
	2 /* ISA IRQ 0 is IOAPIC pin 2; pin 0 is not connected, and IRQ 2 is the 8259 cascade */

void irq_set(unsigned gsi, bool level)
{
	if (gsi >= GSI_COUNT)
		return;
	ioapic_set_pin(gsi, level);
	if (gsi == PIT_GSI)
		pic_set_input(0, level);
	else if (gsi > 0 && gsi < 16)
		pic_set_input(gsi, level);
}

void irq_isa_set(unsigned irq, bool level)
{
	if (irq < 16 && irq != 2)
		irq_set(irq ? irq : PIT_GSI, level);
}

/* SDM vol. 3, "Message Address Register Format" and "Message Data Register Format". */
enum {
	MSI_ADDR_LOGICAL = 1u << 2,
	MSI_ADDR_REDIRECT = 1u << 3,
	MSI_DATA_ASSERT = 1u << 14,
	MSI_DATA_LEVEL = 1u << 15
};

void irq_msi(uint64_t addr, uint32_t data)
{
	unsigned delivery = data >> 8 & 7;
	bool level = data & MSI_DATA_LEVEL;

	/* A level-triggered de-assert has no effect; other addresses are memory and no interrupts.
	 */
	if (addr >> 20 != LAPIC_BASE >> 20 || (level && !(data & MSI_DATA_ASSERT)))
		return;
	if (delivery == DELIVERY_FIXED && (addr & MSI_ADDR_REDIRECT))
		delivery = DELIVERY_LOWEST;
	vlapic_deliver(addr >> 12 & 0xff, addr & MSI_ADDR_LOGICAL, delivery, (uint8_t)data, level);
}
