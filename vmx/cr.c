// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Control registers, EFER, segments and the MSRs that the VMCS keeps, as the guest sees them.
 * CR0: the guest owns all but NE (fixed to 1 in VMX operation), CD and NW (real caching is not its
 * business). CR4: it owns what it may have but MCE, which stays on in hardware, or a machine check
 * would shut the processor down. What it does not own is in the read shadow, and changing it is an
 * exit.
 */
#include <errno.h>
#include "hv/guest.h"
#include "hv/msr.h"
#include "vmx/vmx.h"

#define CR0_VALID 0xe005003full /* PG CD NW AM WP NE ET TS EM MP PE */
/* VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP FSGSBASE PCIDE OSXSAVE SMEP SMAP PKE;
 * no LA57 VMXE SMXE CET PKS UINTR */
#define CR4_OFFERED 0x770fffull
#define CR4_TLB	    (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP)
#define CR4_PDPTE   (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

#define DEBUGCTL_ACCEPTED (DEBUGCTL_LBR | DEBUGCTL_BTF)

uint64_t vmx_cr4_allowed(void)
{
	return CR4_OFFERED & vmx_caps.cr4_fixed1;
}

/* What the guest reads from the shadow, and whose changes are exits. */
uint64_t vmx_cr0_mask(void)
{
	return CR0_NE | CR0_NW | CR0_CD;
}

uint64_t vmx_cr4_mask(void)
{
	return ~vmx_cr4_allowed() | CR4_MCE;
}

