/* build: hv/ioapic.c hv/irq.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IOAPIC and the routing of wires and messages: what leaves for the LAPICs. */
#include <stdlib.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vlapic.h"
#include "test/unit/check.h"
#include "test/unit/images.h"
#include "test/unit/quiet.h"

#define LEVEL	   (1u << 15)
#define REMOTE_IRR (1u << 14)
#define MASKED	   (1u << 16)

static struct {
	uint32_t dest;
	bool logical, level;
	unsigned delivery;
	uint8_t vector;
} last;
static unsigned sent;
static uint32_t pic_lines;

void vlapic_deliver(uint32_t dest, bool logical, unsigned delivery, uint8_t vector, bool level)
{
	last.dest = dest;
	last.logical = logical;
	last.delivery = delivery;
	last.vector = vector;
	last.level = level;
	sent++;
}

void pic_set_input(unsigned irq, bool level)
{
	pic_lines = level ? pic_lines | 1u << irq : pic_lines & ~(1u << irq);
}

static uint32_t rd(unsigned reg)
{
	bus_mmio_write((gpa_t){IOAPIC_BASE}, 4, reg);
	return (uint32_t)bus_mmio_read((gpa_t){IOAPIC_BASE + 0x10}, 4);
}

static void wr(unsigned reg, uint32_t val)
{
	bus_mmio_write((gpa_t){IOAPIC_BASE}, 4, reg);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 0x10}, 4, val);
}

static void route(unsigned pin, uint32_t low, uint8_t dest)
{
	wr(0x11 + pin * 2, (uint32_t)dest << 24);
	wr(0x10 + pin * 2, low);
}

static void fresh(void)
{
	unit_at(0)->reset(unit_at(0)->dev);
	sent = 0;
	pic_lines = 0;
}

static void registers_are_the_manuals(void)
{
	fresh();
	CHECK_EQ(rd(1), 0x00170020);
	for (unsigned pin = 0; pin < GSI_COUNT; pin++)
		CHECK_EQ(rd(0x10 + pin * 2), MASKED);
	wr(0, 0xffffffff);
	CHECK_EQ(rd(0), 0x0f000000);
	CHECK_EQ(rd(2), 0x0f000000);
	wr(1, 0);
	CHECK_EQ(rd(1), 0x00170020);
	wr(0x10, 0xffffffff);
	CHECK_EQ(rd(0x10), 0x1afff);
	wr(0x11, 0xffffffff);
	CHECK_EQ(rd(0x11), 0xff000000);
	CHECK_EQ(rd(0x0f), 0);
	CHECK_EQ(rd(0x40), 0); /* behind the last pin */
	wr(0x40, 1);
	wr(0xff, 1);
	CHECK_EQ(sent, 0);
}

static void bytes_and_words_reach_their_lanes(void)
{
	fresh();
	wr(0x14, 0x10055);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 0x12}, 1, 0); /* unmask */
	CHECK_EQ(rd(0x14), 0x00055);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 0x11}, 1, 0xa0);
	CHECK_EQ(bus_mmio_read((gpa_t){IOAPIC_BASE + 0x10}, 2), 0xa055);
	CHECK_EQ(bus_mmio_read((gpa_t){IOAPIC_BASE + 0x11}, 1), 0xa0);
	bus_mmio_write((gpa_t){IOAPIC_BASE}, 1, 1);
	CHECK_EQ(bus_mmio_read((gpa_t){IOAPIC_BASE + 0x10}, 4), 0x00170020);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 1}, 1, 0x77); /* only bits 7:0 select */
	CHECK_EQ(bus_mmio_read((gpa_t){IOAPIC_BASE}, 4), 1);
	CHECK_EQ(bus_mmio_read((gpa_t){IOAPIC_BASE + 0x20}, 4), 0);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 0x20}, 4, ~0u);
	CHECK_EQ(bus_mmio_read((gpa_t){IOAPIC_BASE + 0x10}, 8), 0x00170020);
}

