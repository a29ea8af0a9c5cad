/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's IOAPIC: 24 pins, version 20h with the EOI register (82093AA data sheet; ICH9 data
 * sheet, "Advanced Programmable Interrupt Controller").
 */
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vlapic.h"
#include <string.h>

#define WINDOW_SIZE 0x1000 /* decoded; all but these three reads as zero */
enum { IOREGSEL = 0x00, IOWIN = 0x10, IOEOI = 0x40 };
enum { IOAPICID = 0x00, IOAPICVER = 0x01, IOAPICARB = 0x02, IOREDTBL = 0x10 };

#define VERSION 0x20u
#define ID_MASK 0x0f000000u

#define RTE_VECTOR     0xffull
#define RTE_DELIVERY   0x700ull
#define RTE_LOGICAL    (1ull << 11)
#define RTE_REMOTE_IRR (1ull << 14)
#define RTE_LEVEL      (1ull << 15)
#define RTE_MASKED     (1ull << 16)
#define RTE_DEST_SHIFT 56
#define RTE_WRITABLE   0xff0000000001afffull /* with polarity, bit 13 */

static struct ioapic {
	uint32_t id;
	uint8_t select;
	uint32_t lines; /* wire levels */
	uint64_t redirect[GSI_COUNT];
	struct unit unit;
} ioapic;

static void (*on_eoi)(unsigned gsi);

void ioapic_on_eoi(void (*fn)(unsigned gsi))
{
	on_eoi = fn;
}

/* NMI, SMI and INIT are edges whatever the trigger mode says: nothing waits for an EOI. */
static bool level_triggered(uint64_t e)
{
	unsigned mode = (unsigned)(e & RTE_DELIVERY) >> 8;

	return (e & RTE_LEVEL) && (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST);
}

static void deliver(unsigned pin)
{
	uint64_t *e = &ioapic.redirect[pin];
	bool level = level_triggered(*e);

	if (level)
		*e |= RTE_REMOTE_IRR;
	vlapic_deliver((uint32_t)(*e >> RTE_DEST_SHIFT), *e & RTE_LOGICAL,
		       (unsigned)(*e & RTE_DELIVERY) >> 8, (uint8_t)(*e & RTE_VECTOR), level);
}

/* Send if a level-triggered pin may: after its wire, its entry or its remote IRR changed. */
static void service_level(unsigned pin)
{
	uint64_t e = ioapic.redirect[pin];

	if (level_triggered(e) && !(e & (RTE_MASKED | RTE_REMOTE_IRR)) && ioapic.lines >> pin & 1)
		deliver(pin);
}

void ioapic_set_pin(unsigned pin, bool level)
{
	uint32_t bit = 1u << pin;
	bool rising = level && !(ioapic.lines & bit);
	uint64_t e = ioapic.redirect[pin];

	ioapic.lines = level ? ioapic.lines | bit : ioapic.lines & ~bit;
	if (!rising)
		return;
	if (level_triggered(e))
		service_level(pin);
	else if (!(e &
		   RTE_MASKED)) /* an edge on a masked pin is lost (82093AA, "Interrupt Mask") */
		deliver(pin);
}

static void end_of_interrupt(uint8_t vector)
{
	for (unsigned pin = 0; pin < GSI_COUNT; pin++) {
		uint64_t *e = &ioapic.redirect[pin];

		if (!(*e & RTE_REMOTE_IRR) || (*e & RTE_VECTOR) != vector)
			continue;
		*e &= ~RTE_REMOTE_IRR;
		if (on_eoi)
			on_eoi(pin);
		service_level(pin);
	}
}

void ioapic_eoi_broadcast(uint8_t vector)
{
	spin_lock(&platform_lock);
	end_of_interrupt(vector);
	spin_unlock(&platform_lock);
}

static uint32_t read_register(unsigned reg)
{
	unsigned n = reg - IOREDTBL;

	switch (reg) {
	case IOAPICID:
	case IOAPICARB: /* loaded with the ID */
		return ioapic.id;
	case IOAPICVER:
		return (GSI_COUNT - 1) << 16 | VERSION;
	default:
		if (reg < IOREDTBL || n / 2 >= GSI_COUNT)
			return 0;
		return (uint32_t)(ioapic.redirect[n / 2] >> 32 * (n & 1));
	}
}

