/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States of a vCPU that occur in practice, and random ones of their kind. By default as under VT-x;
 * with VCPU_STATES_SVM as under AMD-V.
 */
#pragma once
#include <string.h>
#include "arch/x86_64/fpu_area.h"
#include "hv/vcpu.h"

#ifdef VCPU_STATES_SVM
#define VCPU_CR0_MASK 0
#define VCPU_CR4_MASK 0
#else
#define VCPU_CR0_MASK 0x60000020
#define VCPU_CR4_MASK (~0x770fffull | 0x40)
#endif
#define VCPU_SEG_UNUSABLE (1u << 16)

static inline struct vcpu_state reset_state(void)
{
	struct vcpu_state s = {.rip = 0xfff0,
			       .rflags = 2,
			       .cr0 = 0x60000010,
			       .cr0_mask = VCPU_CR0_MASK,
			       .cr4_mask = VCPU_CR4_MASK,
			       .pat = 0x0007040600070406,
			       .dr6 = 0xffff0ff0,
			       .dr7 = 0x400};

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct vcpu_segment){.limit = 0xffff, .attr = 0x93};
	s.seg[SEG_CS].base = 0xffff0000;
	s.seg[SEG_CS].selector = 0xf000;
	s.seg[SEG_LDTR] = (struct vcpu_segment){.limit = 0xffff, .attr = 0x82};
	s.seg[SEG_TR] = (struct vcpu_segment){.limit = 0xffff, .attr = 0x8b};
	s.gdtr.limit = s.idtr.limit = 0xffff;
	return s;
}

/* As the 32-bit entry point of a kernel is entered. */
static inline struct vcpu_state flat_state(void)
{
	struct vcpu_state s = reset_state();

	s.cr0 = 0x11;
	s.rip = 0x1000000;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct vcpu_segment){
			.limit = 0xffffffff, .attr = 0xc093, .selector = 0x18};
	s.seg[SEG_CS].attr = 0xc09b;
	return s;
}

static inline struct vcpu_state long_state(unsigned dpl)
{
	struct vcpu_state s = flat_state();

	s.cr0 = 0x80050033;
	s.cr3 = 0x1000;
	s.cr4 = 0x6b0 & ~0x40u;
	s.efer = 0xd01;
	s.rip = dpl ? 0x401000 : 0xffffffff81000000;
	s.rflags = 0x202;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct vcpu_segment){.attr = VCPU_SEG_UNUSABLE};
	s.seg[SEG_CS] = (struct vcpu_segment){
		.limit = 0xffffffff, .attr = 0xa09b | dpl << 5, .selector = (uint16_t)(0x10 | dpl)};
	s.seg[SEG_SS] = (struct vcpu_segment){
		.limit = 0xffffffff, .attr = 0xc093 | dpl << 5, .selector = (uint16_t)(0x18 | dpl)};
	s.seg[SEG_GS].base = 0xffff888000000000;
	s.seg[SEG_LDTR].attr = VCPU_SEG_UNUSABLE;
	s.seg[SEG_TR] = (struct vcpu_segment){
		.base = 0xfffffe0000003000, .limit = 0x206f, .attr = 0x8b, .selector = 0x40};
	s.lstar = 0xffffffff81a00000;
	return s;
}

static inline struct vcpu_state vm86_state(void)
{
	struct vcpu_state s = flat_state();

	s.rflags = 0x20202;
	s.rip = 0x100;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct vcpu_segment){
			.base = 0x12340, .limit = 0xffff, .attr = 0xf3, .selector = 0x1234};
	return s;
}

/* 32-bit with PAE: the PDPTEs count. */
static inline struct vcpu_state pae_state(void)
{
	struct vcpu_state s = flat_state();

	s.cr0 = 0x80000011;
	s.cr3 = 0x3000;
	s.cr4 = 0x20;
	s.pdpte[0] = 0x2001;
	return s;
}

/* --- random ones; `rnd` gives 64 random bits --- */

typedef uint64_t (*random_fn)(void);

static inline uint64_t random_address(random_fn rnd) /* canonical */
{
	return (uint64_t)((int64_t)(rnd() << 16) >> 16);
}

