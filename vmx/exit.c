// SPDX-License-Identifier: GPL-2.0-or-later
/* The way into the guest and back, and what is done about each exit (SDM vol. 3, appendix C). */
#include "arch/x86_64/arch.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/msr.h"
#include "hv/stats.h"
#include "vmx/vmx.h"

#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_AC  17
#define VECTOR_MC  18

#define DR6_TRAP 0xfull
#define DR6_BD	 (1ull << 13)
#define DR6_BS	 (1ull << 14)

/* Exit qualifications (SDM vol. 3, "Basic VM-Exit Information") */
#define IO_SIZE(q)	    ((unsigned)((q)&7) + 1)
#define IO_IN(q)	    ((q) >> 3 & 1)
#define IO_STRING(q)	    ((q) >> 4 & 1)
#define IO_PORT(q)	    ((uint16_t)((q) >> 16))
#define EPT_Q_WRITE(q)	    ((q) >> 1 & 1)
#define EPT_Q_FETCH(q)	    ((q) >> 2 & 1)
#define EPT_Q_LINEAR(q)	    ((q) >> 7 & 1) /* GUEST_LINEAR_ADDRESS is valid */
#define EPT_Q_FINAL(q)	    ((q) >> 8 & 1) /* the access itself, not the walk to it */
#define EPT_Q_NMI_UNBLOCKED (1ull << 12)
/* Others: during event delivery, or by physical address, which is the walk of paging structures */
enum apic_access { APIC_READ, APIC_WRITE, APIC_FETCH, APIC_PHYSICAL = 15 };
#define APIC_Q_OFFSET(q) ((unsigned)((q)&0xfff))
#define APIC_Q_TYPE(q)	 ((unsigned)((q) >> 12 & 0xf))
enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };
#define CR_NUMBER(q)	       ((unsigned)((q)&0xf))
#define CR_TYPE(q)	       ((unsigned)((q) >> 4 & 3))
#define CR_GPR(q)	       ((unsigned)((q) >> 8 & 0xf))
#define TASK_SWITCH_BY_GATE(q) (((q) >> 30 & 3) == 3) /* a task gate in the IDT */

static const char *const names[VMX_REASON_COUNT] = {
#define X(number, name) [number] = #name,
	VMX_EXIT_REASONS(X)
#undef X
};

const char *vmx_exit_name(unsigned reason)
{
	return reason < VMX_REASON_COUNT && names[reason] ? names[reason] : "?";
}

static unsigned insn_len(void)
{
	return vmread32(EXIT_INSTRUCTION_LENGTH);
}

/* NMIs are blocked after an NMI exit until an IRET (SDM vol. 3, "Loading Host Non-Register State"):
 * do one, to the next line. */
static void unblock_host_nmi(void)
{
	asm volatile("mov %%rsp, %%rax\n\t"
		     "mov %%ss, %%ecx\n\t"
		     "push %%rcx\n\t"
		     "push %%rax\n\t"
		     "pushfq\n\t"
		     "mov %%cs, %%ecx\n\t"
		     "push %%rcx\n\t"
		     "lea 1f(%%rip), %%rax\n\t"
		     "push %%rax\n\t"
		     "iretq\n"
		     "1:"
		     :
		     :
		     : "rax", "rcx", "cc", "memory");
}

/* --- exceptions --- */

/* A #DB exit leaves DR6, DR7.GD and LBR to us (SDM vol. 3, "Architectural State Before a VM Exit").
 */
static void exit_debug(struct vcpu *v, uint32_t info, uint64_t qualification)
{
	unsigned type = info >> 8 & 7;

	if (type == EVENT_PRIV_EXC) { /* INT1 sets nothing in DR6 */
		struct vcpu_event e = {
			.vector = VECTOR_DB, .type = EVENT_PRIV_EXC, .insn_len = insn_len()};

		vmx_inject(v, &e);
		return;
	}
	/* as if it had been delivered (SDM vol. 3, "Single-Stepping on Branches") */
	vmwrite(GUEST_IA32_DEBUGCTL, vmread(GUEST_IA32_DEBUGCTL) & ~DEBUGCTL_BTF);
	write_dr6((read_dr6() & ~DR6_TRAP) | (qualification & (DR6_TRAP | DR6_BD | DR6_BS)));
	vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~DR7_GD);
	vcpu_inject(v, VECTOR_DB, false, 0);
}

