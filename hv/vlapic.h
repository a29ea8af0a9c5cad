/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's local APIC (xAPIC and x2APIC), SDM vol. 3 "Advanced Programmable Interrupt
 * Controller". The registers live in a 4 KiB page in xAPIC layout, which is also the VMX
 * virtual-APIC page. With virtual-interrupt delivery (`hw_vid`) the processor keeps ISR, PPR and
 * EOI; else this file does.
 *
 * Who may touch what: only the owning vCPU's CPU (or the one that froze it) touches the page. Every
 * other CPU delivers through `pir` (atomic), and kicks; the owner moves pir to IRR in vlapic_sync()
 * before each entry. Timer: 1 GHz bus clock (one tick = 1 ns of virtual time before the divider),
 * one-shot, periodic, TSC-deadline.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/unit.h"
#include "timevirt/vtimer.h"

struct vcpu;

#define LAPIC_BASE   0xfee00000ull
#define LAPIC_BUS_HZ 1000000000ull

struct vlapic {
	struct vcpu *vcpu;
	uint8_t *regs; /* 4 KiB, page aligned, owned by the vCPU */
	uint32_t id;   /* initial APIC ID (physical APIC ID of the CPU) */
	bool bsp;
	uint64_t base_msr; /* IA32_APIC_BASE */
	bool hw_vid;	   /* VMX virtual-interrupt delivery in use; set by the back end */
	union {
		struct {
			uint8_t lint_edge; /* a rising edge on LINT0 to look at, atomic; the level
					      is pic_intr() */
			uint8_t extint;	   /* an ExtINT message waits for its acknowledge cycle,
					      atomic */
			bool tmr_changed;  /* TMR changed: the back end must rewrite the EOI-exit
					      bitmaps; it clears this */
		};
		uint32_t attention; /* any of these */
	};
	bool lint_remote_irr;  /* LINT0, fixed and level-triggered: accepted, EOI outstanding */
	uint32_t errors;       /* detected since the last write to ESR, atomic */
	uint64_t pir[4];       /* vectors on the way, atomic; bit set by any CPU */
	uint64_t pir_level[4]; /* trigger mode of those: 1 = level, atomic */
	uint8_t timer_mode;    /* LVT timer bits 18:17 in force; the page may already hold new ones
				  (APIC-write exit) */
	uint8_t timer_shift;   /* log2 of the divider in force */
	struct vtimer timer;
	vns_t timer_deadline;  /* next interrupt of the guest's timer; VNS_NEVER = stopped */
	uint64_t tsc_deadline; /* IA32_TSC_DEADLINE, guest ticks, 0 = disarmed */
	struct unit unit;
};

void vlapic_init(struct vlapic *l, struct vcpu *v, uint8_t *regs, uint32_t apic_id, bool bsp,
		 struct vtimerq *q);
void vlapic_reset(struct vlapic *l); /* power-on */
/* What firmware leaves on the boot CPU: software-enabled, LINT0 = ExtINT ("virtual wire"), LINT1 =
 * NMI. */
void vlapic_virtual_wire(struct vlapic *l);
void vlapic_init_reset(struct vlapic *l); /* INIT: APIC base and ID survive */

/* Register access by the owner. MMIO (offset 0..0xfff, any size as on hardware; xAPIC mode only).
 */
void vlapic_mmio_read(struct vlapic *l, uint32_t offset, unsigned size, uint64_t *val);
void vlapic_mmio_write(struct vlapic *l, uint32_t offset, unsigned size, uint64_t val);
/* APIC-write VM exit: the register at `offset` has been written in the page; do the side effects.
 */
void vlapic_apic_write(struct vlapic *l, uint32_t offset);
/*
 * x2APIC MSRs 0x800-0x8ff, IA32_APIC_BASE, IA32_TSC_DEADLINE. -EINVAL: the guest gets #GP. After a
 * change of TSC_ADJUST, write IA32_TSC_DEADLINE again with its present value.
 */
int vlapic_rdmsr(struct vlapic *l, uint32_t msr, uint64_t *val);
int vlapic_wrmsr(struct vlapic *l, uint32_t msr, uint64_t val);
/* EOI of `vector` by virtual-interrupt delivery of a level-triggered vector (EOI-induced VM exit).
 */
void vlapic_eoi_exit(struct vlapic *l, uint8_t vector);

/* Any CPU: post a fixed interrupt. Kicks the vCPU if it is another. */
void vlapic_post(struct vlapic *l, uint8_t vector, bool level);
/* Any CPU: deliver a message of the IOAPIC or an MSI (8-bit destination) to whom it selects. ICR
 * encodings. */
enum {
	DELIVERY_FIXED,
	DELIVERY_LOWEST,
	DELIVERY_SMI,
	DELIVERY_RESERVED,
	DELIVERY_NMI,
	DELIVERY_INIT,
	DELIVERY_SIPI,
	DELIVERY_EXTINT
};
void vlapic_deliver(uint32_t dest, bool logical, unsigned delivery, uint8_t vector, bool level);
void vlapic_set_lint0(bool level); /* 8259 INTR to all LAPICs; platform_lock held */

/* Owner, before each entry: move pir to IRR; returns true if anything is in IRR. */
bool vlapic_sync(struct vlapic *l);
/* Highest vector that beats PPR, or -1. With hw_vid only for deciding on wake-ups: RVI is
 * vlapic_highest_irr. */
int vlapic_pending(struct vlapic *l);
int vlapic_highest_irr(const struct vlapic *l);	      /* -1: none */
int vlapic_highest_isr(const struct vlapic *l);	      /* -1: none */
void vlapic_accept(struct vlapic *l, uint8_t vector); /* IRR -> ISR */
/* Does the 8259 interrupt this CPU: by LINT0, or by a message of the IOAPIC? */
bool vlapic_extint(const struct vlapic *l);
int vlapic_intack(struct vlapic *l); /* its vector; see pic_intack */
uint8_t vlapic_get_cr8(const struct vlapic *l);
void vlapic_set_cr8(struct vlapic *l, uint8_t cr8);
bool vlapic_x2apic(const struct vlapic *l);
bool vlapic_enabled(const struct vlapic *l); /* globally, IA32_APIC_BASE[11] */
