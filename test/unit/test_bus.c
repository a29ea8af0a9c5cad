/* build: hv/bus.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who answers an access, and in which pieces. */
#include <errno.h>
#include "hv/bus.h"
#include "test/unit/check.h"

struct access {
	const char *region;
	uint64_t offset, val;
	unsigned size;
};

static struct access seen[16];
static unsigned n_seen;
static bool locked_inside;

static void note(const char *region, uint64_t offset, unsigned size, uint64_t val)
{
	if (n_seen < 16)
		seen[n_seen++] = (struct access){region, offset, val, size};
	locked_inside = platform_lock.next != platform_lock.owner;
}

/* Every byte reads as its offset, and there is rubbish above. */
static void dev_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	*val = ~0ull;
	for (unsigned i = size; i-- > 0;)
		*val = *val << 8 | ((offset + i) & 0xff);
	note(dev, offset, size, 0);
}

static void dev_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	note(dev, offset, size, val);
}

#define REGION(n, b, s, m)                                                                  \
	{                                                                                   \
		.name = n, .base = b, .size = s, .max_size = m, .dev = n, .read = dev_read, \
		.write = dev_write                                                          \
	}

static const struct bus_region io[] = {
	REGION("pic", 0x20, 2, 1),
	REGION("rtc", 0x70, 8, 1),
	REGION("wide", 0x600, 16, 4),
	REGION("last", 0xfffe, 2, 2),
};
static const struct bus_region mmio[] = {
	REGION("hpet", 0xfed00000, 0x400, 8),
	REGION("ioapic", 0xfec00000, 0x1000, 4),
	REGION("next", 0xfec01000, 0x10, 4),
	REGION("top", 0xffffffffffffff00, 0x100, 8),
};

static void add_all(void)
{
	for (size_t i = 0; i < sizeof(io) / sizeof(io[0]); i++)
		CHECK_EQ(bus_add_io(&io[i]), 0);
	for (size_t i = 0; i < sizeof(mmio) / sizeof(mmio[0]); i++)
		CHECK_EQ(bus_add_mmio(&mmio[i]), 0);
}

static void overlaps_and_nonsense_are_refused(void)
{
	static const struct bus_region overlap[] = {REGION("a", 0x21, 1, 1),
						    REGION("b", 0x60, 0x20, 1)};
	static const struct bus_region moverlap[] = {
		REGION("a", 0xfec00fff, 1, 1), REGION("b", 0xfe000000, 0x1000000, 4),
		REGION("c", 0xfec01000, 8, 4), REGION("d", 0, 0x1000, 8)};
	static const struct bus_region bad[] = {
		REGION("size", 0x100, 0, 1), REGION("end", 0xffff, 2, 1),
		REGION("power", 0x100, 1, 3), REGION("wide", 0x100, 8, 8),
		REGION("none", 0x100, 1, 0)};
	static const struct bus_region wrap = REGION("wrap", 0xffffffffffffff80, 0x100, 8);
	static const struct bus_region no_handler = {
		.base = 0x100, .size = 1, .max_size = 1, .read = dev_read};

	for (size_t i = 0; i < sizeof(overlap) / sizeof(overlap[0]); i++)
		CHECK_EQ(bus_add_io(&overlap[i]), -EEXIST);
	for (size_t i = 0; i < sizeof(moverlap) / sizeof(moverlap[0]); i++)
		CHECK_EQ(bus_add_mmio(&moverlap[i]), i < 3 ? -EEXIST : 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(bus_add_io(&bad[i]), -EINVAL);
	CHECK_EQ(bus_add_mmio(&wrap), -EINVAL);
	CHECK_EQ(bus_add_io(&no_handler), -EINVAL);
}

static void nobody_reads_ones(void)
{
	n_seen = 0;
	CHECK_EQ(bus_io_read(0x300, 1), 0xff);
	CHECK_EQ(bus_io_read(0x300, 2), 0xffff);
	CHECK_EQ(bus_io_read(0x300, 4), 0xffffffff);
	bus_io_write(0x300, 4, 0);
	CHECK_EQ(bus_mmio_read((gpa_t){0xf000000000000000}, 8), ~0ull);
	CHECK_EQ(bus_mmio_read((gpa_t){0xf000000000000000}, 4), 0xffffffff);
	CHECK_EQ(n_seen, 0);
}

static void check_seen(unsigned i, const char *region, uint64_t offset, unsigned size, uint64_t val)
{
	if (!CHECK(i < n_seen))
		return;
	CHECK_STR(seen[i].region, region);
	CHECK_EQ(seen[i].offset, offset);
	CHECK_EQ(seen[i].size, size);
	CHECK_EQ(seen[i].val, val);
}

static void accesses_are_cut_to_size(void)
{
	n_seen = 0;
	CHECK_EQ(bus_io_read(0x70, 4), 0x03020100);
	CHECK_EQ(n_seen, 4);
	n_seen = 0;
	CHECK_EQ(bus_io_read(0x604, 4), 0x07060504);
	CHECK_EQ(n_seen, 1);
	check_seen(0, "wide", 4, 4, 0);
	CHECK(locked_inside);
	CHECK_EQ(platform_lock.next, platform_lock.owner);
	n_seen = 0;
	CHECK_EQ(bus_mmio_read((gpa_t){0xfec00010}, 8), 0x1716151413121110);
	CHECK_EQ(n_seen, 2);
	n_seen = 0;
	bus_mmio_write((gpa_t){0xfed00008}, 8, 0x1122334455667788);
	CHECK_EQ(n_seen, 1);
	check_seen(0, "hpet", 8, 8, 0x1122334455667788);
}

static void unaligned_accesses_become_aligned_ones(void)
{
	n_seen = 0;
	bus_io_write(0x601, 4, 0x44332211);
	CHECK_EQ(n_seen, 3);
	check_seen(0, "wide", 1, 1, 0x11);
	check_seen(1, "wide", 2, 2, 0x3322);
	check_seen(2, "wide", 4, 1, 0x44);
	CHECK_EQ(bus_mmio_read((gpa_t){0xfed00003}, 8), 0x0a09080706050403);
}

static void region_ends_split(void)
{
	n_seen = 0;
	CHECK_EQ(bus_io_read(0x21, 2), 0xff01);
	CHECK_EQ(bus_io_read(0x1f, 4), 0xff0100ff);
	CHECK_EQ(bus_io_read(0xfffe, 4), 0xffff0100);
	CHECK_EQ(bus_io_read(0xffff, 2), 0xff01);
	CHECK_EQ(bus_mmio_read((gpa_t){0xfec00ffe}, 4), 0x0100fffe);
	n_seen = 0;
	bus_mmio_write((gpa_t){0xfec00ffc}, 8, 0x1122334455667788);
	CHECK_EQ(n_seen, 2);
	check_seen(0, "ioapic", 0xffc, 4, 0x55667788);
	check_seen(1, "next", 0, 4, 0x11223344);
	CHECK_EQ(bus_mmio_read((gpa_t){~0ull - 3}, 8), 0x03020100fffefdfc); /* wraps to region d */
}

int main(void)
{
	RUN(add_all);
	RUN(overlaps_and_nonsense_are_refused);
	RUN(nobody_reads_ones);
	RUN(accesses_are_cut_to_size);
	RUN(unaligned_accesses_become_aligned_ones);
	RUN(region_ends_split);
	return check_result();
}
