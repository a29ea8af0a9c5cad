/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's MSRs: an allow-list (hv/msr.c). Every MSR has a row that says, for reads and for
 * writes, pass through, kept by the back end, computed, constant, or ignored; what has no row
 * faults with #GP. Context: the vCPU's own CPU. msr_setup once at boot, before the back ends build
 * their bitmaps.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* IA32_* and AMD MSR numbers by their manual names (SDM vol. 4, APM vol. 2 appendix A). */
#define MSR_IA32_TSC		   0x10
#define MSR_IA32_PLATFORM_ID	   0x17
#define MSR_IA32_APIC_BASE	   0x1b
#define MSR_IA32_FEATURE_CONTROL   0x3a
#define MSR_IA32_TSC_ADJUST	   0x3b
#define MSR_IA32_SPEC_CTRL	   0x48
#define MSR_IA32_PRED_CMD	   0x49
#define MSR_IA32_BIOS_UPDT_TRIG	   0x79
#define MSR_IA32_BIOS_SIGN_ID	   0x8b
#define MSR_PLATFORM_INFO	   0xce
#define MSR_IA32_MTRRCAP	   0xfe
#define MSR_IA32_ARCH_CAPABILITIES 0x10a
#define MSR_IA32_FLUSH_CMD	   0x10b
#define MSR_MISC_FEATURES_ENABLES  0x140
#define MSR_IA32_SYSENTER_CS	   0x174
#define MSR_IA32_SYSENTER_ESP	   0x175
#define MSR_IA32_SYSENTER_EIP	   0x176
#define MSR_IA32_MCG_CAP	   0x179
#define MSR_IA32_MCG_STATUS	   0x17a
#define MSR_IA32_MISC_ENABLE	   0x1a0
#define MSR_IA32_DEBUGCTL	   0x1d9
#define MSR_IA32_MTRR_PHYSBASE0	   0x200
#define MSR_IA32_MTRR_FIX64K_00000 0x250
#define MSR_IA32_MTRR_FIX16K_80000 0x258
#define MSR_IA32_MTRR_FIX16K_A0000 0x259
#define MSR_IA32_MTRR_FIX4K_C0000  0x268
#define MSR_IA32_MTRR_FIX4K_F8000  0x26f
#define MSR_IA32_PAT		   0x277
#define MSR_IA32_MTRR_DEF_TYPE	   0x2ff
#define MSR_IA32_TSC_DEADLINE	   0x6e0
#define MSR_X2APIC_FIRST	   0x800
#define MSR_X2APIC_LAST		   0x8ff
#define MSR_IA32_XSS		   0xda0
#define MSR_EFER		   0xc0000080
#define MSR_STAR		   0xc0000081
#define MSR_LSTAR		   0xc0000082
#define MSR_CSTAR		   0xc0000083
#define MSR_SFMASK		   0xc0000084
#define MSR_FS_BASE		   0xc0000100
#define MSR_GS_BASE		   0xc0000101
#define MSR_KERNEL_GS_BASE	   0xc0000102
#define MSR_TSC_AUX		   0xc0000103

void msr_setup(void);
/* May the guest touch this MSR without an exit? For the MSR bitmaps. */
bool msr_passthrough(uint32_t msr, bool write);
/* -EINVAL: #GP. */
int msr_read(struct vcpu *v, uint32_t msr, uint64_t *val);
int msr_write(struct vcpu *v, uint32_t msr, uint64_t val);

/* What IA32_PAT takes: eight memory types (SDM vol. 3, "IA32_PAT MSR"). */
static inline bool msr_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned type = pat >> 8 * i & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* Virtual MTRRs: kept and shown, without effect on the real memory types (hv/memmap.h decides
 * those). */
struct mtrr_state {
	uint64_t def_type, fixed[11], base[8], mask[8];
};
void mtrr_reset(struct mtrr_state *m);
/* Could the guest have written all of it? */
bool mtrr_valid(const struct mtrr_state *m);
