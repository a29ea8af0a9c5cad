// SPDX-License-Identifier: GPL-2.0-or-later
/* The machine's PCI functions: finding them, their registers' places, their messages (PCI 3.0, 6.1,
 * 6.2.5, 6.8). As the firmware configured them: nothing is moved. */
#include <errno.h>
#include "arch/x86_64/internal.h"

enum {
	PCI_ID = 0x00,
	PCI_COMMAND = 0x04, /* status in the upper half */
	PCI_CLASS = 0x08,
	PCI_HEADER = 0x0c,
	PCI_BAR0 = 0x10,
	PCI_CAPABILITIES = 0x34,
};
#define STATUS_CAPABILITIES (1u << 20)
#define COMMAND_MASK	    0xffffu /* the status half is write-1-to-clear */
#define HEADER_MULTI	    (1u << 23)
#define BAR_IO		    1u
#define BAR_64		    4u
#define BAR_TYPE	    6u

enum { CAP_MSI = 0x05, CAP_MSIX = 0x11 };
#define MSI_ENABLE    (1u << 16)
#define MSI_MULTIPLE  (7u << 20)
#define MSI_64	      (1u << 23)
#define MSIX_ENABLE   (1u << 31)
#define MSIX_MASK_ALL (1u << 30)
#define MESSAGE_ADDR  0xfee00000u /* SDM vol. 3, "Message Address Register Format" */
#define CAPABILITIES  48	  /* no list is longer: a loop ends */
#define MSIX_ENTRY    16

static uint32_t read(const struct host_function *f, unsigned offset)
{
	return host_pci_read32(f->bus, f->dev, f->fn, (uint8_t)offset);
}

static void write(const struct host_function *f, unsigned offset, uint32_t v)
{
	host_pci_write32(f->bus, f->dev, f->fn, (uint8_t)offset, v);
}

/* --- finding --- */

struct search {
	uint16_t class_code;
	struct host_function *found;
	unsigned n, max;
};

/* All buses: the firmware numbered them, whatever the topology. */
static bool look_at(struct search *s, struct host_function f)
{
	uint32_t id = read(&f, PCI_ID), class_code;

	if (id == UINT32_MAX || id == 0)
		return false;
	class_code = read(&f, PCI_CLASS);
	if (class_code >> 16 == s->class_code && s->n < s->max) {
		f.vendor = (uint16_t)id;
		f.device = (uint16_t)(id >> 16);
		f.prog_if = (uint8_t)(class_code >> 8);
		s->found[s->n++] = f;
	}
	return true;
}

unsigned host_function_find(uint8_t class_code, uint8_t subclass, struct host_function *found,
			    unsigned max)
{
	struct search s = {(uint16_t)(class_code << 8 | subclass), found, 0, max};

	for (unsigned bus = 0; bus < 256; bus++)
		for (unsigned dev = 0; dev < 32; dev++) {
			struct host_function f = {.bus = (uint8_t)bus, .dev = (uint8_t)dev};

			if (!look_at(&s, f) || !(read(&f, PCI_HEADER) & HEADER_MULTI))
				continue;
			for (f.fn = 1; f.fn < 8; f.fn++)
				(void)look_at(&s, f);
		}
	return s.n;
}

/* --- registers --- */

void host_function_command(const struct host_function *f, uint32_t set, uint32_t clear)
{
	write(f, PCI_COMMAND, ((read(f, PCI_COMMAND) & COMMAND_MASK) | set) & ~clear);
}

hpa_t host_function_bar(const struct host_function *f, unsigned bar)
{
	uint32_t low = read(f, PCI_BAR0 + 4 * bar);
	uint64_t high = 0;

	if (low & BAR_IO || low == UINT32_MAX)
		return (hpa_t){0};
	if ((low & BAR_TYPE) == BAR_64)
		high = read(f, PCI_BAR0 + 4 * bar + 4);
	return (hpa_t){high << 32 | (low & ~0xfu)};
}

uint16_t host_function_io(const struct host_function *f, unsigned bar)
{
	uint32_t v = read(f, PCI_BAR0 + 4 * bar);

	return v & BAR_IO && v != UINT32_MAX ? (uint16_t)(v & ~3u) : 0;
}

/* --- messages --- */

static unsigned capability(const struct host_function *f, uint8_t id)
{
	unsigned at;

	if (!(read(f, PCI_COMMAND) & STATUS_CAPABILITIES))
		return 0;
	at = read(f, PCI_CAPABILITIES) & 0xfc;
	for (unsigned i = 0; i < CAPABILITIES && at; i++) {
		uint32_t v = read(f, at);

		if ((uint8_t)v == id)
			return at;
		at = v >> 8 & 0xfc;
	}
	return 0;
}

static int message_x(const struct host_function *f, unsigned at, uint32_t addr, uint32_t data)
{
	uint32_t control = read(f, at), table = read(f, at + 4);
	hpa_t base = host_function_bar(f, table & 7);
	volatile uint32_t *entry;

	base.v += table & ~7u;
	entry = base.v > (table & ~7u) ? mmio_map(base, MSIX_ENTRY) : NULL;
	if (!entry)
		return -ENOTSUP;
	write(f, at, control | MSIX_ENABLE | MSIX_MASK_ALL);
	entry[0] = addr;
	entry[1] = 0;
	entry[2] = data;
	entry[3] = 0; /* not masked */
	write(f, at, (control | MSIX_ENABLE) & ~MSIX_MASK_ALL);
	return 0;
}

static int message(const struct host_function *f, unsigned at, uint32_t addr, uint32_t data)
{
	uint32_t control = read(f, at);

	write(f, at + 4, addr);
	if (control & MSI_64)
		write(f, at + 8, 0);
	write(f, at + (control & MSI_64 ? 12 : 8), data);
	write(f, at, (control & ~MSI_MULTIPLE) | MSI_ENABLE);
	return 0;
}

int host_function_message(const struct host_function *f, uint8_t vector, uint32_t apic_id)
{
	unsigned x = capability(f, CAP_MSIX), at = capability(f, CAP_MSI);
	uint32_t addr = MESSAGE_ADDR | apic_id << 12;
	int err = -ENOTSUP;

	if (apic_id > 0xff) /* the address has 8 bits for the destination */
		return err;
	if (x)
		err = message_x(f, x, addr, vector);
	if (err && at)
		err = message(f, at, addr, vector);
	return err;
}
