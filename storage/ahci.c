// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/ahci.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/ata.h"
#include "storage/hw.h"

enum { /* generic host control */
       CAP = 0x00,
       GHC = 0x04,
       IS = 0x08,
       PI = 0x0c,
       CAP2 = 0x24,
       BOHC = 0x28,
};
#define CAP_NCS(cap) (((cap) >> 8 & 31) + 1)
#define CAP_SNCQ     (1u << 30)
#define GHC_HR	     (1u << 0)
#define GHC_IE	     (1u << 1)
#define GHC_AE	     (1u << 31)
#define CAP2_BOH     (1u << 0)
#define BOHC_BOS     (1u << 0)
#define BOHC_OOS     (1u << 1)

enum { /* a port's */
       PxCLB = 0x00,
       PxCLBU = 0x04,
       PxFB = 0x08,
       PxFBU = 0x0c,
       PxIS = 0x10,
       PxIE = 0x14,
       PxCMD = 0x18,
       PxTFD = 0x20,
       PxSIG = 0x24,
       PxSSTS = 0x28,
       PxSCTL = 0x2c,
       PxSERR = 0x30,
       PxSACT = 0x34,
       PxCI = 0x38,
};
#define PORT_BASE   0x100u
#define PORT_STRIDE 0x80u
#define PORTS_MAX   32u

#define CMD_ST	     (1u << 0)
#define CMD_SUD	     (1u << 1)
#define CMD_POD	     (1u << 2)
#define CMD_FRE	     (1u << 4)
#define CMD_FR	     (1u << 14)
#define CMD_CR	     (1u << 15)
#define CMD_ICC_MASK (0xfu << 28)
#define CMD_ICC_ACT  (1u << 28)

#define IS_DHRS	  (1u << 0)
#define IS_DSS	  (1u << 2)
#define IS_SDBS	  (1u << 3)
#define IS_PCS	  (1u << 6)
#define IS_PRCS	  (1u << 22)
#define IS_IFS	  (1u << 27)
#define IS_HBDS	  (1u << 28)
#define IS_HBFS	  (1u << 29)
#define IS_TFES	  (1u << 30)
#define IS_ERRORS (IS_IFS | IS_HBDS | IS_HBFS | IS_TFES)
#define IS_WANTED (IS_DHRS | IS_DSS | IS_SDBS | IS_PCS | IS_PRCS | IS_ERRORS)

#define SSTS_DET	 0xfu
#define SSTS_DET_PRESENT 3u
#define SCTL_DET_INIT	 1u
#define SCTL_NO_POWER	 (3u << 8) /* IPM: neither Partial nor Slumber */
#define SIG_ATA		 0x00000101u

struct command_header {
	uint32_t flags; /* CFL 4:0, W 6, PRDTL 31:16 */
	uint32_t prdbc;
	uint32_t ctba, ctbau;
	uint32_t reserved[4];
};
_Static_assert(sizeof(struct command_header) == 32, "AHCI 4.2.2");
#define HEADER_WRITE (1u << 6)
#define FIS_DWORDS   5u

struct prd {
	uint32_t dba, dbau, reserved;
	uint32_t dbc; /* bytes - 1 */
};

struct command_table {
	uint8_t cfis[64], acmd[16], reserved[48];
	struct prd prd[DRIVE_VECTORS_MAX];
};
_Static_assert(sizeof(struct command_table) == 256, "128-byte aligned in an array");

#define FIS_H2D	       0x27u
#define FIS_H2D_IS_CMD 0x80u

struct port_memory {
	struct command_header header[DRIVE_SLOTS]; /* 1 KiB aligned */
	uint8_t fis[256];			   /* 256 aligned */
	uint8_t padding[768];
	struct command_table table[DRIVE_SLOTS];
	uint16_t identity[ATA_IDENTITY_WORDS];
};
#define PORT_PAGES ((sizeof(struct port_memory) + 4095) / 4096)

struct ahci_port {
	struct drive drive;
	volatile void *hba;
	unsigned number;
	bool ncq;
	struct port_memory *memory;
};

