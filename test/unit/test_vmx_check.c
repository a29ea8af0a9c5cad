/* build: vmx/check.c */
// SPDX-License-Identifier: GPL-2.0-or-later
/* Which vCPU states a VM entry could take: the ones that occur in practice, and each rule broken
 * once. */
#include "test/unit/check.h"
#include "test/unit/vcpu_states.h"
#include "vmx/vmx.h"

struct vmx_caps vmx_caps;

uint64_t vmx_cr4_allowed(void)
{
	return 0x770fff;
}

uint64_t vmx_cr0_mask(void)
{
	return 0x60000020;
}

uint64_t vmx_cr4_mask(void)
{
	return ~0x770fffull | CR4_MCE;
}

bool vmx_canonical(uint64_t addr)
{
	return addr >> 47 == 0 || addr >> 47 == 0x1ffff;
}

bool vmx_pdpte_valid(uint64_t pdpte)
{
	return !(pdpte & 0x1e6);
}

static void accepts_real_states(void)
{
	struct vcpu_state s = reset_state();

	CHECK(!vmx_state_fault(&s));
	s = flat_state();
	CHECK(!vmx_state_fault(&s));
	s = long_state(0);
	CHECK(!vmx_state_fault(&s));
	s.activity = VCPU_HLT;
	CHECK(!vmx_state_fault(&s));
	s = long_state(3);
	CHECK(!vmx_state_fault(&s));
	s = vm86_state();
	CHECK(!vmx_state_fault(&s));
	/* protected mode just entered: CS and SS are still those of real mode */
	s = reset_state();
	s.cr0 |= 1;
	CHECK(!vmx_state_fault(&s));
	/* PAE paging */
	s = flat_state();
	s.cr0 = 0x80000011;
	s.cr4 = CR4_PAE;
	s.pdpte[0] = 0x2001;
	CHECK(!vmx_state_fault(&s));
}

static void accepts_events(void)
{
	struct vcpu_state s = long_state(0);

	s.idt_vectoring = INFO_VALID | INFO_ERROR_VALID | EVENT_EXCEPTION << 8 | 14;
	s.idt_error = 2;
	CHECK(!vmx_state_fault(&s));
	s.idt_vectoring = INFO_VALID | EVENT_INTR << 8 | 0xec;
	CHECK(!vmx_state_fault(&s));
	s.idt_vectoring = INFO_VALID | EVENT_SOFT_INT << 8 | 0x80;
	s.idt_insn_len = 2;
	CHECK(!vmx_state_fault(&s));
	s.idt_vectoring = INFO_VALID | EVENT_NMI << 8 | 2;
	CHECK(!vmx_state_fault(&s));
}

