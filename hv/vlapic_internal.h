/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the parts of the guest's local APIC: vlapic.c (registers), _timer.c, _ipi.c and
 * _unit.c. */
#pragma once
#include "hv/vlapic.h"
#include "hv/vcpu.h"

/* Offsets in the page; an x2APIC MSR is 800h + offset / 16. SDM vol. 3, table "Local APIC Register
 * Address Map". */
enum {
	APIC_ID = 0x020,
	APIC_VERSION = 0x030,
	APIC_TPR = 0x080,
	APIC_APR = 0x090,
	APIC_PPR = 0x0a0,
	APIC_EOI = 0x0b0,
	APIC_RRD = 0x0c0,
	APIC_LDR = 0x0d0,
	APIC_DFR = 0x0e0,
	APIC_SVR = 0x0f0,
	APIC_ISR = 0x100, /* 8 registers each */
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR_X2_HIGH = 0x304, /* in x2APIC mode the page holds ICR as one 64-bit value (SDM,
				     "Virtualizing MSR-Based APIC Accesses") */
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TMICT = 0x380,
	APIC_TMCCT = 0x390,
	APIC_TDCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

enum { SVR_ENABLE = 1u << 8 };
enum { LVT_REMOTE_IRR = 1u << 14, LVT_LEVEL = 1u << 15, LVT_MASKED = 1u << 16 };
enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };
enum { ESR_SEND_ILLEGAL = 1u << 5, ESR_RECV_ILLEGAL = 1u << 6, ESR_ILLEGAL_REGISTER = 1u << 7 };
enum { BASE_BSP = 1u << 8, BASE_EXTD = 1u << 10, BASE_EN = 1u << 11 };

#define DFR_FLAT   0xffffffffu
#define LVT_COUNT  6
#define APIC_VER   ((LVT_COUNT - 1) << 16 | 0x14u)
#define VECTOR_MIN 16 /* vectors below are illegal */

/* Atomic, for the few registers that other CPUs look at (SVR, LDR, DFR, LVT LINT0). */
static inline uint32_t reg_get(const struct vlapic *l, unsigned offset)
{
	return __atomic_load_n((const uint32_t *)(l->regs + offset), __ATOMIC_RELAXED);
}

static inline void reg_set(struct vlapic *l, unsigned offset, uint32_t val)
{
	__atomic_store_n((uint32_t *)(l->regs + offset), val, __ATOMIC_RELAXED);
}

/* A vector's bit in ISR, TMR or IRR. */
static inline bool vector_test(const struct vlapic *l, unsigned bitmap, uint8_t vector)
{
	return reg_get(l, bitmap + vector / 32 * 16) >> vector % 32 & 1;
}

static inline void vector_set(struct vlapic *l, unsigned bitmap, uint8_t vector)
{
	unsigned offset = bitmap + vector / 32 * 16;

	reg_set(l, offset, reg_get(l, offset) | 1u << vector % 32);
}

static inline void vector_clear(struct vlapic *l, unsigned bitmap, uint8_t vector)
{
	unsigned offset = bitmap + vector / 32 * 16;

	reg_set(l, offset, reg_get(l, offset) & ~(1u << vector % 32));
}

static inline bool vlapic_software_enabled(const struct vlapic *l)
{
	return reg_get(l, APIC_SVR) & SVR_ENABLE;
}

static inline uint32_t x2apic_ldr(uint32_t id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

/* vlapic.c; owner only, but vlapic_error: any CPU */
struct lapic_reg {
	uint8_t access;	   /* REG_* */
	uint32_t writable; /* bits that keep what software writes */
	uint32_t ignored;  /* further bits that x2APIC mode takes without #GP: read-only ones */
};
enum { REG_R = 1, REG_W = 2, REG_XR = 4, REG_XW = 8 }; /* xAPIC read, write; x2APIC read, write */
const struct lapic_reg *vlapic_reg(unsigned offset);   /* offset below 400h, a multiple of 16 */
bool vlapic_base_legal(uint64_t val);
uint32_t vlapic_ppr(const struct vlapic *l);
void vlapic_error(struct vlapic *l, uint32_t bits);

/* vlapic_ipi.c */
void vlapic_send_icr(struct vlapic *l, uint32_t low, uint32_t high);
void vlapic_send_self(struct vlapic *l, uint8_t vector);

/* vlapic_timer.c; owner only */
void vlapic_timer_init(struct vlapic *l, struct vtimerq *q);
void vlapic_timer_stop(struct vlapic *l); /* as after INIT */
void vlapic_timer_set_mode(struct vlapic *l, uint32_t lvt);
void vlapic_timer_set_divider(struct vlapic *l, uint32_t tdcr);
void vlapic_timer_set_count(struct vlapic *l, uint32_t tmict);
uint32_t vlapic_timer_count(const struct vlapic *l); /* TMCCT */
void vlapic_timer_set_deadline(struct vlapic *l, uint64_t tsc);
uint64_t vlapic_timer_get_deadline(struct vlapic *l);
/* As saved; mode and divider from the page. */
void vlapic_timer_load(struct vlapic *l, vns_t deadline, uint64_t tsc);

/* vlapic_unit.c */
void vlapic_unit_register(struct vlapic *l);