static void write_redirect(unsigned pin, bool high, uint32_t val)
{
	uint64_t *e = &ioapic.redirect[pin];
	uint64_t lanes = RTE_WRITABLE & (high ? ~0ull << 32 : UINT32_MAX);

	*e = (*e & ~lanes) | ((high ? (uint64_t)val << 32 : val) & lanes);
	/* Remote IRR has no meaning for edges; software clears a stuck one by switching to edge and
	 * back. */
	if (!(*e & RTE_LEVEL))
		*e &= ~RTE_REMOTE_IRR;
	service_level(pin);
}

static void write_register(unsigned reg, uint32_t val)
{
	unsigned n = reg - IOREDTBL;

	if (reg == IOAPICID)
		ioapic.id = val & ID_MASK;
	else if (reg >= IOREDTBL && n / 2 < GSI_COUNT)
		write_redirect(n / 2, n & 1, val);
}

/* Bytes and words reach their lanes of the 32-bit registers; the other lanes keep their value. */
static void mmio_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	uint32_t reg = 0;

	(void)dev;
	(void)size; /* the bus cuts what is too much */
	if ((offset & ~3ull) == IOREGSEL)
		reg = ioapic.select;
	else if ((offset & ~3ull) == IOWIN)
		reg = read_register(ioapic.select);
	*val = reg >> 8 * (offset & 3);
}

static void mmio_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	unsigned shift = 8 * (offset & 3);
	uint32_t lanes = (size < 4 ? (1u << 8 * size) - 1 : UINT32_MAX) << shift;
	uint32_t v = (uint32_t)val << shift;

	(void)dev;
	switch (offset & ~3ull) {
	case IOREGSEL:
		if (lanes & 0xff)
			ioapic.select = (uint8_t)v;
		break;
	case IOWIN:
		v = (v & lanes) | (read_register(ioapic.select) & ~lanes);
		write_register(ioapic.select, v);
		break;
	case IOEOI:
		if (lanes & 0xff)
			end_of_interrupt((uint8_t)v);
		break;
	default:
		break;
	}
}

/* --- unit --- */

static void ioapic_reset(void *dev)
{
	(void)dev;
	ioapic.id = 0;
	ioapic.select = 0;
	ioapic.lines = 0;
	for (unsigned pin = 0; pin < GSI_COUNT; pin++)
		ioapic.redirect[pin] = RTE_MASKED;
}

static int ioapic_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put32(w, ioapic.id);
	state_put32(w, ioapic.lines);
	state_put8(w, ioapic.select);
	for (unsigned pin = 0; pin < GSI_COUNT; pin++)
		state_put64(w, ioapic.redirect[pin]);
	return w->err;
}

static bool entry_valid(uint64_t e)
{
	return !(e & ~(RTE_WRITABLE | RTE_REMOTE_IRR)) &&
	       ((e & RTE_LEVEL) || !(e & RTE_REMOTE_IRR));
}

static void ioapic_load(void *dev, struct state_reader *r)
{
	struct ioapic next;

	(void)dev;
	next.id = state_get32(r);
	next.lines = state_get32(r);
	next.select = state_get8(r);
	for (unsigned pin = 0; pin < GSI_COUNT; pin++) {
		next.redirect[pin] = state_get64(r);
		state_require(r, entry_valid(next.redirect[pin]), "redirect");
	}
	state_require(r, !(next.id & ~ID_MASK), "id");
	state_require(r, !(next.lines >> GSI_COUNT), "lines");
	if (!state_commit(r))
		return;
	ioapic.id = next.id;
	ioapic.lines = next.lines;
	ioapic.select = next.select;
	memcpy(ioapic.redirect, next.redirect, sizeof(next.redirect));
}

static void ioapic_scramble(void *dev)
{
	(void)dev;
	ioapic.id = ioapic.lines = 0x5a5a5a5a;
	ioapic.select = 0x5a;
	memset(ioapic.redirect, 0x5a, sizeof(ioapic.redirect));
}

static const struct bus_region region = {
	.name = "ioapic",
	.base = IOAPIC_BASE,
	.size = WINDOW_SIZE,
	.max_size = 4,
	.read = mmio_read,
	.write = mmio_write,
};

void ioapic_init(void)
{
	ioapic.unit = (struct unit){.name = "ioapic",
				    .version = 1,
				    .dev = &ioapic,
				    .reset = ioapic_reset,
				    .save = ioapic_save,
				    .load = ioapic_load,
				    .scramble = ioapic_scramble};
	ioapic_reset(&ioapic);
	ASSERT(unit_register(&ioapic.unit) == 0);
	ASSERT(bus_add_mmio(&region) == 0);
}