static uint32_t port_read(const struct ahci_port *p, uint32_t reg)
{
	return hw_read32(p->hba, PORT_BASE + p->number * PORT_STRIDE + reg);
}

static void port_write(const struct ahci_port *p, uint32_t reg, uint32_t v)
{
	hw_write32(p->hba, PORT_BASE + p->number * PORT_STRIDE + reg, v);
}

#define STEP_US 100

/* Until (port register & mask) == value; -ETIMEDOUT, or -ENODEV if all bits are set. */
static int port_wait(const struct ahci_port *p, uint32_t reg, uint32_t mask, uint32_t value,
		     unsigned us)
{
	for (unsigned waited = 0;; waited += STEP_US) {
		uint32_t v = port_read(p, reg);

		if (v == UINT32_MAX)
			return -ENODEV;
		if ((v & mask) == value)
			return 0;
		if (waited >= us)
			return -ETIMEDOUT;
		hw_delay_us(STEP_US);
	}
}

/* --- bringing a port up and down (AHCI 10.1.2, 10.3, 10.4) --- */

static int port_stop(const struct ahci_port *p)
{
	int err;

	port_write(p, PxCMD, port_read(p, PxCMD) & ~CMD_ST);
	err = port_wait(p, PxCMD, CMD_CR, 0, 500000);
	if (err)
		return err;
	port_write(p, PxCMD, port_read(p, PxCMD) & ~CMD_FRE);
	return port_wait(p, PxCMD, CMD_FR, 0, 500000);
}

static bool port_has_link(const struct ahci_port *p)
{
	return (port_read(p, PxSSTS) & SSTS_DET) == SSTS_DET_PRESENT;
}

static int port_comreset(const struct ahci_port *p)
{
	port_write(p, PxSCTL, SCTL_NO_POWER | SCTL_DET_INIT);
	hw_delay_us(1000);
	port_write(p, PxSCTL, SCTL_NO_POWER);
	return port_wait(p, PxSSTS, SSTS_DET, SSTS_DET_PRESENT, 1000000);
}

static void port_set_base(const struct ahci_port *p)
{
	uint64_t headers = hw_dma_address(p->memory->header), fis = hw_dma_address(p->memory->fis);

	port_write(p, PxCLB, (uint32_t)headers);
	port_write(p, PxCLBU, (uint32_t)(headers >> 32));
	port_write(p, PxFB, (uint32_t)fis);
	port_write(p, PxFBU, (uint32_t)(fis >> 32));
}

/* The engine is stopped. Its disk may take seconds to spin up. */
static int port_start(const struct ahci_port *p)
{
	int err;

	port_write(p, PxSERR, UINT32_MAX);
	port_write(p, PxIS, UINT32_MAX);
	port_write(p, PxCMD,
		   (port_read(p, PxCMD) & ~CMD_ICC_MASK) | CMD_ICC_ACT | CMD_POD | CMD_SUD |
			   CMD_FRE);
	err = port_wait(p, PxSSTS, SSTS_DET, SSTS_DET_PRESENT, 1000000);
	if (!err)
		err = port_wait(p, PxTFD, ATA_BSY | ATA_DRQ, 0, 10000000);
	if (err)
		return err;
	port_write(p, PxSERR, UINT32_MAX);
	port_write(p, PxCMD, port_read(p, PxCMD) | CMD_ST);
	return 0;
}

static int reset(struct drive *d)
{
	struct ahci_port *p = (struct ahci_port *)d;
	int err = port_stop(p);

	/* an engine that does not stop needs COMRESET, and so does a link that is down, and a disk
	 * that is busy for good, or still has queued commands (after an error it refuses all others
	 * until then) */
	if (err == -ETIMEDOUT || p->ncq || !port_has_link(p) ||
	    port_read(p, PxTFD) & (ATA_BSY | ATA_DRQ)) {
		err = port_comreset(p);
		if (!err)
			err = port_stop(p);
	}
	return err ? err : port_start(p);
}

static int off(struct drive *d)
{
	struct ahci_port *p = (struct ahci_port *)d;

	port_write(p, PxIE, 0);
	if (port_stop(p) == 0)
		return 0;
	(void)port_comreset(p);
	return port_stop(p);
}

