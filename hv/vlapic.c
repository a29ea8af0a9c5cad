/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's local APIC: registers, priorities and acceptance. Contract in hv/vlapic.h. */
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/vlapic_internal.h"
#include <errno.h>
#include <string.h>

#define MSR_APIC_BASE	 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC	 0x800u
#define REGS_END	 0x400u

#define RO	       (REG_R | REG_XR)
#define RW	       (REG_R | REG_W | REG_XR | REG_XW)
#define XAPIC_RO       REG_R
#define XAPIC_RW       (REG_R | REG_W)
#define SLOT(offset)   [(offset) / 16]
#define BITMAP(offset) [(offset) / 16 ...(offset) / 16 + 7] = {RO, 0, 0}
#define LVT_STATUS     (1u << 12)

static const struct lapic_reg lapic_regs[REGS_END / 16] = {
	SLOT(APIC_ID) = {RO, 0, 0},
	SLOT(APIC_VERSION) = {RO, 0, 0},
	SLOT(APIC_TPR) = {RW, 0xff, 0},
	SLOT(APIC_APR) = {XAPIC_RO, 0, 0},
	SLOT(APIC_PPR) = {RO, 0, 0},
	SLOT(APIC_EOI) = {XAPIC_RW | REG_XW, 0, 0},
	SLOT(APIC_RRD) = {XAPIC_RO, 0, 0},
	SLOT(APIC_LDR) = {XAPIC_RW | REG_XR, 0xff000000, 0},
	SLOT(APIC_DFR) = {XAPIC_RW, 0xf0000000, 0},
	SLOT(APIC_SVR) = {RW, 0x3ff, 0},
	BITMAP(APIC_ISR),
	BITMAP(APIC_TMR),
	BITMAP(APIC_IRR),
	SLOT(APIC_ESR) = {RW, 0, 0},
	SLOT(APIC_ICR) = {RW, 0xccfff, LVT_STATUS},
	SLOT(APIC_ICR_HIGH) = {XAPIC_RW, 0xff000000, 0},
	SLOT(APIC_LVT_TIMER) = {RW, 0x700ff, LVT_STATUS},
	SLOT(APIC_LVT_THERMAL) = {RW, 0x107ff, LVT_STATUS},
	SLOT(APIC_LVT_PERF) = {RW, 0x107ff, LVT_STATUS},
	SLOT(APIC_LVT_LINT0) = {RW, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR},
	SLOT(APIC_LVT_LINT1) = {RW, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR},
	SLOT(APIC_LVT_ERROR) = {RW, 0x100ff, LVT_STATUS},
	SLOT(APIC_TMICT) = {RW, 0xffffffff, 0},
	SLOT(APIC_TMCCT) = {RO, 0, 0},
	SLOT(APIC_TDCR) = {RW, 0xb, 0},
	SLOT(APIC_SELF_IPI) = {REG_XW, 0xff, 0},
};

static struct log_ratelimit relocation_log = {.burst = 1};

const struct lapic_reg *vlapic_reg(unsigned offset)
{
	return &lapic_regs[offset / 16];
}

bool vlapic_enabled(const struct vlapic *l)
{
	return __atomic_load_n(&l->base_msr, __ATOMIC_RELAXED) & BASE_EN;
}

bool vlapic_x2apic(const struct vlapic *l)
{
	return __atomic_load_n(&l->base_msr, __ATOMIC_RELAXED) & BASE_EXTD;
}

/* --- reset --- */

static void set_identity(struct vlapic *l)
{
	bool x2 = vlapic_x2apic(l);

	reg_set(l, APIC_ID, x2 ? l->id : l->id << 24);
	if (x2)
		reg_set(l, APIC_LDR, x2apic_ldr(l->id));
	reg_set(l, APIC_VERSION, APIC_VER);
}

/* SDM vol. 3, "Local APIC State After Power-Up or Reset"; the same after INIT but for ID and APIC
 * base. */
