/* build: hv/pic.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8259 pair against its data sheet. */
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

enum { M = 0x20, S = 0xa0, ELCR = 0x4d0 };

static bool wire, pin;
static unsigned changes;

void vlapic_set_lint0(bool level)
{
	wire = level;
	changes++;
}

void ioapic_set_pin(unsigned n, bool level)
{
	CHECK_EQ(n, 0);
	pin = level;
}

static void out(uint16_t port, uint8_t val)
{
	bus_io_write(port, 1, val);
}

static uint8_t in(uint16_t port)
{
	return (uint8_t)bus_io_read(port, 1);
}

/* As PC firmware and Linux do, all unmasked: vectors 30h and 38h. */
static void init_mode(uint8_t icw4)
{
	unit_at(0)->reset(unit_at(0)->dev);
	out(M, 0x11);
	out(M + 1, 0x30);
	out(M + 1, 0x04);
	out(M + 1, icw4);
	out(S, 0x11);
	out(S + 1, 0x38);
	out(S + 1, 0x02);
	out(S + 1, icw4 & 0xef);
	out(M + 1, 0);
	out(S + 1, 0);
	CHECK(!pic_intr());
}

static void init(void)
{
	init_mode(0x01);
}

static void pulse(unsigned irq)
{
	pic_set_input(irq, true);
	pic_set_input(irq, false);
}

static void eoi(unsigned irq)
{
	if (irq >= 8)
		out(S, 0x20);
	out(M, 0x20);
}

static uint8_t isr(uint16_t port)
{
	out(port, 0x0b);
	return in(port);
}

static uint8_t irr(uint16_t port)
{
	out(port, 0x0a);
	return in(port);
}

static void power_on_is_masked(void)
{
	unit_at(0)->reset(unit_at(0)->dev);
	CHECK_EQ(in(M + 1), 0xff);
	CHECK_EQ(in(S + 1), 0xff);
	pic_set_input(1, true);
	CHECK(!pic_intr());
	CHECK_EQ(pic_intack(), 0x08 + 7);
}

static void edges_are_latched(void)
{
	init();
	changes = 0;
	pic_set_input(1, true);
	CHECK(pic_intr() && wire);
	CHECK_EQ(changes, 1);
	CHECK_EQ(irr(M), 2);
	CHECK_EQ(pic_intack(), 0x31);
	CHECK(!pic_intr() && !wire);
	CHECK_EQ(isr(M), 2);
	eoi(1);
	CHECK(!pic_intr()); /* still high: no other edge */
	pic_set_input(1, false);
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
}

/* With another request waiting, INT falls at the acknowledge cycle and rises again. */
static void each_request_is_an_edge(void)
{
	init();
	changes = 0;
	pulse(4);
	pulse(1);
	CHECK(wire && pin);
	CHECK_EQ(changes, 1);
	CHECK_EQ(pic_intack(), 0x31);
	CHECK(!wire && !pin); /* IRQ 4 is of lower priority */
	eoi(1);
	CHECK(wire && pin);
	pulse(0);
	CHECK_EQ(changes, 3);
	CHECK_EQ(pic_intack(), 0x30);
	CHECK_EQ(changes, 4);
	eoi(0);
	CHECK_EQ(changes, 5);
	out(M,
	    0x68); /* special mask mode: IRQ 4 in service and masked lets IRQ 6 through at once */
	CHECK_EQ(pic_intack(), 0x34);
	out(M + 1, 0x10);
	changes = 0;
	pulse(6);
	pulse(5);
	CHECK_EQ(pic_intack(), 0x35);
	CHECK(!wire && !pin);
	CHECK_EQ(changes, 2);
}

static void priorities_nest(void)
{
	init();
	pulse(4);
	CHECK_EQ(pic_intack(), 0x34);
	pulse(6);
	pulse(4);
	CHECK(!pic_intr());
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
	CHECK_EQ(isr(M), 0x12);
	eoi(1);
	CHECK(!pic_intr());
	eoi(4);
	CHECK_EQ(pic_intack(), 0x34);
	eoi(4);
	CHECK_EQ(pic_intack(), 0x36);
	eoi(6);
	CHECK_EQ(isr(M), 0);
}

