// SPDX-License-Identifier: GPL-2.0-or-later
/* What the back ends have in common in handling exits: instructions that are carried out for the
 * guest, and the ends. */
#include "arch/x86_64/arch.h"
#include "hv/bus.h"
#include "hv/emulate.h"
#include "hv/log.h"
#include "hv/node.h"
#include "hv/platform.h"
#include "hv/stats.h"
#include "hv/vcpu.h"

#define RFLAGS_TF   (1ull << 8)
#define CR0_PE	    (1ull << 0)
#define CR4_OSXSAVE (1ull << 18)

#define TRIPLE_FAULT_EXITS 12

/* Outside of 64-bit code EIP ends at 4 GiB, and no entry takes more (SDM vol. 3, "Checks on Guest
 * RIP, RFLAGS, and SSP"). */
static __attribute__((noinline)) void wrap_eip(struct vcpu *v)
{
	struct vcpu_segment cs;

	vcpu_ops->get_segment(v, SEG_CS, &cs);
	if (!(cs.attr & SEG_ATTR_L))
		v->rip = (uint32_t)v->rip;
}

static void advance(struct vcpu *v, unsigned len)
{
	uint64_t from = v->rip;

	v->rip += len;
	if (__builtin_expect((from ^ v->rip) >> 32 != 0, 0))
		wrap_eip(v);
}

static __attribute__((noinline)) void skip_slowly(struct vcpu *v, unsigned len)
{
	advance(v, len ? len : vcpu_insn_length(v));
	vcpu_ops->clear_shadow(v);
	if (v->rflags & RFLAGS_TF)
		vcpu_ops->step_trap(v);
}

void vcpu_skip(struct vcpu *v, unsigned len)
{
	if (__builtin_expect(len == 0 || v->rflags & RFLAGS_TF, 0)) {
		skip_slowly(v, len);
		return;
	}
	advance(v, len);
	vcpu_ops->clear_shadow(v);
}

static void merge_rax(struct vcpu *v, unsigned size, uint32_t val)
{
	if (size == 4)
		v->gpr[RAX] = val;
	else if (size == 2)
		v->gpr[RAX] = (v->gpr[RAX] & ~0xffffull) | (val & 0xffff);
	else
		v->gpr[RAX] = (v->gpr[RAX] & ~0xffull) | (val & 0xff);
}

static void report_unhandled(const struct vcpu *v, const char *what)
{
	static struct log_ratelimit limit = {.burst = 5};

	if (log_ratelimited(&limit))
		log_warn("cpu%u: %s at rip 0x%llx can't be carried out: the guest gets #UD",
			 v->index, what, (unsigned long long)v->rip);
}

void exit_io(struct vcpu *v, uint16_t port, unsigned size, bool in, bool string, unsigned len)
{
	if (string) {
		if (vcpu_emulate(v) == EMU_UNHANDLED) {
			report_unhandled(v, "string I/O");
			vcpu_inject_ud(v);
		}
		return;
	}
	if (in)
		merge_rax(v, size, bus_io_read(port, size));
	else
		bus_io_write(port, size, (uint32_t)v->gpr[RAX]);
	vcpu_skip(v, len);
}

void exit_hlt(struct vcpu *v, unsigned len)
{
	vcpu_skip(v, len);
	if (!(v->rflags & RFLAGS_TF)) /* the trap ends it at once */
		v->activity = VCPU_HLT;
}

void exit_xsetbv(struct vcpu *v, unsigned len)
{
	uint64_t val = v->gpr[RDX] << 32 | (uint32_t)v->gpr[RAX];
	struct vcpu_segment ss;

	if (!(vcpu_ops->get_cr(v, 4) & CR4_OSXSAVE)) {
		vcpu_inject_ud(v);
		return;
	}
	vcpu_ops->get_segment(v, SEG_SS, &ss);
	if (((vcpu_ops->get_cr(v, 0) & CR0_PE) && (ss.attr >> 5 & 3) != 0) ||
	    (uint32_t)v->gpr[RCX] != 0 || !fpu_xcr0_valid(val)) {
		vcpu_inject_gp(v);
		return;
	}
	v->xcr0 = val;
	xsetbv(0, val);
	vcpu_skip(v, len);
}

void exit_invalid_op(struct vcpu *v)
{
	vcpu_inject_ud(v);
}

static void log_exit(const struct vcpu *v, const struct trace_entry *t)
{
	log_error("  cpu%u %s rip 0x%llx info 0x%llx", v->index, vcpu_ops->exit_name(t->reason),
		  (unsigned long long)t->rip, (unsigned long long)t->info);
}

/* The guest can't tell any more what it died of: its state and its last exits are all there is. */
void exit_triple_fault(struct vcpu *v)
{
	log_error("cpu%u: triple fault at rip 0x%llx, cr2 0x%llx, cr3 0x%llx, rsp 0x%llx", v->index,
		  (unsigned long long)v->rip, (unsigned long long)vcpu_ops->get_cr(v, 2),
		  (unsigned long long)vcpu_ops->get_cr(v, 3), (unsigned long long)v->gpr[RSP]);
	vcpu_ops->dump(v);
	trace_dump(v, TRIPLE_FAULT_EXITS, log_exit);
	v->activity = VCPU_SHUTDOWN;
	node_guest_reset("triple fault");
}

void exit_machine_check(struct vcpu *v)
{
	uint64_t status = 0;

	(void)v;
	rdmsr_safe(0x17a, &status); /* IA32_MCG_STATUS */
	panic_shows_banks();
	panic("machine check in the guest, IA32_MCG_STATUS 0x%llx: the hardware is broken; see the "
	      "banks above",
	      (unsigned long long)status);
}

void exit_host_nmi(void)
{
	struct vcpu *v = this_cpu()->vcpu;

	/* also from NMI context, between a check of the requests and the entry: the kick makes it
	 * exit at once */
	if (v) {
		__atomic_fetch_or(&v->requests, VCPU_REQ_NMI, __ATOMIC_RELEASE);
		lapic_send_self(VECTOR_KICK);
	}
}

void exit_unknown(struct vcpu *v, uint64_t reason, uint64_t info1, uint64_t info2)
{
	log_error("cpu%u: %s exit %llu (%s) that nothing handles, info 0x%llx 0x%llx: the guest is "
		  "stopped",
		  v->index, vcpu_ops->name, (unsigned long long)reason,
		  vcpu_ops->exit_name((unsigned)reason), (unsigned long long)info1,
		  (unsigned long long)info2);
	vcpu_ops->dump(v);
	v->activity = VCPU_SHUTDOWN;
	node_guest_reset("an exit that nothing handles");
}
