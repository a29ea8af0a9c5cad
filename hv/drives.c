// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/drives.h"
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/disk.h"
#include "hv/fmt.h"
#include "hv/iommu.h"
#include "hv/log.h"
#include "storage/ahci.h"
#include "storage/ide.h"
#include "storage/nvme.h"

#define CONTROLLERS_MAX 16
#define CLASS_STORAGE	0x01
#define SUBCLASS_IDE	0x01
#define SUBCLASS_SATA	0x06
#define SUBCLASS_NVM	0x08
#define PROG_IF_AHCI	0x01
#define PROG_IF_NVME	0x02
#define PROG_IF_NATIVE	0x05 /* IDE: a bit for each channel, its ports are those of its BARs */
#define PROG_IF_MASTER	0x80
#define AHCI_BAR	5
#define AHCI_BYTES	0x1100 /* generic control, 32 ports */
#define NVME_BYTES	0x2000 /* registers, doorbells of two queues */
#define IDE_CHANNELS	2
#define IDE_MASTER_BAR	4
#define LOST_US		50000 /* an interrupt that did not come costs no more */
#define POLL_US		500   /* without interrupts */

static struct drive *drives[DRIVES_MAX];
static unsigned count;
static struct host_function controllers[CONTROLLERS_MAX];
static unsigned n_controllers;

unsigned drives_count(void)
{
	return count;
}

struct drive *drives_get(unsigned n)
{
	return n < count ? drives[n] : NULL;
}

struct drive *drives_by_name(const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(drives[i]->name, name) == 0)
			return drives[i];
	return NULL;
}

bool drives_poll(void)
{
	bool any = false;

	for (unsigned i = 0; i < count; i++)
		any |= drive_poll(drives[i]);
	return any;
}

bool drives_late(void)
{
	bool late = false;

	for (unsigned i = 0; i < count; i++)
		late |= drives[i]->late;
	return late;
}

void drives_forgive(bool patient)
{
	for (unsigned i = 0; i < count; i++) {
		drives[i]->patient = patient;
		drive_forgive(drives[i]);
	}
}

uint64_t drives_due(void)
{
	unsigned us = LOST_US;
	bool busy = false;

	for (unsigned i = 0; i < count; i++) {
		if (!drive_busy(drives[i]))
			continue;
		busy = true;
		if (!drives[i]->interrupts)
			us = POLL_US;
	}
	return busy ? rdtsc() + tsc_hz() / 1000000 * us : UINT64_MAX;
}

void drives_off(void)
{
	for (unsigned i = 0; i < count; i++)
		drive_off(drives[i]);
	for (unsigned i = 0; i < n_controllers; i++)
		host_function_command(&controllers[i], 0, HOST_COMMAND_MASTER);
}

/* --- finding them --- */

struct controller {
	struct drive_controller common;
	const char *kind;
	unsigned *next;	 /* number of the next drive of this kind */
	bool interrupts; /* it has one */
};

static void interrupt(void *arg)
{
	(void)arg;
	disk_wake();
}

static void found(struct drive *d, void *arg)
{
	struct controller *c = arg;

	d->controller = &c->common;
	if (count == DRIVES_MAX) {
		log_warn("disks: more than %u: the others are not used", DRIVES_MAX);
		drive_off(d);
		return;
	}
	fmt(d->name, sizeof(d->name), "%s%u", c->kind, (*c->next)++);
	d->interrupts = c->interrupts;
	drives[count++] = d;
	log_info("%s: %s, %llu MiB, %u at once%s", d->name, d->model,
		 (unsigned long long)d->dev.sectors >> 11, d->depth,
		 d->interrupts ? "" : ", without interrupts");
}

static bool route_message(const struct host_function *f, struct controller *c)
{
	int vector = irq_vector_alloc(interrupt, c);

	return vector >= 0 && host_function_message(f, (uint8_t)vector, this_cpu()->apic_id) == 0;
}

static struct controller *controller_new(const struct host_function *f, const char *kind,
					 unsigned *next)
{
	struct controller *c = heap_alloc(sizeof(*c));

	*c = (struct controller){.kind = kind, .next = next};
	host_function_command(f, HOST_COMMAND_MEMORY | HOST_COMMAND_IO | HOST_COMMAND_MASTER, 0);
	iommu_assign(f->bus, f->dev, f->fn, IOMMU_HYPERVISOR);
	controllers[n_controllers] = *f;
	c->common.function = &controllers[n_controllers++];
	return c;
}

