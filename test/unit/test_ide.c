// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/ide.c storage/ata.c storage/drive.c */
/* The IDE driver against a model of a channel (82371SB, bus master IDE 1.0) with two disks that
 * work, fail, fall silent, or vanish. */
#include <errno.h>
#include <stdlib.h>
#include "storage/ata.h"
#include "storage/drive.h"
#include "storage/hw.h"
#include "storage/ide.h"
#include "test/unit/check.h"

/* What a channel has it keeps for good. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define DISKS	 2u
#define SECTORS	 4096u
#define REQUESTS 20u
#define NOWHERE	 UINT64_MAX
#define MOST_US	 (120 * 1000000ull)

#define ARENA_BYTES (4u << 20)
#define ARENA_AT    0x10000000u /* where the device finds it: below 4 GiB */

enum { BASE = 0x1f0, CONTROL = 0x3f6, MASTER = 0xc000 };
static const struct ide_ports ports = {BASE, CONTROL, MASTER};

/* --- the model --- */

static uint8_t arena[ARENA_BYTES] __attribute__((aligned(65536)));
static size_t arena_used;

static struct {
	uint8_t reg[8], high[8]; /* as last written, and before */
	uint8_t control, bmic, bmis, status;
	uint32_t bmidtp;
	bool present[DISKS];
	uint16_t identity[DISKS][ATA_IDENTITY_WORDS];
	unsigned word; /* of an IDENTIFY that is being read */
	uint8_t data[DISKS][SECTORS][SECTOR_SIZE];
	uint8_t command; /* that is being carried out; 0: none */
	unsigned disk;	 /* whose it is */
	uint64_t now, bad;
	bool silent, vanished, hangs, short_of, dma_goes_on;
	bool master_off;
	unsigned flushes, resets, disturbed; /* commands while another one was running */
} m;

static uint8_t *at(uint32_t address, size_t n)
{
	if (!CHECK(address >= ARENA_AT && address - ARENA_AT + n <= ARENA_BYTES))
		abort();
	return arena + (address - ARENA_AT);
}

static unsigned selected(void)
{
	return m.reg[6] >> 4 & 1;
}

static uint8_t status(void)
{
	if (m.vanished)
		return 0xff;
	if (m.hangs)
		return ATA_BSY;
	if (!m.present[selected()])
		return 0;
	return m.command ? ATA_BSY : m.status;
}

uint8_t hw_in8(uint16_t port)
{
	switch (port) {
	case CONTROL:
	case BASE + 7:
		return status();
	case MASTER:
		return m.bmic;
	case MASTER + 2:
		return m.vanished ? 0xff : m.bmis;
	default:
		return m.vanished ? 0xff : m.reg[port - BASE];
	}
}

uint16_t hw_in16(uint16_t port)
{
	uint16_t v;

	CHECK_EQ(port, BASE);
	if (!CHECK(m.word < ATA_IDENTITY_WORDS))
		return 0;
	v = m.identity[selected()][m.word++];
	if (m.word == ATA_IDENTITY_WORDS)
		m.status = ATA_DRDY;
	return v;
}

static void command(uint8_t c)
{
	if (m.command)
		m.disturbed++;
	if (!m.present[selected()])
		return;
	if (c == ATA_IDENTIFY_DEVICE) {
		m.word = 0;
		m.status = ATA_DRDY | ATA_DRQ;
		m.bmis |= 4;
		return;
	}
	m.command = c;
	m.disk = selected();
}

static void control(uint8_t v)
{
	if (v & 4) {
		m.resets++;
		m.command = 0;
		m.status = ATA_DRDY;
	}
	m.control = v;
}

void hw_out8(uint16_t port, uint8_t v)
{
	if (m.vanished)
		return;
	switch (port) {
	case CONTROL:
		control(v);
		break;
	case BASE + 7:
		command(v);
		break;
	case MASTER:
		m.bmic = v;
		if (v & 1)
			m.bmis |= 1;
		else if (!m.dma_goes_on)
			m.bmis &= (uint8_t)~1u;
		break;
	case MASTER + 2:
		m.bmis = (uint8_t)((m.bmis & 1) | (v & 0x60) | (m.bmis & ~v & 6));
		break;
	default:
		m.high[port - BASE] = m.reg[port - BASE];
		m.reg[port - BASE] = v;
	}
}

