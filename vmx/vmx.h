/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VT-x back end's own declarations. One VMCS per vCPU, current on its CPU from create() on.
 * The fields that each exit needs are read once; what an exit or the hypervisor did not change is
 * not written back.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arch/x86_64/cpu.h"
#include "hv/vcpu.h"
#include "vmx/vmcs.h"

#define likely(c)   __builtin_expect(!!(c), 1)
#define unlikely(c) __builtin_expect(!!(c), 0)

#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
#define RFLAGS_VM (1ull << 17)

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_PSE	  (1ull << 4)
#define CR4_PAE	  (1ull << 5)
#define CR4_MCE	  (1ull << 6)
#define CR4_PGE	  (1ull << 7)
#define CR4_VMXE  (1ull << 13)
#define CR4_PCIDE (1ull << 17)
#define CR4_SMEP  (1ull << 20)

#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

#define DEBUGCTL_LBR (1ull << 0)
#define DEBUGCTL_BTF (1ull << 1)

#define DR6_INIT 0xffff0ff0ull
#define DR7_INIT 0x400ull
#define DR7_GD	 (1ull << 13)

#define SEG_UNUSABLE (1u << 16)

/* --- caps.c: what this processor's VT-x offers, reduced to what is used. Read-only after
 * vmx_caps_read() --- */
struct vmx_caps {
	uint32_t revision;			       /* VMCS revision identifier */
	uint32_t pin, primary, secondary, exit, entry; /* control values to run with */
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint64_t ept_vpid;
	unsigned timer_shift; /* IA32_VMX_MISC[4:0] */
	uint64_t timer_round; /* 2^timer_shift - 2, modulo 2^64 */
	unsigned phys_bits;
	bool timer, vpid, vid, x2apic, apic_registers;
	/* The Bochs emulator up to 2.7 departs from the SDM: in HLT it sees no virtual interrupt,
	 * and an external interrupt's exit ends HLT, so that is intercepted; an external interrupt
	 * makes it deliver a pending virtual one in spite of IF = 0; after an entry with IF = 0 it
	 * sees no external interrupt until the guest writes IF. No entry ends the blocking of NMIs,
	 * only IRET does. */
	bool bochs;
};
extern struct vmx_caps vmx_caps;
int vmx_caps_read(void); /* -ENODEV, and a line in the log that says what is missing */

/* --- per vCPU --- */
struct vmx_vcpu {
	uint64_t host_rsp; /* offset 0, entry.S: HOST_RSP as it stands in the VMCS */
	uint32_t launched; /* offset 8, entry.S */
	bool attention; /* the next entry has to look at events; set by whoever makes one pending */
	bool apic_dirty; /* IRR or ISR were changed by software: rewrite SVI too */
	bool eoi_all;	 /* EOI-exit bitmaps: all vectors, not just the level-triggered ones */
	bool nmi_open;	 /* vmx_caps.bochs: NMIs are not blocked, whatever the VMCS says */
	uint64_t rip, rflags, rsp; /* as they stand in the VMCS */
	uint64_t apic_base;	   /* IA32_APIC_BASE that the controls were chosen for */
	uint32_t timer;		   /* PREEMPTION_TIMER_VALUE as it stands */
	uint32_t blind_max;	   /* what it is at most for an entry with IF = 0 */
	uint64_t look_at; /* vmx_caps.bochs: tick from which an exit looks for interrupts */
	uint32_t primary, secondary; /* controls as they stand */
	void *vmcs;
};
_Static_assert(offsetof(struct vmx_vcpu, host_rsp) == 0, "entry.S");
_Static_assert(offsetof(struct vmx_vcpu, launched) == 8, "entry.S");
_Static_assert(offsetof(struct vcpu, gpr) == 0, "entry.S");

static inline struct vmx_vcpu *to_vmx(struct vcpu *v)
{
	return v->vendor;
}

/* --- VMCS access. A failing VMWRITE is a bug of ours: panic. --- */
__attribute__((noreturn, cold)) void vmx_vmwrite_failed(uint32_t field, uint64_t val);

static inline uint64_t vmread(uint32_t field)
{
	uint64_t v;

	asm volatile("vmread %1, %0" : "=rm"(v) : "r"((uint64_t)field) : "cc");
	return v;
}

static inline uint32_t vmread32(uint32_t field)
{
	return (uint32_t)vmread(field);
}

static inline void vmwrite(uint32_t field, uint64_t val)
{
	asm goto("vmwrite %1, %0; jna %l[failed]"
		 :
		 : "r"((uint64_t)field), "rm"(val)
		 : "cc"
		 : failed);
	return;
failed:
	vmx_vmwrite_failed(field, val);
}