static void report(const struct host_function *f, const char *kind, int err)
{
	if (err)
		log_error("%s controller at %02x:%02x.%x: %s (%d)", kind, f->bus, f->dev, f->fn,
			  err == -ENOMEM ? "no memory: raise hv_memory=" : "it does not answer",
			  err);
}

static void add_ahci(const struct host_function *f)
{
	static unsigned next;
	hpa_t bar = host_function_bar(f, AHCI_BAR);
	volatile void *regs = bar.v ? mmio_map(bar, AHCI_BYTES) : NULL;
	struct controller *c;

	if (f->prog_if != PROG_IF_AHCI || !regs)
		return;
	c = controller_new(f, "ahci", &next);
	c->interrupts = route_message(f, c);
	report(f, "ahci", ahci_init(regs, found, c));
}

static void add_nvme(const struct host_function *f)
{
	static unsigned next;
	hpa_t bar = host_function_bar(f, 0);
	volatile void *regs = bar.v ? mmio_map(bar, NVME_BYTES) : NULL;
	struct controller *c;

	if (f->prog_if != PROG_IF_NVME || !regs)
		return;
	c = controller_new(f, "nvme", &next);
	c->interrupts = route_message(f, c);
	report(f, "nvme", nvme_init(regs, found, c));
}

/* --- IDE: a wire for each channel, and I/O ports --- */

static bool route_wire(struct controller *c, unsigned irq)
{
	bool level, low;
	unsigned gsi = host_isa_gsi(irq, &level, &low);
	int vector = host_ioapic_in_use(gsi) ? -EBUSY : irq_vector_alloc(interrupt, c);

	return vector >= 0 &&
	       host_ioapic_route(gsi, (uint8_t)vector, this_cpu()->apic_id, level, low) == 0;
}

static bool ide_ports(const struct host_function *f, unsigned channel, struct ide_ports *p)
{
	static const struct ide_ports legacy[IDE_CHANNELS] = {{0x1f0, 0x3f6, 0}, {0x170, 0x376, 8}};
	uint16_t master = host_function_io(f, IDE_MASTER_BAR);

	*p = legacy[channel];
	if (f->prog_if & PROG_IF_NATIVE & 1u << 2 * channel) {
		p->command = host_function_io(f, 2 * channel);
		p->control = (uint16_t)(host_function_io(f, 2 * channel + 1) + 2);
	}
	p->bus_master = (uint16_t)(p->bus_master + master);
	return master && p->command && p->control > 2;
}

static void add_channel(const struct host_function *f, unsigned channel, struct controller *c)
{
	static const unsigned irq[IDE_CHANNELS] = {14, 15};
	struct ide_ports ports;
	int err;

	if (!ide_ports(f, channel, &ports)) {
		log_warn("ide controller at %02x:%02x.%x: the firmware has given channel %u no "
			 "ports",
			 f->bus, f->dev, f->fn, channel);
		return;
	}
	c->interrupts = !(f->prog_if & PROG_IF_NATIVE) && route_wire(c, irq[channel]);
	err = ide_init(&ports, found, c);
	if (err != -ENODEV) /* a channel without disks is no error */
		report(f, "ide", err);
}

static void add_ide(const struct host_function *f)
{
	static unsigned next;
	struct controller *c;

	if (!(f->prog_if & PROG_IF_MASTER))
		return;
	c = controller_new(f, "ide", &next);
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		add_channel(f, i, c);
}

static void each(uint8_t subclass, void (*add)(const struct host_function *f))
{
	struct host_function f[CONTROLLERS_MAX];
	unsigned n = host_function_find(CLASS_STORAGE, subclass, f, CONTROLLERS_MAX);

	for (unsigned i = 0; i < n && n_controllers < CONTROLLERS_MAX; i++)
		add(&f[i]);
}

void drives_find(void)
{
	each(SUBCLASS_SATA, add_ahci);
	each(SUBCLASS_NVM, add_nvme);
	each(SUBCLASS_IDE, add_ide);
}