bool vmx_canonical(uint64_t addr)
{
	return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

/* SDM vol. 3, "PDPTE Registers": what must be zero in a present one */
bool vmx_pdpte_valid(uint64_t pdpte)
{
	return !(pdpte & 1) || !((pdpte & 0x1e6) || pdpte >> vmx_caps.phys_bits);
}

uint64_t vmx_get_cr(struct vcpu *v, unsigned cr)
{
	uint64_t mask;

	(void)v;
	switch (cr) {
	case 0:
		mask = vmx_cr0_mask();
		return (vmread(GUEST_CR0) & ~mask) | (vmread(CR0_READ_SHADOW) & mask);
	case 2:
		return read_cr2();
	case 3:
		return vmread(GUEST_CR3);
	case 4:
		mask = vmx_cr4_mask();
		return (vmread(GUEST_CR4) & ~mask) | (vmread(CR4_READ_SHADOW) & mask);
	default:
		return 0;
	}
}

void vmx_write_cr0(uint64_t guest)
{
	/* fixed0's PE and PG do not hold for an unrestricted guest */
	vmwrite(GUEST_CR0, ((guest & ~(CR0_CD | CR0_NW)) | CR0_NE |
			    (vmx_caps.cr0_fixed0 & ~(CR0_PE | CR0_PG))) &
				   vmx_caps.cr0_fixed1);
	vmwrite(CR0_READ_SHADOW, guest);
}

void vmx_write_cr4(uint64_t guest)
{
	vmwrite(GUEST_CR4, guest | vmx_caps.cr4_fixed0 | CR4_VMXE | CR4_MCE);
	vmwrite(CR4_READ_SHADOW, guest);
}

void vmx_write_efer(uint64_t efer)
{
	uint32_t entry = vmread32(ENTRY_CONTROLS) & ~ENTRY_IA32E_MODE_GUEST;

	vmwrite(GUEST_IA32_EFER, efer);
	vmwrite(ENTRY_CONTROLS, entry | ((efer & EFER_LMA) ? ENTRY_IA32E_MODE_GUEST : 0));
}

static int load_pdptes(uint64_t cr3)
{
	uint64_t pdpte[4];

	if (guest_read((gpa_t){cr3 & 0xffffffe0ull}, pdpte, sizeof(pdpte)) != 0)
		return -EINVAL;
	for (unsigned i = 0; i < 4; i++)
		if (!vmx_pdpte_valid(pdpte[i]))
			return -EINVAL;
	for (unsigned i = 0; i < 4; i++)
		vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
	return 0;
}

/* MOV to CR0 that sets PG with EFER.LME, or clears it in IA-32e mode (SDM vol. 3, "IA-32e Mode
 * Operation"). */
static int long_mode_allowed(struct vcpu *v, bool enter)
{
	uint32_t cs = vmread32(GUEST_ES_ACCESS_RIGHTS + 2 * SEG_CS);
	uint64_t cr4 = vmx_get_cr(v, 4);

	if (cs & SEG_ATTR_L)
		return -EINVAL;
	if (!enter)
		return (cr4 & CR4_PCIDE) ? -EINVAL : 0;
	/* a 16-bit TSS faults, too */
	if (!(cr4 & CR4_PAE) || (vmread32(GUEST_ES_ACCESS_RIGHTS + 2 * SEG_TR) & 0xf) == 3)
		return -EINVAL;
	return 0;
}

static int set_cr0(struct vcpu *v, uint64_t val)
{
	uint64_t old = vmx_get_cr(v, 0), efer = vmx_get_efer(v);
	bool long_mode = (efer & EFER_LME) && (val & CR0_PG);
	int err = 0;

	val |= CR0_ET;
	if ((val >> 32) || ((val & CR0_PG) && !(val & CR0_PE)) ||
	    ((val & CR0_NW) && !(val & CR0_CD)))
		return -EINVAL;
	val &= CR0_VALID;
	if (((old ^ val) & CR0_PG) && (efer & EFER_LME))
		err = long_mode_allowed(v, val & CR0_PG);
	if (!err && (val & CR0_PG) && !long_mode && (vmx_get_cr(v, 4) & CR4_PAE) &&
	    ((old ^ val) & (CR0_PG | CR0_CD | CR0_NW)))
		err = load_pdptes(vmread(GUEST_CR3));
	if (err)
		return err;
	vmx_write_efer(long_mode ? efer | EFER_LMA : efer & ~EFER_LMA);
	vmx_write_cr0(val);
	vmx_flush_vpid(v);
	return 0;
}

static int set_cr4(struct vcpu *v, uint64_t val)
{
	uint64_t old = vmx_get_cr(v, 4), cr3 = vmread(GUEST_CR3);
	bool long_mode = vmx_get_efer(v) & EFER_LMA;

	if (val & ~vmx_cr4_allowed())
		return -EINVAL;
	if (long_mode && !(val & CR4_PAE))
		return -EINVAL;
	if ((val & ~old & CR4_PCIDE) && (!long_mode || (cr3 & 0xfff)))
		return -EINVAL;
	if ((vmread(GUEST_CR0) & CR0_PG) && (val & CR4_PAE) && !long_mode &&
	    ((old ^ val) & CR4_PDPTE) && load_pdptes(cr3) != 0)
		return -EINVAL;
	vmx_write_cr4(val);
	if ((old ^ val) & CR4_TLB)
		vmx_flush_vpid(v);
	return 0;
}

static int set_cr3(struct vcpu *v, uint64_t val)
{
	bool long_mode = vmx_get_efer(v) & EFER_LMA, pcide = vmx_get_cr(v, 4) & CR4_PCIDE;

	if (pcide)
		val &= ~(1ull << 63);
	if (val >> vmx_caps.phys_bits)
		return -EINVAL;
	if ((vmread(GUEST_CR0) & CR0_PG) && (vmx_get_cr(v, 4) & CR4_PAE) && !long_mode &&
	    load_pdptes(val) != 0)
		return -EINVAL;
	vmwrite(GUEST_CR3, val);
	vmx_flush_vpid(v);
	return 0;
}

int vmx_set_cr(struct vcpu *v, unsigned cr, uint64_t val)
{
	switch (cr) {
	case 0:
		return set_cr0(v, val);
	case 2:
		write_cr2(val);
		return 0;
	case 3:
		return set_cr3(v, val);
	case 4:
		return set_cr4(v, val);
	default:
		return -EINVAL;
	}
}

uint64_t vmx_get_efer(struct vcpu *v)
{
	(void)v;
	return vmread(GUEST_IA32_EFER);
}

int vmx_set_efer(struct vcpu *v, uint64_t val)
{
	uint64_t old = vmx_get_efer(v);
	bool paging = vmread(GUEST_CR0) & CR0_PG;

	if (val & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
		return -EINVAL;
	if ((val & EFER_NXE) && !(cpuid(0x80000001, 0).edx & 1u << 20))
		return -EINVAL;
	if (paging && ((val ^ old) & EFER_LME))
		return -EINVAL;
	/* LMA is read-only, writes to it are ignored */
	vmx_write_efer((val & ~EFER_LMA) | (old & EFER_LMA));
	if ((val ^ old) & EFER_NXE)
		vmx_flush_vpid(v);
	return 0;
}

uint64_t vmx_get_pdpte(struct vcpu *v, unsigned i)
{
	(void)v;
	return vmread(GUEST_PDPTE0 + 2 * (i & 3));
}

void vmx_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *s)
{
	(void)v;
	s->base = vmread(GUEST_ES_BASE + 2 * seg);
	s->limit = vmread32(GUEST_ES_LIMIT + 2 * seg);
	s->attr = vmread32(GUEST_ES_ACCESS_RIGHTS + 2 * seg);
	s->selector = (uint16_t)vmread(GUEST_ES_SELECTOR + 2 * seg);
}

void vmx_set_segment(unsigned seg, const struct vcpu_segment *s)
{
	vmwrite(GUEST_ES_BASE + 2 * seg, s->base);
	vmwrite(GUEST_ES_LIMIT + 2 * seg, s->limit);
	vmwrite(GUEST_ES_ACCESS_RIGHTS + 2 * seg, s->attr);
	vmwrite(GUEST_ES_SELECTOR + 2 * seg, s->selector);
}

/* MSRs that have a VMCS field of their own. */
static bool msr_field(uint32_t msr, uint32_t *field)
{
	switch (msr) {
	case MSR_IA32_SYSENTER_CS:
		*field = GUEST_SYSENTER_CS;
		return true;
	case MSR_IA32_SYSENTER_ESP:
		*field = GUEST_SYSENTER_ESP;
		return true;
	case MSR_IA32_SYSENTER_EIP:
		*field = GUEST_SYSENTER_EIP;
		return true;
	case MSR_IA32_DEBUGCTL:
		*field = GUEST_IA32_DEBUGCTL;
		return true;
	case MSR_IA32_PAT:
		*field = GUEST_IA32_PAT;
		return true;
	case MSR_FS_BASE:
		*field = GUEST_FS_BASE;
		return true;
	case MSR_GS_BASE:
		*field = GUEST_GS_BASE;
		return true;
	default:
		return false;
	}
}

int vmx_get_msr(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	uint32_t field;

	(void)v;
	if (!msr_field(msr, &field))
		return -EINVAL;
	*val = vmread(field);
	return 0;
}

int vmx_set_msr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	uint32_t field;

	(void)v;
	if (!msr_field(msr, &field))
		return -EINVAL;
	switch (msr) {
	case MSR_IA32_SYSENTER_CS:
		val = (uint32_t)val;
		break;
	case MSR_IA32_DEBUGCTL:
		if (val & ~DEBUGCTL_ACCEPTED)
			return -EINVAL;
		val &= DEBUGCTL_BTF; /* branch records are not kept: asking for them has no effect
				      */
		break;
	case MSR_IA32_PAT:
		if (!msr_pat_valid(val))
			return -EINVAL;
		break;
	default:
		if (!vmx_canonical(val))
			return -EINVAL;
	}
	vmwrite(field, val);
	return 0;
}