static void slave_goes_through_input_2(void)
{
	init();
	pulse(12);
	pulse(3);
	CHECK_EQ(irr(M), 0x0c);
	CHECK_EQ(pic_intack(), 0x3c); /* before IRQ 3 */
	CHECK_EQ(isr(M), 4);
	CHECK_EQ(isr(S), 0x10);
	pulse(8); /* higher in the slave, but the master waits for its EOI */
	CHECK(!pic_intr());
	eoi(12);
	CHECK_EQ(pic_intack(), 0x38);
	eoi(8);
	CHECK_EQ(pic_intack(), 0x33);
}

static void masks_hold_back_and_keep(void)
{
	init();
	out(M + 1, 0x02);
	pulse(1);
	CHECK(!pic_intr());
	CHECK_EQ(irr(M), 2);
	out(M + 1, 0);
	CHECK(pic_intr());
	out(M + 1, 0x02); /* gone between INTR and INTA: spurious */
	CHECK_EQ(pic_intack(), 0x37);
	CHECK_EQ(isr(M), 0);
	out(M + 1, 0);
	CHECK_EQ(pic_intack(), 0x31);
}

static void level_inputs_follow_the_wire(void)
{
	init();
	out(ELCR, 0xff);
	out(ELCR + 1, 0xff);
	CHECK_EQ(in(ELCR), 0xf8);
	CHECK_EQ(in(ELCR + 1), 0xde);
	pic_set_input(10, true);
	CHECK_EQ(pic_intack(), 0x3a);
	eoi(10);
	CHECK_EQ(pic_intack(), 0x3a); /* still asserted */
	pic_set_input(10, false);
	eoi(10);
	CHECK(!pic_intr());
	pic_set_input(5, true);
	CHECK(pic_intr());
	pic_set_input(5, false);
	CHECK(!pic_intr());
	CHECK_EQ(pic_intack(), 0x37);
}

static void eoi_commands(void)
{
	init();
	pulse(3);
	CHECK_EQ(pic_intack(), 0x33);
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
	out(M, 0x60 | 3); /* specific */
	CHECK_EQ(isr(M), 2);
	out(M, 0x40); /* no operation */
	CHECK_EQ(isr(M), 2);
	out(M, 0xa0); /* non-specific, and 1 becomes the lowest */
	CHECK_EQ(isr(M), 0);
	pulse(1);
	pulse(7);
	CHECK_EQ(pic_intack(), 0x37);
	out(M, 0xe0 | 7); /* specific with rotation: 7 is the lowest again */
	CHECK_EQ(pic_intack(), 0x31);
	out(M, 0x20);
	out(M, 0xc0 | 4); /* set priority: 5 is the highest */
	pulse(0);
	pulse(5);
	CHECK_EQ(pic_intack(), 0x35);
	CHECK(!pic_intr());
	out(M, 0x20);
	CHECK_EQ(pic_intack(), 0x30);
}

static void automatic_eoi(void)
{
	init_mode(0x03);
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
	CHECK_EQ(isr(M), 0);
	out(M, 0x80); /* rotate in it */
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
	pulse(1);
	pulse(3);
	CHECK_EQ(pic_intack(), 0x33); /* 1 is the lowest now */
	out(M, 0x00);
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
	pulse(3);
	pulse(4);
	CHECK_EQ(pic_intack(), 0x34);
}

static void special_mask_mode_lets_lower_ones_in(void)
{
	init();
	pulse(3);
	CHECK_EQ(pic_intack(), 0x33);
	pulse(6);
	CHECK(!pic_intr());
	out(M, 0x68);
	out(M + 1, 0x08);
	CHECK_EQ(pic_intack(), 0x36);
	out(M, 0x20); /* not the masked one */
	CHECK_EQ(isr(M), 0x08);
	out(M, 0x63);
	CHECK_EQ(isr(M), 0);
	out(M, 0x48); /* off again */
	out(M + 1, 0);
	pulse(3);
	CHECK_EQ(pic_intack(), 0x33);
	out(M + 1, 0x08);
	pulse(6);
	CHECK(!pic_intr());
}

