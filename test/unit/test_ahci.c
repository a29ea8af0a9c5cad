/* build: storage/ahci.c storage/ata.c storage/drive.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AHCI driver against a model of a controller (AHCI 1.3.1) that works, fails, or lies. */
#include <errno.h>
#include <stdlib.h>
#include "storage/ahci.h"
#include "storage/ata.h"
#include "storage/drive.h"
#include "storage/hw.h"
#include "test/unit/check.h"

/* What a port has it keeps for good: nobody knows what its engine still does. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define SECTORS	 4096u
#define REQUESTS 40u
#define NOWHERE	 UINT64_MAX
#define MOST_US	 (120 * 1000000ull) /* more than anything may take */

enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0c };
enum { CLB, CLBU, FB, FBU, PIS, PIE, CMD, RES, TFD, SIG, SSTS, SCTL, SERR, SACT, CI, PORT_REGS };
#define GHC_HR 1u
#define ST     (1u << 0)
#define FRE    (1u << 4)
#define FR     (1u << 14)
#define CR     (1u << 15)
#define SDBS   (1u << 3)
#define DHRS   (1u << 0)
#define PCS    (1u << 6)
#define PRCS   (1u << 22)
#define TFES   (1u << 30)
#define DIAG_N (1u << 16)
#define DIAG_X (1u << 26)

/* --- the model: one disk, on port 1 of ports 0 and 1 --- */

static struct {
	uint32_t ghc, is;
	uint32_t port[PORT_REGS]; /* of port 1 */
	uint8_t data[SECTORS][SECTOR_SIZE];
	uint16_t identity[ATA_IDENTITY_WORDS];
	uint64_t now;
	uint64_t bad;		/* a sector that can't be read or written */
	bool clears_ci;		/* of a command that failed, as some do */
	bool silent;		/* takes commands and does nothing */
	bool vanished;		/* all-ones */
	bool unplugged;		/* no COMRESET brings the link back */
	bool busy;		/* BSY for good */
	bool stuck;		/* CR and FR stay */
	bool backwards;		/* ends the highest slot first */
	bool mixed;		/* queued commands and others at once: the driver's fault */
	bool master_off;	/* it reaches no memory any more */
	unsigned most, flushes; /* commands at once; that were done */
} m;

static uint32_t *port_reg(unsigned offset)
{
	return offset >= 0x180 && offset < 0x180 + 4 * PORT_REGS ? &m.port[(offset - 0x180) / 4]
								 : NULL;
}

uint32_t hw_read32(volatile void *regs, uint32_t offset)
{
	const uint32_t *reg = port_reg(offset);

	(void)regs;
	if (m.vanished)
		return UINT32_MAX;
	if (reg == &m.port[TFD] && m.busy)
		return ATA_BSY;
	if (reg)
		return *reg;
	switch (offset) {
	case CAP:
		return 31u << 8 | 1u << 30 | 1u << 31; /* 32 slots, NCQ, 64 bits */
	case GHC:
		return m.ghc;
	case IS:
		return m.is;
	case PI:
		return 3;
	default:
		return 0;
	}
}

static void stop_engine(void)
{
	m.port[CI] = m.port[SACT] = 0;
	if (!m.stuck)
		m.port[CMD] &= ~CR;
}

static void write_command(uint32_t v)
{
	m.port[CMD] = (v & ~(CR | FR)) | (m.port[CMD] & (CR | FR));
	if (v & ST)
		m.port[CMD] |= CR;
	else
		stop_engine();
	if (v & FRE)
		m.port[CMD] |= FR;
	else if (!m.stuck)
		m.port[CMD] &= ~FR;
}

