// SPDX-License-Identifier: GPL-2.0-or-later
/* The guest's registers that live in the VMCB. */
#include <errno.h>
#include <string.h>
#include "hv/guest.h"
#include "hv/msr.h"
#include "svm/svm.h"

#define CR3_PCID_KEEP (1ull << 63) /* in MOV to CR3 only: keep the PCID's translations */

#define ATTR_UNUSABLE  (1u << 16)
#define ATTR_G	       (1u << 15)
#define ATTR_DPL       5u
#define TYPE_BUSY      2u
#define DEBUGCTL_VALID 3ull /* LBR, BTF */

/* --- segments --- */

static const uint16_t segment_offset[NUM_SEG] = {
	[SEG_ES] = offsetof(struct vmcb, es),	  [SEG_CS] = offsetof(struct vmcb, cs),
	[SEG_SS] = offsetof(struct vmcb, ss),	  [SEG_DS] = offsetof(struct vmcb, ds),
	[SEG_FS] = offsetof(struct vmcb, fs),	  [SEG_GS] = offsetof(struct vmcb, gs),
	[SEG_LDTR] = offsetof(struct vmcb, ldtr), [SEG_TR] = offsetof(struct vmcb, tr),
};

static struct vmcb_segment *segment(struct vmcb *b, unsigned seg)
{
	return (struct vmcb_segment *)((uint8_t *)b + segment_offset[seg]);
}

void svm_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *s)
{
	struct vmcb *b = svm_of(v)->vmcb;
	const struct vmcb_segment *m = segment(b, seg);

	s->selector = m->selector;
	s->base = m->base;
	s->limit = m->limit;
	s->attr = (m->attrib & 0xffu) | (m->attrib & 0xf00u) << 4;
	if (!(m->attrib & ATTRIB_P))
		s->attr |= ATTR_UNUSABLE;
	if (m->limit > 0xfffff)
		s->attr |= ATTR_G; /* some processors don't keep it for data segments */
	if (seg == SEG_SS)	   /* CPL is a register of its own here (APM vol. 2, 15.5.1) */
		s->attr = (s->attr & ~(3u << ATTR_DPL)) | (b->cpl & 3u) << ATTR_DPL;
	if (seg == SEG_TR)
		s->attr |= TYPE_BUSY;
}

void svm_set_segment(struct vmcb *b, unsigned seg, const struct vcpu_segment *s)
{
	struct vmcb_segment *m = segment(b, seg);

	m->selector = s->selector;
	m->base = s->base;
	m->limit = s->limit;
	m->attrib = (uint16_t)((s->attr & 0xffu) | (s->attr >> 4 & 0xf00u));
	if (s->attr & ATTR_UNUSABLE)
		m->attrib &= (uint16_t)~ATTRIB_P;
	if (seg == SEG_SS)
		b->cpl = s->attr >> ATTR_DPL & 3;
}

/* --- control registers and EFER --- */

uint64_t svm_get_cr(struct vcpu *v, unsigned cr)
{
	const struct vmcb *b = svm_of(v)->vmcb;

	switch (cr) {
	case 0:
		return b->cr0;
	case 2:
		return b->cr2;
	case 3:
		return b->cr3;
	case 4:
		return b->cr4;
	default:
		return 0;
	}
}

/* MOV to CR0 with the switch into and out of long mode: APM vol. 2, 3.1.1 and 14.6. */
static int set_cr0(struct vmcb *b, uint64_t val)
{
	if (val >> 32 || ((val & CR0_PG) && !(val & CR0_PE)) || ((val & CR0_NW) && !(val & CR0_CD)))
		return -EINVAL;
	if ((val & CR0_PG) && (b->efer & EFER_LME) && !(b->cr4 & CR4_PAE))
		return -EINVAL;
	if (!(val & CR0_PG) && (b->cr4 & CR4_PCIDE))
		return -EINVAL;
	b->efer &= ~EFER_LMA;
	if ((val & CR0_PG) && (b->efer & EFER_LME))
		b->efer |= EFER_LMA;
	b->cr0 = (val & CR0_VALID) | CR0_ET;
	return 0;
}

static int set_cr3(struct vmcb *b, uint64_t val)
{
	if (b->cr4 & CR4_PCIDE)
		val &= ~CR3_PCID_KEEP;
	if (!(b->efer & EFER_LMA))
		val &= UINT32_MAX;
	if (val >> svm.phys_bits)
		return -EINVAL;
	b->cr3 = val;
	return 0;
}

static int set_cr4(struct vmcb *b, uint64_t val)
{
	bool lma = b->efer & EFER_LMA;

	if ((val & ~svm.cr4_valid) || (lma && !(val & CR4_PAE)) ||
	    (lma && ((val ^ b->cr4) & CR4_LA57)) || (!lma && (val & CR4_PCIDE)) ||
	    ((val & CR4_CET) && !(b->cr0 & CR0_WP)))
		return -EINVAL;
	b->cr4 = val;
	return 0;
}

