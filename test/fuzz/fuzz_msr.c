/* build: hv/msr.c svm/regs.c svm/fetch.c svm/state_check.c arch/x86_64/fpu_area.c hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any MSR and control register, read and written with any value, on a processor of either maker.
 * What is taken is read back as the architecture says, and whatever the guest has made of its
 * registers is a state that can be saved, and entered again.
 */
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/cpuid.h"
#include "hv/guest.h"
#include "hv/msr.h"
#include "svm/svm.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/lapic_rig.h"

struct svm_shared svm = {.linear_bits = 48, .phys_bits = 40, .cr4_valid = 0x7707ff};

static bool amd;
static uint32_t features;
static struct vmcb vmcb;
static struct svm_vcpu sv = {.vmcb = &vmcb};
static struct mtrr_state mtrr;

bool cpuid_vendor_amd(void)
{
	return amd;
}

bool cpuid_has(enum guest_feature f)
{
	return features >> f & 1;
}

/* The processor's own registers: those that exist take any value. */
static struct {
	uint32_t msr;
	uint64_t val;
} real[] = {{.msr = MSR_IA32_SPEC_CTRL},    {.msr = MSR_IA32_PRED_CMD},
	    {.msr = MSR_IA32_FLUSH_CMD},    {.msr = MSR_TSC_AUX},
	    {.msr = MSR_IA32_BIOS_SIGN_ID}, {.msr = MSR_STAR}};

int rdmsr_safe(uint32_t msr, uint64_t *val)
{
	for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
		if (real[i].msr == msr) {
			*val = real[i].val;
			return 0;
		}
	}
	return -EFAULT;
}

int wrmsr_safe(uint32_t msr, uint64_t val)
{
	REQUIRE(msr_passthrough(msr, true)); /* nothing else may reach the processor */
	for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
		if (real[i].msr == msr) {
			real[i].val = val;
			return 0;
		}
	}
	return -EFAULT;
}

void *guest_ptr(gpa_t gpa, size_t n)
{
	(void)gpa, (void)n;
	return NULL;
}

int guest_read(gpa_t gpa, void *buf, size_t n)
{
	(void)gpa, (void)buf, (void)n;
	return -EFAULT;
}

static unsigned faults, skips;

void vcpu_skip(struct vcpu *v, unsigned len)
{
	(void)v;
	skips += len;
}

void vcpu_inject(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)v;
	REQUIRE(vector == 13 && has_error && error == 0);
	faults++;
}

void vcpu_update_tsc(struct vcpu *v)
{
	svm_set_tsc_offset(v, node_clock.offset + v->tsc_adjust);
}

static const struct vcpu_ops ops = {
	.name = "AMD-V",
	.get_cr = svm_get_cr,
	.set_cr = svm_set_cr,
	.get_efer = svm_get_efer,
	.set_efer = svm_set_efer,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.state_fault = svm_state_fault,
};
const struct vcpu_ops *vcpu_ops = &ops;

static const uint32_t msrs[] = {
	MSR_IA32_TSC,
	MSR_IA32_APIC_BASE,
	MSR_IA32_TSC_ADJUST,
	MSR_IA32_SPEC_CTRL,
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_DEBUGCTL,
	MSR_IA32_MTRR_PHYSBASE0,
	MSR_IA32_MTRR_PHYSBASE0 + 15,
	MSR_IA32_MTRR_FIX64K_00000,
	MSR_IA32_MTRR_FIX16K_80000,
	MSR_IA32_MTRR_FIX4K_C0000,
	MSR_IA32_PAT,
	MSR_IA32_MTRR_DEF_TYPE,
	MSR_IA32_TSC_DEADLINE,
	MSR_X2APIC_FIRST,
	MSR_IA32_XSS,
	MSR_EFER,
	MSR_STAR,
	MSR_LSTAR,
	MSR_FS_BASE,
	MSR_KERNEL_GS_BASE,
	MSR_TSC_AUX,
	0xc0010010,
	0xc0010114,
	0xc0011029,
	MSR_IA32_MCG_CAP,
};

static uint32_t take_msr(void)
{
	uint8_t how = (uint8_t)take(1);

	if (how & 0x80)
		return (uint32_t)take(4);
	return msrs[how % (sizeof(msrs) / sizeof(msrs[0]))] + (how & 0x40 ? (uint32_t)take(1) : 0);
}