static void edges_send_once(void)
{
	fresh();
	route(4, 0x844, 0x0c); /* logical */
	irq_set(4, true);
	CHECK_EQ(sent, 1);
	CHECK(last.dest == 0x0c && last.logical && !last.level && last.vector == 0x44 &&
	      last.delivery == DELIVERY_FIXED);
	irq_set(4, true);
	CHECK_EQ(sent, 1);
	irq_set(4, false);
	irq_pulse(4);
	CHECK_EQ(sent, 2);
	CHECK_EQ(rd(0x18), 0x844);
	ioapic_eoi_broadcast(0x44);
	CHECK_EQ(sent, 2);
}

static void masked_edges_are_lost(void)
{
	fresh();
	route(4, 0x44 | MASKED, 0);
	irq_pulse(4);
	irq_set(4, true);
	wr(0x18, 0x44);
	CHECK_EQ(sent, 0);
	irq_set(4, false);
	irq_set(4, true);
	CHECK_EQ(sent, 1);
}

static void levels_wait_for_their_eoi(void)
{
	fresh();
	route(9, 0x59 | LEVEL, 2);
	irq_set(9, true);
	CHECK_EQ(sent, 1);
	CHECK(last.level && last.dest == 2);
	CHECK_EQ(rd(0x22), 0x59 | LEVEL | REMOTE_IRR);
	irq_set(9, false);
	irq_set(9, true);
	CHECK_EQ(sent, 1);
	ioapic_eoi_broadcast(0x58);
	CHECK_EQ(sent, 1);
	ioapic_eoi_broadcast(0x59); /* still asserted */
	CHECK_EQ(sent, 2);
	irq_set(9, false);
	ioapic_eoi_broadcast(0x59);
	CHECK_EQ(sent, 2);
	CHECK_EQ(rd(0x22), 0x59 | LEVEL);
}

static void masked_levels_wait_for_the_unmask(void)
{
	fresh();
	route(9, 0x59 | LEVEL | MASKED, 2);
	irq_set(9, true);
	CHECK_EQ(sent, 0);
	wr(0x22, 0x59 | LEVEL);
	CHECK_EQ(sent, 1);
	wr(0x22, 0x59 | LEVEL | MASKED); /* masked while in service */
	ioapic_eoi_broadcast(0x59);
	CHECK_EQ(sent, 1);
	CHECK_EQ(rd(0x22), 0x59 | LEVEL | MASKED);
	wr(0x22, 0x59 | LEVEL);
	CHECK_EQ(sent, 2);
}

static void eoi_register_and_mode_switch_clear_remote_irr(void)
{
	fresh();
	route(9, 0x59 | LEVEL, 2);
	route(10, 0x59 | LEVEL, 2);
	irq_pulse(9);
	irq_pulse(10);
	CHECK_EQ(sent, 2);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 0x40}, 4, 0x59); /* both have this vector */
	CHECK_EQ(rd(0x22) | rd(0x24), 0x59 | LEVEL);
	irq_pulse(9);
	CHECK_EQ(rd(0x22), 0x59 | LEVEL | REMOTE_IRR);
	wr(0x22, 0x59 | MASKED);
	wr(0x22, 0x59 | LEVEL);
	CHECK_EQ(rd(0x22), 0x59 | LEVEL);
	wr(0x22, 0x59 | LEVEL | REMOTE_IRR); /* read-only */
	CHECK_EQ(rd(0x22), 0x59 | LEVEL);
}

static void other_delivery_modes_are_edges(void)
{
	fresh();
	route(9, DELIVERY_NMI << 8 | LEVEL, 1);
	irq_set(9, true);
	CHECK_EQ(sent, 1);
	CHECK(last.delivery == DELIVERY_NMI && !last.level);
	wr(0x22, DELIVERY_NMI << 8 | LEVEL); /* not again */
	CHECK_EQ(sent, 1);
	CHECK_EQ(rd(0x22) & REMOTE_IRR, 0);
	route(9, 0x59 | DELIVERY_LOWEST << 8 | LEVEL, 1);
	CHECK_EQ(sent, 2);
	CHECK(last.delivery == DELIVERY_LOWEST && last.level);
	CHECK(rd(0x22) & REMOTE_IRR);
}

