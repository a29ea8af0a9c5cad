/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's pair of 8259A interrupt controllers and their ELCR (8259A data sheet; PIIX/ICH data
 * sheets for ELCR).
 *
 * As on PCs: the slave's INT is the master's IR2, and ICW1's LTIM bit is void, ELCR decides level
 * or edge for each input. An edge stays latched until it is acknowledged, even if the wire falls
 * meanwhile: devices may pulse.
 */
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vlapic.h"
#include <string.h>

#define CASCADE	 2 /* master's input from the slave */
#define INTR_PIN 0 /* the IOAPIC's */

enum { ICW1_IC4 = 0x01, ICW1_SNGL = 0x02, ICW1_INIT = 0x10 };
enum { ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum {
	OCW3_RIS = 0x01,
	OCW3_RR = 0x02,
	OCW3_POLL = 0x04,
	OCW3_SELECT = 0x08,
	OCW3_SMM = 0x20,
	OCW3_ESMM = 0x40
};
enum {
	OCW2_AEOI_ROTATE_CLEAR,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_SPECIFIC_EOI,
	OCW2_AEOI_ROTATE_SET,
	OCW2_EOI_ROTATE,
	OCW2_SET_PRIORITY,
	OCW2_SPECIFIC_EOI_ROTATE,
};
enum { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 }; /* the word that port 1 expects next */

struct i8259 {
	uint8_t lines; /* wire levels */
	uint8_t irr, isr, imr, elcr;
	uint8_t base;	/* vector of IR0 */
	uint8_t lowest; /* input of lowest priority: 7 unless rotated */
	uint8_t init;	/* INIT_* */
	uint8_t icw1;	/* as far as it matters during initialization */
	bool aeoi, rotate_aeoi, sfnm, smm, read_isr, poll;
};

static struct pic {
	struct i8259 chip[2]; /* master, slave */
	bool intr;	      /* master's INT output; read without the lock */
	struct unit unit;
} pic;

static const uint8_t elcr_mask[2] = {0xf8, 0xde}; /* inputs that can be level-triggered */

static bool is_master(const struct i8259 *c)
{
	return c == &pic.chip[0];
}

/* Priority order of the highest-priority bit in mask: 0 = highest, 8 = none. */
static unsigned order(const struct i8259 *c, uint8_t mask)
{
	for (unsigned n = 0; n < 8; n++) {
		if (mask >> ((c->lowest + 1 + n) & 7) & 1)
			return n;
	}
	return 8;
}

static unsigned input_at(const struct i8259 *c, unsigned n)
{
	return (c->lowest + 1 + n) & 7;
}

/* The request that INT stands for, or -1. */
static int request(const struct i8259 *c)
{
	unsigned req = order(c, c->irr & ~c->imr);
	uint8_t blocking = c->isr;

	if (c->init != INIT_DONE || req == 8)
		return -1;
	if (c->smm)
		blocking &= ~c->imr;
	if (c->sfnm && is_master(c) && input_at(c, req) == CASCADE)
		blocking &= ~(1 << CASCADE);
	/* Fully nested: an input in service blocks itself and all below. */
	if (order(c, blocking) <= req)
		return -1;
	return (int)input_at(c, req);
}

/* The slave's INT to the master; returns the master's. */
static bool settle(void)
{
	struct i8259 *master = &pic.chip[0];

	if (request(&pic.chip[1]) >= 0)
		master->irr |= 1 << CASCADE;
	else
		master->irr &= ~(1 << CASCADE);
	return request(master) >= 0;
}

/* INTR goes to the LAPICs' LINT0 and, as on ICH boards, to the IOAPIC. */
static void drive_intr(bool intr)
{
	if (intr == pic.intr)
		return;
	__atomic_store_n(&pic.intr, intr, __ATOMIC_RELEASE);
	vlapic_set_lint0(intr);
	ioapic_set_pin(INTR_PIN, intr);
}

static void update(void)
{
	drive_intr(settle());
}

void pic_set_input(unsigned irq, bool level)
{
	struct i8259 *c = &pic.chip[irq >> 3 & 1];
	uint8_t bit = 1 << (irq & 7), was = c->lines;

	if (level == !!(was & bit) && !(c->elcr & bit))
		return; /* no edge; devices drive their wires at every access */
	c->lines = level ? was | bit : was & ~bit;
	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (level && !(was & bit))
		c->irr |= bit;
	update();
}

/* Acknowledge input n: in service from now on, or at its end already. */
static void acknowledge(struct i8259 *c, unsigned n)
{
	if (!(c->elcr >> n & 1))
		c->irr &= ~(1 << n);
	if (!c->aeoi)
		c->isr |= 1 << n;
	else if (c->rotate_aeoi)
		c->lowest = n;
}

int pic_intack(void)
{
	struct i8259 *master = &pic.chip[0], *slave = &pic.chip[1];
	int n, vector;

	spin_lock(&platform_lock);
	n = request(master);
	if (n == CASCADE) {
		acknowledge(master, CASCADE);
		n = request(slave);
		if (n >= 0)
			acknowledge(slave, (unsigned)n);
		vector = slave->base + (n >= 0 ? n : 7);
	} else {
		if (n >= 0)
			acknowledge(master, (unsigned)n);
		vector = master->base + (n >= 0 ? n : 7); /* the request went away: spurious IR7 */
	}
	drive_intr(false); /* and rises again for the next one */
	update();
	spin_unlock(&platform_lock);
	return vector;
}

bool pic_intr(void)
{
	return __atomic_load_n(&pic.intr, __ATOMIC_ACQUIRE);
}

static void write_icw1(struct i8259 *c, uint8_t val)
{
	/* The edge detectors start anew: an input that is high needs another edge. */
	c->irr = c->lines & c->elcr;
	c->isr = 0;
	c->imr = 0;
	c->lowest = 7;
	c->smm = c->read_isr = c->poll = false;
	if (!(val & ICW1_IC4))
		c->aeoi = c->sfnm = false;
	c->rotate_aeoi = false;
	c->icw1 = val & (ICW1_IC4 | ICW1_SNGL);
	c->init = INIT_ICW2;
}

static void end_of_interrupt(struct i8259 *c, unsigned n, bool rotate)
{
	c->isr &= ~(1 << n);
	if (rotate)
		c->lowest = n;
}

static void write_ocw2(struct i8259 *c, uint8_t val)
{
	unsigned n = val & 7, first;

	switch (val >> 5) {
	case OCW2_AEOI_ROTATE_CLEAR:
		c->rotate_aeoi = false;
		break;
	case OCW2_AEOI_ROTATE_SET:
		c->rotate_aeoi = true;
		break;
	case OCW2_EOI:
	case OCW2_EOI_ROTATE:
		/* In special mask mode, inputs that are masked keep their in-service bit (data
		 * sheet, "EOI"). */
		first = order(c, c->smm ? c->isr & ~c->imr : c->isr);
		if (first < 8)
			end_of_interrupt(c, input_at(c, first), val >> 5 == OCW2_EOI_ROTATE);
		break;
	case OCW2_SPECIFIC_EOI:
	case OCW2_SPECIFIC_EOI_ROTATE:
		end_of_interrupt(c, n, val >> 5 == OCW2_SPECIFIC_EOI_ROTATE);
		break;
	case OCW2_SET_PRIORITY:
		c->lowest = n;
		break;
	case OCW2_NOP:
	default:
		break;
	}
}

static void write_ocw3(struct i8259 *c, uint8_t val)
{
	if (val & OCW3_POLL)
		c->poll = true;
	else if (val & OCW3_RR)
		c->read_isr = val & OCW3_RIS;
	if (val & OCW3_ESMM)
		c->smm = val & OCW3_SMM;
}

static void write_port1(struct i8259 *c, uint8_t val)
{
	switch (c->init) {
	case INIT_ICW2:
		c->base = val & 0xf8;
		if (!(c->icw1 & ICW1_SNGL))
			c->init = INIT_ICW3;
		else
			c->init = c->icw1 & ICW1_IC4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW3: /* the cascade is wired, whatever is written */
		c->init = c->icw1 & ICW1_IC4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		c->aeoi = val & ICW4_AEOI;
		c->sfnm = val & ICW4_SFNM;
		c->init = INIT_DONE;
		break;
	default:
		c->imr = val;
		break;
	}
}

static void chip_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	struct i8259 *c = dev;
	uint8_t v = (uint8_t)val;

