// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CPUID by table: for each leaf a mask of the bits that the guest may see. A leaf without a row
 * reads as zero. The instruction is executed on the vCPU's own CPU, with the guest's XCR0 live, so
 * that APIC IDs and XSAVE sizes are right.
 */
#include "hv/cpuid.h"
#include "arch/x86_64/arch.h"
#include "hv/state.h"
#include "hv/vcpu.h"

#define B(n) (1u << (n))
#define ALL  0xffffffffu
#define NO   0u

#define CR4_OSXSAVE B(18)
#define CR4_PKE	    B(22)

struct leaf {
	uint32_t leaf;
	uint32_t eax, ebx, ecx, edx;
	void (*fix)(struct vcpu *v, uint32_t sub, struct cpuid *r); /* after masking */
};

/* Leaf 1. Hidden: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, SDBG, xTPR, PDCM, DCA, hypervisor;
 * PSN, DS, ACPI, TM, PBE. */
#define L1_ECX                                                                                \
	(B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(21) | B(22) | B(23) | \
	 B(24) | B(25) | B(26) | B(28) | B(29) | B(30))
#define L1_EDX                                                                                   \
	(0x1ffu | B(9) | B(11) | B(12) | B(13) | B(14) | B(15) | B(16) | B(17) | B(19) | B(23) | \
	 B(24) | B(25) | B(26) | B(27) | B(28))
/* Leaf 7. Hidden: SGX, HLE, RTM, PQM, MPX, PQE, PT; WAITPKG, TME, LA57, KL, ENQCMD, SGX_LC, PKS,
 * CET; PCONFIG, AMX, LBR, core caps. */
#define L7_EBX                                                                                   \
	(B(0) | B(1) | B(3) | B(5) | B(6) | B(7) | B(8) | B(9) | B(10) | B(13) | B(16) | B(17) | \
	 B(18) | B(19) | B(20) | B(21) | B(23) | B(24) | B(28) | B(29) | B(30) | B(31))
#define L7_ECX                                                                                     \
	(B(1) | B(2) | B(3) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14) | B(22) | B(25) | \
	 B(27) | B(28))
#define L7_EDX \
	(B(2) | B(3) | B(4) | B(8) | B(10) | B(14) | B(23) | B(26) | B(27) | B(28) | B(29) | B(31))
#define L7_1_EAX (B(4) | B(5) | B(10) | B(11) | B(12))
/* 80000001H. Hidden: SVM, EXTAPIC, OSVW, IBS, SKINIT, WDT, LWP, TCE, NODEID_MSR, PMU extensions,
 * DBX, MONITORX. */
#define E1_ECX (B(0) | B(1) | B(4) | B(5) | B(6) | B(7) | B(8) | B(11) | B(16) | B(21) | B(22))
#define E1_EDX                                                                                    \
	(0x3ffu | B(11) | B(12) | B(13) | B(14) | B(15) | B(16) | B(17) | B(20) | B(22) | B(23) | \
	 B(24) | B(25) | B(26) | B(27) | B(29) | B(30) | B(31))
/* 80000008H EBX. Hidden: IRPERF, RDPRU, PPIN, VIRT_SSBD, CPPC. */
#define E8_EBX                                                                                \
	(B(0) | B(2) | B(9) | B(12) | B(14) | B(15) | B(16) | B(17) | B(18) | B(24) | B(26) | \
	 B(28) | B(29) | B(30))

#define BASIC_MAX     0x1fu
#define EXTENDED      0x80000000u
#define EXTENDED_MAX  0x80000021u
#define ARAT	      B(2)
#define INVARIANT_TSC B(8)
#define XSAVES	      B(3)

static bool features[FEATURE_COUNT];
static bool vendor_amd;
static uint32_t xsave_size_max;

static void fix_0(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)v, (void)sub;
	if (r->eax > BASIC_MAX)
		r->eax = BASIC_MAX;
}

static void fix_1(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)sub;
	r->ecx |= B(21); /* x2APIC: ours */
	if (!vlapic_enabled(&v->lapic))
		r->edx &= ~B(9);
	if (vcpu_ops->get_cr(v, 4) & CR4_OSXSAVE)
		r->ecx |= B(27);
}

static void fix_6(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)v, (void)sub;
	r->eax = ARAT; /* the virtual LAPIC timer never stops */
}