static void registers_reset(struct vlapic *l)
{
	vlapic_timer_stop(l);
	for (unsigned offset = 0; offset < REGS_END; offset += 16)
		reg_set(l, offset, 0);
	reg_set(l, APIC_ICR_X2_HIGH, 0);
	reg_set(l, APIC_DFR, DFR_FLAT);
	reg_set(l, APIC_SVR, 0xff);
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
		reg_set(l, lvt, LVT_MASKED);
	for (unsigned i = 0; i < 4; i++)
		__atomic_store_n(&l->pir[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->errors, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->lint_edge, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->extint, 0, __ATOMIC_RELAXED);
	l->lint_remote_irr = false;
	l->tmr_changed = true;
	set_identity(l);
}

void vlapic_reset(struct vlapic *l)
{
	l->base_msr = LAPIC_BASE | BASE_EN | (l->bsp ? BASE_BSP : 0);
	registers_reset(l);
}

void vlapic_init_reset(struct vlapic *l)
{
	registers_reset(l);
}

void vlapic_virtual_wire(struct vlapic *l)
{
	reg_set(l, APIC_SVR, SVR_ENABLE | 0xff);
	reg_set(l, APIC_LVT_LINT0, DELIVERY_EXTINT << 8);
	reg_set(l, APIC_LVT_LINT1, DELIVERY_NMI << 8);
}

void vlapic_init(struct vlapic *l, struct vcpu *v, uint8_t *regs, uint32_t apic_id, bool bsp,
		 struct vtimerq *q)
{
	memset(l, 0, sizeof(*l));
	l->vcpu = v;
	l->regs = regs;
	l->id = apic_id;
	l->bsp = bsp;
	vlapic_timer_init(l, q);
	vlapic_reset(l);
	vlapic_unit_register(l);
}

/* --- priorities --- */

static int highest(const struct vlapic *l, unsigned bitmap)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = reg_get(l, bitmap + (unsigned)i * 16);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

int vlapic_highest_irr(const struct vlapic *l)
{
	return highest(l, APIC_IRR);
}

int vlapic_highest_isr(const struct vlapic *l)
{
	return highest(l, APIC_ISR);
}

uint32_t vlapic_ppr(const struct vlapic *l)
{
	uint32_t tpr = reg_get(l, APIC_TPR) & 0xff;
	int isr = vlapic_highest_isr(l);
	uint32_t isrv = isr < 0 ? 0 : (uint32_t)isr;

	return tpr >> 4 >= isrv >> 4 ? tpr : isrv & 0xf0;
}

/* SDM vol. 3, "Arbitration Priority Register". */
static uint32_t arbitration_priority(const struct vlapic *l)
{
	uint32_t tpr = reg_get(l, APIC_TPR) & 0xff;
	int irr = vlapic_highest_irr(l), isr = vlapic_highest_isr(l);
	uint32_t irrv = irr < 0 ? 0 : (uint32_t)irr & 0xf0,
		 isrv = isr < 0 ? 0 : (uint32_t)isr & 0xf0;
	uint32_t max = tpr & 0xf0;

	if (max >= irrv && max > isrv)
		return tpr;
	max = irrv > max ? irrv : max;
	return isrv > max ? isrv : max;
}

static void update_ppr(struct vlapic *l)
{
	reg_set(l, APIC_PPR, vlapic_ppr(l));
}

int vlapic_pending(struct vlapic *l)
{
	int irr = vlapic_highest_irr(l);

	if (irr < 0 || !vlapic_enabled(l))
		return -1;
	return (uint32_t)irr >> 4 > vlapic_ppr(l) >> 4 ? irr : -1;
}

void vlapic_accept(struct vlapic *l, uint8_t vector)
{
	vector_clear(l, APIC_IRR, vector);
	vector_set(l, APIC_ISR, vector);
	update_ppr(l);
}

/* --- errors --- */

void vlapic_error(struct vlapic *l, uint32_t bits)
{
	uint32_t lvt = reg_get(l, APIC_LVT_ERROR);

	/* One interrupt until software re-arms it by writing ESR (SDM vol. 3, "Error Handling"). */
	if (__atomic_fetch_or(&l->errors, bits, __ATOMIC_ACQ_REL) || (lvt & LVT_MASKED))
		return;
	if ((lvt & 0xff) < VECTOR_MIN)
		__atomic_fetch_or(&l->errors, ESR_RECV_ILLEGAL, __ATOMIC_RELAXED);
	else
		vlapic_post(l, (uint8_t)lvt, false);
}

/* --- LINT0 --- */

static unsigned lvt_delivery(uint32_t lvt)
{
	return lvt >> 8 & 7;
}

static bool lint0_level(uint32_t lvt)
{
	return lvt_delivery(lvt) == DELIVERY_FIXED && (lvt & LVT_LEVEL);
}

/* What the wire asks of the LVT entry; ExtINT is the caller's of vlapic_extint(). */
static void lint0_service(struct vlapic *l, bool edge)
{
	uint32_t lvt = reg_get(l, APIC_LVT_LINT0);

	if (lvt & LVT_MASKED)
		return;
	if (lint0_level(lvt)) {
		if (l->lint_remote_irr || !pic_intr())
			return;
		l->lint_remote_irr = true;
		reg_set(l, APIC_LVT_LINT0, lvt | LVT_REMOTE_IRR);
		vlapic_post(l, (uint8_t)lvt, true);
		return;
	}
	if (!edge)
		return;
	if (lvt_delivery(lvt) == DELIVERY_FIXED)
		vlapic_post(l, (uint8_t)lvt, false);
	else if (lvt_delivery(lvt) == DELIVERY_NMI)
		vcpu_post_nmi(l->vcpu);
	else if (lvt_delivery(lvt) == DELIVERY_INIT)
		vcpu_post_init(l->vcpu);
}

bool vlapic_extint(const struct vlapic *l)
{
	uint32_t lvt = reg_get(l, APIC_LVT_LINT0);

	if (__atomic_load_n(&l->extint, __ATOMIC_RELAXED))
		return true;
	if (!pic_intr())
		return false;
	if (!vlapic_enabled(l)) /* the pin is the processor's INTR then */
		return l->bsp;
	return !(lvt & LVT_MASKED) && lvt_delivery(lvt) == DELIVERY_EXTINT;
}

int vlapic_intack(struct vlapic *l)
{
	__atomic_store_n(&l->extint, 0, __ATOMIC_RELAXED);
	return pic_intack();
}

void vlapic_set_lint0(bool level)
{
	if (!level)
		return;
	for (unsigned i = 0; i < vcpu_count(); i++) {
		struct vlapic *l = &vcpu_get(i)->lapic;

		if (vlapic_enabled(l) && (reg_get(l, APIC_LVT_LINT0) & LVT_MASKED))
			continue;
		__atomic_store_n(&l->lint_edge, 1, __ATOMIC_RELEASE);
		vcpu_kick(l->vcpu);
	}
}

/* --- from the wires to IRR --- */

static void accept_word(struct vlapic *l, unsigned index, uint32_t vectors, uint32_t level)
{
	unsigned irr = APIC_IRR + index * 16, tmr = APIC_TMR + index * 16;
	uint32_t old = reg_get(l, tmr), mode = (old & ~vectors) | (level & vectors);

	reg_set(l, irr, reg_get(l, irr) | vectors);
	if (mode == old)
		return;
	reg_set(l, tmr, mode);
	l->tmr_changed = true;
}

bool vlapic_sync(struct vlapic *l)
{
	if (__atomic_load_n(&l->lint_edge, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&l->lint_edge, 0, __ATOMIC_ACQUIRE))
		lint0_service(l, true);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t vectors, level;

		if (!__atomic_load_n(&l->pir[i], __ATOMIC_RELAXED))
			continue;
		vectors = __atomic_exchange_n(&l->pir[i], 0, __ATOMIC_ACQUIRE);
		level = __atomic_load_n(&l->pir_level[i], __ATOMIC_RELAXED);
		accept_word(l, 2 * i, (uint32_t)vectors, (uint32_t)level);
		accept_word(l, 2 * i + 1, (uint32_t)(vectors >> 32), (uint32_t)(level >> 32));
	}
	return vlapic_highest_irr(l) >= 0;
}