static void exit_exception(struct vcpu *v, uint64_t qualification)
{
	uint32_t info = vmread32(EXIT_INTERRUPTION_INFO);
	bool vectoring = vmx_capture_vectoring(v);
	uint8_t vector = (uint8_t)info;

	if ((info >> 8 & 7) == EVENT_NMI) {
		nmi_handle();
		unblock_host_nmi();
		return;
	}
	if ((info & INFO_NMI_UNBLOCKED) && !vectoring)
		vmx_block_nmi(v); /* the IRET that unblocked them has faulted */
	switch (vector) {
	case VECTOR_DB:
		exit_debug(v, info, qualification);
		return;
	case VECTOR_AC:
		vcpu_inject(v, VECTOR_AC, true, vmread32(EXIT_INTERRUPTION_ERROR));
		return;
	case VECTOR_MC:
		exit_machine_check(v);
		return;
	default:
		exit_unknown(v, REASON_EXCEPTION_OR_NMI, info, qualification);
	}
}

/* --- memory --- */

/* An event was being delivered through memory that is not RAM: there is no instruction that could
 * be emulated. */
static void delivery_through_device(struct vcpu *v, uint64_t gpa)
{
	static struct log_ratelimit limit = {.burst = 5};

	if (log_ratelimited(&limit))
		log_warn("cpu%u: vector %u is delivered through 0x%llx, which is not RAM", v->index,
			 v->event.vector, (unsigned long long)gpa);
	exit_triple_fault(v);
}

static void exit_ept_violation(struct vcpu *v, uint64_t q)
{
	gpa_t gpa = {vmread(GUEST_PHYSICAL_ADDRESS)};
	bool vectoring = vmx_capture_vectoring(v);

	if ((q & EPT_Q_NMI_UNBLOCKED) && !vectoring)
		vmx_block_nmi(v);
	if (!EPT_Q_LINEAR(q)) { /* MOV to CR that loads the PDPTEs: all-ones are none */
		vcpu_inject_gp(v);
	} else if (!EPT_Q_FINAL(q)) {
		uint64_t linear = vmread(GUEST_LINEAR_ADDRESS);

		exit_page_walk(v, gpa, &linear);
	} else if (vectoring) {
		delivery_through_device(v, gpa.v);
	} else {
		exit_mmio(v, gpa, EPT_Q_WRITE(q), EPT_Q_FETCH(q));
	}
}

static void exit_apic_access(struct vcpu *v, uint64_t q)
{
	struct vmx_vcpu *x = to_vmx(v);
	unsigned type = APIC_Q_TYPE(q);
	gpa_t gpa = {LAPIC_BASE + APIC_Q_OFFSET(q)};

	if (vmx_capture_vectoring(v) || (type > APIC_FETCH && type != APIC_PHYSICAL)) {
		delivery_through_device(v, gpa.v);
		return;
	}
	if (type == APIC_PHYSICAL) {
		exit_page_walk(v, gpa, NULL);
		return;
	}
	x->apic_dirty = x->attention = true;
	exit_mmio(v, gpa, type == APIC_WRITE, type == APIC_FETCH);
}

/* --- instructions --- */

static void exit_control_register(struct vcpu *v, uint64_t q)
{
	uint64_t val = v->gpr[CR_GPR(q)];
	unsigned cr = CR_NUMBER(q);

	if (CR_TYPE(q) != CR_MOV_TO || (cr != 0 && cr != 4)) {
		exit_unknown(v, REASON_CONTROL_REGISTER, q, 0);
		return;
	}
	if (!(vmx_get_efer(v) & EFER_LMA) ||
	    !(vmread32(GUEST_ES_ACCESS_RIGHTS + 2 * SEG_CS) & SEG_ATTR_L))
		val = (uint32_t)val;
	if (vmx_set_cr(v, cr, val) != 0)
		vcpu_inject_gp(v);
	else
		vcpu_skip(v, insn_len());
}

static void exit_write_msr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[RCX];
	struct vmx_vcpu *x = to_vmx(v);

	if (msr == MSR_IA32_APIC_BASE || (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST))
		x->apic_dirty = x->attention = true;
	exit_wrmsr(v, insn_len());
}

static void exit_invd(struct vcpu *v)
{
	wbinvd(); /* INVD proper would lose what others wrote */
	vcpu_skip(v, insn_len());
}

static void exit_task_switch(struct vcpu *v, uint64_t q)
{
	static struct log_ratelimit limit = {.burst = 5};

	if (log_ratelimited(&limit))
		log_warn(
			"cpu%u: hardware task switch to selector 0x%x at rip 0x%llx: not supported",
			v->index, (unsigned)(q & 0xffff), (unsigned long long)v->rip);
	if (TASK_SWITCH_BY_GATE(q))
		exit_triple_fault(v); /* a fault instead would be delivered through the same gate */
	else
		vcpu_inject(v, 13, true, (uint32_t)q & 0xfffc);
}

static void exit_external_interrupt(struct vcpu *v)
{
	uint32_t info = vmread32(EXIT_INTERRUPTION_INFO);

	if (info & INFO_VALID)
		irq_dispatch((uint8_t)info);
	else
		exit_unknown(v, REASON_EXTERNAL_INTERRUPT, info, 0);
}