static void fix_7(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	if (sub == 1) {
		*r = cpuid(7, 1);
		*r = (struct cpuid){.eax = r->eax & L7_1_EAX};
		return;
	}
	if (sub != 0) {
		*r = (struct cpuid){0};
		return;
	}
	if (r->eax > 1)
		r->eax = 1;
	r->ebx |= B(1); /* TSC_ADJUST: ours */
	if ((r->ecx & B(3)) && (vcpu_ops->get_cr(v, 4) & CR4_PKE))
		r->ecx |= B(4);
}

static void fix_d(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)v;
	if (sub == 0) {
		r->eax = (uint32_t)xcr0_host_max;
		r->edx = (uint32_t)(xcr0_host_max >> 32);
		r->ecx = xsave_size_max;
	} else if (sub == 1) {
		r->eax &= cpuid_has(FEATURE_XSAVES) ? 0xfu : 0x7u;
		r->ecx = r->edx = 0; /* no supervisor state */
	} else if (sub >= 63 || !(xcr0_host_max >> sub & 1)) {
		*r = (struct cpuid){0};
	}
}

static void fix_e0(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)v, (void)sub;
	if (r->eax > EXTENDED_MAX)
		r->eax = EXTENDED_MAX;
}

static void fix_e1(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)sub;
	if (vendor_amd && !vlapic_enabled(&v->lapic))
		r->edx &= ~B(9);
}

static void fix_e7(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)v, (void)sub;
	r->edx = INVARIANT_TSC; /* the hypervisor guarantees rate and synchrony */
}

static void fix_e21(struct vcpu *v, uint32_t sub, struct cpuid *r)
{
	(void)v, (void)sub;
	r->eax &= B(0) | B(2) | B(6);
}

static const struct leaf leaves[] = {
	{0x0, ALL, ALL, ALL, ALL, fix_0},
	{0x1, ALL, ALL, L1_ECX, L1_EDX, fix_1},
	{0x2, ALL, ALL, ALL, ALL, NULL},
	{0x4, ALL, ALL, ALL, ALL, NULL},
	{0x6, NO, NO, NO, NO, fix_6},
	{0x7, ALL, L7_EBX, L7_ECX, L7_EDX, fix_7},
	{0xb, ALL, ALL, ALL, ALL, NULL},
	{0xd, ALL, ALL, ALL, ALL, fix_d},
	{0x18, ALL, ALL, ALL, ALL, NULL},
	{0x1f, ALL, ALL, ALL, ALL, NULL},
	{0x80000000, ALL, ALL, ALL, ALL, fix_e0},
	{0x80000001, ALL, ALL, E1_ECX, E1_EDX, fix_e1},
	{0x80000002, ALL, ALL, ALL, ALL, NULL},
	{0x80000003, ALL, ALL, ALL, ALL, NULL},
	{0x80000004, ALL, ALL, ALL, ALL, NULL},
	{0x80000005, ALL, ALL, ALL, ALL, NULL},
	{0x80000006, ALL, ALL, ALL, ALL, NULL},
	{0x80000007, NO, NO, NO, NO, fix_e7},
	{0x80000008, ALL, E8_EBX, ALL, NO, NULL},
	{0x80000019, ALL, ALL, ALL, ALL, NULL},
	{0x8000001a, ALL, ALL, ALL, ALL, NULL},
	{0x8000001d, ALL, ALL, ALL, ALL, NULL},
	{0x8000001e, ALL, ALL, ALL, ALL, NULL},
	{0x80000021, ALL, NO, NO, NO, fix_e21},
};

#define BASIC_ROWS    (BASIC_MAX + 1)
#define EXTENDED_ROWS (EXTENDED_MAX - EXTENDED + 1)
static const struct leaf *basic[BASIC_ROWS], *extended[EXTENDED_ROWS];

static inline const struct leaf *find(uint32_t leaf)
{
	if (leaf < BASIC_ROWS)
		return basic[leaf];
	if (leaf - EXTENDED < EXTENDED_ROWS)
		return extended[leaf - EXTENDED];
	return NULL;
}

