/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest may do to the registers of its board, driven by numbers: a fuzzer's input, or a
 * random generator. take(n), n bytes of them, is defined before.
 */
#pragma once
#include "hv/platform.h"
#include "hv/vlapic_internal.h"

static const uint16_t traffic_ports[] = {
	0x40,  0x41,  0x42,  0x43,  0x61,  0x70,  0x71,	 0x80,	0x92,  0xb2,  0xed,  0x60,
	0x64,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x600, 0x602, 0x604,
	0x608, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcfe, 0x43,	 0x40,	0x71,  0x70,  0x71,
};

static inline void traffic_port(bool write)
{
	uint16_t port = traffic_ports[take(1) % (sizeof(traffic_ports) / sizeof(traffic_ports[0]))];
	unsigned size = 1u << take(1) % 3;

	if (write)
		bus_io_write(port, size, (uint32_t)take(size));
	else
		(void)bus_io_read(port, size);
}

/* The 8259 pair, ELCR, and what lies beside them. */
static inline void traffic_pic(bool write)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x1f, 0x4cf};
	uint16_t port = ports[take(1) % 8];
	unsigned size = 1u << take(1) % 3;

	if (write)
		bus_io_write(port, size, (uint32_t)take(size));
	else
		(void)bus_io_read(port, size);
}

/* A virtio disk at 00:01.0. */
static inline void traffic_virtio(uint64_t bar)
{
	unsigned size = 1u << take(1) % 4;
	uint64_t at = bar + (take(1) % 6 * 0x800 + take(1) % 64) / size * size;

	bus_mmio_write((gpa_t){ECAM_BASE + 0x8010}, 4, bar);
	bus_mmio_write((gpa_t){ECAM_BASE + 0x8004}, 2, take(1) % 8 | 2);
	bus_mmio_write((gpa_t){at}, size, take(size));
	(void)bus_mmio_read((gpa_t){at}, size);
}

/* A card of test/unit/pass_rig.h at 00:02.0: its command, MSI-X table and I/O registers. */
static inline void traffic_pass(uint64_t bar)
{
	unsigned size = 1u << take(1) % 4;
	uint64_t at = bar + take(1) % 96 / size * size;

	bus_mmio_write((gpa_t){ECAM_BASE + 0x1001c}, 4, bar);
	bus_mmio_write((gpa_t){ECAM_BASE + 0x10018}, 4, 0x1000);
	bus_mmio_write((gpa_t){ECAM_BASE + 0x10004}, 2, take(2) | 3);
	bus_mmio_write((gpa_t){ECAM_BASE + 0x100a2}, 2, take(2));
	bus_mmio_write((gpa_t){at}, size, take(size));
	(void)bus_mmio_read((gpa_t){at}, size);
	bus_io_write((uint16_t)(0x1000 + take(1) % 8), 4, (uint32_t)take(4));
}

/* HPET and the configuration space of PCI. */
static inline void traffic_mmio(bool write)
{
	static const uint16_t hpet[] = {0x10,  0x20,  0xf0,  0xf4,  0x100, 0x108, 0x10c, 0x120,
					0x128, 0x12c, 0x140, 0x148, 0x14c, 0x160, 0x10,	 0x100};
	unsigned where = (unsigned)take(1), size = 1u << where % 4;
	gpa_t gpa = {HPET_BASE};

	if (where & 0x80)
		gpa.v = ECAM_BASE + take(3) % ECAM_SIZE;
	else if (where & 0x20)
		gpa.v += hpet[take(1) % (sizeof(hpet) / sizeof(hpet[0]))];
	else
		gpa.v += take(2) % 0x400;
	if (where & 0x40)
		gpa.v &= ~3ull;
	if (write)
		bus_mmio_write(gpa, size, take(size));
	else
		(void)bus_mmio_read(gpa, size);
}

static inline void traffic_ioapic(void)
{
	bus_mmio_write((gpa_t){IOAPIC_BASE}, 1, take(1) & 0x80 ? take(1) : 0x10 + take(1) % 48);
	bus_mmio_write((gpa_t){IOAPIC_BASE + 0x10}, 4, take(4));
}

/* The registers that the processor lets the guest write without an exit before. */
static inline void traffic_landed(struct vlapic *l)
{
	static const uint16_t virtualized[] = {
		APIC_ID,	APIC_TPR,	APIC_EOI,      APIC_LDR,
		APIC_DFR,	APIC_SVR,	APIC_ESR,      APIC_ICR,
		APIC_ICR_HIGH,	APIC_LVT_TIMER, APIC_LVT_PERF, APIC_LVT_LINT0,
		APIC_LVT_LINT1, APIC_LVT_ERROR, APIC_TMICT,    APIC_TDCR};
	unsigned offset = virtualized[take(1) % (sizeof(virtualized) / sizeof(virtualized[0]))];
	uint32_t val = (uint32_t)take(4);

	if ((l->base_msr & (BASE_EN | BASE_EXTD)) != BASE_EN)
		return;
	reg_set(l, offset, val);
	vlapic_apic_write(l, offset);
}

static inline void traffic_lapic(struct vlapic *l)
{
	uint8_t op = (uint8_t)take(1);
	uint64_t val;

	switch (op & 7) {
	case 0:
		vlapic_mmio_read(l, take(2) & 0xfff, 1u << (op >> 6), &val);
		break;
	case 1:
		val = take(2);
		vlapic_mmio_write(l, val & 0x3f0, 4, take(4));
		break;
	case 2:
		val = take(2);
		vlapic_mmio_write(l, val & 0xfff, 1u << (op >> 6), take(8));
		break;
	case 3:
		vlapic_rdmsr(l, 0x800 + (uint32_t)take(1), &val);
		break;
	case 4:
		val = take(1);
		vlapic_wrmsr(l, 0x800 + (uint32_t)val % 0x48, take(op >> 6 ? 4 : 8));
		break;
	case 5:
		vlapic_wrmsr(l, 0x1b, LAPIC_BASE | (take(2) & 0xfff));
		break;
	case 6:
		vlapic_wrmsr(l, 0x6e0, op >> 6 ? node_ticks() + take(4) : take(8));
		break;
	default:
		traffic_landed(l);
	}
}
