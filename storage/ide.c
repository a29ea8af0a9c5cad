// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/ide.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/ata.h"
#include "storage/hw.h"

enum { /* command block */
       DATA = 0,
       FEATURES = 1,
       COUNT = 2,
       LBA_LOW = 3,
       LBA_MID = 4,
       LBA_HIGH = 5,
       DEVICE = 6,
       STATUS = 7,
       COMMAND = 7,
};
#define CONTROL_SRST 0x04u

enum { /* bus master block */
       BMIC = 0,
       BMIS = 2,
       BMIDTP = 4,
};
#define BMIC_START   0x01u
#define BMIC_READ    0x08u /* from the disk: writes memory */
#define BMIS_ACTIVE  0x01u
#define BMIS_ERROR   0x02u
#define BMIS_INT     0x04u
#define BMIS_CAPABLE 0x60u /* what the firmware has set up */

#define GONE	  0xffu /* what a bus without a device reads as */
#define DEVICES	  2u
#define STEP_US	  10u
#define READY_US  50u /* a disk is idle between commands */
#define RESET_US  5000000u
#define ANSWER_US 1000000u

struct prd {
	uint32_t base;
	uint32_t bytes; /* 0: 64 KiB; bit 31: the last one */
};
#define PRD_LAST  (1u << 31)
#define PRD_BYTES 0x10000u /* no piece crosses such a boundary either */
#define PRDS_MAX  (DRIVE_SECTORS_MAX * SECTOR_SIZE / PRD_BYTES + 2 * DRIVE_VECTORS_MAX)
_Static_assert(PRDS_MAX * sizeof(struct prd) <= 4096, "one page");

struct ide_drive;
struct channel {
	struct ide_ports ports;
	struct prd *prd;
	struct ide_drive *owner; /* whose command is being carried out */
};

struct ide_drive {
	struct drive drive;
	struct channel *channel;
	unsigned number;		     /* 0 or 1 on it */
	const struct block_request *waiting; /* for the channel */
};

/* --- registers --- */

static void put(const struct channel *c, unsigned reg, unsigned v)
{
	hw_out8((uint16_t)(c->ports.command + reg), (uint8_t)v);
}

static uint8_t alternate_status(const struct channel *c)
{
	return hw_in8(c->ports.control);
}

/* Until BSY and DRQ are as wanted; -ETIMEDOUT, or -ENODEV if no device drives the bus. */
static int wait(const struct channel *c, unsigned want, unsigned us)
{
	for (unsigned waited = 0;; waited += STEP_US) {
		uint8_t v = alternate_status(c);

		if (v == GONE)
			return -ENODEV;
		if ((v & (ATA_BSY | ATA_DRQ)) == want)
			return 0;
		if (waited >= us)
			return -ETIMEDOUT;
		hw_delay_us(STEP_US);
	}
}

static void select_device(const struct channel *c, unsigned number)
{
	put(c, DEVICE, ATA_DEVICE_LBA | ATA_DEVICE_ONES | number << 4);
	hw_delay_us(1); /* 400 ns until it counts */
}

/* No access to memory afterwards. */
static void stop_dma(const struct channel *c)
{
	uint16_t bm = c->ports.bus_master;

	hw_out8((uint16_t)(bm + BMIC), hw_in8((uint16_t)(bm + BMIC)) & (uint8_t)~BMIC_START);
}

static void clear_bmis(const struct channel *c)
{
	uint16_t bmis = (uint16_t)(c->ports.bus_master + BMIS);

	hw_out8(bmis, (hw_in8(bmis) & BMIS_CAPABLE) | BMIS_INT | BMIS_ERROR);
}

/* Software reset (ATA8-APT 9.2): both of the channel's devices. */
static int channel_reset(struct channel *c)
{
	int err;

	stop_dma(c);
	c->owner = NULL;
	hw_out8(c->ports.control, CONTROL_SRST);
	hw_delay_us(5);
	hw_out8(c->ports.control, 0);
	hw_delay_us(2000);
	err = wait(c, 0, RESET_US);
	clear_bmis(c);
	return err;
}

/* --- commands --- */

static bool fill_prds(struct prd *p, const struct block_vec *vec, unsigned n)
{
	struct prd *first = p;

	for (unsigned i = 0; i < n; i++) {
		uint64_t a = hw_dma_address(vec[i].base);
		size_t left = vec[i].bytes;

		if (a + left > UINT32_MAX)
			return false;
		while (left) {
			size_t piece = PRD_BYTES - a % PRD_BYTES;

			piece = piece < left ? piece : left;
			*p++ = (struct prd){(uint32_t)a, (uint32_t)piece & (PRD_BYTES - 1)};
			a += piece;
			left -= piece;
		}
	}
	if (p != first)
		p[-1].bytes |= PRD_LAST;
	return true;
}

/* The high halves first: each register remembers one byte. */
static void put_address(const struct channel *c, uint64_t lba, unsigned count)
{
	put(c, COUNT, count >> 8);
	put(c, LBA_LOW, (uint8_t)(lba >> 24));
	put(c, LBA_MID, (uint8_t)(lba >> 32));
	put(c, LBA_HIGH, (uint8_t)(lba >> 40));
	put(c, COUNT, count & 0xff);
	put(c, LBA_LOW, (uint8_t)lba);
	put(c, LBA_MID, (uint8_t)(lba >> 8));
	put(c, LBA_HIGH, (uint8_t)(lba >> 16));
}