void hw_out32(uint16_t port, uint32_t v)
{
	CHECK_EQ(port, MASTER + 4);
	m.bmidtp = v;
}

void hw_master_off(const void *function)
{
	CHECK(function == &m);
	m.master_off = true;
}

void *hw_dma_alloc(size_t pages)
{
	void *p = arena + arena_used;

	arena_used += pages * 4096;
	return p;
}

uint64_t hw_dma_address(const void *p)
{
	return ARENA_AT + (uint64_t)((const uint8_t *)p - arena);
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

/* What the PRD table says about `bytes` of data. */
static bool move(uint8_t *disk, size_t bytes, bool to_memory)
{
	const uint32_t *prd = (const uint32_t *)(const void *)at(m.bmidtp, 8);
	bool last = false;

	while (bytes) {
		size_t n = prd[1] & 0xffff ? prd[1] & 0xffff : 0x10000;
		uint8_t *memory = at(prd[0], n);

		CHECK(!last && n <= bytes && prd[0] / 0x10000 == (prd[0] + n - 1) / 0x10000);
		last = prd[1] >> 31;
		if (to_memory)
			memcpy(memory, disk, n);
		else
			memcpy(disk, memory, n);
		disk += n;
		bytes -= n;
		prd += 2;
	}
	return CHECK(last);
}

static bool transfer(bool read)
{
	uint64_t lba = 0;
	unsigned count = m.high[2] << 8 | m.reg[2];

	for (unsigned i = 0; i < 3; i++)
		lba |= (uint64_t)m.reg[3 + i] << 8 * i | (uint64_t)m.high[3 + i] << (24 + 8 * i);
	if (!CHECK(m.reg[6] & ATA_DEVICE_LBA && lba + count <= SECTORS))
		return false;
	if (m.bad >= lba && m.bad < lba + count)
		return false;
	CHECK_EQ(!(m.bmic & 8), !read);
	return move(m.data[m.disk][lba], (size_t)count * SECTOR_SIZE, read);
}

/* The disk does its command. */
static bool work(void)
{
	bool flush = m.command == ATA_FLUSH_CACHE_EXT, well;

	if (m.vanished || m.silent || m.hangs || !m.command || (!flush && !(m.bmis & 1)))
		return false;
	if (flush)
		m.flushes++;
	well = flush || transfer(m.command == ATA_READ_DMA_EXT);
	m.command = 0;
	m.status = well ? ATA_DRDY : ATA_DRDY | ATA_ERR;
	if (well && !m.short_of)
		m.bmis &= (uint8_t)~1u;
	m.bmis |= 4;
	return true;
}

/* --- its user --- */

static struct drive_controller controller = {.function = &m};
static struct drive *drive[DISKS];
static unsigned drives;
static struct block_request request[REQUESTS];
static struct block_vec vec[REQUESTS][2];
static uint8_t *buffer[REQUESTS];
static unsigned ended;

static void found(struct drive *d, void *arg)
{
	(void)arg;
	d->controller = &controller;
	drive[drives++] = d;
}

static void done(struct block_request *r)
{
	(void)r;
	ended++;
}

static void plug_in(unsigned disks)
{
	memset(&m, 0, sizeof(m));
	m.bad = NOWHERE;
	m.status = ATA_DRDY;
	for (unsigned d = 0; d < disks; d++) {
		m.present[d] = true;
		m.identity[d][27] = 'D' << 8 | (uint8_t)('0' + d);
		for (unsigned i = 28; i < 47; i++)
			m.identity[d][i] = 0x2020;
		m.identity[d][49] = 3 << 8;
		m.identity[d][83] = 0x7400;
		m.identity[d][100] = SECTORS;
		for (unsigned i = 0; i < SECTORS; i++)
			memset(m.data[d][i], (int)(i * 7 + d + 1), SECTOR_SIZE);
	}
	controller.off = false;
	drives = ended = 0;
	arena_used = 4096;
}

static bool start(unsigned disks)
{
	plug_in(disks);
	CHECK_EQ(ide_init(&ports, found, NULL), 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		buffer[i] = arena + 65536 + (size_t)i * 0x20000 + 0xf000; /* across a boundary */
	return CHECK_EQ(drives, disks);
}

static void submit_to(unsigned disk, enum block_op op, unsigned n, uint64_t sector,
		      unsigned sectors)
{
	struct block_request *r = &request[n];

	vec[n][0] = (struct block_vec){buffer[n], (size_t)sectors * SECTOR_SIZE};
	*r = (struct block_request){.op = op,
				    .sector = sector,
				    .vec = vec[n],
				    .n_vec = op == BLOCK_FLUSH ? 0 : 1,
				    .status = 1,
				    .done = done};
	drive[disk]->dev.ops->submit(&drive[disk]->dev, r);
}

static void submit(enum block_op op, unsigned n, uint64_t sector, unsigned sectors)
{
	submit_to(0, op, n, sector, sectors);
}

static void run(unsigned requests)
{
	uint64_t limit = m.now + MOST_US;

	while (ended < requests && m.now < limit) {
		m.now += work() ? 10 : 100000;
		for (unsigned i = 0; i < drives; i++)
			drive[i]->dev.ops->poll(&drive[i]->dev);
	}
	CHECK_EQ(ended, requests);
}

/* --- tests --- */

static void finds_the_disks(void)
{
	if (!start(2))
		return;
	CHECK_STR(drive[0]->model, "D0");
	CHECK_STR(drive[1]->model, "D1");
	CHECK_EQ(drive[0]->dev.sectors, SECTORS);
	CHECK_EQ(drive[0]->depth, 1);
	(void)start(1);
}

static void reads_and_writes(void)
{
	if (!start(1))
		return;
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(BLOCK_READ, i, i * 100, 1 + i * 6);
	run(REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK(request[i].status == 0 &&
		      memcmp(buffer[i], m.data[0][i * 100], (1 + i * 6) * SECTOR_SIZE) == 0);
	ended = 0;
	for (unsigned i = 0; i < REQUESTS; i++) {
		memset(buffer[i], (int)(0x80 + i), SECTOR_SIZE);
		submit(BLOCK_WRITE, i, SECTORS - 1 - i, 1);
	}
	run(REQUESTS);
	ended = 0;
	submit(BLOCK_FLUSH, 0, 0, 0);
	run(1);
	for (unsigned i = 1; i < REQUESTS; i++)
		CHECK(request[i].status == 0 && m.data[0][SECTORS - 1 - i][5] == 0x80 + i);
	CHECK_EQ(m.flushes, 1);
	CHECK_EQ(m.resets, 1); /* the driver's first */
}

/* Two buffers, and the largest request. */
static void long_lists(void)
{
	if (!start(1))
		return;
	buffer[0] = arena + 0x21000;
	submit(BLOCK_READ, 0, 3, DRIVE_SECTORS_MAX);
	run(1);
	CHECK(request[0].status == 0 &&
	      memcmp(buffer[0], m.data[0][3], DRIVE_SECTORS_MAX * SECTOR_SIZE) == 0);
	ended = 0;
	vec[1][0] = (struct block_vec){arena + 0x20200, 3 * SECTOR_SIZE};
	vec[1][1] = (struct block_vec){arena + 0x4fe00, 2 * SECTOR_SIZE};
	request[1] = (struct block_request){
		.op = BLOCK_READ, .sector = 9, .vec = vec[1], .n_vec = 2, .done = done};
	drive[0]->dev.ops->submit(&drive[0]->dev, &request[1]);
	run(1);
	CHECK(memcmp(arena + 0x20200, m.data[0][9], 3 * SECTOR_SIZE) == 0 &&
	      memcmp(arena + 0x4fe00, m.data[0][12], 2 * SECTOR_SIZE) == 0);
}

/* One command on the channel at a time, and each disk gets its turns. */
static void two_disks_take_turns(void)
{
	if (!start(2))
		return;
	for (unsigned i = 0; i < REQUESTS; i++)
		submit_to(i % 2, BLOCK_READ, i, i * 10, 3);
	run(REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK(request[i].status == 0 &&
		      memcmp(buffer[i], m.data[i % 2][i * 10], 3 * SECTOR_SIZE) == 0);
	CHECK_EQ(m.disturbed, 0);
}

static void a_bad_sector_is_the_only_one_that_fails(void)
{
	if (!start(1))
		return;
	m.bad = 1001;
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i % 2 ? BLOCK_READ : BLOCK_WRITE, i, i * 200, 2);
	run(REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK_EQ(request[i].status, i == 5 ? -EIO : 0);
}

/* The disk is done and the list is not: data are missing. */
static void less_than_asked_for(void)
{
	if (!start(1))
		return;
	m.short_of = true;
	submit(BLOCK_READ, 0, 0, 2);
	run(1);
	CHECK_EQ(request[0].status, -EIO);
}

static void a_disk_that_falls_silent(void)
{
	if (!start(2))
		return;
	m.silent = true;
	submit(BLOCK_READ, 0, 8, 1);
	run(1);
	CHECK_EQ(request[0].status, -ETIMEDOUT);
	CHECK_EQ(m.resets, 2);
	CHECK_EQ(m.bmis & 1, 0); /* the controller leaves memory alone */
	m.silent = false;
	ended = 0;
	submit(BLOCK_READ, 1, 9, 1);
	submit_to(1, BLOCK_READ, 2, 9, 1);
	run(2);
	CHECK_EQ(request[1].status, 0);
	CHECK_EQ(request[2].status, 0);
	CHECK(!m.master_off);
}

static void a_channel_that_hangs(void)
{
	if (!start(1))
		return;
	submit(BLOCK_READ, 0, 8, 1);
	m.hangs = true;
	submit(BLOCK_READ, 1, 9, 1);
	run(2);
	CHECK(request[0].status == -ETIMEDOUT && request[1].status == -ENODEV);
	CHECK(drive[0]->gone);
}

/* DMA that nobody can stop: the controller loses the bus before a buffer is somebody else's. */
static void dma_that_does_not_stop(void)
{
	if (!start(2))
		return;
	m.dma_goes_on = true;
	submit(BLOCK_READ, 0, 8, 1);
	m.hangs = true;
	run(1);
	CHECK(m.master_off && drive[0]->gone);
	ended = 0;
	submit_to(1, BLOCK_READ, 1, 8, 1);
	run(1);
	CHECK_EQ(request[1].status, -ENODEV);
}

static void a_controller_that_vanishes(void)
{
	if (!start(1))
		return;
	for (unsigned i = 0; i < 4; i++)
		submit(BLOCK_READ, i, i, 1);
	m.vanished = true;
	run(4);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(request[i].status, -ENODEV);
	CHECK(m.now < 1000000 + MOST_US / 4);
}

static void outside_of_the_disk(void)
{
	if (!start(1))
		return;
	submit(BLOCK_READ, 0, SECTORS, 1);
	submit(BLOCK_WRITE, 1, SECTORS - 1, 2);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(request[i].status, -ERANGE);
}

static void nothing_there(void)
{
	plug_in(0);
	CHECK_EQ(ide_init(&ports, found, NULL), 0);
	CHECK_EQ(drives, 0);
	plug_in(1);
	m.vanished = true;
	CHECK_EQ(ide_init(&ports, found, NULL), -ENODEV);
	plug_in(1);
	m.hangs = true;
	CHECK_EQ(ide_init(&ports, found, NULL), -ENODEV);
	plug_in(2);
	m.identity[0][83] = 0; /* 28 bits only */
	CHECK_EQ(ide_init(&ports, found, NULL), 0);
	CHECK_EQ(drives, 1);
}

int main(void)
{
	RUN(finds_the_disks);
	RUN(reads_and_writes);
	RUN(long_lists);
	RUN(two_disks_take_turns);
	RUN(a_bad_sector_is_the_only_one_that_fails);
	RUN(less_than_asked_for);
	RUN(a_disk_that_falls_silent);
	RUN(a_channel_that_hangs);
	RUN(dma_that_does_not_stop);
	RUN(a_controller_that_vanishes);
	RUN(outside_of_the_disk);
	RUN(nothing_there);
	return check_result();
}