/* Of the state that an image would hold, what these registers make up. */
static void check_state(struct vcpu *v)
{
	struct vcpu_state s = {.rflags = 2, .rip = v->rip};

	s.cr0 = svm_get_cr(v, 0) & CR0_VALID;
	s.cr3 = svm_get_cr(v, 3);
	s.cr4 = svm_get_cr(v, 4);
	s.efer = svm_get_efer(v);
	s.dr6 = DR6_INIT;
	s.dr7 = DR7_INIT;
	svm_get_msr(v, MSR_IA32_PAT, &s.pat);
	svm_get_msr(v, MSR_IA32_DEBUGCTL, &s.debugctl);
	svm_get_msr(v, MSR_LSTAR, &s.lstar);
	svm_get_msr(v, MSR_CSTAR, &s.cstar);
	svm_get_msr(v, MSR_KERNEL_GS_BASE, &s.kernel_gs_base);
	for (unsigned i = 0; i < NUM_SEG; i++)
		svm_get_segment(v, i, &s.seg[i]);
	if (svm_state_fault(&s)) {
		(void)fprintf(stderr, "%s\n", svm_state_fault(&s));
		abort();
	}
	REQUIRE(mtrr_valid(&mtrr) && v->xss == 0);
	REQUIRE(vmcb.efer & EFER_SVME);
	REQUIRE(vmcb.tsc_offset == node_clock.offset + v->tsc_adjust);
}

/* Registers that keep what they take, all bits. */
static bool plain(uint32_t msr)
{
	return (msr >= MSR_IA32_MTRR_PHYSBASE0 && msr < MSR_IA32_MTRR_PHYSBASE0 + 16) ||
	       (msr >= MSR_IA32_MTRR_FIX64K_00000 && msr <= MSR_IA32_MTRR_FIX4K_F8000) ||
	       msr == MSR_IA32_TSC || msr == MSR_IA32_TSC_ADJUST || msr == MSR_IA32_PAT ||
	       msr == MSR_IA32_MTRR_DEF_TYPE || msr == MSR_IA32_DEBUGCTL;
}

static void write_msr(struct vcpu *v)
{
	uint32_t msr = take_msr();
	uint64_t val = take(1) & 1 ? take(8) : take(3), again;
	unsigned before = faults;

	v->gpr[RCX] = msr;
	v->gpr[RAX] = (uint32_t)val;
	v->gpr[RDX] = val >> 32;
	exit_wrmsr(v, 2);
	if (faults == before && plain(msr)) {
		REQUIRE(msr_read(v, msr, &again) == 0);
		REQUIRE(again == val);
	}
}

static void read_msr(struct vcpu *v)
{
	uint32_t msr = take_msr();
	unsigned before = faults;

	v->gpr[RCX] = msr;
	v->gpr[RAX] = v->gpr[RDX] = UINT64_MAX;
	exit_rdmsr(v, 2);
	REQUIRE(faults != before || (v->gpr[RAX] | v->gpr[RDX]) <= UINT32_MAX);
}

static void write_cr(struct vcpu *v)
{
	static const uint8_t crs[] = {0, 3, 4, 2};
	unsigned cr = crs[take(1) % 4];
	uint64_t val = svm_get_cr(v, cr) ^ (1ull << take(1) % 64) ^ (take(1) & 1 ? take(8) : 0);

	(void)svm_set_cr(v, cr, val);
}

static void start_vcpu(struct vcpu *v)
{
	static const struct vcpu_segment code = {.limit = 0xffff, .attr = 0x9b};
	static const struct vcpu_segment data = {.limit = 0xffff, .attr = 0x93};

	memset(&vmcb, 0, sizeof(vmcb));
	for (unsigned i = 0; i < NUM_SEG; i++)
		svm_set_segment(&vmcb, i, i == SEG_CS ? &code : &data);
	vmcb.cr0 = CR0_CD | CR0_NW | CR0_ET;
	vmcb.efer = EFER_SVME;
	vmcb.g_pat = PAT_RESET;
	svm.efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | (amd ? EFER_FFXSR : 0);
	v->vendor = &sv;
	v->mtrr = &mtrr;
	v->xss = 0;
	mtrr_reset(&mtrr);
	vcpu_update_tsc(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vcpu *v = &rig_vcpu[0];

	fuzz_begin(data, size);
	rig_reset();
	amd = take(1) & 1;
	features = (uint32_t)take(1);
	start_vcpu(v);
	while (fuzz_more()) {
		switch (take(1) % 4) {
		case 0:
			read_msr(v);
			break;
		case 1:
			write_cr(v);
			break;
		default:
			write_msr(v);
		}
		rig_advance(node_now().v + take(1));
		check_state(v);
	}
	return 0;
}
