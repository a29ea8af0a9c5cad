/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's disk on a PCI bus, with a driver's side of it and a back end that keeps requests
 * until the test finishes them. Guest RAM is one array; below and above it, and in a hole that is
 * the hypervisor's, there is nothing. Include once, after check.h or fuzz.h.
 */
#pragma once
#include <errno.h>
#include "hv/disk.h"
#include "hv/guest.h"
#include "hv/pci.h"
#include "hv/vblk.h"
#include "hv/virtio.h"
#include "test/unit/board.h"

#define RAM_BASE     0x100000ull
#define RAM_BYTES    0x100000ull
#define HV_BASE	     (RAM_BASE + 0x80000) /* the hypervisor's page, in the middle */
#define HV_BYTES     0x1000ull
#define BAR_AT	     0x80000000ull
#define DISK_SECTORS 4096u
#define RIG_QUEUES   2u
#define DEV	     1u /* device number of the disk */

static uint8_t ram[RAM_BYTES + 64]; /* and a piece that nobody may touch */

static inline bool in_guest_ram(uint64_t at, uint64_t n)
{
	return at >= RAM_BASE && n <= RAM_BYTES && at - RAM_BASE <= RAM_BYTES - n &&
	       (at + n <= HV_BASE || at >= HV_BASE + HV_BYTES);
}

void *guest_ptr(gpa_t gpa, size_t n)
{
	return in_guest_ram(gpa.v, n) ? ram + (gpa.v - RAM_BASE) : NULL;
}

int guest_read(gpa_t gpa, void *buf, size_t n)
{
	void *p = guest_ptr(gpa, n);

	if (p)
		memcpy(buf, p, n);
	return p ? 0 : -EFAULT;
}

int guest_write(gpa_t gpa, const void *buf, size_t n)
{
	void *p = guest_ptr(gpa, n);

	if (p)
		memcpy(p, buf, n);
	return p ? 0 : -EFAULT;
}

static struct {
	uint64_t address;
	uint32_t data;
	unsigned count;
} msi;

void irq_msi(uint64_t addr, uint32_t data)
{
	msi.address = addr;
	msi.data = data;
	msi.count++;
}

/* --- the back end --- */

static struct disk_request *submitted[DISK_REQUESTS];
static unsigned n_submitted;
static bool woken;

void disk_submit(struct disk_request *r)
{
	if (n_submitted == DISK_REQUESTS)
		abort();
	submitted[n_submitted++] = r;
}

void disk_wake(void)
{
	woken = true;
}

static inline void finish_request(unsigned i, int status)
{
	struct disk_request *r = submitted[i];

	submitted[i] = submitted[--n_submitted];
	r->done(r, status);
}

void disk_stop(void)
{
	while (n_submitted)
		finish_request(0, -EINTR);
}

void disk_go(void)
{
}

static inline void serve_disk(void)
{
	while (woken) {
		woken = false;
		vblk_poll();
	}
}

/* --- the driver's side --- */

static inline uint32_t space(unsigned reg, unsigned size)
{
	bus_io_write(0xcf8, 4, 1u << 31 | DEV << 11 | (reg & 0xfc));
	return bus_io_read((uint16_t)(0xcfc + reg % 4), size);
}

static inline void set_space(unsigned reg, unsigned size, uint32_t v)
{
	bus_io_write(0xcf8, 4, 1u << 31 | DEV << 11 | (reg & 0xfc));
	bus_io_write((uint16_t)(0xcfc + reg % 4), size, v);
}

static inline uint64_t reg(unsigned offset, unsigned size)
{
	return bus_mmio_read((gpa_t){BAR_AT + offset}, size);
}

static inline void set(unsigned offset, unsigned size, uint64_t v)
{
	bus_mmio_write((gpa_t){BAR_AT + offset}, size, v);
}

/* Offsets as the capabilities say; test_vblk.c holds them against each other. */
#define R_ISR	 0x800
#define R_DEVICE 0x1000
#define R_NOTIFY 0x1800
#define R_MSIX	 0x2000
#define R_PBA	 0x2800
#define STATUS	 20

#define QUEUE_ENTRIES 8u
/* Queue q's table and rings. */
#define DESC(q)	 (RAM_BASE + 0x1000 + (q)*0x1000)
#define AVAIL(q) (DESC(q) + 0x400)
#define USED(q)	 (DESC(q) + 0x600)

static inline void put(uint64_t at, uint64_t v, unsigned n)
{
	memcpy(ram + (at - RAM_BASE), &v, n);
}

static inline uint64_t get(uint64_t at, unsigned n)
{
	uint64_t v = 0;

	memcpy(&v, ram + (at - RAM_BASE), n);
	return v;
}

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4 };

static inline void descriptor(uint64_t table, unsigned i, uint64_t at, uint32_t n, unsigned flags,
			      unsigned next)
{
	put(table + 16 * i, at, 8);
	put(table + 16 * i + 8, n, 4);
	put(table + 16 * i + 12, flags, 2);
	put(table + 16 * i + 14, next, 2);
}

static inline void rig_init(void)
{
	static struct guest_map map = {.pci_base = BAR_AT, .pci_end = 0xf0000000};

	vtimerq_init(&board.q, NULL);
	ports_init();
	pci_root_init(&map);
	vblk_init(DISK_SECTORS, RIG_QUEUES);
}

static inline void set_queue(unsigned q, uint64_t desc, uint64_t avail, uint64_t used)
{
	set(22, 2, q);
	set(24, 2, QUEUE_ENTRIES);
	set(26, 2, q + 1);
	set(32, 8, desc);
	set(40, 8, avail);
	set(48, 4, (uint32_t)used); /* by halves */
	set(52, 4, used >> 32);
	set(28, 2, 1);
}

static inline void negotiate(uint64_t features)
{
	set(STATUS, 1, 0);
	set(STATUS, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		set(8, 4, i);
		set(12, 4, (uint32_t)(features >> 32 * i));
	}
	set(STATUS, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
}

/* A driver that is up, with these features; MSI-X or the wire. */
static inline void driver_up(uint64_t features, bool msix)
{
	units_reset();
	while (n_submitted)
		finish_request(0, -EIO);
	memset(ram, 0, sizeof(ram));
	memset(&msi, 0, sizeof(msi));
	woken = false;
	set_space(PCI_BAR0, 4, BAR_AT);
	set_space(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (msix)
		set_space(0x9a, 2, 0x8000);
	for (unsigned i = 0; msix && i <= RIG_QUEUES; i++) {
		set(R_MSIX + 16 * i, 8, 0xfee00000);
		set(R_MSIX + 16 * i + 8, 8, 0x40 + i);
	}
	negotiate(features | VIRTIO_F_VERSION_1);
	set(16, 2, 0);
	for (unsigned q = 0; q < RIG_QUEUES; q++)
		set_queue(q, DESC(q), AVAIL(q), USED(q));
	set(STATUS, 1, 15);
}

/* Makes descriptor `head` available and tells the device. */
static inline void offer(unsigned q, unsigned head)
{
	uint16_t index = (uint16_t)get(AVAIL(q) + 2, 2);

	put(AVAIL(q) + 4 + 2 * (index % QUEUE_ENTRIES), head, 2);
	put(AVAIL(q) + 2, index + 1u, 2);
	set(R_NOTIFY + 4 * q, 2, q);
	serve_disk();
}