static inline void random_registers(struct vcpu_state *s, random_fn rnd)
{
	for (unsigned i = 0; i < NUM_GPR; i++)
		s->gpr[i] = rnd();
	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = random_address(rnd);
	s->dr6 = 0xffff0ff0 | (rnd() & 0xe00f);
	s->dr7 = 0x400 | (rnd() & 0xffff00ff);
	s->rflags |= rnd() & 0x244cd5; /* no IOPL, NT, VM */
	s->cr2 = rnd();
	s->cr3 = rnd() & 0xfffffff000;
	s->tsc_adjust = rnd();
	s->tsc_aux = (uint32_t)rnd();
	s->spec_ctrl = rnd() & 7;
	s->debugctl = rnd() & 2;
	s->pat = 0x0007040600070406 ^ (rnd() & 1 ? 0x0401ull << 32 ^ 0x0700ull << 32 : 0);
	s->star = rnd();
	s->lstar = random_address(rnd);
	s->cstar = random_address(rnd);
	s->kernel_gs_base = random_address(rnd);
	s->sfmask = (uint32_t)rnd();
	s->sysenter_cs = (uint32_t)rnd();
	s->sysenter_esp = random_address(rnd);
	s->sysenter_eip = random_address(rnd);
	s->gdtr.base = random_address(rnd);
	s->gdtr.limit = (uint16_t)rnd();
	s->idtr.base = random_address(rnd);
	s->idtr.limit = (uint16_t)rnd();
}

static inline void random_event(struct vcpu_state *s, random_fn rnd)
{
	switch (rnd() % 4) {
	case 0: /* an interrupt on its way */
		s->rflags |= 0x200;
		s->idt_vectoring = 1u << 31 | (uint32_t)(rnd() & 0xff);
		break;
	case 1: /* a page fault */
		s->idt_vectoring = 1u << 31 | 1u << 11 | EVENT_EXCEPTION << 8 | 14;
		s->idt_error = rnd() & 0x1f;
		break;
	case 2: /* an NMI, and one behind it */
		s->idt_vectoring = 1u << 31 | EVENT_NMI << 8 | 2;
		s->interruptibility = 8;
		break;
	default:
		break;
	}
	s->nmi_pending = rnd() % 3;
}

static inline void random_extended(struct vcpu_state *s, random_fn rnd)
{
	struct xsave_area *a = (struct xsave_area *)s->xsave;

	s->xcr0 = rnd() & 1 ? 1 : 3;
	s->xsave_size = sizeof(*a);
	for (size_t i = 0; i < sizeof(a->regs); i++)
		a->regs[i] = (uint8_t)rnd();
	for (size_t i = 0; i < sizeof(a->x87); i++)
		a->x87[i] = (uint8_t)rnd();
	a->mxcsr = 0x1f80 | (rnd() & 0x3f);
	a->xstate_bv = rnd() & 3;
}

/* Everything that a parked vCPU can be in. */
static inline struct vcpu_state random_state(random_fn rnd)
{
	struct vcpu_state s;

	switch (rnd() % 5) {
	case 0:
		s = reset_state();
		break;
	case 1:
		s = flat_state();
		break;
	case 2:
		s = pae_state();
		break;
	case 3:
		s = vm86_state();
		break;
	default:
		s = long_state(rnd() & 1 ? 3 : 0);
		s.rip = random_address(rnd);
		s.seg[SEG_FS].base = random_address(rnd);
		s.seg[SEG_GS].base = random_address(rnd);
	}
	random_registers(&s, rnd);
	random_extended(&s, rnd);
	switch (rnd() % 4) {
	case 0: /* the shadow of MOV SS, or of STI */
		s.interruptibility = rnd() & 1 || !(s.rflags & 0x200) ? 2 : 1;
		break;
	case 1:
		random_event(&s, rnd);
		break;
	case 2:
		if (!(s.seg[SEG_SS].attr & 0x60))
			s.activity = VCPU_HLT;
		break;
	default:
		s.activity = rnd() & 1 ? VCPU_WAIT_SIPI : VCPU_SHUTDOWN;
	}
#ifndef VCPU_STATES_SVM
	s.pending_debug = rnd() & 0x500f;
#endif
	return s;
}
