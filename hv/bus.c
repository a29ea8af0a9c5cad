/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routing of port and MMIO accesses to the regions that claim them. */
#include "hv/bus.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define PORTS	     0x10000u
#define REGIONS_IO   255 /* an index plus one fits a byte of port_owner */
#define REGIONS_MMIO 128

struct spinlock platform_lock = SPINLOCK_INIT;

static const struct bus_region *io[REGIONS_IO];
static unsigned io_count;
static uint8_t port_owner[PORTS]; /* 0: nobody, else index in io[] plus 1 */

static const struct bus_region *mmio[REGIONS_MMIO]; /* sorted by base, disjoint */
static unsigned mmio_count;

static bool region_valid(const struct bus_region *r, unsigned widest)
{
	bool power = r->max_size && !(r->max_size & (r->max_size - 1));

	return r->size && power && r->max_size <= widest && r->read && r->write;
}

int bus_add_io(const struct bus_region *r)
{
	if (!region_valid(r, 4) || r->base >= PORTS || r->size > PORTS - r->base)
		return -EINVAL;
	for (uint64_t p = r->base; p < r->base + r->size; p++) {
		if (port_owner[p])
			return -EEXIST;
	}
	if (io_count == REGIONS_IO)
		return -ENOSPC;
	io[io_count++] = r;
	memset(port_owner + r->base, (int)io_count, r->size);
	return 0;
}

/* Index of the first region that ends above addr: the one that holds it, or the next one. */
static unsigned mmio_find(uint64_t addr)
{
	unsigned lo = 0, hi = mmio_count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (addr - mmio[mid]->base < mmio[mid]->size || addr < mmio[mid]->base)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

int bus_add_mmio(const struct bus_region *r)
{
	unsigned at;

	if (!region_valid(r, 8) || r->size - 1 > UINT64_MAX - r->base)
		return -EINVAL;
	at = mmio_find(r->base);
	if (at < mmio_count && mmio[at]->base <= r->base + (r->size - 1))
		return -EEXIST;
	if (mmio_count == REGIONS_MMIO)
		return -ENOSPC;
	memmove(&mmio[at + 1], &mmio[at], (mmio_count - at) * sizeof(const struct bus_region *));
	mmio[at] = r;
	mmio_count++;
	return 0;
}

static const struct bus_region *io_lookup(uint64_t port)
{
	uint8_t owner = port < PORTS ? port_owner[port] : 0;

	return owner ? io[owner - 1] : NULL;
}

static const struct bus_region *mmio_lookup(uint64_t addr)
{
	unsigned i = mmio_find(addr);

	return i < mmio_count && mmio[i]->base <= addr ? mmio[i] : NULL;
}

/* Bytes of the next piece of an access: the largest naturally aligned power of two that the region
 * takes. */
static unsigned piece_size(const struct bus_region *r, uint64_t addr, unsigned left)
{
	uint64_t room;
	unsigned n;

	if (!r)
		return 1;
	room = r->size - (addr - r->base);
	n = r->max_size;
	while (n > left || n > room || (addr & (n - 1)))
		n /= 2;
	return n;
}

static uint64_t ones(unsigned size)
{
	return size < 8 ? (1ull << 8 * size) - 1 : ~0ull;
}

static uint64_t region_read(const struct bus_region *r, uint64_t offset, unsigned size)
{
	uint64_t val = ~0ull;

	if (!r)
		return ones(size);
	if (!r->unlocked)
		spin_lock(&platform_lock);
	r->read(r->dev, offset, size, &val);
	if (!r->unlocked)
		spin_unlock(&platform_lock);
	return val & ones(size);
}

static void region_write(const struct bus_region *r, uint64_t offset, unsigned size, uint64_t val)
{
	if (!r)
		return;
	if (!r->unlocked)
		spin_lock(&platform_lock);
	r->write(r->dev, offset, size, val & ones(size));
	if (!r->unlocked)
		spin_unlock(&platform_lock);
}

typedef const struct bus_region *(*lookup_fn)(uint64_t addr);

static uint64_t split_read(lookup_fn lookup, uint64_t addr, unsigned size)
{
	uint64_t val = 0;
	unsigned n;

	for (unsigned done = 0; done < size; done += n) {
		const struct bus_region *r = lookup(addr + done);

		n = piece_size(r, addr + done, size - done);
		val |= region_read(r, r ? addr + done - r->base : 0, n) << 8 * done;
	}
	return val;
}

static void split_write(lookup_fn lookup, uint64_t addr, unsigned size, uint64_t val)
{
	unsigned n;

	for (unsigned done = 0; done < size; done += n) {
		const struct bus_region *r = lookup(addr + done);

		n = piece_size(r, addr + done, size - done);
		region_write(r, r ? addr + done - r->base : 0, n, val >> 8 * done);
	}
}

uint32_t bus_io_read(uint16_t port, unsigned size)
{
	if (size == 1) { /* most of them */
		const struct bus_region *r = io_lookup(port);

		return (uint32_t)region_read(r, r ? port - r->base : 0, 1);
	}
	return (uint32_t)split_read(io_lookup, port, size);
}

void bus_io_write(uint16_t port, unsigned size, uint32_t val)
{
	split_write(io_lookup, port, size, val);
}

uint64_t bus_mmio_read(gpa_t gpa, unsigned size)
{
	return split_read(mmio_lookup, gpa.v, size);
}

void bus_mmio_write(gpa_t gpa, unsigned size, uint64_t val)
{
	split_write(mmio_lookup, gpa.v, size, val);
}
