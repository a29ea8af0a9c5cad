/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's local APIC as a unit: its section of a state image. Layout in docs/state-format.md. */
#include "arch/x86_64/cpu.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "hv/vlapic_internal.h"
#include <string.h>

#define REGS   64 /* registers of the page, 16 bytes apart */
#define ERRORS (ESR_SEND_ILLEGAL | ESR_RECV_ILLEGAL | ESR_ILLEGAL_REGISTER)

struct image {
	uint64_t base_msr;
	uint32_t id;
	uint8_t lint_edge, extint, lint_remote_irr;
	uint32_t errors;
	uint32_t icr_x2_high;
	uint64_t pir[4], pir_level[4];
	uint64_t timer_deadline, tsc_deadline;
	uint32_t reg[REGS];
};

/* Bits of a register that are state: not fixed, not computed, and not only there until the next
 * exit is handled. */
static uint32_t stateful(unsigned offset, bool x2)
{
	switch (offset) {
	case APIC_EOI:
	case APIC_SELF_IPI:
		return 0;
	case APIC_LDR: /* made from the ID in x2APIC mode */
		return x2 ? 0 : vlapic_reg(offset)->writable;
	case APIC_ESR:
		return ERRORS;
	case APIC_LVT_LINT0:
		return vlapic_reg(offset)->writable | LVT_REMOTE_IRR;
	case APIC_ISR:
	case APIC_TMR:
	case APIC_IRR:
		return 0xffff0000;
	default:
		if (offset > APIC_ISR && offset < APIC_ESR)
			return 0xffffffff;
		return vlapic_reg(offset)->writable;
	}
}

static int lapic_save(void *dev, struct state_writer *w)
{
	const struct vlapic *l = dev;
	bool x2 = vlapic_x2apic(l);

	state_put32(w, l->id);
	state_put64(w, l->base_msr);
	state_put8(w, l->lint_edge);
	state_put8(w, l->extint);
	state_put8(w, l->lint_remote_irr);
	state_put32(w, l->errors);
	state_put32(w, x2 ? reg_get(l, APIC_ICR_X2_HIGH) : 0);
	for (unsigned i = 0; i < 4; i++)
		state_put64(w, l->pir[i]);
	for (unsigned i = 0; i < 4; i++)
		state_put64(w, l->pir_level[i] & l->pir[i]);
	state_put64(w, l->timer_deadline.v);
	state_put64(w, l->tsc_deadline);
	for (unsigned i = 0; i < REGS; i++)
		state_put32(w, reg_get(l, i * 16) & stateful(i * 16, x2));
	return w->err;
}

static void parse(struct image *m, struct state_reader *r)
{
	m->id = state_get32(r);
	m->base_msr = state_get64(r);
	m->lint_edge = state_get8(r);
	m->extint = state_get8(r);
	m->lint_remote_irr = state_get8(r);
	m->errors = state_get32(r);
	m->icr_x2_high = state_get32(r);
	for (unsigned i = 0; i < 4; i++)
		m->pir[i] = state_get64(r);
	for (unsigned i = 0; i < 4; i++)
		m->pir_level[i] = state_get64(r);
	m->timer_deadline = state_get64(r);
	m->tsc_deadline = state_get64(r);
	for (unsigned i = 0; i < REGS; i++)
		m->reg[i] = state_get32(r);
}

static void check_registers(const struct image *m, struct state_reader *r)
{
	bool x2 = m->base_msr & BASE_EXTD;

	for (unsigned i = 0; i < REGS; i++)
		state_require(r, !(m->reg[i] & ~stateful(i * 16, x2)),
			      "reg: a bit that is fixed or computed");
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
		state_require(r,
			      m->reg[APIC_SVR / 16] & SVR_ENABLE || m->reg[lvt / 16] & LVT_MASKED,
			      "reg: LVT not masked while the APIC is off");
}

static bool timer_valid(const struct image *m)
{
	uint32_t tmict = m->reg[APIC_TMICT / 16];
	bool armed = m->timer_deadline != VNS_NEVER.v;

	switch (m->reg[APIC_LVT_TIMER / 16] >> 17 & 3) {
	case TIMER_ONESHOT:
	case TIMER_PERIODIC:
		return m->tsc_deadline == 0 && (tmict || !armed);
	case TIMER_DEADLINE:
		return tmict == 0 && (m->tsc_deadline || !armed);
	default:
		return tmict == 0 && m->tsc_deadline == 0 && !armed;
	}
}

