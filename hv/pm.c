// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ACPI fixed hardware: PM1a event and control blocks, and the PM timer (ACPI 6.4, 4.8.3). Always in
 * ACPI mode; the only sleeping state is S5.
 */
#include <stddef.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "hv/vcpu.h"
#include "timevirt/rate.h"

#define PM_HZ  3579545ull
#define PM_MSB 31 /* TMR_VAL_EXT: TMR_STS is set whenever this bit changes */
#define SLP_S5 5  /* \_S5 in dsdt.asl */

enum { PM1_STS = 0, PM1_EN = 2, PM1_CNT = 4, PM_TMR = 8, PM_LEN = 12 };
enum { /* PM1_STS; the same bits in PM1_EN, where they exist */
       TMR_STS = 1 << 0,
       BM_STS = 1 << 4,
       GBL_STS = 1 << 5,
       PWRBTN_STS = 1 << 8,
       SLPBTN_STS = 1 << 9,
       RTC_STS = 1 << 10,
       WAK_STS = 1 << 15,
       PM1_MASK = TMR_STS | GBL_STS | PWRBTN_STS | SLPBTN_STS | RTC_STS,
};
enum { /* PM1_CNT */
       SCI_EN = 1 << 0,
       BM_RLD = 1 << 1,
       SLP_TYP_SHIFT = 10,
       SLP_TYP = 7 << 10,
       SLP_EN = 1 << 13,
       CNT_WRITABLE = BM_RLD | SLP_TYP,
};

static struct pm {
	uint16_t sts, en, cnt;
	uint64_t halves; /* changes of the timer's MSB that TMR_STS has seen */
	struct vtimer timer;
} pm;

static uint64_t ticks_at(vns_t t)
{
	return rate_ns_to_cycles(t.v, PM_HZ);
}

/* The next overflow, if somebody wants it. */
static void wait(void)
{
	vns_t next = VNS_NEVER;

	if (pm.en & TMR_STS && !(pm.sts & TMR_STS))
		next.v = rate_cycles_to_ns_up((pm.halves + 1) << PM_MSB, PM_HZ);
	vtimer_arm(&pm.timer, next);
}

/* Notice the timer's overflow, drive the SCI, and wait for the next overflow if somebody wants it.
 */
static void update(vns_t now)
{
	uint64_t halves = ticks_at(now) >> PM_MSB;

	if (halves != pm.halves)
		pm.sts |= TMR_STS;
	pm.halves = halves;
	irq_set(SCI_IRQ, pm.sts & pm.en & PM1_MASK);
	wait();
}

static void pm_fire(struct vtimer *t, vns_t now)
{
	(void)t;
	spin_lock(&platform_lock);
	update(now);
	spin_unlock(&platform_lock);
}

static void pm_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	vns_t now = node_now();
	uint64_t v;

	(void)dev;
	if (offset >= PM_TMR) {
		v = (uint32_t)ticks_at(now);
	} else {
		update(now);
		v = offset < PM1_CNT ? (uint32_t)pm.en << 16 | pm.sts : pm.cnt | SCI_EN;
	}
	*val = v >> (offset % 4 * 8) & (size < 4 ? (1u << size * 8) - 1 : UINT32_MAX);
}

static void control_write(uint16_t v)
{
	pm.cnt = v & CNT_WRITABLE;
	if (v & SLP_EN && (v & SLP_TYP) >> SLP_TYP_SHIFT == SLP_S5)
		node_guest_poweroff();
}

static void pm_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	unsigned shift = offset % 4 * 8;
	uint32_t mask = (size < 4 ? (1u << size * 8) - 1 : UINT32_MAX) << shift;
	uint32_t v = (uint32_t)val << shift & mask;

	(void)dev;
	if (offset >= PM_TMR)
		return;
	update(node_now());
	if (offset >= PM1_CNT) {
		if (mask & UINT16_MAX)
			control_write((uint16_t)((pm.cnt & ~mask) | v));
		return;
	}
	pm.sts &= (uint16_t)~v;
	pm.en = (uint16_t)((pm.en & ~(mask >> 16)) | v >> 16) & PM1_MASK;
	update(node_now());
}

static void pm_reset(void *dev)
{
	(void)dev;
	pm.sts = pm.en = pm.cnt = 0;
	pm.halves = ticks_at(node_now()) >> PM_MSB;
	vtimer_cancel(&pm.timer);
}

static int pm_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put16(w, pm.sts);
	state_put16(w, pm.en);
	state_put16(w, pm.cnt);
	state_put64(w, pm.halves);
	return w->err;
}

static void pm_load(void *dev, struct state_reader *r)
{
	uint16_t sts = state_get16(r), en = state_get16(r), cnt = state_get16(r);
	uint64_t halves = state_get64(r);

	(void)dev;
	state_require(r, !(sts & ~(PM1_MASK | BM_STS | WAK_STS)), "sts");
	state_require(r, !(en & ~PM1_MASK), "en");
	state_require(r, !(cnt & ~CNT_WRITABLE), "cnt");
	state_require(r, halves <= ticks_at(VNS_NEVER) >> PM_MSB, "halves");
	if (!state_commit(r))
		return;
	pm.sts = sts;
	pm.en = en;
	pm.cnt = cnt;
	pm.halves = halves;
	wait();
}

static void pm_scramble(void *dev)
{
	(void)dev;
	vtimer_cancel(&pm.timer);
	pm.sts = pm.en = pm.cnt = 0xa5a5;
	pm.halves = 0xa5a5a5a5a5a5a5a5;
}

static const struct bus_region pm_ports = {.name = "acpi pm",
					   .base = PM_BASE,
					   .size = PM_LEN,
					   .max_size = 4,
					   .read = pm_read,
					   .write = pm_write};
static const struct unit pm_unit = {.name = "pm",
				    .version = 2,
				    .reset = pm_reset,
				    .save = pm_save,
				    .load = pm_load,
				    .scramble = pm_scramble};

void pm_init(struct vtimerq *q)
{
	vtimer_init(&pm.timer, q, pm_fire);
	ASSERT(bus_add_io(&pm_ports) == 0 && unit_register(&pm_unit) == 0);
}
