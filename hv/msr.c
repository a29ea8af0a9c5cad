// SPDX-License-Identifier: GPL-2.0-or-later
/* The guest's MSRs by table; see hv/msr.h. Numbers: SDM vol. 4, APM vol. 2 appendix A. */
#include "hv/msr.h"
#include <errno.h>
#include <stddef.h>
#include "arch/x86_64/arch.h"
#include "hv/cpuid.h"
#include "hv/log.h"
#include "hv/vcpu.h"
#include "timevirt/vclock.h"

enum how {
	FAULT,	 /* #GP */
	PASS,	 /* the processor's own register, live */
	BACKEND, /* kept by the vendor back end */
	FIXED,	 /* reads give `value` */
	HOST,	 /* reads give the processor's value */
	IGNORE,	 /* writes vanish */
	CALL,	 /* rd / wr */
};

enum when {
	ALWAYS,
	INTEL,
	AMD,
	IF_SPEC_CTRL,
	IF_PRED_CMD,
	IF_FLUSH_CMD,
	IF_ARCH_CAP,
	IF_TSC_ADJUST,
	IF_RDTSCP,
	IF_XSAVES
};

struct row {
	uint32_t first, last;
	uint8_t when, read, write;
	uint64_t value;
	int (*rd)(struct vcpu *v, uint32_t msr, uint64_t *val);
	int (*wr)(struct vcpu *v, uint32_t msr, uint64_t val);
};

#define EFER_SCE   (1ull << 0)
#define EFER_LME   (1ull << 8)
#define EFER_LMA   (1ull << 10)
#define EFER_NXE   (1ull << 11)
#define EFER_FFXSR (1ull << 14)

static int tsc_rd(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	(void)msr;
	*val = node_ticks() + v->tsc_adjust;
	return 0;
}

static void set_adjust(struct vcpu *v, uint64_t adjust)
{
	v->tsc_adjust = adjust;
	vcpu_update_tsc(v);
	/* a TSC-deadline timer compares with the guest's TSC: look at it again */
	vlapic_wrmsr(&v->lapic, MSR_IA32_TSC_DEADLINE, v->lapic.tsc_deadline);
}

static int tsc_wr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	(void)msr;
	set_adjust(
		v,
		val - node_ticks()); /* SDM vol. 3, 18.17.3: a write moves TSC_ADJUST by as much */
	return 0;
}

static int adjust_rd(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	(void)msr;
	*val = v->tsc_adjust;
	return 0;
}

static int adjust_wr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	(void)msr;
	set_adjust(v, val);
	return 0;
}

static int lapic_rd(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	return vlapic_rdmsr(&v->lapic, msr, val);
}

static int lapic_wr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	return vlapic_wrmsr(&v->lapic, msr, val);
}

static int efer_rd(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	(void)msr;
	*val = vcpu_ops->get_efer(v);
	return 0;
}

static int efer_wr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	(void)msr;
	if (cpuid_vendor_amd())
		allowed |= EFER_FFXSR;
	if (val & ~allowed)
		return -EINVAL;
	return vcpu_ops->set_efer(v, val);
}

static int xss_rd(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	(void)msr;
	*val = v->xss;
	return 0;
}

static int xss_wr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	(void)v, (void)msr;
	return val == 0 ? 0 : -EINVAL; /* no supervisor state is offered in CPUID.0DH */
}

/* --- virtual MTRRs --- */

#define MTRR_VAR       8u
#define MTRRCAP	       (MTRR_VAR | 1u << 8 | 1u << 10) /* 8 variable, fixed, WC */
#define MTRR_DEF_VALID 0xcffull

static bool mtrr_type_ok(uint64_t t)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6);
}

static uint64_t phys_mask(void)
{
	return (1ull << (cpuid(0x80000008, 0).eax & 0xff)) - 1;
}

void mtrr_reset(struct mtrr_state *m)
{
	*m = (struct mtrr_state){0};
	/* As firmware leaves them: all write-back, and the hole below 4 GiB uncached. */
	m->def_type = 0xc00 | 6;
	for (unsigned i = 0; i < 11; i++)
		m->fixed[i] = i == 2 ? 0 : 0x0606060606060606ull;
	m->base[0] = 0xc0000000ull;
	m->mask[0] = (phys_mask() & ~0x3fffffffull) | 1 << 11;
}

