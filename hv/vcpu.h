/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual CPU and the seam between the vendor back ends (vmx/, svm/) and the rest. vCPU n runs on
 * physical CPU n only.
 *
 * Context: everything here runs on the vCPU's own CPU with interrupts off, unless it says "any
 * CPU". Registers: gpr[], rip, rflags are authoritative between exit and entry; the back end reads
 * them at the exit and writes back what changed. Other registers are behind the ops.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/vlapic.h"
#include "hv/walk.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NUM_GPR };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, NUM_SEG };

struct vcpu_segment {
	uint64_t base;
	uint32_t limit;
	uint32_t attr; /* VMX access-rights format (SDM vol. 3, "Guest-State Area"), bit 16 =
			  unusable */
	uint16_t selector;
};
#define SEG_ATTR_L (1u << 13) /* 64-bit code */
#define SEG_ATTR_D (1u << 14) /* or B */

enum vcpu_activity { VCPU_ACTIVE, VCPU_HLT, VCPU_WAIT_SIPI, VCPU_SHUTDOWN };

/* Everything architectural that the back end holds or that lives in the processor; the vCPU's
 * section of a state image. */
struct vcpu_state {
	uint64_t gpr[NUM_GPR], rip, rflags;
	uint64_t cr0, cr2, cr3, cr4, cr8, xcr0; /* as the guest reads them */
	uint64_t cr0_mask, cr4_mask;		/* bits it reads from VMX's shadows; SVM: 0 */
	uint64_t pdpte[4];
	uint64_t dr[4], dr6, dr7;
	struct vcpu_segment seg[NUM_SEG];
	struct {
		uint64_t base;
		uint32_t limit;
	} gdtr, idtr;
	uint64_t efer, pat, xss, debugctl, spec_ctrl, tsc_aux, tsc_adjust;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint32_t activity;	   /* enum vcpu_activity */
	uint32_t interruptibility; /* bit 0 STI, 1 MOV SS, 3 NMI (VMX layout) */
	uint64_t pending_debug;	   /* VMX pending debug exceptions */
	uint32_t idt_vectoring; /* event that was being delivered, or is to be injected; VMX event
				   format, bit 31 valid */
	uint32_t idt_error;
	uint32_t idt_insn_len;
	uint32_t nmi_pending; /* NMIs not yet injected (0..2) */
	uint32_t xsave_size;
	uint8_t xsave[4096]
		__attribute__((aligned(64))); /* XSAVE standard format under the host's full XCR0 */
};

/* Requests from any CPU, atomic bits in vcpu->requests; handled before the next entry. */
enum {
	VCPU_REQ_INIT = 1u << 0,
	VCPU_REQ_SIPI = 1u << 1,
	VCPU_REQ_NMI = 1u << 2,
	VCPU_REQ_DEADLINE = 1u << 3, /* look at its deadlines again */
	VCPU_REQ_STOP = 1u << 4,     /* leave virtualization, halt the CPU (before a reset) */
	VCPU_REQ_TSC = 1u << 5,	     /* rewrite the TSC offset */
	VCPU_REQ_FLUSH = 1u << 6,    /* the nested page tables have lost a mapping */
	VCPU_REQ_SHUTDOWN = 1u << 7, /* the guest is finished: wait in the hypervisor for good */
	VCPU_REQ_CONSOLE = 1u << 8,  /* boot CPU: console_poll has something to do */
	VCPU_REQ_NODE = 1u << 9,     /* boot CPU: node_act has something to do */
};

#define EVENT_INTR	0u
#define EVENT_NMI	2u
#define EVENT_EXCEPTION 3u
#define EVENT_SOFT_INT	4u
#define EVENT_PRIV_EXC	5u
#define EVENT_SOFT_EXC	6u
struct vcpu_event { /* VMX event types */
	uint8_t vector, type;
	bool has_error;
	uint32_t error;
	uint32_t insn_len; /* soft events */
};

