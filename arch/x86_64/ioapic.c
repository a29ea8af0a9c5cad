/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The physical IOAPICs and the 8259 pair. What the MADT lists; without tables one IOAPIC at its
 * default address, where ISA interrupts keep their numbers but IRQ 0, which is on pin 2.
 */
#include <errno.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/madt.h"
#include "arch/x86_64/spinlock.h"
#include "hv/log.h"

#define IOAPIC_DEFAULT 0xfec00000ull
#define IOAPICS_MAX    16

enum { IOREGSEL = 0x00, IOWIN = 0x10 };
enum { IOAPICVER = 1, IOREDTBL = 0x10 };
#define RTE_LOW_ACTIVE (1u << 13)
#define RTE_LEVEL      (1u << 15)
#define RTE_MASKED     (1u << 16)

enum { PIC1_DATA = 0x21, PIC2_DATA = 0xa1 };

struct ioapic {
	volatile uint32_t *regs;
	unsigned gsi, pins;
};

static struct ioapic ioapics[IOAPICS_MAX];
static unsigned count;
static struct spinlock lock;

static uint32_t reg_read(const struct ioapic *a, uint32_t reg)
{
	a->regs[IOREGSEL / 4] = reg;
	return a->regs[IOWIN / 4];
}

static void reg_write(const struct ioapic *a, uint32_t reg, uint32_t v)
{
	a->regs[IOREGSEL / 4] = reg;
	a->regs[IOWIN / 4] = v;
}

static void add(uint64_t base, unsigned gsi)
{
	struct ioapic *a = &ioapics[count];
	uint32_t version;

	if (count == IOAPICS_MAX)
		return;
	a->regs = mmio_map((hpa_t){base}, 0x20);
	if (!a->regs)
		return;
	version = reg_read(a, IOAPICVER);
	if (version == UINT32_MAX || version == 0) {
		log_error("IOAPIC: nothing answers at 0x%llx", (unsigned long long)base);
		return;
	}
	a->gsi = gsi;
	a->pins = (version >> 16 & 0xff) + 1;
	for (unsigned pin = 0; pin < a->pins; pin++)
		reg_write(a, IOREDTBL + 2 * pin, RTE_MASKED);
	log_info("IOAPIC: at 0x%llx, interrupts %u-%u", (unsigned long long)base, gsi,
		 gsi + a->pins - 1);
	count++;
}

void host_ioapic_init(void)
{
	const struct madt_entry *e = NULL;
	const struct madt_ioapic *io;

	outb(PIC1_DATA, 0xff);
	outb(PIC2_DATA, 0xff);
	while ((e = madt_next(e, MADT_IOAPIC, sizeof(*io))) != NULL) {
		io = (const struct madt_ioapic *)e;
		add(io->addr, io->gsi_base);
	}
	if (count == 0 && !host_acpi_table("APIC", 0))
		add(IOAPIC_DEFAULT, 0);
	if (count == 0)
		log_error("IOAPIC: none found: devices of the hypervisor will have no interrupts");
}

static const struct ioapic *find(unsigned gsi)
{
	for (unsigned i = 0; i < count; i++)
		if (gsi - ioapics[i].gsi < ioapics[i].pins)
			return &ioapics[i];
	return NULL;
}

int host_ioapic_route(unsigned gsi, uint8_t vector, uint32_t apic_id, bool level, bool low)
{
	const struct ioapic *a = find(gsi);
	uint32_t rte = vector;
	uint32_t reg;

	if (!a || apic_id > 0xff) /* the entry has 8 bits for the destination */
		return -ENODEV;
	if (level)
		rte |= RTE_LEVEL;
	if (low)
		rte |= RTE_LOW_ACTIVE;
	reg = IOREDTBL + 2 * (gsi - a->gsi);
	spin_lock(&lock);
	reg_write(a, reg, RTE_MASKED);
	reg_write(a, reg + 1, apic_id << 24);
	reg_write(a, reg, rte);
	spin_unlock(&lock);
	return 0;
}

bool host_ioapic_in_use(unsigned gsi)
{
	const struct ioapic *a = find(gsi);
	bool used;

	if (!a)
		return true;
	spin_lock(&lock);
	used = !(reg_read(a, IOREDTBL + 2 * (gsi - a->gsi)) & RTE_MASKED);
	spin_unlock(&lock);
	return used;
}

void host_ioapic_mask(unsigned gsi, bool masked)
{
	const struct ioapic *a = find(gsi);
	uint32_t reg, rte;

	if (!a)
		return;
	reg = IOREDTBL + 2 * (gsi - a->gsi);
	spin_lock(&lock);
	rte = reg_read(a, reg) & ~RTE_MASKED;
	reg_write(a, reg, masked ? rte | RTE_MASKED : rte);
	spin_unlock(&lock);
}

unsigned host_isa_gsi(unsigned irq, bool *level, bool *low)
{
	const struct madt_entry *e = NULL;

	*level = *low = false; /* what the ISA bus does */
	while ((e = madt_next(e, MADT_OVERRIDE, sizeof(struct madt_override))) != NULL) {
		const struct madt_override *o = (const struct madt_override *)e;

		if (o->bus == 0 && o->source == irq) {
			*low = (o->flags & MADT_POLARITY) == MADT_POLARITY_LOW;
			*level = (o->flags & MADT_TRIGGER) == MADT_TRIGGER_LEVEL;
			return o->gsi;
		}
	}
	return irq == 0 && !host_acpi_table("APIC", 0) ? 2 : irq;
}