static int fixed_index(uint32_t msr)
{
	if (msr == MSR_IA32_MTRR_FIX64K_00000)
		return 0;
	if (msr == MSR_IA32_MTRR_FIX16K_80000 || msr == MSR_IA32_MTRR_FIX16K_A0000)
		return (int)(msr - MSR_IA32_MTRR_FIX16K_80000) + 1;
	return (int)(msr - MSR_IA32_MTRR_FIX4K_C0000) + 3;
}

static int mtrr_rd(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	const struct mtrr_state *m = v->mtrr;

	if (msr == MSR_IA32_MTRR_DEF_TYPE)
		*val = m->def_type;
	else if (msr >= MSR_IA32_MTRR_FIX64K_00000)
		*val = m->fixed[fixed_index(msr)];
	else
		*val = msr & 1 ? m->mask[(msr & 0xf) / 2] : m->base[(msr & 0xf) / 2];
	return 0;
}

static bool mtrr_def_type_ok(uint64_t val)
{
	return !(val & ~MTRR_DEF_VALID) && mtrr_type_ok(val & 0xff);
}

static bool mtrr_fixed_ok(uint64_t val)
{
	for (unsigned i = 0; i < 8; i++)
		if (!mtrr_type_ok(val >> (8 * i) & 0xff))
			return false;
	return true;
}

static bool mtrr_base_ok(uint64_t val)
{
	return !(val & ~(phys_mask() & ~0xf00ull)) && mtrr_type_ok(val & 0xff);
}

static bool mtrr_mask_ok(uint64_t val)
{
	return !(val & ~(phys_mask() & ~0x7ffull));
}

bool mtrr_valid(const struct mtrr_state *m)
{
	for (unsigned i = 0; i < sizeof(m->fixed) / sizeof(m->fixed[0]); i++)
		if (!mtrr_fixed_ok(m->fixed[i]))
			return false;
	for (unsigned i = 0; i < MTRR_VAR; i++)
		if (!mtrr_base_ok(m->base[i]) || !mtrr_mask_ok(m->mask[i]))
			return false;
	return mtrr_def_type_ok(m->def_type);
}

static int mtrr_wr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	struct mtrr_state *m = v->mtrr;
	unsigned n = (msr & 0xf) / 2;

	if (msr == MSR_IA32_MTRR_DEF_TYPE) {
		if (!mtrr_def_type_ok(val))
			return -EINVAL;
		m->def_type = val;
	} else if (msr >= MSR_IA32_MTRR_FIX64K_00000) {
		if (!mtrr_fixed_ok(val))
			return -EINVAL;
		m->fixed[fixed_index(msr)] = val;
	} else if (msr & 1) {
		if (!mtrr_mask_ok(val))
			return -EINVAL;
		m->mask[n] = val;
	} else {
		if (!mtrr_base_ok(val))
			return -EINVAL;
		m->base[n] = val;
	}
	return 0;
}

/* AMD: HWCR[24] TscFreqSel: the TSC counts at P0's rate. VM_CR: SVMDIS and LOCK. DE_CFG[1]: LFENCE
 * serializes. */
#define HWCR_TSC_FREQ_SEL (1ull << 24)
#define VM_CR_DISABLED	  0x18ull
#define DE_CFG_LFENCE	  2ull
/* MISC_ENABLE: fast strings, no BTS, no PEBS. FEATURE_CONTROL: locked, no VMX. */
#define MISC_ENABLE_VALUE      (1ull | 1ull << 11 | 1ull << 12)
#define FEATURE_CONTROL_LOCKED 1ull

#define CONST_RO(msr, when, v)                              \
	{                                                   \
		msr, msr, when, FIXED, FAULT, v, NULL, NULL \
	}
#define CONST_WI(msr, when, v)                               \
	{                                                    \
		msr, msr, when, FIXED, IGNORE, v, NULL, NULL \
	}