struct vcpu {
	uint64_t gpr[NUM_GPR]; /* offset 0: the entry code's contract */
	uint64_t rip, rflags;
	struct cpu *cpu;
	unsigned index;		     /* 0 = BSP */
	uint32_t requests;	     /* atomic */
	uint32_t sipi_vector;	     /* 0x100 | vector once a SIPI came; atomic */
	uint32_t nmi_pending;	     /* 0..2 */
	enum vcpu_activity activity; /* WAIT_SIPI and SHUTDOWN are waited for in the hypervisor; HLT
					as the back end likes */
	bool event_pending; /* `event` is to be injected at the next entry; cleared by the back end
			       once it is delivered */
	struct vcpu_event event;
	vns_t deadline_ns; /* earliest timer for which deadline_host was computed, and at which
			      start of the clock */
	uint64_t deadline_epoch, deadline_host;
	uint64_t timers_rest; /* host tick before which no timer fires */
	uint64_t tsc_adjust;  /* IA32_TSC_ADJUST */
	uint64_t xcr0, xss;   /* live in the processor while this vCPU is on its CPU */
	struct vlapic lapic;
	struct walk_cache fetch;  /* of the code page emulated last (hv/walk.h) */
	struct vcpu_image *image; /* captured while parked (hv/vcpu_unit.c) */
	struct mtrr_state *mtrr;  /* virtual MTRRs (hv/msr.c) */
	void *vendor;		  /* struct vmx_vcpu / struct svm_vcpu, allocated by create() */
	struct vcpu_stats *stats; /* hv/stats.h */
	struct unit unit;
};

/* What must hold for a state, and which of its fields are to blame if it does not. */
struct state_rule {
	bool (*holds)(const struct vcpu_state *s);
	const char *what;
};
/* The first rule that is broken, NULL: none. */
static inline const char *state_rules(const struct state_rule *rule, size_t n,
				      const struct vcpu_state *s)
{
	for (; n; n--, rule++)
		if (!rule->holds(s))
			return rule->what;
	return NULL;
}

struct vcpu_ops {
	bool keeps_hlt;	  /* HLT is not intercepted: the back end's own state says that the guest
			     halts; known after setup */
	const char *name; /* "VT-x", "AMD-V" */
	/* Boot CPU, once: read capabilities, allocate shared bitmaps, build the nested page tables'
	 * root from memmap. */
	int (*setup)(void);
	/* Each CPU: enable (FEATURE_CONTROL, VMXON / EFER.SVME); disable (VMXOFF / clear SVME),
	 * safe in NMI and panic. */
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);
	int (*create)(struct vcpu *v);
	void (*reset)(struct vcpu *v); /* registers to their power-on/INIT values; lapic excluded */
	void (*sipi)(struct vcpu *v,
		     uint8_t vector); /* start-up address of a SIPI: CS base vector << 12, RIP 0 */
	/* Enter the guest until the next exit and handle the exit. Called with all requests served,
	 * interrupts off. Does event injection (vcpu_prepare_entry tells what), TSC offset, the
	 * physical timer for host tick `deadline`. */
	void (*run)(struct vcpu *v, uint64_t deadline);
	void (*inject)(struct vcpu *v,
		       const struct vcpu_event *e); /* at the next entry; #DF/shutdown merging is
						       the caller's (vcpu_inject) */
	bool (*nmi_blocked)(struct vcpu *v);
	void (*get_segment)(struct vcpu *v, unsigned seg, struct vcpu_segment *s);
	uint64_t (*get_cr)(struct vcpu *v, unsigned cr); /* 0, 2, 3, 4, as the guest reads it */
	int (*set_cr)(struct vcpu *v, unsigned cr, uint64_t val);
	uint64_t (*get_efer)(struct vcpu *v);
	int (*set_efer)(struct vcpu *v, uint64_t val); /* -EINVAL: #GP */
	uint64_t (*get_pdpte)(struct vcpu *v, unsigned i);
	int (*get_msr)(struct vcpu *v, uint32_t msr,
		       uint64_t *val); /* MSRs that the back end keeps: PAT, SYSENTER, FS/GS base,
					  DEBUGCTL */
	int (*set_msr)(struct vcpu *v, uint32_t msr, uint64_t val);
	void (*clear_shadow)(
		struct vcpu *v); /* STI / MOV SS blocking ends (an instruction was emulated) */
	void (*step_trap)(struct vcpu *v); /* an instruction was emulated under RFLAGS.TF: DR6.BS
					      and a #DB trap are due */
	void (*set_tsc_offset)(struct vcpu *v, uint64_t offset);
	/* One page of a device's registers, uncached, for all vCPUs, where there is no RAM; what
	 * was mapped there is replaced. platform_lock held; whoever unmaps or replaces sends
	 * VCPU_REQ_FLUSH. -ENOMEM, -EEXIST. */
	int (*map_device)(uint64_t gpa, uint64_t hpa);
	void (*unmap_device)(uint64_t gpa);
	void (*flush)(struct vcpu *v); /* forget translations */
	void (*save)(
		struct vcpu *v,
		struct vcpu_state *s); /* fills all but tsc_adjust, xsave..., which vcpu.c does */
	/* What no entry could ever succeed with, in the section's terms; NULL: all is well. Any
	 * CPU. */
	const char *(*state_fault)(const struct vcpu_state *s);
	int (*load)(struct vcpu *v,
		    const struct vcpu_state *s); /* -EINVAL: state_fault, or the processor's no */
	void (*scramble)(struct vcpu *v);
	void (*dump)(struct vcpu *v); /* log the vendor's state block, for a panic */
	const char *(*exit_name)(unsigned reason);
};