int svm_set_cr(struct vcpu *v, unsigned cr, uint64_t val)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;
	int err;

	switch (cr) {
	case 0:
		err = set_cr0(b, val);
		break;
	case 2:
		b->cr2 = val;
		svm_dirty(s, CLEAN_CR2);
		return 0;
	case 3:
		err = set_cr3(b, val);
		break;
	case 4:
		err = set_cr4(b, val);
		break;
	default:
		return -EINVAL;
	}
	if (!err) {
		svm_flush(v);
		svm_dirty(s, CLEAN_CRX);
	}
	return err;
}

uint64_t svm_get_efer(struct vcpu *v)
{
	return svm_of(v)->vmcb->efer & ~EFER_SVME;
}

int svm_set_efer(struct vcpu *v, uint64_t val)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = s->vmcb;

	if (val & ~svm.efer_valid)
		return -EINVAL;
	if (((val ^ b->efer) & EFER_LME) && (b->cr0 & CR0_PG))
		return -EINVAL;
	b->efer = (val & ~EFER_LMA) | (b->efer & EFER_LMA) | EFER_SVME;
	svm_flush(v);
	svm_dirty(s, CLEAN_CRX);
	return 0;
}

/* Under nested paging the PDPTEs are read from memory at each walk, not kept (APM vol.
 * 2, 15.25.10). */
uint64_t svm_get_pdpte(struct vcpu *v, unsigned i)
{
	uint64_t e = 0;

	if (guest_read((gpa_t){(svm_of(v)->vmcb->cr3 & 0xffffffe0ull) + 8ull * (i & 3)}, &e,
		       sizeof(e)) != 0)
		return 0;
	return e;
}

/* --- MSRs --- */

enum msr_kind { PLAIN, ADDRESS, PAT, DEBUGCTL };

static const struct msr_slot {
	uint32_t msr;
	uint16_t offset;
	uint8_t kind;
} msr_slots[] = {
	{MSR_IA32_SYSENTER_CS, offsetof(struct vmcb, sysenter_cs), PLAIN},
	{MSR_IA32_SYSENTER_ESP, offsetof(struct vmcb, sysenter_esp), PLAIN},
	{MSR_IA32_SYSENTER_EIP, offsetof(struct vmcb, sysenter_eip), PLAIN},
	{MSR_IA32_DEBUGCTL, offsetof(struct vmcb, dbgctl), DEBUGCTL},
	{MSR_IA32_PAT, offsetof(struct vmcb, g_pat), PAT},
	{MSR_STAR, offsetof(struct vmcb, star), PLAIN},
	{MSR_LSTAR, offsetof(struct vmcb, lstar), ADDRESS},
	{MSR_CSTAR, offsetof(struct vmcb, cstar), ADDRESS},
	{MSR_SFMASK, offsetof(struct vmcb, sfmask), PLAIN},
	{MSR_FS_BASE, offsetof(struct vmcb, fs.base), ADDRESS},
	{MSR_GS_BASE, offsetof(struct vmcb, gs.base), ADDRESS},
	{MSR_KERNEL_GS_BASE, offsetof(struct vmcb, kernel_gs_base), ADDRESS},
};

static const struct msr_slot *msr_find(uint32_t msr)
{
	for (size_t i = 0; i < sizeof(msr_slots) / sizeof(msr_slots[0]); i++)
		if (msr_slots[i].msr == msr)
			return &msr_slots[i];
	return NULL;
}

/* Without LBR virtualization DEBUGCTL is the host's: the guest's is remembered, without effect. */
void svm_set_debugctl(struct svm_vcpu *s, uint64_t val)
{
	s->vmcb->dbgctl = val;
	s->vmcb->lbr_virtualization_enable = svm.lbrv && val ? LBR_ENABLE : 0;
	svm_dirty(s, CLEAN_LBR);
}

int svm_get_msr(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	const struct msr_slot *m = msr_find(msr);

	if (!m)
		return -EINVAL;
	memcpy(val, (const uint8_t *)svm_of(v)->vmcb + m->offset, sizeof(*val));
	return 0;
}

int svm_set_msr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	struct svm_vcpu *s = svm_of(v);
	const struct msr_slot *m = msr_find(msr);

	if (!m)
		return -EINVAL;
	switch ((enum msr_kind)m->kind) {
	case DEBUGCTL:
		if (val & ~DEBUGCTL_VALID)
			return -EINVAL;
		svm_set_debugctl(s, val);
		return 0;
	case PAT:
		if (!msr_pat_valid(val))
			return -EINVAL;
		svm_dirty(s, CLEAN_NP);
		break;
	case ADDRESS:
		if (!svm_canonical(val))
			return -EINVAL;
		break;
	case PLAIN:
		break;
	}
	memcpy((uint8_t *)s->vmcb + m->offset, &val, sizeof(val));
	return 0;
}

/* --- TSC and TLB --- */

void svm_set_tsc_offset(struct vcpu *v, uint64_t offset)
{
	struct svm_vcpu *s = svm_of(v);

	s->vmcb->tsc_offset = offset;
	svm_dirty(s, CLEAN_I);
}

void svm_flush(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	s->vmcb->tlb_control = svm.flush_by_asid ? TLB_CONTROL_FLUSH_ASID : TLB_CONTROL_FLUSH_ALL;
	svm_fetch_flush(s);
}