/* --- commands --- */

static void fill_fis(uint8_t *fis, uint8_t command, uint64_t lba, uint16_t features, uint16_t count,
		     uint8_t device)
{
	const uint8_t bytes[] = {
		FIS_H2D,
		FIS_H2D_IS_CMD,
		command,
		(uint8_t)features,
		(uint8_t)lba,
		(uint8_t)(lba >> 8),
		(uint8_t)(lba >> 16),
		device,
		(uint8_t)(lba >> 24),
		(uint8_t)(lba >> 32),
		(uint8_t)(lba >> 40),
		(uint8_t)(features >> 8),
		(uint8_t)count,
		(uint8_t)(count >> 8),
	};

	memset(fis, 0, FIS_DWORDS * sizeof(uint32_t));
	memcpy(fis, bytes, sizeof(bytes));
}

static uint32_t fill_prds(struct command_table *t, const struct block_vec *vec, unsigned n)
{
	uint32_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t a = hw_dma_address(vec[i].base);

		t->prd[i] = (struct prd){.dba = (uint32_t)a,
					 .dbau = (uint32_t)(a >> 32),
					 .dbc = (uint32_t)vec[i].bytes - 1};
		bytes += (uint32_t)vec[i].bytes;
	}
	return bytes;
}

static void issue(const struct ahci_port *p, unsigned slot, unsigned n_prd, bool write, bool queued)
{
	uint64_t table = hw_dma_address(&p->memory->table[slot]);

	p->memory->header[slot] = (struct command_header){
		.flags = FIS_DWORDS | (write ? HEADER_WRITE : 0) | n_prd << 16,
		.ctba = (uint32_t)table,
		.ctbau = (uint32_t)(table >> 32)};
	hw_barrier();
	if (queued)
		port_write(p, PxSACT, 1u << slot);
	port_write(p, PxCI, 1u << slot);
}

static void start(struct drive *d, unsigned slot, const struct block_request *r)
{
	struct ahci_port *p = (struct ahci_port *)d;
	struct command_table *t = &p->memory->table[slot];
	bool write = r->op == BLOCK_WRITE;
	uint16_t count;

	if (r->op == BLOCK_FLUSH) {
		fill_fis(t->cfis, ATA_FLUSH_CACHE_EXT, 0, 0, 0, 0);
		issue(p, slot, 0, false, false);
		return;
	}
	count = (uint16_t)(fill_prds(t, r->vec, r->n_vec) / SECTOR_SIZE);
	if (p->ncq)
		fill_fis(t->cfis, write ? ATA_WRITE_FPDMA_QUEUED : ATA_READ_FPDMA_QUEUED, r->sector,
			 count, (uint16_t)(slot << 3), ATA_DEVICE_LBA);
	else
		fill_fis(t->cfis, write ? ATA_WRITE_DMA_EXT : ATA_READ_DMA_EXT, r->sector, 0, count,
			 ATA_DEVICE_LBA);
	issue(p, slot, r->n_vec, write, p->ncq);
}

/* Interrupt status first: what ends after it was cleared raises another interrupt. */
static int look(struct drive *d, uint32_t *done, uint32_t *failed)
{
	struct ahci_port *p = (struct ahci_port *)d;
	uint32_t is = port_read(p, PxIS), queued, active;

	if (is == UINT32_MAX)
		return -ENODEV;
	if (is) {
		port_write(p, PxIS, is);
		hw_write32(p->hba, IS, 1u << p->number);
	}
	if (is & (IS_PCS | IS_PRCS))
		return -EAGAIN;
	active = port_read(p, PxCI);
	queued = port_read(p, PxSACT);
	active |= queued;
	hw_barrier();
	is |= port_read(p, PxIS); /* before the first look or after it */
	/* some controllers clear CI of a command that failed (QEMU before 8.1), none SACT */
	if (is & IS_ERRORS && !queued)
		active = d->busy;
	*done = d->busy & ~active;
	if (is & IS_ERRORS)
		*failed = d->busy & active;
	return 0;
}

static const struct drive_ops ahci_ops = {
	.name = "ahci", .start = start, .look = look, .reset = reset, .off = off};

