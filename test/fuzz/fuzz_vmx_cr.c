/* build: vmx/check.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control registers, EFER and the VMCS's MSRs under VT-x, set to anything in any order: what comes
 * of it can be entered, and what was taken is read back.
 */
#include <errno.h>
#include <string.h>
#include "hv/guest.h"
#include "test/fuzz/fuzz.h"
#include "vmx/vmx.h"

/* The VMCS is an array here, and CR2 a variable. */
static uint64_t vmcs[0x8000], cr2;

static uint64_t field_read(uint32_t field)
{
	return vmcs[field];
}

static void field_write(uint32_t field, uint64_t val)
{
	vmcs[field] = val;
}

static void cr2_write(uint64_t val)
{
	cr2 = val;
}

#define vmread	    field_read
#define vmread32(f) ((uint32_t)field_read(f))
#define vmwrite	    field_write
#define read_cr2()  cr2
#define write_cr2   cr2_write
#include "vmx/cr.c"

struct vmx_caps vmx_caps = {
	.phys_bits = 40,
	.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
	.cr0_fixed1 = UINT32_MAX,
	.cr4_fixed0 = CR4_VMXE,
	.cr4_fixed1 = 0x7727ff,
};
static uint64_t pdpte_seed;

void vmx_flush_vpid(struct vcpu *v)
{
	(void)v;
}

/* PDPTEs: mostly legal ones. */
int guest_read(gpa_t gpa, void *buf, size_t n)
{
	uint64_t *p = buf;

	if (gpa.v >> 32 || (pdpte_seed & 7) == 7)
		return -EFAULT;
	for (size_t i = 0; i < n / 8; i++)
		p[i] = (pdpte_seed >> 8 * i & 0xff) ? 0x1000 * (i + 1) | (pdpte_seed & 0x101) : 0;
	return 0;
}

static void reset(struct vcpu *v)
{
	static const struct vcpu_segment data = {.limit = 0xffff, .attr = 0x93};
	static const struct vcpu_segment ldtr = {.limit = 0xffff, .attr = 0x82};
	static const struct vcpu_segment tr = {.limit = 0xffff, .attr = 0x8b};

	(void)v;
	memset(vmcs, 0, sizeof(vmcs));
	for (unsigned i = 0; i < NUM_SEG; i++)
		vmx_set_segment(i, i == SEG_LDTR ? &ldtr : i == SEG_TR ? &tr : &data);
	vmx_write_efer(0);
	vmx_write_cr0(CR0_CD | CR0_NW | CR0_ET);
	vmx_write_cr4(0);
	vmwrite(GUEST_IA32_PAT, 0x0007040600070406);
}