/* --- dispatch --- */

static void dispatch(struct vcpu *v, uint32_t reason, uint64_t q)
{
	switch (reason) {
	case REASON_EXCEPTION_OR_NMI:
		exit_exception(v, q);
		return;
	case REASON_EXTERNAL_INTERRUPT:
		exit_external_interrupt(v);
		return;
	case REASON_TRIPLE_FAULT:
		exit_triple_fault(v);
		return;
	case REASON_INIT_SIGNAL: /* nobody but us sends them, and not to a running CPU */
		log_warn("cpu%u: physical INIT signal ignored", v->index);
		return;
	case REASON_INTERRUPT_WINDOW:
	case REASON_NMI_WINDOW:
	case REASON_TPR_BELOW_THRESHOLD:
		to_vmx(v)->attention = true;
		return;
	case REASON_PREEMPTION_TIMER:
		return;
	case REASON_TASK_SWITCH:
		exit_task_switch(v, q);
		return;
	case REASON_CPUID:
		exit_cpuid(v, insn_len());
		return;
	case REASON_HLT:
		to_vmx(v)->attention = true; /* what ends it is to be delivered */
		exit_hlt(v, insn_len());
		return;
	case REASON_INVD:
		exit_invd(v);
		return;
	case REASON_RDPMC: /* as with CR4.PCE clear and no counter */
		vcpu_inject_gp(v);
		return;
	case REASON_GETSEC:
	case REASON_RSM:
	case REASON_VMCALL:
	case REASON_VMCLEAR:
	case REASON_VMLAUNCH:
	case REASON_VMPTRLD:
	case REASON_VMPTRST:
	case REASON_VMREAD:
	case REASON_VMRESUME:
	case REASON_VMWRITE:
	case REASON_VMXOFF:
	case REASON_VMXON:
	case REASON_INVEPT:
	case REASON_INVVPID:
	case REASON_VMFUNC:
	case REASON_ENCLS:
	case REASON_MWAIT:
	case REASON_MONITOR:
	case REASON_UMWAIT:
	case REASON_TPAUSE:
	case REASON_SEAMCALL: /* no control switches these two off */
	case REASON_TDCALL:
		exit_invalid_op(v);
		return;
	case REASON_CONTROL_REGISTER:
		exit_control_register(v, q);
		return;
	case REASON_IO_INSTRUCTION:
		exit_io(v, IO_PORT(q), IO_SIZE(q), IO_IN(q), IO_STRING(q), insn_len());
		return;
	case REASON_RDMSR:
		exit_rdmsr(v, insn_len());
		return;
	case REASON_WRMSR:
		exit_write_msr(v);
		return;
	case REASON_XSETBV:
		exit_xsetbv(v, insn_len());
		return;
	case REASON_EPT_VIOLATION:
		exit_ept_violation(v, q);
		return;
	case REASON_APIC_ACCESS:
		exit_apic_access(v, q);
		return;
	case REASON_APIC_WRITE:
		vlapic_apic_write(&v->lapic, APIC_Q_OFFSET(q));
		return;
	case REASON_VIRTUALIZED_EOI:
		vmx_apicv_eoi(v, (uint8_t)q);
		return;
	default:
		exit_unknown(v, reason, q, vmread(GUEST_PHYSICAL_ADDRESS));
	}
}

/* --- entry --- */

/* Has anything changed that concerns the guest's interrupts? Most entries answer no. */
static inline bool needs_attention(const struct vcpu *v, const struct vmx_vcpu *x)
{
	const struct vlapic *l = &v->lapic;

	return x->attention || v->nmi_pending || l->base_msr != x->apic_base ||
	       __atomic_load_n(&l->attention, __ATOMIC_RELAXED) ||
	       (__atomic_load_n(&l->pir[0], __ATOMIC_RELAXED) |
		__atomic_load_n(&l->pir[1], __ATOMIC_RELAXED) |
		__atomic_load_n(&l->pir[2], __ATOMIC_RELAXED) |
		__atomic_load_n(&l->pir[3], __ATOMIC_RELAXED)) ||
	       pic_intr();
}

/*
 * The exit at host tick `deadline`. The timer loses one at every toggle of TSC bit timer_shift, the
 * first of which may come at once: count so that it is never early (SDM vol. 3, "VMX-Preemption
 * Timer"). A far deadline saturates: the exit just loops.
 */
