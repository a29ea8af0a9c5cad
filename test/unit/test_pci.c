/* build: hv/pci.c hv/ports.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include "test/unit/check.h"
#include "test/unit/board.h"
#include "hv/pci.h"

static uint64_t moved_to[PCI_BARS];
static unsigned moves, writes;

static void decode(struct pci_function *f, unsigned n, uint64_t addr)
{
	(void)f;
	moved_to[n] = addr;
	moves++;
}

static void written(struct pci_function *f, unsigned reg, unsigned size)
{
	(void)f;
	(void)reg;
	(void)size;
	writes++;
}

static uint8_t config[PCIE_CONFIG_SIZE] = {0x34, 0x12, 0x78, 0x56, [0x06] = 0x10, [0x07] = 0xf8};
static uint8_t mask[PCIE_CONFIG_SIZE] = {
	[PCI_COMMAND] = 7, [PCI_COMMAND + 1] = 4, [0xfff] = 0x0f, [PCI_INTERRUPT_LINE] = 0xff};
static uint8_t w1c[PCIE_CONFIG_SIZE] = {[0x07] = 0xf8};
static struct pci_function card = {
	.name = "card",
	.devfn = PCI_DEVFN(3, 0),
	.config_size = PCIE_CONFIG_SIZE,
	.config = config,
	.mask = mask,
	.w1c = w1c,
	.bar = {[0] = {PCI_BAR_MEM64, true, 0x4000}, [2] = {PCI_BAR_IO, false, 0x20}},
	.decode = decode,
	.written = written,
};

static uint32_t cfg(unsigned dev, unsigned reg, unsigned size)
{
	bus_io_write(0xcf8, 4, 1u << 31 | dev << 11 | (reg & 0xfc));
	return bus_io_read((uint16_t)(0xcfc + reg % 4), size);
}

static void set(unsigned dev, unsigned reg, unsigned size, uint32_t v)
{
	bus_io_write(0xcf8, 4, 1u << 31 | dev << 11 | (reg & 0xfc));
	bus_io_write((uint16_t)(0xcfc + reg % 4), size, v);
}

static gpa_t ecam(unsigned dev, unsigned reg)
{
	return (gpa_t){ECAM_BASE + (dev << 15) + reg};
}

static void test_mechanism1(void)
{
	CHECK_EQ(cfg(0, 0, 4), 0x29c08086);
	CHECK_EQ(cfg(0, 0x0a, 2), 0x0600);
	CHECK_EQ(cfg(0x1f, 0x0b, 1), 6);
	CHECK_EQ(cfg(0x1f, 0, 4), 0x71108086);
	CHECK_EQ(cfg(7, 0, 4), 0xffffffff);
	bus_io_write(0xcf8, 4, 1u << 31 | 1 << 16); /* bus 1 */
	CHECK_EQ(bus_io_read(0xcfc, 4), 0xffffffff);
	bus_io_write(0xcf8, 4, 0); /* not enabled */
	CHECK_EQ(bus_io_read(0xcfc, 2), 0xffff);
	bus_io_write(0xcf8, 4, 0xffffffff);
	CHECK_EQ(bus_io_read(0xcf8, 4), 0x80fffffc);
	bus_io_write(0xcf8, 2, 0); /* only 32 bits reach the register */
	CHECK_EQ(bus_io_read(0xcf8, 4), 0x80fffffc);
	set(0, 0, 4, 0);
	CHECK_EQ(cfg(0, 0, 4), 0x29c08086);
	set(0, 0x3c, 1, 9);
	CHECK_EQ(cfg(0, 0x3c, 1), 9);
}

static void test_ecam(void)
{
	CHECK_EQ(bus_mmio_read(ecam(0, 0), 4), 0x29c08086);
	CHECK_EQ(bus_mmio_read(ecam(0x1f, 2), 2), 0x7110);
	CHECK_EQ(bus_mmio_read(ecam(0, 0x100), 4), 0xffffffff);
	CHECK_EQ(bus_mmio_read(ecam(3, 0x100), 4), 0);
	bus_mmio_write(ecam(3, 0xfff), 1, 0xff);
	CHECK_EQ(bus_mmio_read(ecam(3, 0xffc), 4), 0x0f000000);
	CHECK_EQ(bus_mmio_read(ecam(4, 0), 8), UINT64_MAX);
	CHECK(writes > 0);
}

