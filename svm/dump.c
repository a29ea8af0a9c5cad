// SPDX-License-Identifier: GPL-2.0-or-later
/* Exit reasons by the manual's names, and the VMCB in words for a report. */
#include <stddef.h>
#include "hv/log.h"
#include "svm/svm.h"

static const char *const exit_names[] = {
	[VMEXIT_CR8_WRITE] = "CR8_WRITE",
	[VMEXIT_EXCP_DB] = "EXCP_DB",
	[VMEXIT_EXCP_AC] = "EXCP_AC",
	[VMEXIT_EXCP_MC] = "EXCP_MC",
	[VMEXIT_INTR] = "INTR",
	[VMEXIT_NMI] = "NMI",
	[VMEXIT_SMI] = "SMI",
	[VMEXIT_INIT] = "INIT",
	[VMEXIT_VINTR] = "VINTR",
	[VMEXIT_RDPMC] = "RDPMC",
	[VMEXIT_CPUID] = "CPUID",
	[VMEXIT_IRET] = "IRET",
	[VMEXIT_INVD] = "INVD",
	[VMEXIT_HLT] = "HLT",
	[VMEXIT_INVLPGA] = "INVLPGA",
	[VMEXIT_IOIO] = "IOIO",
	[VMEXIT_MSR] = "MSR",
	[VMEXIT_FERR_FREEZE] = "FERR_FREEZE",
	[VMEXIT_SHUTDOWN] = "SHUTDOWN",
	[VMEXIT_VMRUN] = "VMRUN",
	[VMEXIT_VMMCALL] = "VMMCALL",
	[VMEXIT_VMLOAD] = "VMLOAD",
	[VMEXIT_VMSAVE] = "VMSAVE",
	[VMEXIT_STGI] = "STGI",
	[VMEXIT_CLGI] = "CLGI",
	[VMEXIT_SKINIT] = "SKINIT",
	[VMEXIT_ICEBP] = "ICEBP",
	[VMEXIT_MONITOR] = "MONITOR",
	[VMEXIT_MWAIT] = "MWAIT",
	[VMEXIT_MWAIT_CONDITIONAL] = "MWAIT_CONDITIONAL",
	[VMEXIT_XSETBV] = "XSETBV",
	[VMEXIT_RDPRU] = "RDPRU",
	[SVM_REASON_INVALID] = "INVALID",
};

const char *svm_exit_name(unsigned reason)
{
	if (reason == VMEXIT_NPF)
		return "NPF";
	if (reason == UINT32_MAX)
		reason = SVM_REASON_INVALID;
	if (reason >= sizeof(exit_names) / sizeof(exit_names[0]) || !exit_names[reason])
		return "?";
	return exit_names[reason];
}

static void dump_segment(const char *name, const struct vmcb_segment *s)
{
	log_error("  %s %04x base %016llx limit %08x attrib %03x", name, s->selector,
		  (unsigned long long)s->base, (unsigned)s->limit, s->attrib);
}

static void dump_segments(const struct vmcb *b)
{
	dump_segment("cs  ", &b->cs);
	dump_segment("ss  ", &b->ss);
	dump_segment("ds  ", &b->ds);
	dump_segment("es  ", &b->es);
	dump_segment("fs  ", &b->fs);
	dump_segment("gs  ", &b->gs);
	dump_segment("ldtr", &b->ldtr);
	dump_segment("tr  ", &b->tr);
	dump_segment("gdtr", &b->gdtr);
	dump_segment("idtr", &b->idtr);
}

#define X(v) ((unsigned long long)(v))

void svm_dump(struct vcpu *v)
{
	const struct svm_vcpu *s = svm_of(v);
	const struct vmcb *b = s->vmcb;

	log_error("cpu%u VMCB: exitcode %llx info %llx %llx intinfo %llx", v->index, X(b->exitcode),
		  X(b->exitinfo1), X(b->exitinfo2), X(b->exitintinfo));
	log_error("  rip %016llx rsp %016llx rax %016llx rflags %08llx cpl %u", X(b->rip),
		  X(b->rsp), X(b->rax), X(b->rflags), b->cpl);
	log_error("  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx", X(b->cr0),
		  X(b->cr2), X(b->cr3), X(b->cr4), X(b->efer));
	log_error("  dr6 %08llx dr7 %08llx g_pat %016llx dbgctl %llx", X(b->dr6), X(b->dr7),
		  X(b->g_pat), X(b->dbgctl));
	dump_segments(b);
	log_error("  intercepts cr %04x/%04x dr %04x/%04x exceptions %08x %08x %08x %08x",
		  b->intercept_cr_read, b->intercept_cr_write, b->intercept_dr_read,
		  b->intercept_dr_write, (unsigned)b->intercept_exceptions,
		  (unsigned)b->intercept_1, (unsigned)b->intercept_2, (unsigned)b->intercept_3);
	log_error("  vintr %llx shadow %llx eventinj %llx asid %u tlb_control %u clean %x",
		  X(b->vintr), X(b->interrupt_shadow), X(b->eventinj), (unsigned)b->guest_asid,
		  (unsigned)b->tlb_control, (unsigned)b->clean);
	log_error("  np %llx n_cr3 %llx iopm %llx msrpm %llx tsc_offset %llx nrip %llx",
		  X(b->np_enable), X(b->n_cr3), X(b->iopm_base_pa), X(b->msrpm_base_pa),
		  X(b->tsc_offset), X(b->nrip));
	log_error("  nmi %s%s, windows %x, offered %x, step %u", s->nmi_masked ? "masked" : "open",
		  s->iret_pending ? ", in its IRET" : "", s->windows, s->offered, s->step);
}