static void transfer(const struct channel *c, const struct block_request *r)
{
	uint16_t bm = c->ports.bus_master;
	uint8_t direction = r->op == BLOCK_READ ? BMIC_READ : 0;
	size_t bytes = 0;

	for (unsigned i = 0; i < r->n_vec; i++)
		bytes += r->vec[i].bytes;
	put_address(c, r->sector, (unsigned)(bytes / SECTOR_SIZE));
	hw_barrier();
	hw_out32((uint16_t)(bm + BMIDTP), (uint32_t)hw_dma_address(c->prd));
	hw_out8((uint16_t)(bm + BMIC), direction);
	put(c, COMMAND, r->op == BLOCK_READ ? ATA_READ_DMA_EXT : ATA_WRITE_DMA_EXT);
	hw_out8((uint16_t)(bm + BMIC), direction | BMIC_START);
}

/* If the channel is free and its disks are; else `look` tries again. */
static void try_start(struct ide_drive *p)
{
	const struct block_request *r = p->waiting;
	struct channel *c = p->channel;

	if (!r || c->owner || wait(c, 0, READY_US) != 0)
		return;
	select_device(c, p->number);
	if (wait(c, 0, READY_US) != 0)
		return;
	if (r->op != BLOCK_FLUSH && !fill_prds(c->prd, r->vec, r->n_vec))
		return;
	p->waiting = NULL;
	c->owner = p;
	clear_bmis(c);
	if (r->op == BLOCK_FLUSH)
		put(c, COMMAND, ATA_FLUSH_CACHE_EXT);
	else
		transfer(c, r);
}

static void start(struct drive *d, unsigned slot, const struct block_request *r)
{
	struct ide_drive *p = (struct ide_drive *)d;

	(void)slot; /* it is 0: one at a time */
	p->waiting = r;
	try_start(p);
}

/* BMIS_INT says that the disk has interrupted, and that what it sent is in memory. */
static int look(struct drive *d, uint32_t *done, uint32_t *failed)
{
	struct ide_drive *p = (struct ide_drive *)d;
	struct channel *c = p->channel;
	uint8_t bmis, status;

	if (alternate_status(c) == GONE)
		return -ENODEV;
	try_start(p);
	if (c->owner != p)
		return 0;
	bmis = hw_in8((uint16_t)(c->ports.bus_master + BMIS));
	status = alternate_status(c);
	if (!(bmis & BMIS_INT) || status & ATA_BSY)
		return 0;
	stop_dma(c);
	status = hw_in8((uint16_t)(c->ports.command + STATUS)); /* and no interrupt any more */
	clear_bmis(c);
	hw_barrier();
	c->owner = NULL;
	/* still active: less came than was asked for */
	if (status & (ATA_ERR | ATA_DF | ATA_DRQ) || bmis & (BMIS_ERROR | BMIS_ACTIVE))
		*failed = 1;
	else
		*done = 1;
	return 0;
}

static int reset(struct drive *d)
{
	struct ide_drive *p = (struct ide_drive *)d;
	struct channel *c = p->channel;

	p->waiting = NULL;
	if (c->owner && c->owner != p) /* the other one's turn it was all the time */
		return 0;
	return channel_reset(c);
}

static int off(struct drive *d)
{
	struct ide_drive *p = (struct ide_drive *)d;
	struct channel *c = p->channel;

	p->waiting = NULL;
	if (c->owner && c->owner != p)
		return 0;
	stop_dma(c);
	c->owner = NULL;
	return hw_in8((uint16_t)(c->ports.bus_master + BMIS)) & BMIS_ACTIVE ? -EIO : 0;
}

static const struct drive_ops ide_ops = {.name = "ide",
					 .start = start,
					 .look = look,
					 .reset = reset,
					 .off = off,
					 .errors_are_exact = true};

/* --- what is there --- */

static int identify(const struct channel *c, unsigned number, struct ata_identity *id)
{
	uint16_t words[ATA_IDENTITY_WORDS];
	int err;

	select_device(c, number);
	put(c, COMMAND, ATA_IDENTIFY_DEVICE);
	hw_delay_us(1);
	if (!alternate_status(c))
		return -ENODEV;
	err = wait(c, ATA_DRQ, ANSWER_US); /* an ATAPI device ends it with an error */
	if (err)
		return err;
	for (unsigned i = 0; i < ATA_IDENTITY_WORDS; i++)
		words[i] = hw_in16((uint16_t)(c->ports.command + DATA));
	(void)hw_in8((uint16_t)(c->ports.command + STATUS));
	return ata_identify(words, id);
}

/* *disk stays NULL if there is none. */
static int device_find(struct channel *c, unsigned number, struct ide_drive **disk)
{
	struct ide_drive *p;
	struct ata_identity id;

	if (identify(c, number, &id) != 0)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->channel = c;
	p->number = number;
	p->drive.ops = &ide_ops;
	p->drive.dev.sectors = id.sectors;
	p->drive.depth = 1;
	memcpy(p->drive.model, id.model, sizeof(id.model));
	drive_init(&p->drive);
	*disk = p;
	return 0;
}

static struct channel *channel_new(const struct ide_ports *ports)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->ports = *ports;
	c->prd = hw_dma_alloc(1);
	if (c->prd)
		return c;
	free(c);
	return NULL;
}

int ide_init(const struct ide_ports *ports, void (*found)(struct drive *d, void *arg), void *arg)
{
	struct channel *c = channel_new(ports);
	unsigned disks = 0;
	int err = 0;

	if (!c)
		return -ENOMEM;
	if (alternate_status(c) == GONE || channel_reset(c) != 0)
		err = -ENODEV;
	for (unsigned i = 0; i < DEVICES && !err; i++) {
		struct ide_drive *p = NULL;

		err = device_find(c, i, &p);
		if (p) {
			disks++;
			found(&p->drive, arg);
		}
	}
	if (!disks)
		free(c);
	return err;
}