static void isa_irqs_reach_both(void)
{
	fresh();
	route(2, 0x30, 0);
	irq_isa_set(0, true); /* the timer: pin 2, 8259 input 0 */
	CHECK_EQ(sent, 1);
	CHECK_EQ(pic_lines, 1);
	irq_isa_set(0, false);
	irq_isa_set(2, true); /* there is no such wire */
	irq_isa_set(16, true);
	CHECK_EQ(pic_lines, 0);
	irq_isa_set(12, true);
	CHECK_EQ(pic_lines, 1u << 12);
	irq_set(0, true);
	irq_set(16, true);
	irq_set(24, true);
	CHECK_EQ(pic_lines, 1u << 12);
	CHECK_EQ(sent, 1);
}

static void messages_are_decoded(void)
{
	fresh();
	irq_msi(0xfee12004, 0x0041); /* logical */
	CHECK(last.dest == 0x12 && last.logical && last.delivery == DELIVERY_FIXED &&
	      last.vector == 0x41 && !last.level);
	irq_msi(0xfee0100c, 0xc042); /* redirection hint: lowest priority; level, assert */
	CHECK(last.dest == 1 && last.delivery == DELIVERY_LOWEST && last.level);
	irq_msi(0xfee01000, 0x0400);
	CHECK(last.delivery == DELIVERY_NMI && !last.logical);
	CHECK_EQ(sent, 3);
	irq_msi(0xfee01000, 0x8042); /* de-assert */
	irq_msi(0xfed01000, 0x0042);
	irq_msi(0x1fee01000, 0x0042);
	CHECK_EQ(sent, 3);
}

static uint8_t image[IMAGE_MAX], image2[IMAGE_MAX];

static void state_survives_a_round_trip(void)
{
	struct state_fault f;
	int n;

	fresh();
	wr(0, 0x05000000);
	route(9, 0x59 | LEVEL, 2);
	route(23, 0x99, 3);
	irq_set(9, true);
	irq_set(23, true);
	n = image_save(image);
	unit_at(0)->scramble(unit_at(0)->dev);
	sent = 0;
	CHECK_EQ(units_load(image, (size_t)n, &f), STATE_OK);
	CHECK_EQ(image_save(image2), n);
	CHECK(memcmp(image, image2, (size_t)n) == 0);
	CHECK_EQ(sent, 0); /* what was sent before is in the LAPICs */
	ioapic_eoi_broadcast(0x59);
	CHECK_EQ(sent, 1);
}

static void impossible_states_are_refused(void)
{
	static const struct {
		uint8_t offset;
		uint32_t val;
	} row[] = {{0, 1}, {4, 1u << 24}, {9, 1u << 12}, {9, REMOTE_IRR}, {13, 1}};
	struct state_fault f;
	int n;

	fresh();
	n = image_save(image);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		memcpy(image2, image, (size_t)n);
		section_patch(image2, IMAGE_HEADER, row[i].offset, row[i].val, 4);
		if (!CHECK_EQ(units_load(image2, (size_t)n, &f), STATE_CONTENT))
			printf("  row %zu\n", i);
	}
	CHECK_EQ(image_save(image2), n);
	CHECK(memcmp(image, image2, (size_t)n) == 0);
}

int main(void)
{
	ioapic_init();
	RUN(registers_are_the_manuals);
	RUN(bytes_and_words_reach_their_lanes);
	RUN(edges_send_once);
	RUN(masked_edges_are_lost);
	RUN(levels_wait_for_their_eoi);
	RUN(masked_levels_wait_for_the_unmask);
	RUN(eoi_register_and_mode_switch_clear_remote_irr);
	RUN(other_delivery_modes_are_edges);
	RUN(isa_irqs_reach_both);
	RUN(messages_are_decoded);
	RUN(state_survives_a_round_trip);
	RUN(impossible_states_are_refused);
	return check_result();
}