	(void)size;
	if (offset == 1)
		write_port1(c, v);
	else if (v & ICW1_INIT)
		write_icw1(c, v);
	else if (v & OCW3_SELECT)
		write_ocw3(c, v);
	else
		write_ocw2(c, v);
	update();
}

/* Poll command: the next read is the acknowledge cycle of this one chip. */
static uint8_t poll(struct i8259 *c)
{
	int n = request(c);

	c->poll = false;
	if (n < 0)
		return 0;
	acknowledge(c, (unsigned)n);
	drive_intr(false);
	update();
	return 0x80 | (uint8_t)n;
}

static void chip_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	struct i8259 *c = dev;

	(void)size;
	if (c->poll)
		*val = poll(c);
	else if (offset == 1)
		*val = c->imr;
	else
		*val = c->read_isr ? c->isr : c->irr;
}

static void elcr_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	struct i8259 *c = &pic.chip[offset & 1];

	(void)dev;
	(void)size;
	c->elcr = (uint8_t)val & elcr_mask[offset & 1];
	c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
	update();
}

static void elcr_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	(void)size;
	*val = pic.chip[offset & 1].elcr;
}

/* --- unit --- */

/* As firmware leaves it: IRQ 0-7 at 08h, 8-15 at 70h, all masked. */
static void pic_reset(void *dev)
{
	(void)dev;
	for (unsigned i = 0; i < 2; i++)
		pic.chip[i] = (struct i8259){.imr = 0xff, .base = i ? 0x70 : 0x08, .lowest = 7};
	update();
}