static void test_bars(void)
{
	units_reset();
	moves = 0;
	set(3, 0x10, 4, 0xffffffff);
	set(3, 0x14, 4, 0xffffffff);
	CHECK_EQ(cfg(3, 0x10, 4), 0xffffc00c);
	CHECK_EQ(cfg(3, 0x14, 4), 0xffffffff);
	set(3, 0x18, 4, 0xffffffff);
	CHECK_EQ(cfg(3, 0x18, 4), 0xffffffe1);
	CHECK_EQ(moves, 0);
	set(3, 0x10, 4, 0xe0004000);
	set(3, 0x14, 4, 0x10);
	set(3, 0x18, 4, 0xc000);
	set(3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	CHECK_EQ(moves, 1);
	CHECK_EQ(moved_to[0], 0x10e0004000);
	CHECK_EQ(card.bar_at[0], 0x10e0004000);
	set(3, PCI_COMMAND, 2, PCI_COMMAND_IO);
	CHECK_EQ(moved_to[0], PCI_BAR_UNMAPPED);
	CHECK_EQ(moved_to[2], 0xc000);
	set(3, 0x06, 2, 0xffff); /* status: write 1 to clear */
	CHECK_EQ(cfg(3, 0x06, 2), 0x0010);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(cfg(3, 0x18, 4), 0xc001);
	CHECK_EQ(cfg(3, 0x14, 4), 0x10);
	units_reset();
	CHECK_EQ(moved_to[2], PCI_BAR_UNMAPPED);
	CHECK_EQ(cfg(3, 0x10, 4), 0xc);
}

static void test_add_checks(void)
{
	static struct pci_function f;

	f = card;
	CHECK_EQ(pci_add(&f), -EEXIST);
	f.devfn = 9;
	f.config_size = 300;
	CHECK_EQ(pci_add(&f), -EINVAL);
	f.config_size = PCIE_CONFIG_SIZE;
	f.bar[0].size = 0x3000;
	CHECK_EQ(pci_add(&f), -EINVAL);
	f.bar[0].size = 0x4000;
	f.bar[1].type = PCI_BAR_MEM32;
	CHECK_EQ(pci_add(&f), -EINVAL);
}

static void test_small_ports(void)
{
	units_reset();
	board.resets = 0;
	out8(0x80, 0x42);
	CHECK_EQ(in8(0x80), 0x42);
	out8(0xed, 1);
	out8(0xb2, 1);
	CHECK_EQ(in8(0x60), 0xff);
	CHECK_EQ(in8(0x64), 0xff);
	CHECK_EQ(in8(0x92), 2);
	out8(0x64, 0xd1);
	out8(0x64, 0xff);
	CHECK_EQ(board.resets, 0);
	out8(0x64, 0xfe);
	CHECK_EQ(board.resets, 1);
	out8(0x92, 3);
	CHECK_EQ(board.resets, 2);
	out8(0x92, 3); /* no edge */
	CHECK_EQ(board.resets, 2);
	out8(0xcf9, 2);
	CHECK_EQ(board.resets, 2);
	CHECK_EQ(in8(0xcf9), 2);
	out8(0xcf9, 6);
	CHECK_EQ(board.resets, 3);
	CHECK(board_round_trip_keeps_time());
	CHECK_EQ(in8(0xcf9), 6);
}

int main(void)
{
	static struct guest_map map = {.pci_base = 0x80000000, .pci_end = 0xf0000000};

	vtimerq_init(&board.q, NULL);
	ports_init();
	pci_root_init(&map);
	if (pci_add(&card))
		return 1;
	RUN(test_mechanism1);
	RUN(test_ecam);
	RUN(test_bars);
	RUN(test_add_checks);
	RUN(test_small_ports);
	return check_result();
}