extern const struct vcpu_ops *vcpu_ops; /* chosen at boot */
extern struct vcpu_ops vmx_ops;
extern const struct vcpu_ops svm_ops;

/* --- what the back ends call (hv/) --- */
/* All exit handlers advance RIP themselves (vcpu_skip) or inject an exception. `len`: instruction
 * length, 0 = unknown: decode it. */
void vcpu_skip(struct vcpu *v, unsigned len);
void exit_cpuid(struct vcpu *v, unsigned len);
void exit_rdmsr(struct vcpu *v, unsigned len);
void exit_wrmsr(struct vcpu *v, unsigned len);
void exit_io(struct vcpu *v, uint16_t port, unsigned size, bool in, bool string,
	     unsigned len); /* string: emulated whole */
void exit_mmio(struct vcpu *v, gpa_t gpa, bool write,
	       bool fetch); /* nested page fault outside RAM */
/* The same, but for the walk of the guest's own paging structures. `linear`: the address that was
 * being translated, NULL if the processor doesn't say. An event whose delivery it interrupted is
 * pending. */
void exit_page_walk(struct vcpu *v, gpa_t gpa, const uint64_t *linear);
void exit_hlt(struct vcpu *v, unsigned len); /* only if HLT is intercepted */
void exit_xsetbv(struct vcpu *v, unsigned len);
void exit_invalid_op(struct vcpu *v); /* an instruction the guest can't have (VMX, SVM, ...): #UD */
void exit_triple_fault(struct vcpu *v);
void exit_machine_check(struct vcpu *v);
void exit_host_nmi(void); /* an NMI took us out: ours, or it becomes the guest's */
void exit_unknown(struct vcpu *v, uint64_t reason, uint64_t info1,
		  uint64_t info2); /* report, dump, stop this guest; no return to it */

void vcpu_inject(struct vcpu *v, uint8_t vector, bool has_error,
		 uint32_t error); /* an exception by the hypervisor; serial faults as SDM table
				     "double fault" */
static inline void vcpu_inject_gp(struct vcpu *v)
{
	vcpu_inject(v, 13, true, 0);
}
static inline void vcpu_inject_ud(struct vcpu *v)
{
	vcpu_inject(v, 6, false, 0);
}

/* --- any CPU --- */
struct vcpu *vcpu_get(unsigned index);
unsigned vcpu_count(void);
struct vcpu *vcpu_by_apic_id(uint32_t id);
void vcpu_request(struct vcpu *v, uint32_t req); /* sets the bits and kicks */
void vcpu_kick(struct vcpu *v);			 /* IPI if it runs on another CPU */
void vcpu_post_init(struct vcpu *v);
void vcpu_post_sipi(struct vcpu *v, uint8_t vector);
void vcpu_post_nmi(struct vcpu *v);
void vcpu_update_tsc(struct vcpu *v); /* own CPU: write the TSC offset from the clock, the CPU's
					 skew and TSC_ADJUST */

/* --- the loop (hv/vcpu.c) --- */
struct vcpu *vcpu_create(unsigned index, struct cpu *cpu); /* boot CPU: memory, LAPIC, units */
void vcpu_start(
	struct vcpu *v); /* own CPU: enable virtualization, create the back end's part; panics */
__attribute__((noreturn)) void vcpu_loop(struct vcpu *v);
/* Boot CPU, frozen or not: console and node requests. False if there were none. */
bool vcpu_serve_boot_cpu(struct vcpu *v);

/* --- the node's clock (hv/clock.c) --- */
extern struct vclock node_clock;
void clock_unit_register(void); /* boot; the clock is set up (hv/clock_unit.c) */
vns_t node_now(void);		/* virtual time now, this CPU (skew-corrected) */
uint64_t node_ticks(void);	/* guest ticks with TSC_ADJUST 0, this CPU */
uint64_t node_host_ticks(void); /* this CPU's TSC corrected to the boot CPU's */