static uint8_t pack_flags(const struct i8259 *c)
{
	return c->aeoi | c->rotate_aeoi << 1 | c->sfnm << 2 | c->smm << 3 | c->read_isr << 4 |
	       c->poll << 5;
}

static int pic_save(void *dev, struct state_writer *w)
{
	(void)dev;
	for (unsigned i = 0; i < 2; i++) {
		const struct i8259 *c = &pic.chip[i];
		const uint8_t bytes[] = {c->lines, c->irr,    c->isr,  c->imr,	c->elcr,
					 c->base,  c->lowest, c->init, c->icw1, pack_flags(c)};

		state_put(w, bytes, sizeof(bytes));
	}
	return w->err;
}

static void chip_load(struct i8259 *c, struct state_reader *r)
{
	uint8_t b[10];

	state_get(r, b, sizeof(b));
	*c = (struct i8259){.lines = b[0],
			    .irr = b[1],
			    .isr = b[2],
			    .imr = b[3],
			    .elcr = b[4],
			    .base = b[5],
			    .lowest = b[6],
			    .init = b[7],
			    .icw1 = b[8],
			    .aeoi = b[9] & 1,
			    .rotate_aeoi = b[9] & 2,
			    .sfnm = b[9] & 4,
			    .smm = b[9] & 8,
			    .read_isr = b[9] & 16,
			    .poll = b[9] & 32};
	state_require(r, !(b[9] & 0xc0), "flags");
}

static void chip_check(const struct i8259 *c, uint8_t elcr, struct state_reader *r)
{
	state_require(r, !(c->elcr & ~elcr), "elcr");
	state_require(r, !(c->base & 7), "base");
	state_require(r, c->lowest < 8, "lowest");
	state_require(r, c->init <= INIT_ICW4, "init");
	state_require(r, !(c->icw1 & ~(ICW1_IC4 | ICW1_SNGL)), "icw1");
	state_require(r, (c->irr & c->elcr) == (c->lines & c->elcr),
		      "irr: a level-triggered input's request is its wire");
}

static void pic_load(void *dev, struct state_reader *r)
{
	struct i8259 next[2];

	(void)dev;
	for (unsigned i = 0; i < 2; i++) {
		chip_load(&next[i], r);
		chip_check(&next[i], elcr_mask[i], r);
		if (r->refused || r->err)
			return;
	}
	state_require(r, (next[0].irr >> CASCADE & 1) == (request(&next[1]) >= 0),
		      "irr: the master's request from the slave is the wire between them");
	if (!state_commit(r))
		return;
	memcpy(pic.chip, next, sizeof(next));
	/* No edge for the LAPICs: they have their own state of LINT0. */
	__atomic_store_n(&pic.intr, settle(), __ATOMIC_RELEASE);
}

static void pic_scramble(void *dev)
{
	(void)dev;
	memset(pic.chip, 1, sizeof(pic.chip)); /* a legal value of bool */
}

static const struct bus_region regions[] = {
	{.name = "pic1",
	 .base = 0x20,
	 .size = 2,
	 .max_size = 1,
	 .dev = &pic.chip[0],
	 .read = chip_read,
	 .write = chip_write},
	{.name = "pic2",
	 .base = 0xa0,
	 .size = 2,
	 .max_size = 1,
	 .dev = &pic.chip[1],
	 .read = chip_read,
	 .write = chip_write},
	{.name = "elcr",
	 .base = 0x4d0,
	 .size = 2,
	 .max_size = 1,
	 .read = elcr_read,
	 .write = elcr_write},
};

void pic_init(void)
{
	pic.unit = (struct unit){.name = "pic",
				 .version = 1,
				 .dev = &pic,
				 .reset = pic_reset,
				 .save = pic_save,
				 .load = pic_load,
				 .scramble = pic_scramble};
	pic_reset(&pic);
	ASSERT(unit_register(&pic.unit) == 0);
	for (unsigned i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		ASSERT(bus_add_io(&regions[i]) == 0);
}