void hw_write32(volatile void *regs, uint32_t offset, uint32_t v)
{
	uint32_t *reg = port_reg(offset);

	(void)regs;
	if (offset == GHC)
		m.ghc = v & ~GHC_HR;
	else if (offset == IS)
		m.is &= ~v;
	if (!reg || m.vanished)
		return;
	if (reg == &m.port[SERR]) {
		*reg &= ~v;
		m.port[PIS] &= ~((v & DIAG_X ? PCS : 0) | (v & DIAG_N ? PRCS : 0));
	} else if (reg == &m.port[PIS]) {
		*reg &= ~v | PCS | PRCS;
	} else if (reg == &m.port[CMD]) {
		write_command(v);
	} else if (reg == &m.port[CI] || reg == &m.port[SACT]) {
		*reg |= v;
	} else {
		*reg = v;
	}
	if (reg == &m.port[SCTL] && (v & 15) == 1) { /* COMRESET */
		stop_engine();
		m.port[TFD] = 0x50;
		if (!m.unplugged)
			m.port[SSTS] = 0x123;
	}
}

static void break_link(void)
{
	m.port[SSTS] = 0;
	m.port[SERR] |= DIAG_N | DIAG_X;
	m.port[PIS] |= PRCS | PCS;
}

void *hw_dma_alloc(size_t pages)
{
	return memset(aligned_alloc(4096, pages * 4096), 0, pages * 4096);
}

uint64_t hw_dma_address(const void *p)
{
	return (uintptr_t)p;
}

void hw_master_off(const void *function)
{
	CHECK(function == &m);
	m.master_off = true;
}

uint64_t hw_us(void)
{
	return m.now;
}

static bool work(void);

void hw_delay_us(unsigned us)
{
	m.now += us;
	(void)work();
}

static void *memory_at(uint32_t low, uint32_t high)
{
	return (void *)((uintptr_t)high << 32 | low);
}

/* Data of a command, or its IDENTIFY; false: the medium failed. */
static bool transfer(const uint32_t *header, const uint8_t *fis, uint64_t lba, uint64_t bytes)
{
	uint32_t *prd = (uint32_t *)((char *)memory_at(header[2], header[3]) + 128);
	uint8_t *disk = fis[2] == ATA_IDENTIFY_DEVICE ? (uint8_t *)m.identity : m.data[lba];

	if (fis[2] != ATA_IDENTIFY_DEVICE) {
		if (!CHECK(lba + bytes / SECTOR_SIZE <= SECTORS))
			return false;
		if (m.bad >= lba && m.bad < lba + bytes / SECTOR_SIZE)
			return false;
	}
	for (unsigned i = 0; i < header[0] >> 16; i++, prd += 4) {
		size_t n = (prd[3] & 0x3fffff) + 1;

		CHECK(n <= bytes);
		if (header[0] & 1u << 6)
			memcpy(disk, memory_at(prd[0], prd[1]), n);
		else
			memcpy(memory_at(prd[0], prd[1]), disk, n);
		disk += n;
		bytes -= n;
	}
	CHECK_EQ(bytes, 0);
	return true;
}

static bool execute(unsigned slot)
{
	const uint32_t *header =
		(const uint32_t *)memory_at(m.port[CLB], m.port[CLBU]) + 8 * (size_t)slot;
	const uint8_t *fis = memory_at(header[2], header[3]);
	bool queued = fis[2] == ATA_READ_FPDMA_QUEUED || fis[2] == ATA_WRITE_FPDMA_QUEUED;
	uint64_t lba = 0;
	unsigned count = queued ? fis[3] | fis[11] << 8 : fis[12] | fis[13] << 8;

	CHECK_EQ(header[0] & 31, 5);
	CHECK(fis[0] == 0x27 && fis[1] == 0x80);
	if (fis[2] == ATA_FLUSH_CACHE_EXT) {
		m.flushes++;
		return true;
	}
	if (fis[2] == ATA_IDENTIFY_DEVICE)
		return transfer(header, fis, 0, 512);
	if (queued)
		CHECK_EQ(fis[12] >> 3, slot);
	for (unsigned i = 0; i < 6; i++)
		lba |= (uint64_t)fis[i < 3 ? 4 + i : 5 + i] << 8 * i;
	return transfer(header, fis, lba, (uint64_t)count * SECTOR_SIZE);
}

