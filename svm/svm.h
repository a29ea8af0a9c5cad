/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD-V (SVM) behind struct vcpu_ops: AMD APM vol. 2, chapter 15. Internal to svm/.
 *
 * Context: everything runs on the vCPU's own CPU with interrupts off, but svm_setup (boot CPU,
 * once) and the pure helpers. RAX, RSP, RIP and RFLAGS live in struct vcpu between exit and entry,
 * the other registers in the VMCB; DR0-3, TSC_AUX and (without virtual SPEC_CTRL) SPEC_CTRL stay in
 * the processor.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/vcpu.h"
#include "svm/vmcb.h"

#define MSR_VM_CR	0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define VM_CR_LOCK	(1ull << 3)
#define VM_CR_SVMDIS	(1ull << 4)

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR0_VALID                                                                                 \
	0xe005003full /* PE MP EM TS ET NE WP AM NW CD PG; the processor ignores writes of others \
		       */

#define CR4_ALWAYS   0x7ffull /* VME to OSXMMEXCPT */
#define CR4_PAE	     (1ull << 5)
#define CR4_UMIP     (1ull << 11)
#define CR4_LA57     (1ull << 12)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE    (1ull << 17)
#define CR4_OSXSAVE  (1ull << 18)
#define CR4_SMEP     (1ull << 20)
#define CR4_SMAP     (1ull << 21)
#define CR4_PKE	     (1ull << 22)
#define CR4_CET	     (1ull << 23)

#define EFER_SCE   (1ull << 0)
#define EFER_LME   (1ull << 8)
#define EFER_LMA   (1ull << 10)
#define EFER_NXE   (1ull << 11)
#define EFER_SVME  (1ull << 12)
#define EFER_FFXSR (1ull << 14)
#define EFER_TCE   (1ull << 15)

#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF    (1ull << 8)
#define RFLAGS_IF    (1ull << 9)
#define RFLAGS_RF    (1ull << 16)
#define RFLAGS_VM    (1ull << 17)

#define DR6_INIT   0xffff0ff0ull
#define DR6_EVENTS 0xe00full /* B0-B3, BD, BS, BT */
#define DR6_BD	   (1ull << 13)
#define DR6_BS	   (1ull << 14)
#define DR7_INIT   0x400ull
#define DR7_GD	   (1ull << 13)

#define ATTRIB_P 0x080u
#define ATTRIB_L 0x200u
#define ATTRIB_D 0x400u

#define PAT_RESET 0x0007040600070406ull

/* What this machine's SVM offers (CPUID 8000000AH and others), and what all vCPUs share. */
struct svm_shared {
	bool nrips, flush_by_asid, lbrv, virt_spec_ctrl;
	uint32_t clean; /* CLEAN_ALL, or 0 where there are no clean bits */
	unsigned linear_bits, phys_bits;
	uint64_t cr4_valid, efer_valid; /* bits the processor takes; EFER_SVME excluded */
	uint64_t iopm_pa, msrpm_pa, n_cr3;
};
extern struct svm_shared svm;

struct svm_cpu {	   /* struct cpu's `vendor` */
	uint64_t hsave_pa; /* VM_HSAVE_PA */
	uint64_t host_pa;  /* VMSAVE area: what VMLOAD restores after an exit */
};

/* A code page of the guest that an instruction was fetched from before (svm/fetch.c). */
#define FETCH_ENTRIES 8
struct fetch_entry {
	uint64_t cr3, page; /* linear address of the page; `code` NULL = entry unused */
	const uint8_t *code;
};

/* Windows: what the VMCB is armed with to exit when a waiting interrupt has to be looked at. */
#define WINDOW_INTR (1u << 0) /* V_IRQ with the VINTR intercept: it may be delivered */
#define WINDOW_CR8  (1u << 1) /* writes of CR8: which of them may be delivered changes */

struct svm_vcpu {
	unsigned refused; /* exits in a row that were VMEXIT_INVALID and taken for a refused MOV to
			     CR */
	struct vmcb *vmcb;
	uint64_t vmcb_pa, host_pa; /* host_pa: this CPU's VMSAVE area */
	uint8_t windows;
	uint8_t offered;   /* vector that V_IRQ has the processor deliver, still in IRR; 0: none */
	uint8_t tpr;	   /* V_TPR at the last entry */
	bool nmi_masked;   /* between an NMI and its IRET; the IRET intercept is on, or: */
	bool iret_pending; /* that IRET was reached and is being executed now */
	uint64_t iret_rip;
	bool step;	/* one instruction, by RFLAGS.TF that the guest doesn't know of */
	bool step_done; /* the #DB being handled is that instruction's */
	bool step_guest_tf;
	uint64_t step_dr6; /* the guest's, while stepping */
	struct fetch_entry fetch[FETCH_ENTRIES];
};

