/* build: hv/ioapic.c hv/pic.c hv/irq.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IOAPIC and the 8259 pair under any register accesses, wires and EOIs. The INTR wire never
 * lies, a level-triggered pin never sends twice without an EOI, and a save, scramble, load and save
 * again gives the same bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vlapic.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/images.h"
#include "test/unit/traffic.h"
#include "test/unit/quiet.h"

static bool wire;
static unsigned sent_level;

void vlapic_set_lint0(bool level)
{
	REQUIRE(level != wire);
	wire = level;
}

void vlapic_deliver(uint32_t dest, bool logical, unsigned delivery, uint8_t vector, bool level)
{
	(void)logical;
	(void)vector;
	REQUIRE(dest <= 0xff && delivery <= DELIVERY_EXTINT);
	REQUIRE(!level || delivery <= DELIVERY_LOWEST);
	sent_level += level;
}

static void round_trip(void)
{
	bool intr = pic_intr();

	REQUIRE(image_round_trip());
	REQUIRE(pic_intr() == intr);
}

static void mmio_access(uint8_t op)
{
	static const uint16_t offsets[] = {0, 0x10, 0x10, 0x40, 1, 0x12, 0x0e, 0xffc};
	gpa_t gpa = {IOAPIC_BASE + offsets[take(1) % 8]};
	unsigned size = 1u << op % 4;

	if (op & 0x80)
		bus_mmio_write(gpa, size, take(size));
	else
		(void)bus_mmio_read(gpa, size);
}

/* Set a wire; one edge of it sends one message at most, and one by the 8259's INTR on pin 0. */
static void drive(void)
{
	unsigned gsi = (unsigned)take(1);
	unsigned before = sent_level;

	irq_set(gsi & 0x1f, gsi & 0x80);
	REQUIRE(sent_level <= before + 2);
}

static void step(void)
{
	uint8_t op = (uint8_t)take(1);

	switch (op >> 3 & 7) {
	case 0:
	case 1:
		traffic_pic(op & 0x80);
		break;
	case 2:
		mmio_access(op);
		break;
	case 3:
		traffic_ioapic();
		break;
	case 4:
		drive();
		break;
	case 5:
		if (op & 0x80)
			REQUIRE(pic_intack() <= 0xff);
		else
			irq_isa_set(op & 0x7, op & 0x40);
		break;
	case 6:
		ioapic_eoi_broadcast((uint8_t)take(1));
		break;
	default:
		round_trip();
		break;
	}
	REQUIRE(pic_intr() == wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool created;

	if (!created) {
		pic_init();
		ioapic_init();
		created = true;
	}
	units_reset();
	fuzz_begin(data, size);
	while (fuzz_more())
		step();
	round_trip();
	return 0;
}
