/* build: hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Its state in images. */
#include <errno.h>
#include "test/unit/lapic_access.h"

static uint8_t image[IMAGE_MAX], image2[IMAGE_MAX];

static int load(const uint8_t *buf, int n)
{
	struct state_fault f;

	return units_load(buf, (size_t)n, &f);
}

static void lived_in(void)
{
	rig_reset();
	rig_jump(777777);
	wr(0, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_PERIODIC << 17);
	wr(0, APIC_TMICT, 100000);
	wr(1, APIC_LVT_TIMER, TIMER_VECTOR | TIMER_DEADLINE << 17);
	vlapic_wrmsr(lapic(1), MSR_DEADLINE, node_ticks() + 50000);
	vlapic_wrmsr(lapic(2), MSR_BASE, X2APIC);
	wrx(2, APIC_ICR, 0x1234567800004070);
	wr(3, APIC_LVT_LINT0, 0x56 | LVT_LEVEL);
	intr(true);
	vlapic_sync(lapic(3));
	vlapic_post(lapic(0), 0x44, true);
	vlapic_post(lapic(0), 0x99, false);
	CHECK_EQ(take(0), 0x99);
	vlapic_post(lapic(0), 0xa1, true);
	wr(0, APIC_ICR, 0x4000); /* an error to report */
}

static void state_survives_a_round_trip(void)
{
	int n, m;

	lived_in();
	n = image_save(image);
	CHECK(n > 0);
	image_scramble();
	m = image_save(image2);
	CHECK(m > 0 && memcmp(image, image2, (size_t)n) != 0);
	CHECK_EQ(load(image2, m), STATE_CONTENT); /* garbage is not a state */
	CHECK_EQ(load(image, n), STATE_OK);
	CHECK_EQ(image_save(image2), n);
	CHECK(memcmp(image, image2, (size_t)n) == 0);
	CHECK_EQ(rd(0, APIC_TMCCT), 100000);
	CHECK_EQ(rdx(2, APIC_LDR), 0x00010004);
	CHECK_EQ(rig_advance(977777), 2); /* both timers, on time */
	CHECK_EQ(take(0), 0xa1);
	wr(0, APIC_EOI, 0);
	CHECK_EQ(rig_broadcast_vector, 0xa1);
	CHECK_EQ(take(1), TIMER_VECTOR);
}

static void impossible_states_are_refused(void)
{
	enum {
		ID = 0,
		BASE = 4,
		EDGE = 12,
		EXTINT = 13,
		RIRR = 14,
		ERR = 15,
		ICRH = 19,
		PIR = 23,
		LEVEL = 55,
		TIMER = 87,
		TSC = 95,
		REG = 103
	};
	static const struct {
		size_t offset, size;
		uint64_t val;
	} row[] = {
		{ID, 4, 7},
		{BASE, 8, LAPIC_BASE | BASE_EN}, /* no longer the boot CPU */
		{BASE, 8, LAPIC_BASE | BASE_BSP | BASE_EXTD},
		{BASE, 8, XAPIC + 0x1000},
		{EDGE, 1, 2},
		{EXTINT, 1, 2},
		{RIRR, 1, 1},
		{ERR, 4, 1},
		{ICRH, 4, 1},
		{PIR, 8, 0x8000},
		{LEVEL, 8, 1},
		{TSC, 8, 1},
		{REG + APIC_TPR / 4, 4, 0x100},
		{REG + APIC_EOI / 4, 4, 1},
		{REG + APIC_IRR / 4, 4, 1},
		{REG + APIC_SVR / 4, 4, 0xff}, /* with unmasked LVTs */
		{REG + APIC_LVT_LINT0 / 4, 4, LVT_REMOTE_IRR},
		{REG + APIC_LVT_TIMER / 4, 4, TIMER_DEADLINE << 17}, /* with a count */
		{REG + APIC_TMICT / 4, 4, 0},			     /* armed for nothing */
		{REG + APIC_TMCCT / 4, 4, 1},
		{REG + 0x3a0 / 4, 4, 1},
	};
	int n;

	lived_in();
	n = image_save(image);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		memcpy(image2, image, (size_t)n);
		section_patch(image2, IMAGE_HEADER, row[i].offset, row[i].val, row[i].size);
		if (!CHECK_EQ(load(image2, n), STATE_CONTENT))
			printf("  row %zu\n", i);
	}
	memcpy(image2, image, (size_t)n);
	section_patch(image2, IMAGE_HEADER, REG + APIC_TPR / 4, 0x20, 4);
	CHECK_EQ(load(image2, n), STATE_OK);
	CHECK_EQ(rd(0, APIC_TPR), 0x20);
	CHECK_EQ(load(image, n), STATE_OK);
}

int main(void)
{
	RUN(state_survives_a_round_trip);
	RUN(impossible_states_are_refused);
	return check_result();
}