/* An error stops the port's engine where it is: the rest stays issued. */
static void end_badly(unsigned slot, bool queued)
{
	m.port[TFD] = 0x41;
	m.port[PIS] |= TFES;
	if (queued)
		m.port[CI] &= ~(1u << slot); /* and its SACT stays */
	else if (m.clears_ci)
		m.port[CI] &= ~(1u << slot);
}

/* The device does one of its commands. */
static bool work(void)
{
	uint32_t issued = m.port[CI] | m.port[SACT];
	bool queued = m.port[SACT];
	unsigned slot;

	if (m.vanished || m.silent || !m.port[SSTS] || !issued || !(m.port[CMD] & CR) ||
	    m.port[PIS] & TFES)
		return false;
	if ((unsigned)__builtin_popcount(issued) > m.most)
		m.most = (unsigned)__builtin_popcount(issued);
	m.mixed |= queued && m.port[CI] & ~m.port[SACT];
	slot = (unsigned)(m.backwards ? 31 - __builtin_clz(issued) : __builtin_ctz(issued));
	m.is |= 2;
	if (!execute(slot)) {
		end_badly(slot, queued);
		return true;
	}
	m.port[CI] &= ~(1u << slot);
	m.port[SACT] &= ~(1u << slot);
	m.port[TFD] = 0x50;
	m.port[PIS] |= queued ? SDBS : DHRS;
	return true;
}

/* --- its user --- */

static struct drive_controller controller = {.function = &m};
static struct drive *drive;
static struct block_request request[REQUESTS];
static struct block_vec vec[REQUESTS];
static uint8_t buffer[REQUESTS][4 * SECTOR_SIZE];
static unsigned ended;

static void found(struct drive *d, void *arg)
{
	(void)arg;
	d->controller = &controller;
	drive = d;
}

static void done(struct block_request *r)
{
	(void)r;
	ended++;
}

static void put_text(uint16_t *word, const char *text, unsigned words)
{
	for (unsigned i = 0; i < words; i++) {
		char a = *text ? *text++ : ' ', b = *text ? *text++ : ' ';

		word[i] = (uint16_t)(a << 8 | b);
	}
}

static void plug_in(unsigned queue_depth)
{
	memset(&m, 0, sizeof(m));
	m.bad = NOWHERE;
	controller.off = false;
	m.port[SIG] = 0x101;
	m.port[SSTS] = 0x123;
	m.port[TFD] = 0x50;
	put_text(m.identity + 10, "S-1", 10);
	put_text(m.identity + 27, "MODEL OF A DISK", 20);
	m.identity[49] = 3 << 8;
	m.identity[83] = 0x7400; /* valid, LBA48, both flushes */
	m.identity[86] = 0x3400;
	m.identity[87] = 0x4000;
	m.identity[100] = SECTORS;
	m.identity[75] = (uint16_t)(queue_depth - 1);
	m.identity[76] = queue_depth > 1 ? 1 << 8 : 0;
	for (unsigned i = 0; i < SECTORS; i++)
		memset(m.data[i], (int)(i * 7 + 1), SECTOR_SIZE);
	drive = NULL;
	ended = 0;
}

static bool start(unsigned queue_depth)
{
	plug_in(queue_depth);
	(void)ahci_init(&m, found, NULL);
	return CHECK(drive != NULL);
}

static void submit(enum block_op op, unsigned n, uint64_t sector, unsigned sectors)
{
	struct block_request *r = &request[n];

	vec[n] = (struct block_vec){buffer[n], (size_t)sectors * SECTOR_SIZE};
	*r = (struct block_request){.op = op,
				    .sector = sector,
				    .vec = &vec[n],
				    .n_vec = op == BLOCK_FLUSH ? 0 : 1,
				    .status = 1,
				    .done = done};
	drive->dev.ops->submit(&drive->dev, r);
}

/* Until all of them have ended, or for longer than anything may take. */
static void run(unsigned requests)
{
	uint64_t limit = m.now + MOST_US;

	while (ended < requests && m.now < limit) {
		m.now += work() ? 10 : 100000;
		drive->dev.ops->poll(&drive->dev);
	}
	CHECK_EQ(ended, requests);
}

