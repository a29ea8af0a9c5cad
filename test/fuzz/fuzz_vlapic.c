/* build: hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/ioapic.c hv/pic.c hv/irq.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four LAPICs with the whole board under a stream of guest and board actions. After each: the
 * registers hold what registers can hold. A save, scramble, load and save again must give the same
 * bytes.
 */
#define RIG_BOARD
#include "hv/bus.h"
#include "hv/platform.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/lapic_rig.h"
#include "test/unit/traffic.h"

static void check_lapic(const struct vlapic *l)
{
	uint32_t lvt = reg_get(l, APIC_LVT_TIMER);
	uint32_t count = vlapic_timer_count(l);

	REQUIRE((l->base_msr & (BASE_EN | BASE_EXTD)) != BASE_EXTD);
	REQUIRE(l->timer_mode == (lvt >> 17 & 3));
	REQUIRE(count <= reg_get(l, APIC_TMICT));
	REQUIRE(l->timer_mode == TIMER_DEADLINE || l->tsc_deadline == 0);
	REQUIRE(l->timer_mode < TIMER_DEADLINE || reg_get(l, APIC_TMICT) == 0);
	REQUIRE(vtimer_armed(&l->timer) == (l->timer_deadline.v != VNS_NEVER.v));
	REQUIRE(vlapic_software_enabled(l) || (lvt & LVT_MASKED));
	REQUIRE(!(reg_get(l, APIC_ISR) & 0xffff) && !(reg_get(l, APIC_IRR) & 0xffff));
	REQUIRE(reg_get(l, APIC_ID) == (vlapic_x2apic(l) ? l->id : l->id << 24));
}

static void accept_next(struct vlapic *l)
{
	int vector;

	vlapic_sync(l);
	vector = vlapic_pending(l);
	if (vector < 0)
		return;
	REQUIRE(vector >= VECTOR_MIN && (uint32_t)vector >> 4 > vlapic_ppr(l) >> 4);
	vlapic_accept(l, (uint8_t)vector);
	REQUIRE(vlapic_highest_isr(l) == vector);
}

static void advance(void)
{
	uint64_t ns = 1ull << take(1) % 34;
	unsigned stops = rig_advance(node_now().v + ns);

	/* Four timers, each at most once in 50 us, and one-shots now and then. */
	REQUIRE(stops <= 4 * (ns / 50000 + 3));
}

static void step(void)
{
	uint8_t op = (uint8_t)take(1);
	struct vlapic *l = lapic(op >> 4 & 3);
	uint64_t val;

	switch (op & 15) {
	case 0 ... 8:
		traffic_lapic(l);
		break;
	case 9:
		val = take(1);
		vlapic_post(l, (uint8_t)val, op >> 6 & 1);
		break;
	case 10:
		irq_msi(0xfee00000 | take(3), (uint32_t)take(2));
		break;
	case 11:
		val = take(1);
		irq_set(val % 25, val & 0x80);
		break;
	case 12:
		traffic_pic(true);
		break;
	case 13:
		if (op >> 6 == 0) {
			vlapic_set_cr8(l, (uint8_t)take(1));
		} else if (op >> 6 == 1) {
			traffic_ioapic();
		} else if (op >> 6 == 2) {
			vlapic_init_reset(l);
		} else if (vlapic_extint(l)) {
			val = (uint64_t)vlapic_intack(l);
			REQUIRE(val <= 0xff);
		}
		break;
	case 14:
		accept_next(l);
		break;
	default:
		if (op >> 6)
			advance();
		else
			REQUIRE(image_round_trip());
		break;
	}
	for (unsigned i = 0; i < RIG_CPUS; i++)
		check_lapic(lapic(i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool created;

	if (!created) {
		pic_init();
		ioapic_init();
		created = true;
	}
	rig_reset();
	units_reset();
	for (unsigned i = 0; i < RIG_CPUS; i++)
		vlapic_mmio_write(lapic(i), APIC_SVR, 4, 0x1ff);
	fuzz_begin(data, size);
	while (fuzz_more())
		step();
	REQUIRE(image_round_trip());
	return 0;
}
