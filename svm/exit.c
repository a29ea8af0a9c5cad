// SPDX-License-Identifier: GPL-2.0-or-later
/* What happens at each #VMEXIT: APM vol. 2, appendix C. */
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "svm/svm.h"

/* Opcodes, first byte lowest */
#define OP_CPUID  0xa20fu
#define OP_RDMSR  0x320fu
#define OP_WRMSR  0x300fu
#define OP_INVD	  0x080fu
#define OP_XSETBV 0xd1010fu
#define OP_HLT	  0xf4u
#define OP_ICEBP  0xf1u

static void handle_io(struct vcpu *v, const struct vmcb *b)
{
	uint32_t info = (uint32_t)b->exitinfo1;
	uint64_t len = b->exitinfo2 - v->rip; /* EXITINFO2: RIP of the next instruction */

	exit_io(v, (uint16_t)(info >> IOIO_PORT_SHIFT), info >> IOIO_SIZE_SHIFT & IOIO_SIZE_MASK,
		info & IOIO_IN, info & IOIO_STR, len <= 15 ? (unsigned)len : 0);
}

/*
 * Everything that is mapped is writable or read-only for good, so a fault is an access outside RAM,
 * or a write to option ROM space. The delivery of an event that runs into one (an IDT or a stack in
 * a device) has no instruction that could be carried out.
 */
static void handle_npf(struct vcpu *v, const struct vmcb *b)
{
	static struct log_ratelimit limit = {.burst = 5};

	if (b->exitinfo1 & NPF_RSV) {
		exit_unknown(v, VMEXIT_NPF, b->exitinfo1, b->exitinfo2);
		return;
	}
	if (b->exitintinfo & EVENT_VALID) {
		if (log_ratelimited(&limit))
			log_warn("cpu%u: delivering vector %u touches 0x%llx, which is not RAM",
				 v->index, (unsigned)(b->exitintinfo & 0xff),
				 (unsigned long long)b->exitinfo2);
		exit_triple_fault(v);
		return;
	}
	if (b->exitinfo1 & NPF_GUEST_TABLE)
		exit_page_walk(v, (gpa_t){b->exitinfo2}, NULL);
	else
		exit_mmio(v, (gpa_t){b->exitinfo2}, b->exitinfo1 & NPF_WRITE,
			  b->exitinfo1 & NPF_FETCH);
}

/* Let it happen, and look at the new value. TCG takes reserved bits. */
static void exit_cr8_write(struct vcpu *v, struct svm_vcpu *s)
{
	int gpr = svm.nrips ? -1 : svm_mov_to_cr(v);

	if (gpr >= 0 && v->gpr[gpr] > 15)
		vcpu_inject_gp(v);
	else
		s->step = true;
}

/* DR6 has the reason already; the rest of what a delivery does: DR7.GD, and RF for instruction
 * breakpoints. */
static void handle_db(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = s->vmcb;

	if (s->step_done) {
		s->step_done = false;
		return;
	}
	if (b->dr6 & DR6_BD) {
		b->dr7 &= ~DR7_GD;
		svm_dirty(s, CLEAN_DRX);
	}
	for (unsigned i = 0; i < 4; i++)
		if ((b->dr6 >> i & 1) && (b->dr7 >> (2 * i) & 3) && !(b->dr7 >> (16 + 4 * i) & 3))
			v->rflags |= RFLAGS_RF;
	vcpu_inject(v, EXCEPTION_DB, false, 0);
}

void svm_handle_exit(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;

	switch ((uint32_t)b->exitcode) {
	case VMEXIT_CPUID:
		exit_cpuid(v, svm_insn_length(v, OP_CPUID, 2));
		return;
	case VMEXIT_MSR:
		if (b->exitinfo1)
			exit_wrmsr(v, svm_insn_length(v, OP_WRMSR, 2));
		else
			exit_rdmsr(v, svm_insn_length(v, OP_RDMSR, 2));
		return;
	case VMEXIT_IOIO:
		handle_io(v, b);
		return;
	case VMEXIT_NPF:
		handle_npf(v, b);
		return;
	case VMEXIT_INTR:
		irq_window();
		return;
	case VMEXIT_NMI: /* taken through the host's IDT at STGI */
		return;
	case VMEXIT_VINTR: /* the window is open: the next entry delivers */
		svm_set_windows(s, s->windows & ~WINDOW_INTR, 0);
		return;
	case VMEXIT_CR8_WRITE:
		exit_cr8_write(v, s);
		return;
	case VMEXIT_HLT:
		exit_hlt(v, svm_insn_length(v, OP_HLT, 1));
		return;
	case VMEXIT_IRET:
		s->iret_pending = true;
		s->iret_rip = v->rip;
		b->intercept_1 &= ~INTERCEPT_IRET;
		svm_dirty(s, CLEAN_I);
		return;
	case VMEXIT_XSETBV:
		exit_xsetbv(v, svm_insn_length(v, OP_XSETBV, 3));
		return;
	case VMEXIT_INVD: /* would throw away what the hypervisor has written, too */
		wbinvd();
		vcpu_skip(v, svm_insn_length(v, OP_INVD, 2));
		return;
	case VMEXIT_EXCP_DB:
		handle_db(v, s);
		return;
	case VMEXIT_EXCP_AC:
		vcpu_inject(v, EXCEPTION_AC, true, (uint32_t)b->exitinfo1);
		return;
	case VMEXIT_EXCP_MC:
		exit_machine_check(v);
		return;
	case VMEXIT_ICEBP:
		vcpu_skip(v, svm_insn_length(v, OP_ICEBP, 1));
		vcpu_inject(v, EXCEPTION_DB, false, 0);
		return;
	case VMEXIT_FERR_FREEZE: /* no FERR# on this board: the modern report instead of a frozen
				    processor */
		vcpu_inject(v, EXCEPTION_MF, false, 0);
		return;
	case VMEXIT_RDPMC: /* no performance counters */
		vcpu_inject_gp(v);
		return;
	case VMEXIT_VMRUN:
	case VMEXIT_VMMCALL:
	case VMEXIT_VMLOAD:
	case VMEXIT_VMSAVE:
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
	case VMEXIT_SKINIT:
	case VMEXIT_INVLPGA:
	case VMEXIT_MONITOR:
	case VMEXIT_MWAIT:
	case VMEXIT_MWAIT_CONDITIONAL:
	case VMEXIT_RDPRU:
		exit_invalid_op(v);
		return;
	case VMEXIT_SHUTDOWN: /* the VMCB's state is undefined from here on: APM vol. 2, 15.14.3 */
		exit_triple_fault(v);
		return;
	case VMEXIT_INVALID:
		/* QEMU's TCG also exits so when the guest sets a reserved bit of CR4, which has to
		 * be a #GP. */
		if (s->refused < SVM_REFUSED_MAX && svm_mov_to_cr(v) >= 0) {
			s->refused++;
			vcpu_inject_gp(v);
			return;
		}
		exit_unknown(v, b->exitcode, b->exitinfo1, b->exitinfo2);
		return;
	default: /* VMEXIT_INIT among them */
		exit_unknown(v, b->exitcode, b->exitinfo1, b->exitinfo2);
		return;
	}
}