/* --- what is there --- */

static int identify(struct ahci_port *p, struct ata_identity *id)
{
	struct command_table *t = &p->memory->table[0];
	struct block_vec vec = {p->memory->identity, sizeof(p->memory->identity)};
	int err;

	fill_fis(t->cfis, ATA_IDENTIFY_DEVICE, 0, 0, 0, 0);
	(void)fill_prds(t, &vec, 1);
	issue(p, 0, 1, false, false);
	err = port_wait(p, PxCI, 1, 0, 5000000);
	if (!err && port_read(p, PxIS) & IS_ERRORS)
		err = -EIO;
	hw_barrier();
	return err ? err : ata_identify(p->memory->identity, id);
}

static int bring_up(struct ahci_port *p, uint32_t cap)
{
	struct drive *d = &p->drive;
	struct ata_identity id;
	int err = port_stop(p);

	if (err)
		return err;
	port_set_base(p);
	err = port_start(p);
	if (err || port_read(p, PxSIG) != SIG_ATA)
		return err ? err : -ENODEV;
	err = identify(p, &id);
	if (err) {
		(void)off(d);
		return err;
	}
	p->ncq = cap & CAP_SNCQ && id.queue_depth > 1;
	d->ops = &ahci_ops;
	d->dev.sectors = id.sectors;
	d->depth = p->ncq ? id.queue_depth : 1;
	if (d->depth > CAP_NCS(cap))
		d->depth = CAP_NCS(cap);
	memcpy(d->model, id.model, sizeof(id.model));
	drive_init(d);
	port_write(p, PxIS, UINT32_MAX);
	port_write(p, PxIE, IS_WANTED);
	return 0;
}

static int port_find(volatile void *hba, unsigned number, uint32_t cap,
		     void (*found)(struct drive *d, void *arg), void *arg)
{
	struct ahci_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->hba = hba;
	p->number = number;
	/* an empty port: no memory for it */
	port_write(p, PxCMD, port_read(p, PxCMD) | CMD_SUD | CMD_POD);
	if (port_wait(p, PxSSTS, SSTS_DET, SSTS_DET_PRESENT, 20000) != 0) {
		free(p);
		return 0;
	}
	p->memory = hw_dma_alloc(PORT_PAGES);
	if (!p->memory) {
		free(p);
		return -ENOMEM;
	}
	if (bring_up(p, cap) == 0)
		found(&p->drive, arg);
	else
		free(p); /* but not what the device knows of: who can say what it still does? */
	return 0;
}

static int hba_wait(volatile void *regs, uint32_t reg, uint32_t mask, unsigned us)
{
	for (unsigned waited = 0; hw_read32(regs, reg) & mask; waited += STEP_US) {
		if (waited >= us)
			return -ETIMEDOUT;
		hw_delay_us(STEP_US);
	}
	return 0;
}

/* AHCI 10.6.3: from the firmware; 10.4.3: and as after power-on. */
static int take_over(volatile void *regs)
{
	if (hw_read32(regs, CAP2) & CAP2_BOH) {
		hw_write32(regs, BOHC, hw_read32(regs, BOHC) | BOHC_OOS);
		(void)hba_wait(regs, BOHC, BOHC_BOS, 2000000); /* then it is ours anyway */
	}
	hw_write32(regs, GHC, GHC_AE);
	hw_write32(regs, GHC, GHC_AE | GHC_HR);
	if (hba_wait(regs, GHC, GHC_HR, 1000000) != 0)
		return -ENODEV;
	hw_write32(regs, GHC, GHC_AE);
	return 0;
}

int ahci_init(volatile void *regs, void (*found)(struct drive *d, void *arg), void *arg)
{
	uint32_t cap = hw_read32(regs, CAP), ports = hw_read32(regs, PI);
	int err;

	if (cap == UINT32_MAX || take_over(regs) != 0)
		return -ENODEV;
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		err = ports >> i & 1 ? port_find(regs, i, cap, found, arg) : 0;
		if (err)
			return err;
	}
	hw_write32(regs, IS, UINT32_MAX);
	hw_write32(regs, GHC, GHC_AE | GHC_IE);
	return 0;
}