static inline struct svm_vcpu *svm_of(struct vcpu *v)
{
	return v->vendor;
}

/* Groups of the VMCB have been changed: the processor must not use its cached copy. */
static inline void svm_dirty(struct svm_vcpu *s, uint32_t groups)
{
	s->vmcb->clean &= ~groups;
}

static inline bool svm_canonical(uint64_t a)
{
	unsigned shift = 64 - svm.linear_bits;

	return (uint64_t)((int64_t)(a << shift) >> shift) == a;
}

/* entry.S: enters the guest and returns after the #VMEXIT, with GIF set and interrupts off. */
void svm_enter(uint64_t gpr[NUM_GPR], uint64_t vmcb_pa, uint64_t host_pa);

/* permission.c */
int svm_permission_setup(void); /* iopm_pa, msrpm_pa; -ENOMEM */

/* npt.c */
struct npt_format;
int svm_npt_setup(void); /* n_cr3; negative errno */
/* Pure: entries for a host whose PAT is `pat`. -ENOTSUP: no UC or no WB in it. */
int svm_npt_format(uint64_t pat, struct npt_format *f);

/* vmcb_setup.c */
int svm_create(struct vcpu *v);
void svm_reset(struct vcpu *v);
void svm_sipi(struct vcpu *v, uint8_t vector);

/* run.c, exit.c */
void svm_run(struct vcpu *v, uint64_t deadline);
void svm_handle_exit(struct vcpu *v);

/* errata.c */
void svm_apply_errata(void); /* each CPU */

/* inject.c */
void svm_inject(struct vcpu *v, const struct vcpu_event *e);
void svm_requeue(struct vcpu *v, uint64_t event); /* EXITINTINFO: deliver it again */
void svm_prepare_events(struct vcpu *v);	  /* before each entry */
void svm_take_offered(struct vcpu *v);		  /* after each exit */
/* What V_IRQ is for at the next entry: a window, the delivery of vector `offer`, or (0, 0)
 * nothing. */
void svm_set_windows(struct svm_vcpu *s, unsigned windows, uint8_t offer);
void svm_set_nmi_masked(struct svm_vcpu *s, bool masked);
void svm_step_begin(struct vcpu *v); /* `step` is set: before the entry */
void svm_step_end(struct vcpu *v);   /* after the exit */
void svm_step_trap(struct vcpu *v);
bool svm_nmi_blocked(struct vcpu *v);
void svm_clear_shadow(struct vcpu *v);

/* fetch.c */
/* Length of the instruction at RIP, known to be `opcode` (n bytes, first byte lowest) plus
 * prefixes; 0: not known. */
unsigned svm_insn_length(struct vcpu *v, uint32_t opcode, unsigned n);
/* The GPR of the MOV to a control register at RIP, in long mode; -1: there is none. */
int svm_mov_to_cr(struct vcpu *v);
void svm_fetch_flush(struct svm_vcpu *s);

/* regs.c */
void svm_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *s);
void svm_set_segment(struct vmcb *b, unsigned seg, const struct vcpu_segment *s);
uint64_t svm_get_cr(struct vcpu *v, unsigned cr);
int svm_set_cr(struct vcpu *v, unsigned cr, uint64_t val);
uint64_t svm_get_efer(struct vcpu *v);
int svm_set_efer(struct vcpu *v, uint64_t val);
uint64_t svm_get_pdpte(struct vcpu *v, unsigned i);
int svm_get_msr(struct vcpu *v, uint32_t msr, uint64_t *val);
int svm_set_msr(struct vcpu *v, uint32_t msr, uint64_t val);
void svm_set_debugctl(struct svm_vcpu *s, uint64_t val);
void svm_set_tsc_offset(struct vcpu *v, uint64_t offset);
void svm_flush(struct vcpu *v);
int svm_map_device(uint64_t gpa, uint64_t hpa);
void svm_unmap_device(uint64_t gpa);

/* state.c, state_check.c */
void svm_save(struct vcpu *v, struct vcpu_state *s);
int svm_load(struct vcpu *v, const struct vcpu_state *s);
void svm_scramble(struct vcpu *v);
const char *svm_state_fault(const struct vcpu_state *s);

/* dump.c */
void svm_dump(struct vcpu *v);
const char *svm_exit_name(unsigned reason);
#define SVM_REFUSED_MAX	   1000u /* more of them: the state is invalid after all */
#define SVM_REASON_INVALID 0xf0u /* VMEXIT_INVALID (-1) among the reasons */
#define SVM_REASONS	   0x404u