/* --- EOI --- */

void vlapic_eoi_exit(struct vlapic *l, uint8_t vector)
{
	if (!vector_test(l, APIC_TMR, vector))
		return;
	if (l->lint_remote_irr && (reg_get(l, APIC_LVT_LINT0) & 0xff) == vector) {
		l->lint_remote_irr = false;
		reg_set(l, APIC_LVT_LINT0, reg_get(l, APIC_LVT_LINT0) & ~LVT_REMOTE_IRR);
		lint0_service(l, false);
	}
	ioapic_eoi_broadcast(vector);
}

static void end_of_interrupt(struct vlapic *l)
{
	int vector = vlapic_highest_isr(l);

	if (vector < 0)
		return;
	vector_clear(l, APIC_ISR, (uint8_t)vector);
	update_ppr(l);
	vlapic_eoi_exit(l, (uint8_t)vector);
}

/* --- registers --- */

static uint32_t read_reg(const struct vlapic *l, unsigned offset)
{
	switch (offset) {
	case APIC_APR:
		return arbitration_priority(l);
	case APIC_PPR:
		return vlapic_ppr(l);
	case APIC_TMCCT:
		return vlapic_timer_count(l);
	case APIC_EOI: /* write-only; the page may hold what was written */
	case APIC_RRD:
		return 0;
	default:
		return reg_get(l, offset);
	}
}