/* --- entry.S: 0 after a VM exit, 1 VMfailInvalid, 2 VMfailValid --- */
static inline int vmx_enter(struct vcpu *v, struct vmx_vcpu *x)
{
	int err;

	/* More than a C function may: less to be kept across an entry. */
	asm volatile("call vmx_enter"
		     : "=a"(err), "+D"(v), "+S"(x)
		     :
		     : "rcx", "rdx", "r8", "r9", "r10", "r11", "r14", "r15", "cc", "memory");
	return err;
}
extern uint8_t vmx_exit[]; /* HOST_RIP */

/* --- vmx.c --- */

/* --- vmcs_setup.c --- */
int vmx_bitmaps_setup(void); /* boot CPU: MSR bitmaps */
uint64_t vmx_msr_bitmap(bool x2apic);
int vmx_create(struct vcpu *v);

/* --- ept.c --- */
int vmx_ept_setup(void);	       /* boot CPU */
uint64_t vmx_eptp(bool apic_accesses); /* with the APIC-access page in it, or nothing there */
uint64_t vmx_apic_access_page(void);
void vmx_flush(struct vcpu *v);
int vmx_map_device(uint64_t gpa, uint64_t hpa);
void vmx_unmap_device(uint64_t gpa);
void vmx_flush_vpid(struct vcpu *v);

/* --- inject.c --- */
void vmx_prepare_events(
	struct vcpu *v); /* decide what this entry injects, and which windows it waits for */
void vmx_inject(struct vcpu *v, const struct vcpu_event *e);
bool vmx_capture_vectoring(struct vcpu *v); /* was the exit during the delivery of an event? then it
					       is pending again */
uint32_t vmx_interruptibility(struct vcpu *v);
void vmx_block_nmi(struct vcpu *v);
bool vmx_nmi_blocked(struct vcpu *v);
void vmx_clear_shadow(struct vcpu *v);
void vmx_step_trap(struct vcpu *v);

/* --- apicv.c --- */
void vmx_apicv_mode(struct vcpu *v); /* choose the controls after a change of IA32_APIC_BASE */
enum vmx_apicv_result {
	APICV_NOTHING,
	APICV_INJECT, /* *vector is to be injected by this entry; accepted */
	APICV_WINDOW, /* something is pending that can't be delivered yet */
};
/* `can_inject`: RFLAGS.IF is set, nothing shadows it, and no other event is injected. */
enum vmx_apicv_result vmx_apicv_sync(struct vcpu *v, bool can_inject, uint8_t *vector);
void vmx_apicv_eoi(struct vcpu *v, uint8_t vector);

/* --- exit.c --- */
void vmx_run(struct vcpu *v, uint64_t deadline);
const char *vmx_exit_name(unsigned reason);

/* --- cr.c: control registers, EFER and segments as the guest sees them --- */
uint64_t vmx_cr4_allowed(void); /* bits that the guest may set */
uint64_t vmx_get_cr(struct vcpu *v, unsigned cr);
int vmx_set_cr(struct vcpu *v, unsigned cr, uint64_t val);
uint64_t vmx_get_efer(struct vcpu *v);
int vmx_set_efer(struct vcpu *v, uint64_t val);
uint64_t vmx_get_pdpte(struct vcpu *v, unsigned i);
void vmx_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *s);
void vmx_set_segment(unsigned seg, const struct vcpu_segment *s);
void vmx_write_cr0(uint64_t guest); /* hardware value and read shadow */
void vmx_write_cr4(uint64_t guest);
void vmx_write_efer(uint64_t efer); /* with the matching "IA-32e mode guest" entry control */
int vmx_get_msr(struct vcpu *v, uint32_t msr, uint64_t *val);
int vmx_set_msr(struct vcpu *v, uint32_t msr, uint64_t val);
uint64_t vmx_cr0_mask(void);
uint64_t vmx_cr4_mask(void);
bool vmx_canonical(uint64_t addr);
bool vmx_pdpte_valid(uint64_t pdpte);

/* --- check.c --- */
/* SDM vol. 3, "Checks on the Guest State Area", and what the guest can't have */
const char *vmx_state_fault(const struct vcpu_state *s);

/* --- state.c --- */
void vmx_reset(struct vcpu *v);
void vmx_sipi(struct vcpu *v, uint8_t vector);
void vmx_save(struct vcpu *v, struct vcpu_state *s);
int vmx_load(struct vcpu *v, const struct vcpu_state *s);
void vmx_scramble(struct vcpu *v);

/* --- dump.c --- */
void vmx_dump(struct vcpu *v);