static bool reads(unsigned n, uint64_t sector)
{
	return request[n].status == 0 && memcmp(buffer[n], m.data[sector], SECTOR_SIZE) == 0;
}

/* --- tests --- */

static void finds_the_disk(void)
{
	if (!start(32))
		return;
	CHECK_EQ(drive->dev.sectors, SECTORS);
	CHECK_EQ(drive->depth, 32);
	CHECK_STR(drive->model, "MODEL OF A DISK");
	if (start(1))
		CHECK_EQ(drive->depth, 1);
}

static void reads_and_writes(unsigned depth, bool backwards)
{
	if (!start(depth))
		return;
	m.backwards = backwards;
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(BLOCK_READ, i, i * 100, 1 + i % 4);
	run(REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK(reads(i, i * 100));
	CHECK_EQ(m.most, depth);
	ended = 0;
	for (unsigned i = 0; i < REQUESTS; i++) {
		memset(buffer[i], (int)(0x80 + i), SECTOR_SIZE);
		submit(BLOCK_WRITE, i, SECTORS - 1 - i, 1);
	}
	run(REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK(reads(i, SECTORS - 1 - i) && m.data[SECTORS - 1 - i][0] == 0x80 + i);
}

static void one_at_a_time(void)
{
	reads_and_writes(1, false);
}

static void queued(void)
{
	reads_and_writes(32, false);
	reads_and_writes(7, true);
}

/* What was acknowledged before it is on the medium, and nothing else is on its way meanwhile. */
static void a_flush_goes_alone(void)
{
	if (!start(32))
		return;
	for (unsigned i = 0; i < 12; i++)
		submit(i % 4 == 3 ? BLOCK_FLUSH : BLOCK_WRITE, i, i, 1);
	run(12);
	for (unsigned i = 0; i < 12; i++)
		CHECK_EQ(request[i].status, 0);
	CHECK_EQ(m.flushes, 3);
	CHECK(!m.mixed);
}

static void outside_of_the_disk(void)
{
	if (!start(32))
		return;
	submit(BLOCK_READ, 0, SECTORS, 1);
	submit(BLOCK_WRITE, 1, SECTORS - 1, 2);
	submit(BLOCK_READ, 2, UINT64_MAX, 1);
	submit(BLOCK_READ, 3, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(request[i].status, -ERANGE);
	CHECK_EQ(m.port[CI], 0);
}

/* One sector is bad: its request fails, and no other one does. */
static void a_bad_sector(unsigned depth, bool clears_ci)
{
	if (!start(depth))
		return;
	m.bad = 1001;
	m.clears_ci = clears_ci;
	for (unsigned i = 0; i < 20; i++)
		submit(i % 2 ? BLOCK_READ : BLOCK_WRITE, i, i * 200, 2);
	run(20);
	for (unsigned i = 0; i < 20; i++)
		CHECK_EQ(request[i].status, i == 5 ? -EIO : 0);
	ended = 0;
	submit(BLOCK_READ, 0, 1000, 1);
	run(1);
	CHECK(reads(0, 1000));
}

static void a_bad_sector_is_the_only_one_that_fails(void)
{
	a_bad_sector(1, false);
	a_bad_sector(32, false);
}

static void a_bad_sector_where_errors_clear_ci(void)
{
	a_bad_sector(1, true);
	a_bad_sector(32, true);
}

static void all_end(int status)
{
	ended = 0;
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i % 8 == 7 ? BLOCK_FLUSH : BLOCK_WRITE, i, i, 1);
	run(REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK(request[i].status == status || request[i].status == -ENODEV);
}

static void a_disk_that_falls_silent(void)
{
	if (!start(32))
		return;
	m.silent = true;
	all_end(-ETIMEDOUT);
	CHECK_EQ(m.port[CI] | m.port[SACT], 0); /* it was told to leave memory alone */
	CHECK(!m.master_off);
}

static void a_disk_that_is_slow_once(void)
{
	if (!start(32))
		return;
	m.silent = true;
	submit(BLOCK_READ, 0, 8, 1);
	run(1);
	CHECK_EQ(request[0].status, -ETIMEDOUT);
	m.silent = false;
	submit(BLOCK_READ, 1, 9, 1);
	run(2);
	CHECK(reads(1, 9));
}

static void a_disk_that_vanishes(void)
{
	if (!start(32))
		return;
	for (unsigned i = 0; i < 8; i++)
		submit(BLOCK_READ, i, i, 1);
	m.vanished = true;
	run(8);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(request[i].status, -ENODEV);
	all_end(-ENODEV);
}

static void break_the_link_of(unsigned queue_depth, bool for_good)
{
	if (!start(queue_depth))
		return;
	for (unsigned i = 0; i < 8; i++)
		submit(BLOCK_READ, i, i, 1);
	m.unplugged = for_good;
	break_link();
	run(8);
	for (unsigned i = 0; i < 8; i++)
		CHECK(for_good ? request[i].status == -ENODEV : reads(i, i));
	if (for_good)
		return;
	break_link(); /* with nothing under way */
	submit(BLOCK_READ, 8, 9, 1);
	run(9);
	CHECK(reads(8, 9));
}

static void a_link_that_breaks_is_brought_back(void)
{
	break_the_link_of(1, false);
	break_the_link_of(32, false);
}

static void a_disk_that_is_unplugged(void)
{
	break_the_link_of(1, true);
	break_the_link_of(32, true);
}

static void an_engine_that_does_not_stop(void)
{
	if (!start(32))
		return;
	m.stuck = m.silent = true;
	all_end(-ETIMEDOUT);
	CHECK(m.master_off);
}

static void busy_for_good(void)
{
	plug_in(32);
	m.busy = true;
	(void)ahci_init(&m, found, NULL);
	CHECK(!drive);
	CHECK(m.now < MOST_US);
	if (!start(32))
		return;
	m.busy = m.silent = true;
	all_end(-ETIMEDOUT);
}

static void impossible_identities(void)
{
	for (unsigned i = 0; i < 6; i++) {
		plug_in(32);
		switch (i) {
		case 0: /* no sector */
			m.identity[100] = 0;
			break;
		case 1: /* more than 48 bits of them */
			m.identity[103] = 0xffff;
			m.identity[102] = m.identity[101] = m.identity[100] = 0xffff;
			break;
		case 2: /* sectors of 4096 bytes */
			m.identity[106] = 0x5000;
			m.identity[117] = 2048;
			break;
		case 3: /* no DMA */
			m.identity[49] = 0;
			break;
		case 4: /* all-ones */
			memset(m.identity, 0xff, sizeof(m.identity));
			break;
		case 5: /* not a disk */
			m.port[SIG] = 0xeb140101;
			break;
		}
		(void)ahci_init(&m, found, NULL);
		CHECK(!drive);
	}
}

static void nothing_there(void)
{
	plug_in(32);
	m.vanished = true;
	CHECK(ahci_init(&m, found, NULL) != 0);
	plug_in(32);
	m.port[SSTS] = 0;
	CHECK_EQ(ahci_init(&m, found, NULL), 0);
	CHECK(!drive);
}

int main(void)
{
	RUN(finds_the_disk);
	RUN(one_at_a_time);
	RUN(queued);
	RUN(a_flush_goes_alone);
	RUN(outside_of_the_disk);
	RUN(a_bad_sector_is_the_only_one_that_fails);
	RUN(a_bad_sector_where_errors_clear_ci);
	RUN(a_disk_that_falls_silent);
	RUN(a_disk_that_is_slow_once);
	RUN(a_disk_that_vanishes);
	RUN(a_link_that_breaks_is_brought_back);
	RUN(a_disk_that_is_unplugged);
	RUN(an_engine_that_does_not_stop);
	RUN(busy_for_good);
	RUN(impossible_identities);
	RUN(nothing_there);
	return check_result();
}