static void write_lvt(struct vlapic *l, unsigned offset, uint32_t val)
{
	val &= vlapic_reg(offset)->writable;
	if (!vlapic_software_enabled(l))
		val |= LVT_MASKED;
	if (offset == APIC_LVT_LINT0) {
		l->lint_remote_irr = l->lint_remote_irr && lint0_level(val);
		val |= l->lint_remote_irr ? LVT_REMOTE_IRR : 0;
	}
	reg_set(l, offset, val);
	if (offset == APIC_LVT_TIMER)
		vlapic_timer_set_mode(l, val);
	else if (offset == APIC_LVT_LINT0)
		lint0_service(l, false);
}

static void write_svr(struct vlapic *l, uint32_t val)
{
	reg_set(l, APIC_SVR, val & vlapic_reg(APIC_SVR)->writable);
	if (val & SVR_ENABLE)
		return;
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
		reg_set(l, lvt, reg_get(l, lvt) | LVT_MASKED);
}

/* A permitted write. The page may hold `val` already (APIC-write exit), so the old value there
 * means nothing. */
static void write_reg(struct vlapic *l, unsigned offset, uint32_t val)
{
	const struct lapic_reg *reg = vlapic_reg(offset);

	switch (offset) {
	case APIC_TPR:
		reg_set(l, offset, val & reg->writable);
		update_ppr(l);
		break;
	case APIC_EOI:
		reg_set(l, offset, 0);
		end_of_interrupt(l);
		break;
	case APIC_DFR:
		reg_set(l, offset, val | ~reg->writable);
		break;
	case APIC_SVR:
		write_svr(l, val);
		break;
	case APIC_ESR:
		reg_set(l, offset, __atomic_exchange_n(&l->errors, 0, __ATOMIC_ACQ_REL));
		break;
	case APIC_ICR:
		val &= reg->writable;
		reg_set(l, offset, val);
		vlapic_send_icr(l, val,
				reg_get(l, vlapic_x2apic(l) ? APIC_ICR_X2_HIGH : APIC_ICR_HIGH));
		break;
	case APIC_TMICT:
		vlapic_timer_set_count(l, val);
		break;
	case APIC_TDCR:
		reg_set(l, offset, val & reg->writable);
		vlapic_timer_set_divider(l, val);
		break;
	case APIC_SELF_IPI:
		reg_set(l, offset, 0);
		vlapic_send_self(l, (uint8_t)val);
		break;
	default:
		if (offset >= APIC_LVT_TIMER && offset <= APIC_LVT_ERROR)
			write_lvt(l, offset, val);
		else
			reg_set(l, offset, val & reg->writable);
		break;
	}
}

/* --- xAPIC: MMIO --- */

static bool xapic(const struct vlapic *l)
{
	return (l->base_msr & (BASE_EN | BASE_EXTD)) == BASE_EN;
}

/* Is there a register? If not, the access is logged in ESR. */
static bool xapic_register(struct vlapic *l, unsigned offset)
{
	if (offset < REGS_END && (vlapic_reg(offset)->access & (REG_R | REG_W)))
		return true;
	vlapic_error(l, ESR_ILLEGAL_REGISTER);
	return false;
}

void vlapic_mmio_read(struct vlapic *l, uint32_t offset, unsigned size, uint64_t *val)
{
	unsigned lane = offset & 15, shift = 8 * lane;

	*val = size < 8 ? (1ull << 8 * size) - 1 : UINT64_MAX;
	if (!xapic(l))
		return;
	/* Registers are 32 bits in 16 bytes; what is read of the other 12 is up to the model. Here:
	 * zero. */
	if (lane >= 4 || !xapic_register(l, offset & 0xff0))
		*val = 0;
	else
		*val &= (uint64_t)read_reg(l, offset & 0xff0) >> shift;
}

void vlapic_mmio_write(struct vlapic *l, uint32_t offset, unsigned size, uint64_t val)
{
	/* Other sizes and alignments are undefined on hardware. */
	if (!xapic(l) || size != 4 || (offset & 15) || !xapic_register(l, offset & 0xff0))
		return;
	if (vlapic_reg(offset)->access & REG_W)
		write_reg(l, offset, (uint32_t)val);
}

