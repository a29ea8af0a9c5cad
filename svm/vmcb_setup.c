// SPDX-License-Identifier: GPL-2.0-or-later
/* A vCPU's VMCB: what is intercepted and why, and the registers after power-on, INIT (APM vol.
 * 2, 14.1) and SIPI. */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/msr.h"
#include "svm/svm.h"

#define GUEST_ASID 1 /* each vCPU has its CPU, and so its TLB, for itself; 0 is the host's */

#define ATTR_CODE 0x9bu /* present, accessed, readable code; VMX access-rights format */
#define ATTR_DATA 0x93u
#define ATTR_LDT  0x82u
#define ATTR_TSS  0x8bu /* busy */

/*
 * #DB, #AC: a guest can have them delivered without end; the exits break the loop. #MC is the
 * machine's, not the guest's. Not intercepted: CR0, CR3, CR4 and task switches, which the processor
 * does itself under nested paging; WBINVD, RDTSC; SMI, which the firmware handles outside of all
 * this. ICEBP is here because QEMU 7.2 would stop for its debugger.
 */
#define EXCEPTIONS (1u << EXCEPTION_DB | 1u << EXCEPTION_AC | 1u << EXCEPTION_MC)
#define INTERCEPTS_1                                                                           \
	(INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_RDPMC | INTERCEPT_CPUID | \
	 INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IOIO_PROT |            \
	 INTERCEPT_MSR_PROT | INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN)
#define INTERCEPTS_2                                                                      \
	(INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE |      \
	 INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_ICEBP |           \
	 INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_MWAIT_ARMED | INTERCEPT_XSETBV | \
	 INTERCEPT_RDPRU)

static void control_init(struct vmcb *b)
{
	b->intercept_exceptions = EXCEPTIONS;
	b->intercept_1 = INTERCEPTS_1;
	b->intercept_2 = INTERCEPTS_2;
	b->iopm_base_pa = svm.iopm_pa;
	b->msrpm_base_pa = svm.msrpm_pa;
	b->guest_asid = GUEST_ASID;
	b->vintr = V_INTR_MASKING;
	b->np_enable = NP_ENABLE;
	b->n_cr3 = svm.n_cr3;
}

int svm_create(struct vcpu *v)
{
	struct svm_vcpu *s = pages_alloc(1);
	void *page = pages_alloc(1);

	_Static_assert(sizeof(*s) <= PAGE_SIZE, "one page");
	if (!s || !page)
		return -ENOMEM;
	s->vmcb = page;
	s->vmcb_pa = virt_to_phys(page).v;
	s->host_pa = ((const struct svm_cpu *)v->cpu->vendor)->host_pa;
	v->vendor = s;
	control_init(s->vmcb);
	s->vmcb->cr0 = CR0_CD | CR0_NW;
	s->vmcb->g_pat = PAT_RESET;
	return 0;
}

static void segments_reset(struct vmcb *b)
{
	const struct vcpu_segment data = {.limit = 0xffff, .attr = ATTR_DATA};
	const struct vcpu_segment code = {
		.base = 0xffff0000, .limit = 0xffff, .attr = ATTR_CODE, .selector = 0xf000};
	const struct vcpu_segment ldt = {.limit = 0xffff, .attr = ATTR_LDT};
	const struct vcpu_segment tss = {.limit = 0xffff, .attr = ATTR_TSS};

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		svm_set_segment(b, i, i == SEG_CS ? &code : &data);
	svm_set_segment(b, SEG_LDTR, &ldt);
	svm_set_segment(b, SEG_TR, &tss);
	b->gdtr = b->idtr = (struct vmcb_segment){.limit = 0xffff};
	b->cpl = 0;
}

void svm_reset(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;

	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[RDX] = cpuid(1, 0).eax;
	v->rip = 0xfff0;
	v->rflags = RFLAGS_FIXED;
	segments_reset(b);
	b->cr0 = CR0_ET | (b->cr0 & (CR0_CD | CR0_NW)); /* INIT leaves CD and NW as they are */
	b->cr2 = b->cr3 = b->cr4 = 0;
	b->efer = EFER_SVME;
	b->dr6 = DR6_INIT;
	b->dr7 = DR7_INIT;
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	b->eventinj = 0;
	b->interrupt_shadow = 0;
	v->event_pending = false;
	s->step = s->step_done = false;
	svm_set_debugctl(s, 0);
	svm_set_nmi_masked(s, false);
	svm_set_windows(s, 0, 0);
	svm_flush(v);
	b->clean = 0;
}

void svm_sipi(struct vcpu *v, uint8_t vector)
{
	struct svm_vcpu *s = svm_of(v);
	const struct vcpu_segment code = {.base = (uint64_t)vector << 12,
					  .limit = 0xffff,
					  .attr = ATTR_CODE,
					  .selector = (uint16_t)(vector << 8)};

	svm_set_segment(s->vmcb, SEG_CS, &code);
	v->rip = 0;
	s->vmcb->clean = 0;
}