static inline struct cpuid cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t sub)
{
	const struct leaf *l = find(leaf);
	struct cpuid r;

	if (!l)
		return (struct cpuid){0};
	r = cpuid(leaf, sub);
	r.eax &= l->eax;
	r.ebx &= l->ebx;
	r.ecx &= l->ecx;
	r.edx &= l->edx;
	if (l->fix)
		l->fix(v, sub, &r);
	return r;
}

void exit_cpuid(struct vcpu *v, unsigned len)
{
	struct cpuid r = cpuid_guest(v, (uint32_t)v->gpr[RAX], (uint32_t)v->gpr[RCX]);

	v->gpr[RAX] = r.eax;
	v->gpr[RBX] = r.ebx;
	v->gpr[RCX] = r.ecx;
	v->gpr[RDX] = r.edx;
	vcpu_skip(v, len);
}

static uint32_t xsave_size(uint64_t mask)
{
	uint32_t size = 512 + 64;

	for (unsigned i = 2; i < 63; i++) {
		struct cpuid r;

		if (!(mask >> i & 1))
			continue;
		r = cpuid(0xd, i);
		if (r.ebx + r.eax > size)
			size = r.ebx + r.eax;
	}
	return size;
}

static void detect_features(void)
{
	uint32_t max = cpuid(0, 0).eax, xmax = cpuid(EXTENDED, 0).eax;
	struct cpuid l1 = cpuid(1, 0), l7 = max >= 7 ? cpuid(7, 0) : (struct cpuid){0};
	struct cpuid e1 = cpuid(0x80000001, 0);
	struct cpuid e8 = xmax >= 0x80000008 ? cpuid(0x80000008, 0) : (struct cpuid){0};

	features[FEATURE_TSC_ADJUST] =
		max >= 7; /* kept by the hypervisor, whatever the processor has */
	features[FEATURE_SPEC_CTRL] =
		(l7.edx & (B(26) | B(27) | B(31))) || (e8.ebx & (B(14) | B(15) | B(24)));
	features[FEATURE_PRED_CMD] = (l7.edx & B(26)) || (e8.ebx & B(12));
	features[FEATURE_FLUSH_CMD] = l7.edx & B(28);
	features[FEATURE_ARCH_CAP] = l7.edx & B(29);
	features[FEATURE_RDTSCP] = e1.edx & B(27);
	features[FEATURE_XSAVES] = (l1.ecx & B(26)) && (cpuid(0xd, 1).eax & XSAVES);
}

void cpuid_setup(void)
{
	struct cpuid r = cpuid(0, 0);

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		const struct leaf *l = &leaves[i];

		if (l->leaf <= BASIC_MAX)
			basic[l->leaf] = l;
		else
			extended[l->leaf - EXTENDED] = l;
	}
	vendor_amd = r.ecx == 0x444d4163 /* "cAMD" */ || r.ecx == 0x656e6975 /* "uine", Hygon */;
	xsave_size_max = xsave_size(xcr0_host_max);
	detect_features();
}

/* Sub-leaves looked at; more than there are do no harm. */
#define DIGEST_SUBLEAVES 10

/* What differs between CPUs of one machine, or from moment to moment. */
static void leave_out(uint32_t leaf, struct cpuid *r)
{
	switch (leaf) {
	case 0x1:
		r->ebx &= 0x00ffffff; /* initial APIC ID */
		break;
	case 0xd:
		r->ebx = 0; /* size for XCR0 as it is now */
		break;
	case 0xb: /* the machine's APIC IDs say it */
	case 0x1f:
	case 0x8000001e:
		*r = (struct cpuid){0};
		break;
	default:
		break;
	}
}

uint32_t cpuid_digest(void)
{
	uint32_t crc = 0;

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		const struct leaf *l = &leaves[i];

		if (l->leaf > cpuid(l->leaf & EXTENDED, 0).eax)
			continue; /* what it would show instead can be anything */
		for (uint32_t sub = 0; sub < DIGEST_SUBLEAVES; sub++) {
			struct cpuid r = cpuid(l->leaf, sub);

			r.eax &= l->eax;
			r.ebx &= l->ebx;
			r.ecx &= l->ecx;
			r.edx &= l->edx;
			leave_out(l->leaf, &r);
			crc = crc32c(crc, &r, sizeof(r));
		}
	}
	return crc;
}

bool cpuid_has(enum guest_feature f)
{
	return features[f];
}

bool cpuid_vendor_amd(void)
{
	return vendor_amd;
}