void vlapic_apic_write(struct vlapic *l, uint32_t offset)
{
	unsigned access = vlapic_x2apic(l) ? REG_XW : REG_W;

	offset &= 0xff0;
	if (offset >= REGS_END || !vlapic_enabled(l))
		return;
	if (vlapic_reg(offset)->access & access)
		write_reg(l, offset, reg_get(l, offset));
	else if (offset == APIC_ID) /* virtualized as writable, but it is not */
		set_identity(l);
}

/* --- MSRs --- */

static int x2apic_read(struct vlapic *l, uint32_t msr, uint64_t *val)
{
	uint32_t offset = (msr - MSR_X2APIC) * 16;

	if (!vlapic_x2apic(l) || offset >= REGS_END || !(vlapic_reg(offset)->access & REG_XR))
		return -EINVAL;
	*val = read_reg(l, offset);
	if (offset == APIC_ICR)
		*val |= (uint64_t)reg_get(l, APIC_ICR_X2_HIGH) << 32;
	return 0;
}

static int x2apic_write(struct vlapic *l, uint32_t msr, uint64_t val)
{
	uint32_t offset = (msr - MSR_X2APIC) * 16;
	const struct lapic_reg *reg;
	uint64_t allowed;

	if (!vlapic_x2apic(l) || offset >= REGS_END)
		return -EINVAL;
	reg = vlapic_reg(offset);
	allowed = reg->writable | reg->ignored;
	if (offset == APIC_ICR)
		allowed |= ~0ull << 32;
	if (!(reg->access & REG_XW) || (val & ~allowed))
		return -EINVAL;
	if (offset == APIC_ICR)
		reg_set(l, APIC_ICR_X2_HIGH, (uint32_t)(val >> 32));
	write_reg(l, offset, (uint32_t)val);
	return 0;
}

bool vlapic_base_legal(uint64_t val)
{
	return (val & ~(uint64_t)(BASE_BSP | BASE_EXTD | BASE_EN)) == LAPIC_BASE &&
	       (val & (BASE_EN | BASE_EXTD)) != BASE_EXTD;
}

/* SDM vol. 3, "x2APIC State Transitions". The BSP flag is not the guest's to change. */
static int write_base(struct vlapic *l, uint64_t val)
{
	uint64_t old = l->base_msr, mode = val & (BASE_EN | BASE_EXTD);

	if ((val ^ LAPIC_BASE) >> 12 && log_ratelimited(&relocation_log))
		log_warn("guest wants its local APIC at 0x%llx; it stays where it is",
			 (unsigned long long)val & ~0xfffull);
	if (!vlapic_base_legal(val) || ((old & BASE_EXTD) && mode == BASE_EN) ||
	    (!(old & BASE_EN) && (mode & BASE_EXTD)))
		return -EINVAL;
	__atomic_store_n(&l->base_msr, LAPIC_BASE | mode | (l->bsp ? BASE_BSP : 0),
			 __ATOMIC_RELEASE);
	if (!(mode & BASE_EN) && (old & BASE_EN)) {
		registers_reset(l);
	} else if ((mode ^ old) & BASE_EXTD) {
		reg_set(l, APIC_ICR_HIGH, 0);
		set_identity(l);
	}
	return 0;
}

int vlapic_rdmsr(struct vlapic *l, uint32_t msr, uint64_t *val)
{
	switch (msr) {
	case MSR_APIC_BASE:
		*val = l->base_msr;
		return 0;
	case MSR_TSC_DEADLINE:
		*val = vlapic_timer_get_deadline(l);
		return 0;
	default:
		return x2apic_read(l, msr, val);
	}
}

int vlapic_wrmsr(struct vlapic *l, uint32_t msr, uint64_t val)
{
	switch (msr) {
	case MSR_APIC_BASE:
		return write_base(l, val);
	case MSR_TSC_DEADLINE:
		vlapic_timer_set_deadline(l, val);
		return 0;
	default:
		return x2apic_write(l, msr, val);
	}
}

uint8_t vlapic_get_cr8(const struct vlapic *l)
{
	return reg_get(l, APIC_TPR) >> 4 & 15;
}

void vlapic_set_cr8(struct vlapic *l, uint8_t cr8)
{
	write_reg(l, APIC_TPR, (cr8 & 15u) << 4);
}