#define REFUSES(base, ...)                                     \
	do {                                                   \
		struct vcpu_state s = base;                    \
		CHECK(!vmx_state_fault(&s));                   \
		__VA_ARGS__;                                   \
		CHECK(vmx_state_fault(&s) && #__VA_ARGS__[0]); \
	} while (0)

static void refuses_control_registers(void)
{
	REFUSES(long_state(0), s.cr0 |= 1ull << 32);
	REFUSES(long_state(0), s.cr0 &= ~CR0_PE);
	REFUSES(long_state(0), s.cr0 |= CR0_NW);
	REFUSES(long_state(0), s.cr0 |= 1 << 6);
	REFUSES(long_state(0), s.cr4 |= CR4_VMXE);
	REFUSES(long_state(0), s.cr4 |= 1 << 12);
	REFUSES(long_state(0), s.cr4 &= ~CR4_PAE);
	REFUSES(flat_state(), s.cr4 |= CR4_PCIDE);
	REFUSES(long_state(0), s.cr3 |= 1ull << 40);
	REFUSES(long_state(0), s.cr0_mask = 0);
	REFUSES(long_state(0), s.cr4_mask = 0);
	REFUSES(long_state(0), s.efer &= ~EFER_LMA);
	REFUSES(flat_state(), s.efer |= EFER_LMA);
	REFUSES(long_state(0), s.efer |= 1 << 12);
	REFUSES(flat_state(), s.cr0 |= CR0_PG, s.cr4 |= CR4_PAE, s.pdpte[3] = 3);
}

static void refuses_msrs(void)
{
	REFUSES(long_state(0), s.pat = 2);
	REFUSES(long_state(0), s.debugctl = 1);
	REFUSES(long_state(0), s.sysenter_esp = 1ull << 50);
	REFUSES(long_state(0), s.sysenter_eip = 1ull << 50);
	REFUSES(long_state(0), s.lstar = 1ull << 50);
	REFUSES(long_state(0), s.cstar = 1ull << 50);
	REFUSES(long_state(0), s.kernel_gs_base = 1ull << 50);
	REFUSES(long_state(0), s.sfmask = 1ull << 32);
	REFUSES(long_state(0), s.dr6 |= 1ull << 32);
	REFUSES(long_state(0), s.dr7 |= 1ull << 32);
}

static void refuses_segments(void)
{
	REFUSES(long_state(0), s.seg[SEG_CS].attr |= SEG_UNUSABLE);
	REFUSES(long_state(0), s.seg[SEG_CS].attr |= SEG_ATTR_D);
	REFUSES(long_state(0), s.seg[SEG_CS].attr |= 3 << 5);
	REFUSES(long_state(0), s.seg[SEG_CS].attr &= ~0x80u);
	REFUSES(long_state(0), s.seg[SEG_CS].base = 1ull << 32);
	REFUSES(long_state(0), s.seg[SEG_SS].attr |= 1 << 8);
	REFUSES(long_state(0), s.seg[SEG_SS].attr &= ~2u);
	REFUSES(long_state(0), s.seg[SEG_GS].base = 1ull << 50);
	REFUSES(reset_state(), s.seg[SEG_SS].attr |= 3 << 5);
	REFUSES(reset_state(), s.seg[SEG_CS].attr |= 3 << 5);
	REFUSES(reset_state(), s.seg[SEG_DS].limit = 0x100000);
	REFUSES(flat_state(), s.seg[SEG_DS].limit = 0xfffffffe);
	REFUSES(flat_state(), s.seg[SEG_DS].attr &= ~1u);
	REFUSES(long_state(0), s.seg[SEG_TR].attr = 0x89);
	REFUSES(long_state(0), s.seg[SEG_TR].attr = 0x83);
	REFUSES(long_state(0), s.seg[SEG_TR].attr |= SEG_UNUSABLE);
	REFUSES(long_state(0), s.seg[SEG_TR].selector |= 4);
	REFUSES(long_state(0), s.seg[SEG_TR].base = 1ull << 50);
	REFUSES(flat_state(), s.seg[SEG_LDTR].attr = 0x89);
	REFUSES(long_state(0), s.gdtr.base = 1ull << 50);
	REFUSES(long_state(0), s.idtr.limit = 0x10000);
	REFUSES(vm86_state(), s.seg[SEG_DS].base++);
	REFUSES(vm86_state(), s.seg[SEG_DS].limit++);
	REFUSES(vm86_state(), s.seg[SEG_FS].attr = 0x93);
}

static void refuses_the_rest(void)
{
	REFUSES(long_state(0), s.rip = 1ull << 50);
	REFUSES(flat_state(), s.rip = 1ull << 32);
	REFUSES(long_state(0), s.rflags = 0x200);
	REFUSES(long_state(0), s.rflags |= 1 << 15);
	REFUSES(long_state(0), s.rflags |= RFLAGS_VM);
	REFUSES(long_state(3), s.activity = VCPU_HLT);
	REFUSES(long_state(0), s.interruptibility = 3);
	REFUSES(long_state(0), s.interruptibility = 4);
	REFUSES(flat_state(), s.interruptibility = BLOCKING_BY_STI);
	REFUSES(long_state(0), s.activity = VCPU_HLT, s.interruptibility = BLOCKING_BY_STI);
	REFUSES(long_state(0), s.pending_debug = 1 << 4);
	REFUSES(long_state(0), s.idt_vectoring = INFO_VALID | 1 << 8 | 32);
	REFUSES(long_state(0), s.idt_vectoring = INFO_VALID | EVENT_NMI << 8 | 3);
	REFUSES(long_state(0), s.idt_vectoring = INFO_VALID | EVENT_EXCEPTION << 8 | 14);
	REFUSES(long_state(0), s.idt_vectoring = INFO_VALID | EVENT_EXCEPTION << 8 | 33);
	REFUSES(long_state(0), s.idt_vectoring = INFO_VALID | EVENT_SOFT_INT << 8 | 0x80);
	REFUSES(long_state(0), s.idt_vectoring = INFO_VALID | 1 << 12 | EVENT_INTR << 8 | 32);
	REFUSES(flat_state(), s.idt_vectoring = INFO_VALID | EVENT_INTR << 8 | 32);
	REFUSES(long_state(0), s.idt_error = 0x10000,
		s.idt_vectoring = INFO_VALID | INFO_ERROR_VALID | EVENT_EXCEPTION << 8 | 13);
}

int main(void)
{
	vmx_caps.phys_bits = 40;
	vmx_caps.cr0_fixed1 = 0xe005003f;
	RUN(accepts_real_states);
	RUN(accepts_events);
	RUN(refuses_control_registers);
	RUN(refuses_msrs);
	RUN(refuses_segments);
	RUN(refuses_the_rest);
	return check_result();
}