static void special_fully_nested_mode(void)
{
	init_mode(0x11);
	pulse(12);
	CHECK_EQ(pic_intack(), 0x3c);
	pulse(14);
	CHECK(!pic_intr());
	pulse(3); /* below the slave */
	CHECK(!pic_intr());
	pulse(8);
	CHECK_EQ(pic_intack(), 0x38);
	CHECK_EQ(isr(S), 0x11);
}

static void poll_acknowledges(void)
{
	init();
	pulse(14);
	out(M, 0x0c);
	CHECK_EQ(in(M), 0x82);
	out(S, 0x0c);
	CHECK_EQ(in(S), 0x86);
	CHECK_EQ(isr(M), 4);
	CHECK_EQ(isr(S), 0x40);
	CHECK(!pic_intr());
	out(M, 0x0c);
	CHECK_EQ(in(M + 1), 0); /* nothing; either port */
	CHECK_EQ(in(M + 1), 0); /* the mask again */
}

static void initialization_is_strict(void)
{
	init();
	pic_set_input(1, true);
	pic_set_input(3, true);
	out(M, 0x13); /* single, ICW4 */
	CHECK(!pic_intr());
	CHECK_EQ(irr(M), 0); /* the edges are forgotten */
	out(M + 1, 0x57);
	pic_set_input(4, true);
	CHECK(!pic_intr()); /* not before the last word */
	out(M + 1, 0x01);
	CHECK_EQ(pic_intack(), 0x54);
	out(M, 0x10); /* cascade, no ICW4 */
	out(M + 1, 0x60);
	out(M + 1, 0xff);
	CHECK_EQ(in(M + 1), 0); /* that was ICW3 */
	out(M + 1, 0xf0);
	CHECK_EQ(in(M + 1), 0xf0);
}

static uint8_t image[IMAGE_MAX], image2[IMAGE_MAX];

static void state_survives_a_round_trip(void)
{
	struct state_fault f;
	int n;

	init();
	out(ELCR, 0x20);
	pulse(1);
	CHECK_EQ(pic_intack(), 0x31);
	pic_set_input(0, true);
	pulse(9);
	out(S, 0x0c);
	n = image_save(image);
	unit_at(0)->scramble(unit_at(0)->dev);
	changes = 0;
	CHECK_EQ(units_load(image, (size_t)n, &f), STATE_OK);
	CHECK_EQ(changes, 0); /* no edge for the LAPICs */
	CHECK_EQ(image_save(image2), n);
	CHECK(memcmp(image, image2, (size_t)n) == 0);
	CHECK(pic_intr());
	CHECK_EQ(pic_intack(), 0x30);
	eoi(0);
	eoi(1);
	CHECK_EQ(in(S), 0x81);
}

static void impossible_states_are_refused(void)
{
	static const struct {
		uint8_t offset, val;
	} row[] = {{4, 0x01}, {5, 0x31},      {6, 8},	      {7, 4}, {8, 4},
		   {9, 0x40}, {10 + 4, 0x20}, {10 + 0, 0xff}, {1, 4}};
	struct state_fault f;
	int n;

	init();
	out(ELCR + 1, 0x10);
	n = image_save(image);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		memcpy(image2, image, (size_t)n);
		section_patch(image2, IMAGE_HEADER, row[i].offset, row[i].val, 1);
		if (!CHECK_EQ(units_load(image2, (size_t)n, &f), STATE_CONTENT))
			printf("  row %zu\n", i);
	}
	CHECK_EQ(image_save(image2), n);
	CHECK(memcmp(image, image2, (size_t)n) == 0);
}

int main(void)
{
	pic_init();
	RUN(power_on_is_masked);
	RUN(edges_are_latched);
	RUN(each_request_is_an_edge);
	RUN(priorities_nest);
	RUN(slave_goes_through_input_2);
	RUN(masks_hold_back_and_keep);
	RUN(level_inputs_follow_the_wire);
	RUN(eoi_commands);
	RUN(automatic_eoi);
	RUN(special_mask_mode_lets_lower_ones_in);
	RUN(special_fully_nested_mode);
	RUN(poll_acknowledges);
	RUN(initialization_is_strict);
	RUN(state_survives_a_round_trip);
	RUN(impossible_states_are_refused);
	return check_result();
}
