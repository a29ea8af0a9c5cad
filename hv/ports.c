// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Small ports of a PC: POST code, delay, system control port A, what is left of the keyboard
 * controller, and the reset control register. Nothing here reaches hardware; a port that is not
 * listed anywhere reads all-ones.
 */
#include <stddef.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/log.h"
#include "hv/pci.h"
#include "hv/platform.h"
#include "hv/unit.h"

enum { PORT92_RESET = 1 << 0, PORT92_A20 = 1 << 1 };
enum { CF9_SYS_RST = 1 << 1, CF9_RST_CPU = 1 << 2, CF9_FULL_RST = 1 << 3 };
#define CF9_WRITABLE (CF9_SYS_RST | CF9_RST_CPU | CF9_FULL_RST)

static struct ports {
	uint8_t post, port92, cf9;
} ports;

static void post_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	(void)offset;
	(void)size;
	*val = ports.post;
}

static void post_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	(void)offset;
	(void)size;
	ports.post = (uint8_t)val;
}

static void port92_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	(void)offset;
	(void)size;
	*val = ports.port92;
}

/* A20 is only remembered: it has no effect on a processor with nested paging. */
static void port92_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	(void)offset;
	(void)size;
	if (val & PORT92_RESET && !(ports.port92 & PORT92_RESET))
		node_guest_reset("port 92h");
	ports.port92 = val & (PORT92_RESET | PORT92_A20);
}

static void absent_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	(void)offset;
	(void)size;
	*val = 0xff;
}

static void absent_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	(void)offset;
	(void)size;
	(void)val;
}

/* Of the 8042 only the output port's reset line is there: commands F0h-FFh pulse the bits that are
 * 0. */
static void kbc_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	(void)offset;
	(void)size;
	if ((val & 0xf1) == 0xf0)
		node_guest_reset("keyboard controller");
}

uint8_t ports_cf9_read(void)
{
	return ports.cf9;
}

/* RST_CPU's rising edge resets; the other bits say how (soft, hard, with a power cycle), which is
 * all one here. */
void ports_cf9_write(uint8_t v)
{
	bool rises = v & CF9_RST_CPU && !(ports.cf9 & CF9_RST_CPU);

	ports.cf9 = v & CF9_WRITABLE;
	if (rises)
		node_guest_reset("reset control register");
}

static void ports_reset(void *dev)
{
	(void)dev;
	ports = (struct ports){.port92 = PORT92_A20};
}

static int ports_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put8(w, ports.post);
	state_put8(w, ports.port92);
	state_put8(w, ports.cf9);
	return w->err;
}

static void ports_load(void *dev, struct state_reader *r)
{
	struct ports n;

	(void)dev;
	n.post = state_get8(r);
	n.port92 = state_get8(r);
	n.cf9 = state_get8(r);
	state_require(r, !(n.port92 & ~(PORT92_RESET | PORT92_A20)), "port92");
	state_require(r, !(n.cf9 & ~CF9_WRITABLE), "cf9");
	if (state_commit(r))
		ports = n;
}

static void ports_scramble(void *dev)
{
	(void)dev;
	memset(&ports, 0xa5, sizeof(ports));
}

#define PORT(what, at, r, w)                                                                      \
	{                                                                                         \
		.name = (what), .base = (at), .size = 1, .max_size = 1, .read = (r), .write = (w) \
	}
static const struct bus_region regions[] = {
	PORT("port 80h", 0x80, post_read, post_write),
	PORT("port 92h", 0x92, port92_read, port92_write),
	PORT("port EDh", 0xed, absent_read, absent_write),
	PORT("keyboard data", 0x60, absent_read, absent_write),
	PORT("keyboard command", 0x64, absent_read, kbc_write),
	PORT("SMI command", 0xb2, absent_read, absent_write),
};
static const struct unit ports_unit = {.name = "ports",
				       .version = 1,
				       .reset = ports_reset,
				       .save = ports_save,
				       .load = ports_load,
				       .scramble = ports_scramble};

void ports_init(void)
{
	ports_reset(NULL);
	for (unsigned i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		ASSERT(bus_add_io(&regions[i]) == 0);
	ASSERT(unit_register(&ports_unit) == 0);
}
