// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The vCPU's registers as a whole: reset, start-up, save, load. They live in the VMCS and, where
 * nothing of the hypervisor's needs them, in the processor itself: CR2, DR0-3, DR6, and the MSRs of
 * live_msrs.
 */
#include <errno.h>
#include <string.h>
#include "hv/cpuid.h"
#include "hv/msr.h"
#include "vmx/vmx.h"

static const struct live_msr {
	uint32_t msr;
	uint16_t offset; /* in struct vcpu_state */
	uint16_t feature;
} live_msrs[] = {
#define ALWAYS FEATURE_COUNT
	{MSR_IA32_SPEC_CTRL, offsetof(struct vcpu_state, spec_ctrl), FEATURE_SPEC_CTRL},
	{MSR_STAR, offsetof(struct vcpu_state, star), ALWAYS},
	{MSR_LSTAR, offsetof(struct vcpu_state, lstar), ALWAYS},
	{MSR_CSTAR, offsetof(struct vcpu_state, cstar), ALWAYS},
	{MSR_SFMASK, offsetof(struct vcpu_state, sfmask), ALWAYS},
	{MSR_KERNEL_GS_BASE, offsetof(struct vcpu_state, kernel_gs_base), ALWAYS},
	{MSR_TSC_AUX, offsetof(struct vcpu_state, tsc_aux), FEATURE_RDTSCP},
};
#define LIVE_MSRS (sizeof(live_msrs) / sizeof(live_msrs[0]))

static bool live(const struct live_msr *m)
{
	return m->feature == ALWAYS || cpuid_has((enum guest_feature)m->feature);
}

/* RIP, RFLAGS and RSP from struct vcpu to the VMCS. */
static void write_registers(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);

	x->rip = v->rip;
	x->rflags = v->rflags;
	x->rsp = v->gpr[RSP];
	vmwrite(GUEST_RIP, x->rip);
	vmwrite(GUEST_RFLAGS, x->rflags);
	vmwrite(GUEST_RSP, x->rsp);
}

static void write_table_registers(uint64_t gdt, uint32_t gdt_limit, uint64_t idt,
				  uint32_t idt_limit)
{
	vmwrite(GUEST_GDTR_BASE, gdt);
	vmwrite(GUEST_GDTR_LIMIT, gdt_limit);
	vmwrite(GUEST_IDTR_BASE, idt);
	vmwrite(GUEST_IDTR_LIMIT, idt_limit);
}

static void write_debug_registers(const uint64_t dr[4], uint64_t dr6, uint64_t dr7)
{
	write_dr0(dr[0]);
	write_dr1(dr[1]);
	write_dr2(dr[2]);
	write_dr3(dr[3]);
	write_dr6(dr6);
	vmwrite(GUEST_DR7, dr7);
}

/* SDM vol. 3, "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT" */
void vmx_reset(struct vcpu *v)
{
	static const struct vcpu_segment cs = {
		.base = 0xffff0000, .limit = 0xffff, .attr = 0x93, .selector = 0xf000};
	static const struct vcpu_segment data = {.limit = 0xffff, .attr = 0x93};
	static const struct vcpu_segment ldtr = {.limit = 0xffff, .attr = 0x82};
	static const struct vcpu_segment tr = {.limit = 0xffff, .attr = 0x8b};
	static const uint64_t dr[4];
	struct vmx_vcpu *x = to_vmx(v);

	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[RDX] = cpuid(1, 0).eax;
	v->rip = 0xfff0;
	v->rflags = 2;
	v->event_pending = false;
	write_registers(v);
	for (unsigned i = 0; i < NUM_SEG; i++)
		vmx_set_segment(i, i == SEG_CS	   ? &cs
				   : i == SEG_LDTR ? &ldtr
				   : i == SEG_TR   ? &tr
						   : &data);
	write_table_registers(0, 0xffff, 0, 0xffff);
	vmx_write_efer(0);
	vmx_write_cr0(CR0_CD | CR0_NW | CR0_ET);
	vmx_write_cr4(0);
	vmwrite(GUEST_CR3, 0);
	write_cr2(0);
	write_debug_registers(dr, DR6_INIT, DR7_INIT);
	vmwrite(GUEST_IA32_DEBUGCTL, 0);
	vmwrite(GUEST_PENDING_DEBUG, 0);
	vmwrite(GUEST_INTERRUPTIBILITY, 0);
	vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	x->nmi_open = vmx_caps.bochs;
	x->attention = x->apic_dirty = true;
	vmx_flush_vpid(v);
}