static void check_state(struct vcpu *v)
{
	struct vcpu_state s = {.rip = 0x1000, .rflags = 2, .dr6 = DR6_INIT, .dr7 = DR7_INIT};
	uint64_t real0 = vmread(GUEST_CR0), real4 = vmread(GUEST_CR4);

	s.cr0 = vmx_get_cr(v, 0);
	s.cr3 = vmx_get_cr(v, 3);
	s.cr4 = vmx_get_cr(v, 4);
	s.cr0_mask = vmx_cr0_mask();
	s.cr4_mask = vmx_cr4_mask();
	s.efer = vmx_get_efer(v);
	for (unsigned i = 0; i < 4; i++)
		s.pdpte[i] = vmx_get_pdpte(v, i);
	for (unsigned i = 0; i < NUM_SEG; i++)
		vmx_get_segment(v, i, &s.seg[i]);
	(void)vmx_get_msr(v, MSR_IA32_PAT, &s.pat);
	(void)vmx_get_msr(v, MSR_IA32_DEBUGCTL, &s.debugctl);
	(void)vmx_get_msr(v, MSR_IA32_SYSENTER_CS, &s.sysenter_cs);
	(void)vmx_get_msr(v, MSR_IA32_SYSENTER_ESP, &s.sysenter_esp);
	(void)vmx_get_msr(v, MSR_IA32_SYSENTER_EIP, &s.sysenter_eip);
	if (vmx_state_fault(&s)) {
		(void)fprintf(stderr, "%s: cr0 0x%llx cr4 0x%llx efer 0x%llx\n",
			      vmx_state_fault(&s), (unsigned long long)s.cr0,
			      (unsigned long long)s.cr4, (unsigned long long)s.efer);
		abort();
	}
	/* the registers themselves, as VMX operation wants them */
	REQUIRE((real0 & CR0_NE) && !(real0 & ~vmx_caps.cr0_fixed1) && !(real0 >> 32));
	REQUIRE((real4 & (CR4_VMXE | CR4_MCE)) == (CR4_VMXE | CR4_MCE));
	REQUIRE(!(real4 & ~vmx_caps.cr4_fixed1));
	REQUIRE(!(real0 & (CR0_CD | CR0_NW)) && !(s.cr4 & CR4_VMXE));
	REQUIRE(!(vmread(ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST) == !(s.efer & EFER_LMA));
}

/* A few bits changed, now and then all of them. */
static uint64_t changed(uint64_t old)
{
	uint8_t how = (uint8_t)take(1);

	old ^= 1ull << how % 64;
	if (how & 0x40)
		old ^= 1ull << take(1) % 64;
	return how & 0x80 ? old ^ take(8) : old;
}

static void set_msr(struct vcpu *v)
{
	static const uint32_t msrs[] = {MSR_IA32_SYSENTER_CS,  MSR_IA32_SYSENTER_ESP,
					MSR_IA32_SYSENTER_EIP, MSR_IA32_DEBUGCTL,
					MSR_IA32_PAT,	       MSR_FS_BASE,
					MSR_GS_BASE,	       MSR_IA32_TSC};
	uint32_t msr = msrs[take(1) % 8];
	uint64_t val = 0, again = 0;

	if (vmx_get_msr(v, msr, &val) != 0) {
		REQUIRE(vmx_set_msr(v, msr, 0) != 0);
		return;
	}
	val = changed(val);
	if (vmx_set_msr(v, msr, val) != 0)
		return;
	REQUIRE(vmx_get_msr(v, msr, &again) == 0);
	REQUIRE(again == val || msr == MSR_IA32_DEBUGCTL || again == (uint32_t)val);
}

static void set_cr(struct vcpu *v, unsigned cr)
{
	uint64_t val = changed(vmx_get_cr(v, cr));

	pdpte_seed = take(4);
	if (vmx_set_cr(v, cr, val) != 0)
		return;
	if (cr == 0)
		val = (val & CR0_VALID) | CR0_ET;
	if (cr == 3)
		val &= ~(1ull << 63);
	REQUIRE(vmx_get_cr(v, cr) == val);
}

/* CS as code loads it: 64-bit code in long mode only. */
static void load_cs(struct vcpu *v)
{
	struct vcpu_segment cs = {.limit = 0xffff, .attr = take(1) & 1 ? 0x209b : 0x9b};

	if (!(vmx_get_cr(v, 0) & CR0_PE) ||
	    ((cs.attr & SEG_ATTR_L) && !(vmx_get_efer(v) & EFER_LMA)))
		return;
	vmx_set_segment(SEG_CS, &cs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vcpu v;

	fuzz_begin(data, size);
	reset(&v);
	while (fuzz_more()) {
		switch (take(1) % 8) {
		case 0:
		case 1:
			set_cr(&v, 0);
			break;
		case 2:
			set_cr(&v, 3);
			break;
		case 3:
		case 4:
			set_cr(&v, 4);
			break;
		case 5:
			(void)vmx_set_efer(&v, changed(vmx_get_efer(&v)));
			break;
		case 6:
			load_cs(&v);
			break;
		default:
			set_msr(&v);
		}
		check_state(&v);
	}
	return 0;
}
