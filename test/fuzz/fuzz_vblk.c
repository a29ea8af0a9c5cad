/* build: hv/vblk.c hv/virtio.c hv/msix.c hv/virtqueue.c hv/pci.c hv/ports.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver that knows the rules of a virtio disk and breaks them: any bytes in its rings and
 * tables, any register at any time, requests that end whenever they like, freezes in between. No
 * byte outside the guest's RAM may change, and no request may go beyond the disk.
 */
#include "test/fuzz/fuzz.h"
#include "test/unit/disk_rig.h"

#define TABLE (RAM_BASE + 0x3000)

static uint64_t somewhere(void)
{
	static const uint64_t places[] = {
		RAM_BASE + 0x8000,	   HV_BASE - 16,    HV_BASE, 0,
		RAM_BASE + RAM_BYTES - 16, UINT64_MAX - 64, TABLE,   DESC(0)};

	return places[take(1) % 8] + take(1) % 64;
}

static void write_descriptor(void)
{
	uint64_t table = take(1) & 1 ? DESC(take(1) % RIG_QUEUES) : TABLE;
	unsigned i = (unsigned)take(1) % 16;
	uint32_t n = (uint32_t)take(1) % 3 == 0 ? (uint32_t)take(4) : 16u << take(1) % 8;
	unsigned flags = (unsigned)take(1) % 9;

	descriptor(table, i, somewhere(), n, flags, (unsigned)take(1) % 10);
}

/* header, data, status, as it should be; the header is in the guest's RAM already */
static void write_chain(void)
{
	uint64_t table = take(1) & 1 ? DESC(take(1) % RIG_QUEUES) : TABLE;
	uint64_t at = RAM_BASE + 0x8000;
	unsigned device_writes = take(1) & 1 ? D_WRITE : 0;

	put(at, take(1) % 16, 8);
	put(at + 8, take(2), 8);
	descriptor(table, 0, at, 16, D_NEXT, 1);
	descriptor(table, 1, at + 512, 512u * (uint32_t)(take(1) % 8), D_NEXT | device_writes, 2);
	descriptor(table, 2, at + 8192, 1, D_WRITE, 0);
	if (table == TABLE)
		descriptor(DESC(0), 0, TABLE, 48, D_INDIRECT, 0);
}

static void check_request(const struct disk_request *r)
{
	REQUIRE(r->sector <= DISK_SECTORS && r->sectors <= DISK_SECTORS - r->sector);
}

static void end_request(void)
{
	static const int status[] = {0, 0, -EIO, -ECANCELED};
	static char data[4096];
	unsigned i;

	if (!n_submitted)
		return;
	i = (unsigned)take(1) % n_submitted;
	check_request(submitted[i]);
	if (submitted[i]->op <= DISK_WRITE && submitted[i]->sectors <= 8)
		(void)submitted[i]->copy(submitted[i], 0, data, submitted[i]->sectors * 512);
	finish_request(i, status[take(1) % 4]);
}

static void round_trip(void)
{
	units_freeze();
	REQUIRE(image_round_trip());
	units_thaw();
}

static void access_bar(void)
{
	static const uint16_t pieces[] = {0, R_ISR, R_DEVICE, R_NOTIFY, R_MSIX, R_PBA, 0, 0};
	unsigned size = 1u << take(1) % 4;
	unsigned at = (pieces[take(1) % 8] + (unsigned)take(1) % 80) & ~(size - 1);

	if (take(1) & 1)
		set(at, size, take(size));
	else
		(void)reg(at, size);
}

static void step(void)
{
	unsigned q = (unsigned)take(1) % RIG_QUEUES;

	switch (take(1) % 12) {
	case 0:
		write_descriptor();
		break;
	case 1 ... 2:
		write_chain();
		break;
	case 3 ... 4:
		offer(q, (unsigned)take(1) % 9);
		break;
	case 5 ... 6:
		end_request();
		break;
	case 7:
		access_bar();
		break;
	case 8:
		put(RAM_BASE + 0x1000 + take(2) % 0x3000, take(2), 2);
		break;
	case 9:
		set_space((unsigned)take(1) & 0xfc, 4, (uint32_t)take(4));
		break;
	case 10:
		round_trip();
		break;
	default:
		driver_up(take(1) & 1 ? VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX : 0,
			  take(1) & 1);
	}
	serve_disk();
	for (unsigned i = 0; i < n_submitted; i++)
		check_request(submitted[i]);
}

/* The hypervisor's page, and what lies behind the RAM. */
static bool untouched(void)
{
	for (unsigned i = 0; i < HV_BYTES; i++)
		if (ram[HV_BASE - RAM_BASE + i])
			return false;
	for (unsigned i = 0; i < 64; i++)
		if (ram[RAM_BYTES + i])
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (!started)
		rig_init();
	started = true;
	driver_up(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX, true);
	fuzz_begin(data, size);
	while (fuzz_more())
		step();
	REQUIRE(untouched());
	return 0;
}