/* Sorted by number. */
static const struct row rows[] = {
	{MSR_IA32_TSC, MSR_IA32_TSC, ALWAYS, CALL, CALL, 0, tsc_rd, tsc_wr},
	{MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID, INTEL, HOST, FAULT, 0, NULL, NULL},
	{MSR_IA32_APIC_BASE, MSR_IA32_APIC_BASE, ALWAYS, CALL, CALL, 0, lapic_rd, lapic_wr},
	CONST_RO(MSR_IA32_FEATURE_CONTROL, INTEL, FEATURE_CONTROL_LOCKED),
	{MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_ADJUST, IF_TSC_ADJUST, CALL, CALL, 0, adjust_rd,
	 adjust_wr},
	{MSR_IA32_SPEC_CTRL, MSR_IA32_SPEC_CTRL, IF_SPEC_CTRL, PASS, PASS, 0, NULL, NULL},
	{MSR_IA32_PRED_CMD, MSR_IA32_PRED_CMD, IF_PRED_CMD, FAULT, PASS, 0, NULL, NULL},
	CONST_WI(MSR_IA32_BIOS_UPDT_TRIG, INTEL, 0),
	{MSR_IA32_BIOS_SIGN_ID, MSR_IA32_BIOS_SIGN_ID, ALWAYS, HOST, IGNORE, 0, NULL, NULL},
	CONST_RO(MSR_PLATFORM_INFO, INTEL, 0),
	CONST_RO(MSR_IA32_MTRRCAP, ALWAYS, MTRRCAP),
	{MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_ARCH_CAPABILITIES, IF_ARCH_CAP, HOST, FAULT, 0, NULL,
	 NULL},
	{MSR_IA32_FLUSH_CMD, MSR_IA32_FLUSH_CMD, IF_FLUSH_CMD, FAULT, PASS, 0, NULL, NULL},
	CONST_WI(MSR_MISC_FEATURES_ENABLES, INTEL, 0),
	{MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_EIP, ALWAYS, PASS, PASS, 0, NULL, NULL},
	CONST_RO(MSR_IA32_MCG_CAP, ALWAYS, 0),
	CONST_WI(MSR_IA32_MCG_STATUS, ALWAYS, 0),
	CONST_WI(MSR_IA32_MISC_ENABLE, INTEL, MISC_ENABLE_VALUE),
	{MSR_IA32_DEBUGCTL, MSR_IA32_DEBUGCTL, ALWAYS, BACKEND, BACKEND, 0, NULL, NULL},
	{MSR_IA32_MTRR_PHYSBASE0, MSR_IA32_MTRR_PHYSBASE0 + 2 * MTRR_VAR - 1, ALWAYS, CALL, CALL, 0,
	 mtrr_rd, mtrr_wr},
	{MSR_IA32_MTRR_FIX64K_00000, MSR_IA32_MTRR_FIX64K_00000, ALWAYS, CALL, CALL, 0, mtrr_rd,
	 mtrr_wr},
	{MSR_IA32_MTRR_FIX16K_80000, MSR_IA32_MTRR_FIX16K_A0000, ALWAYS, CALL, CALL, 0, mtrr_rd,
	 mtrr_wr},
	{MSR_IA32_MTRR_FIX4K_C0000, MSR_IA32_MTRR_FIX4K_F8000, ALWAYS, CALL, CALL, 0, mtrr_rd,
	 mtrr_wr},
	{MSR_IA32_PAT, MSR_IA32_PAT, ALWAYS, BACKEND, BACKEND, 0, NULL, NULL},
	{MSR_IA32_MTRR_DEF_TYPE, MSR_IA32_MTRR_DEF_TYPE, ALWAYS, CALL, CALL, 0, mtrr_rd, mtrr_wr},
	{MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE, ALWAYS, CALL, CALL, 0, lapic_rd, lapic_wr},
	{MSR_X2APIC_FIRST, MSR_X2APIC_LAST, ALWAYS, CALL, CALL, 0, lapic_rd, lapic_wr},
	{MSR_IA32_XSS, MSR_IA32_XSS, IF_XSAVES, CALL, CALL, 0, xss_rd, xss_wr},
	{MSR_EFER, MSR_EFER, ALWAYS, CALL, CALL, 0, efer_rd, efer_wr},
	{MSR_STAR, MSR_SFMASK, ALWAYS, PASS, PASS, 0, NULL, NULL},
	{MSR_FS_BASE, MSR_KERNEL_GS_BASE, ALWAYS, PASS, PASS, 0, NULL, NULL},
	{MSR_TSC_AUX, MSR_TSC_AUX, IF_RDTSCP, PASS, PASS, 0, NULL, NULL},
	CONST_WI(0xc0010010, AMD, 0),		      /* SYSCFG */
	CONST_WI(0xc0010015, AMD, HWCR_TSC_FREQ_SEL), /* HWCR */
	CONST_WI(0xc001001a, AMD, 0),		      /* TOP_MEM */
	CONST_WI(0xc001001d, AMD, 0),		      /* TOP_MEM2 */
	CONST_WI(0xc001001f, AMD, 0),		      /* NB_CFG1 */
	CONST_WI(0xc0010020, AMD, 0),		      /* PATCH_LOADER */
	CONST_WI(0xc0010055, AMD, 0),		      /* INT_PENDING */
	CONST_WI(0xc0010058, AMD, 0),		      /* MMIO_CFG_BASE */
	CONST_WI(0xc0010114, AMD, VM_CR_DISABLED),    /* VM_CR */
	CONST_RO(0xc0010140, AMD, 0),		      /* OSVW_ID_LENGTH */
	CONST_RO(0xc0010141, AMD, 0),		      /* OSVW_STATUS */
	CONST_WI(0xc0011005, AMD, 0),		      /* CPUID_EXT_FEATURES */
	CONST_WI(0xc0011020, AMD, 0),		      /* LS_CFG */
	CONST_WI(0xc0011021, AMD, 0),		      /* IC_CFG */
	CONST_WI(0xc0011022, AMD, 0),		      /* DC_CFG */
	CONST_WI(0xc0011023, AMD, 0),		      /* BU_CFG / TW_CFG */
	CONST_WI(0xc0011028, AMD, 0),		      /* FP_CFG */
	CONST_WI(0xc0011029, AMD, DE_CFG_LFENCE),     /* DE_CFG */
	CONST_WI(0xc001102a, AMD, 0),		      /* BU_CFG2 / CU_CFG2 */
	CONST_WI(0xc001102c, AMD, 0),		      /* EX_CFG / LS_CFG2 */
	CONST_WI(0xc00110e3, AMD, 0),		      /* DE_CFG2 (Zen 2 speculation chicken bits) */
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* IA32_ARCH_CAPABILITIES (SDM vol. 4, table 2-2): the guest sees the bits that say what the
 * processor is immune to, or what an instruction or MSR that it has does. All others promise
 * MSRs that it does not have. */
#define ARCH_CAP_IMMUNITIES                                                                     \
	(1ull << 0 /* RDCL_NO */ | 1ull << 1 /* IBRS_ALL */ | 1ull << 2 /* RSBA */ |            \
	 1ull << 3 /* SKIP_L1DFL_VMENTRY */ | 1ull << 4 /* SSB_NO */ | 1ull << 5 /* MDS_NO */ | \
	 1ull << 6 /* IF_PSCHANGE_MC_NO */ | 1ull << 8 /* TAA_NO */ |                           \
	 1ull << 13 /* SBDR_SSDP_NO */ | 1ull << 14 /* FBSDP_NO */ | 1ull << 15 /* PSDP_NO */ | \
	 1ull << 17 /* FB_CLEAR */ | 1ull << 19 /* RRSBA */ | 1ull << 20 /* BHI_NO */ |         \
	 1ull << 24 /* PBRSB_NO */ | 1ull << 26 /* GDS_NO */ | 1ull << 27 /* RFDS_NO */ |       \
	 1ull << 28 /* RFDS_CLEAR */ | 1ull << 62 /* ITS_NO */)

static bool applies(const struct row *r)
{
	switch ((enum when)r->when) {
	case ALWAYS:
		return true;
	case INTEL:
		return !cpuid_vendor_amd();
	case AMD:
		return cpuid_vendor_amd();
	case IF_SPEC_CTRL:
		return cpuid_has(FEATURE_SPEC_CTRL);
	case IF_PRED_CMD:
		return cpuid_has(FEATURE_PRED_CMD);
	case IF_FLUSH_CMD:
		return cpuid_has(FEATURE_FLUSH_CMD);
	case IF_ARCH_CAP:
		return cpuid_has(FEATURE_ARCH_CAP);
	case IF_TSC_ADJUST:
		return cpuid_has(FEATURE_TSC_ADJUST);
	case IF_RDTSCP:
		return cpuid_has(FEATURE_RDTSCP);
	case IF_XSAVES:
		return cpuid_has(FEATURE_XSAVES);
	}
	return false;
}

static const struct row *find(uint32_t msr)
{
	size_t lo = 0, hi = ROWS;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (msr > rows[mid].last)
			lo = mid + 1;
		else if (msr < rows[mid].first)
			hi = mid;
		else
			return applies(&rows[mid]) ? &rows[mid] : NULL;
	}
	return NULL;
}