static void check_image(const struct image *m, const struct vlapic *l, struct state_reader *r)
{
	uint32_t lint0 = m->reg[APIC_LVT_LINT0 / 16];
	bool lint0_level = (lint0 & LVT_LEVEL) && (lint0 >> 8 & 7) == DELIVERY_FIXED;

	state_expect(r, m->id, l->id, "id");
	state_require(r, vlapic_base_legal(m->base_msr) && !!(m->base_msr & BASE_BSP) == l->bsp,
		      "base");
	state_require(r, m->lint_edge <= 1, "lint_edge");
	state_require(r, m->extint <= 1, "extint");
	state_require(r,
		      m->lint_remote_irr == !!(lint0 & LVT_REMOTE_IRR) &&
			      (!m->lint_remote_irr || lint0_level),
		      "lint_remote_irr");
	state_require(r, !(m->errors & ~ERRORS), "errors");
	state_require(r, !m->icr_x2_high || m->base_msr & BASE_EXTD, "icr_high");
	state_require(r, !(m->pir[0] & 0xffff), "pir");
	for (unsigned i = 0; i < 4; i++)
		state_require(r, !(m->pir_level[i] & ~m->pir[i]), "level");
	check_registers(m, r);
	state_require(r, timer_valid(m), "timer_deadline, tsc_deadline or TMICT");
}

static void commit(struct vlapic *l, const struct image *m)
{
	bool x2 = m->base_msr & BASE_EXTD;

	l->base_msr = m->base_msr;
	l->lint_edge = m->lint_edge;
	l->extint = m->extint;
	l->lint_remote_irr = m->lint_remote_irr;
	l->errors = m->errors;
	memcpy(l->pir, m->pir, sizeof(l->pir));
	memcpy(l->pir_level, m->pir_level, sizeof(l->pir_level));
	memset(l->regs, 0, PAGE_SIZE);
	for (unsigned i = 0; i < REGS; i++)
		reg_set(l, i * 16, m->reg[i]);
	reg_set(l, APIC_DFR, m->reg[APIC_DFR / 16] | ~vlapic_reg(APIC_DFR)->writable);
	reg_set(l, APIC_ICR_X2_HIGH, m->icr_x2_high);
	reg_set(l, APIC_VERSION, APIC_VER);
	reg_set(l, APIC_ID, x2 ? l->id : l->id << 24);
	if (x2)
		reg_set(l, APIC_LDR, x2apic_ldr(l->id));
	reg_set(l, APIC_PPR, vlapic_ppr(l));
	l->tmr_changed = true;
	vlapic_timer_load(l, (vns_t){m->timer_deadline}, m->tsc_deadline);
}

static void lapic_load(void *dev, struct state_reader *r)
{
	struct vlapic *l = dev;
	struct image m;

	parse(&m, r);
	check_image(&m, l, r);
	if (state_commit(r))
		commit(l, &m);
}

static void lapic_scramble(void *dev)
{
	struct vlapic *l = dev;

	vlapic_timer_stop(l);
	memset(l->regs, 0x5a, PAGE_SIZE);
	memset(l->pir, 0x5a, sizeof(l->pir));
	memset(l->pir_level, 0xa5, sizeof(l->pir_level));
	l->base_msr = 0x5a5a5a5a;
	l->errors = 0x5a;
	l->lint_edge = l->extint = 1;
	l->lint_remote_irr = !l->lint_remote_irr;
	l->timer_mode = TIMER_PERIODIC;
	l->timer_shift = 7;
	l->tsc_deadline = 0x5a5a;
}

static void lapic_reset(void *dev)
{
	vlapic_reset(dev);
}

void vlapic_unit_register(struct vlapic *l)
{
	l->unit = (struct unit){.version = 2,
				.dev = l,
				.reset = lapic_reset,
				.save = lapic_save,
				.load = lapic_load,
				.scramble = lapic_scramble};
	fmt(l->unit.name, sizeof(l->unit.name), "lapic %u", l->vcpu->index);
	ASSERT(unit_register(&l->unit) == 0);
}