void vmx_sipi(struct vcpu *v, uint8_t vector)
{
	struct vcpu_segment cs = {.base = (uint64_t)vector << 12,
				  .limit = 0xffff,
				  .attr = 0x93,
				  .selector = (uint16_t)(vector << 8)};

	v->rip = 0;
	vmx_set_segment(SEG_CS, &cs);
}

/* --- save --- */

static void save_event(const struct vcpu *v, struct vcpu_state *s)
{
	const struct vcpu_event *e = &v->event;

	s->idt_vectoring = 0;
	s->idt_error = 0;
	s->idt_insn_len = 0;
	if (!v->event_pending)
		return;
	s->idt_vectoring = e->vector | (uint32_t)e->type << 8 |
			   (e->has_error ? INFO_ERROR_VALID : 0) | INFO_VALID;
	s->idt_error = e->error;
	s->idt_insn_len = e->insn_len;
}

static void save_tables_and_debug(struct vcpu_state *s)
{
	s->gdtr.base = vmread(GUEST_GDTR_BASE);
	s->gdtr.limit = vmread32(GUEST_GDTR_LIMIT);
	s->idtr.base = vmread(GUEST_IDTR_BASE);
	s->idtr.limit = vmread32(GUEST_IDTR_LIMIT);
	s->dr[0] = read_dr0();
	s->dr[1] = read_dr1();
	s->dr[2] = read_dr2();
	s->dr[3] = read_dr3();
	s->dr6 = read_dr6();
	s->dr7 = vmread(GUEST_DR7);
	s->debugctl = vmread(GUEST_IA32_DEBUGCTL);
	s->pending_debug = vmread(GUEST_PENDING_DEBUG);
}

void vmx_save(struct vcpu *v, struct vcpu_state *s)
{
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	s->rip = v->rip;
	s->rflags = v->rflags;
	s->cr0 = vmx_get_cr(v, 0);
	s->cr2 = vmx_get_cr(v, 2);
	s->cr3 = vmx_get_cr(v, 3);
	s->cr4 = vmx_get_cr(v, 4);
	s->cr0_mask = vmx_cr0_mask();
	s->cr4_mask = vmx_cr4_mask();
	s->efer = vmx_get_efer(v);
	for (unsigned i = 0; i < 4; i++)
		s->pdpte[i] = vmx_get_pdpte(v, i);
	for (unsigned i = 0; i < NUM_SEG; i++)
		vmx_get_segment(v, i, &s->seg[i]);
	save_tables_and_debug(s);
	s->pat = vmread(GUEST_IA32_PAT);
	s->sysenter_cs = vmread(GUEST_SYSENTER_CS);
	s->sysenter_esp = vmread(GUEST_SYSENTER_ESP);
	s->sysenter_eip = vmread(GUEST_SYSENTER_EIP);
	for (unsigned i = 0; i < LIVE_MSRS; i++)
		if (live(&live_msrs[i]))
			*(uint64_t *)((uint8_t *)s + live_msrs[i].offset) = rdmsr(live_msrs[i].msr);
	s->activity = vmread(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT ? VCPU_HLT : VCPU_ACTIVE;
	s->interruptibility = vmx_interruptibility(v);
	save_event(v, s);
}

/* --- load --- */

static void load_event(struct vcpu *v, const struct vcpu_state *s)
{
	v->event_pending = s->idt_vectoring & INFO_VALID;
	v->event = (struct vcpu_event){.vector = (uint8_t)s->idt_vectoring,
				       .type = s->idt_vectoring >> 8 & 7,
				       .has_error = s->idt_vectoring & INFO_ERROR_VALID,
				       .error = s->idt_error,
				       .insn_len = s->idt_insn_len};
}

static int load_live_msrs(const struct vcpu_state *s)
{
	for (unsigned i = 0; i < LIVE_MSRS; i++) {
		uint64_t val = *(const uint64_t *)((const uint8_t *)s + live_msrs[i].offset);

		if (live(&live_msrs[i]) && wrmsr_safe(live_msrs[i].msr, val) != 0)
			return -EINVAL;
	}
	return 0;
}

/* In a shadow and in HLT the single-step trap must be pending exactly if TF asks for it; an
 * emulator may not have kept to it. */
static uint64_t pending_debug(const struct vcpu_state *s)
{
	bool single_step = (s->rflags & RFLAGS_TF) && !(s->debugctl & DEBUGCTL_BTF);

	if (s->activity != VCPU_HLT &&
	    !(s->interruptibility & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)))
		return s->pending_debug;
	return (s->pending_debug & ~(uint64_t)PENDING_DEBUG_BS) |
	       (single_step ? PENDING_DEBUG_BS : 0);
}