void msr_setup(void)
{
	for (size_t i = 1; i < ROWS; i++)
		ASSERT(rows[i].first > rows[i - 1].last);
}

bool msr_passthrough(uint32_t msr, bool write)
{
	const struct row *r = find(msr);

	return r && (write ? r->write : r->read) == PASS;
}

static int host_read(uint32_t msr, uint64_t *val)
{
	if (rdmsr_safe(msr, val) != 0)
		*val = 0;
	if (msr == MSR_IA32_ARCH_CAPABILITIES)
		*val &= ARCH_CAP_IMMUNITIES;
	return 0;
}

int msr_read(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	const struct row *r = find(msr);

	if (!r)
		return -EINVAL;
	switch ((enum how)r->read) {
	case PASS: /* not in the bitmap's ranges, or the back end keeps no bitmap for it */
		return rdmsr_safe(msr, val) ? -EINVAL : 0;
	case BACKEND:
		return vcpu_ops->get_msr(v, msr, val);
	case FIXED:
		*val = r->value;
		return 0;
	case HOST:
		return host_read(msr, val);
	case CALL:
		return r->rd(v, msr, val);
	default:
		return -EINVAL;
	}
}

int msr_write(struct vcpu *v, uint32_t msr, uint64_t val)
{
	const struct row *r = find(msr);

	if (!r)
		return -EINVAL;
	switch ((enum how)r->write) {
	case PASS:
		return wrmsr_safe(msr, val) ? -EINVAL : 0;
	case BACKEND:
		return vcpu_ops->set_msr(v, msr, val);
	case IGNORE:
		return 0;
	case CALL:
		return r->wr(v, msr, val);
	default:
		return -EINVAL;
	}
}

static void report_denied(const struct vcpu *v, const char *what, uint32_t msr)
{
	static struct log_ratelimit limit = {.burst = 5};

	if (log_ratelimited(&limit))
		log_debug("cpu%u: %s of MSR 0x%x at rip 0x%llx: #GP", v->index, what, (unsigned)msr,
			  (unsigned long long)v->rip);
}

void exit_rdmsr(struct vcpu *v, unsigned len)
{
	uint32_t msr = (uint32_t)v->gpr[RCX];
	uint64_t val = 0;

	if (msr_read(v, msr, &val) != 0) {
		report_denied(v, "read", msr);
		vcpu_inject_gp(v);
		return;
	}
	v->gpr[RAX] = (uint32_t)val;
	v->gpr[RDX] = val >> 32;
	vcpu_skip(v, len);
}

void exit_wrmsr(struct vcpu *v, unsigned len)
{
	uint32_t msr = (uint32_t)v->gpr[RCX];
	uint64_t val = v->gpr[RDX] << 32 | (uint32_t)v->gpr[RAX];

	if (msr_write(v, msr, val) != 0) {
		report_denied(v, "write", msr);
		vcpu_inject_gp(v);
		return;
	}
	vcpu_skip(v, len);
}