static void arm_timer(struct vmx_vcpu *x, uint64_t deadline)
{
	uint32_t value = x->rflags & RFLAGS_IF ? UINT32_MAX : x->blind_max;

	if (unlikely(!vmx_caps.timer)) {
		if (deadline != this_cpu()->timer_deadline)
			lapic_timer_arm(deadline);
		return;
	}
	if (deadline != UINT64_MAX) {
		uint64_t now = rdtsc(), ticks = 0;

		if (deadline > now)
			ticks = ((deadline - now + vmx_caps.timer_round) >> vmx_caps.timer_shift) +
				1;
		if (ticks < value)
			value = (uint32_t)ticks;
	}
	if (value != x->timer) {
		x->timer = value;
		vmwrite(PREEMPTION_TIMER_VALUE, value);
	}
}

static void write_back(const struct vcpu *v, struct vmx_vcpu *x)
{
	if (v->rip != x->rip) {
		x->rip = v->rip;
		vmwrite(GUEST_RIP, x->rip);
	}
	if (v->rflags != x->rflags) {
		x->rflags = v->rflags;
		vmwrite(GUEST_RFLAGS, x->rflags);
	}
	if (v->gpr[RSP] != x->rsp) {
		x->rsp = v->gpr[RSP];
		vmwrite(GUEST_RSP, x->rsp);
	}
}

static __attribute__((noinline, cold)) void entry_failed(struct vcpu *v, uint32_t reason,
							 uint64_t q)
{
	if ((reason & 0xffff) == REASON_MACHINE_CHECK_AT_ENTRY) {
		exit_machine_check(v);
		return;
	}
	log_error("cpu%u: VM entry failed: %s, qualification %llu", v->index,
		  vmx_exit_name(reason & 0xffff), (unsigned long long)q);
	exit_unknown(v, reason & 0xffff, q, 0);
}

/* One entry and what is done about its exit; returns the exit reason. */
static inline uint32_t enter_and_handle(struct vcpu *v, struct vmx_vcpu *x, uint64_t deadline)
{
	uint32_t reason;
	uint64_t q;
	int err;

	write_back(v, x);
	arm_timer(x, deadline);
	err = vmx_enter(v, x);
	if (unlikely(err)) {
		vmx_dump(v);
		panic("cpu%u: %s failed, VM-instruction error %u", v->index,
		      x->launched ? "VMRESUME" : "VMLAUNCH",
		      err == 2 ? vmread32(VM_INSTRUCTION_ERROR) : 0);
	}
	v->rip = x->rip = vmread(GUEST_RIP);
	v->rflags = x->rflags = vmread(GUEST_RFLAGS);
	v->gpr[RSP] = x->rsp = vmread(GUEST_RSP);
	reason = vmread32(EXIT_REASON);
	q = vmread(EXIT_QUALIFICATION);
	vcpu_exit_begin(v, reason & 0xffff, q);
	if (unlikely(reason & VMX_ENTRY_FAILURE)) {
		entry_failed(v, reason, q);
	} else {
		x->launched = true;
		dispatch(v, reason, q);
	}
	vcpu_exit_end(v);
	return reason;
}

/* Exits by an instruction that was carried out: nothing else has happened to the guest. */
#define STRAIGHT                                                                            \
	(1ull << REASON_CPUID | 1ull << REASON_IO_INSTRUCTION | 1ull << REASON_RDMSR |      \
	 1ull << REASON_WRMSR | 1ull << REASON_EPT_VIOLATION | 1ull << REASON_APIC_ACCESS | \
	 1ull << REASON_APIC_WRITE | 1ull << REASON_XSETBV)

/* Straight back into the guest? Nobody wants anything of this CPU, and its next timer is still the
 * one that the deadline stands for. (If that has passed, the preemption timer says so at once.) */
static bool goes_on(const struct vcpu *v, uint32_t reason)
{
	return reason < 64 && (STRAIGHT >> reason & 1) &&
	       !__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) && v->activity == VCPU_ACTIVE &&
	       __atomic_load_n(&v->cpu->timers.earliest.v, __ATOMIC_RELAXED) == v->deadline_ns.v;
}

/* vmx_caps.bochs: lets in what the guest's IF = 0 may have hidden. */
static void look(const struct vcpu *v, struct vmx_vcpu *x, uint32_t reason)
{
	uint64_t now = v->stats->begin;

	if (now >= x->look_at || reason == REASON_PREEMPTION_TIMER) {
		x->look_at = now + x->blind_max;
		if (!(v->rflags & RFLAGS_IF))
			irq_window();
	}
}

void vmx_run(struct vcpu *v, uint64_t deadline)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint32_t reason;

	do {
		if (unlikely(needs_attention(v, x))) {
			vmx_prepare_events(v);
			if (unlikely(__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE)))
				lapic_send_self(VECTOR_KICK); /* an interrupt was an NMI */
		}
		reason = enter_and_handle(v, x, deadline);
	} while (likely(v->stats->begin < x->look_at) && goes_on(v, reason));
	if (vmx_caps.bochs)
		look(v, x, reason);
}