static void load_control_registers(const struct vcpu_state *s)
{
	vmx_write_efer(s->efer);
	vmx_write_cr0(s->cr0);
	write_cr2(s->cr2);
	vmwrite(GUEST_CR3, s->cr3);
	vmx_write_cr4(s->cr4);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(GUEST_PDPTE0 + 2 * i, s->pdpte[i]);
}

int vmx_load(struct vcpu *v, const struct vcpu_state *s)
{
	struct vmx_vcpu *x = to_vmx(v);

	/* SPEC_CTRL is first: the one value that only the processor can judge */
	if (vmx_state_fault(s) || load_live_msrs(s) != 0)
		return -EINVAL;
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->rip = s->rip;
	v->rflags = s->rflags;
	write_registers(v);
	load_control_registers(s);
	for (unsigned i = 0; i < NUM_SEG; i++)
		vmx_set_segment(i, &s->seg[i]);
	write_table_registers(s->gdtr.base, s->gdtr.limit, s->idtr.base, s->idtr.limit);
	write_debug_registers(s->dr, s->dr6, s->dr7);
	vmwrite(GUEST_IA32_DEBUGCTL, s->debugctl);
	vmwrite(GUEST_IA32_PAT, s->pat);
	vmwrite(GUEST_SYSENTER_CS, s->sysenter_cs);
	vmwrite(GUEST_SYSENTER_ESP, s->sysenter_esp);
	vmwrite(GUEST_SYSENTER_EIP, s->sysenter_eip);
	vmwrite(GUEST_PENDING_DEBUG, pending_debug(s));
	vmwrite(GUEST_INTERRUPTIBILITY, s->interruptibility);
	vmwrite(GUEST_ACTIVITY_STATE,
		s->activity == VCPU_HLT && vmx_ops.keeps_hlt ? ACTIVITY_HLT : ACTIVITY_ACTIVE);
	load_event(v, s);
	x->nmi_open = vmx_caps.bochs && !(s->interruptibility & BLOCKING_BY_NMI);
	x->attention = x->apic_dirty = true;
	vmx_flush_vpid(v);
	return 0;
}

/* --- scramble: garbage that the hypervisor itself survives; canonical where the processor insists
 * on it at the write --- */

#define GARBAGE 0x0000515253545556ull

void vmx_scramble(struct vcpu *v)
{
	static const struct vcpu_segment seg = {
		.base = GARBAGE, .limit = 0x5a5a5a5a, .attr = 0x5a5a, .selector = 0x5a5a};
	static const uint64_t dr[4] = {GARBAGE, GARBAGE + 1, GARBAGE + 2, GARBAGE + 3};
	static const uint32_t fields[] = {GUEST_CR0,
					  GUEST_CR3,
					  GUEST_CR4,
					  CR0_READ_SHADOW,
					  CR4_READ_SHADOW,
					  GUEST_IA32_EFER,
					  GUEST_IA32_DEBUGCTL,
					  GUEST_IA32_PAT,
					  GUEST_SYSENTER_CS,
					  GUEST_SYSENTER_ESP,
					  GUEST_SYSENTER_EIP,
					  GUEST_PENDING_DEBUG,
					  GUEST_INTERRUPTIBILITY,
					  GUEST_ACTIVITY_STATE,
					  GUEST_PDPTE0,
					  GUEST_PDPTE0 + 2,
					  GUEST_PDPTE0 + 4,
					  GUEST_PDPTE0 + 6};

	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		vmwrite(fields[i], GARBAGE);
	write_registers(v);
	for (unsigned i = 0; i < NUM_SEG; i++)
		vmx_set_segment(i, &seg);
	write_table_registers(GARBAGE, 0x5a5a, GARBAGE, 0x5a5a);
	write_debug_registers(dr, DR6_INIT | 0xf, GARBAGE);
	write_cr2(GARBAGE);
	if (vmx_caps.vid)
		vmwrite(GUEST_INTERRUPT_STATUS, 0x5a5a);
	/* SPEC_CTRL has reserved bits, and TSC_AUX and SFMASK a reserved half */
	for (unsigned i = 0; i < LIVE_MSRS; i++)
		if (live(&live_msrs[i]))
			(void)wrmsr_safe(live_msrs[i].msr,
					 live_msrs[i].msr == MSR_IA32_SPEC_CTRL ? 0
					 : live_msrs[i].msr == MSR_TSC_AUX ||
							 live_msrs[i].msr == MSR_SFMASK
						 ? (uint32_t)GARBAGE
						 : GARBAGE);
	v->event_pending = true;
	v->event = (struct vcpu_event){
		.vector = 0x5a, .type = 1, .has_error = true, .error = 0x5a5a5a5a};
	to_vmx(v)->attention = true;
}
