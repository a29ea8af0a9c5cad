// SPDX-License-Identifier: GPL-2.0-or-later
/* What XSETBV and XRSTOR take. Pure. */
#include "arch/x86_64/fpu_area.h"
#include "arch/x86_64/arch.h"

#define MXCSR_MASK_DEFAULT 0xffbfu /* where FXSAVE stores 0 (SDM vol. 1, 11.6.6) */

uint64_t xcr0_host_max = XCR0_X87 | XCR0_SSE;
uint32_t fpu_mxcsr_mask = MXCSR_MASK_DEFAULT;

bool fpu_xcr0_valid(uint64_t x)
{
	if ((x & ~xcr0_host_max) || !(x & XCR0_X87))
		return false;
	if ((x & XCR0_AVX) && !(x & XCR0_SSE))
		return false;
	if ((x & XCR0_AVX512) && ((x & XCR0_AVX512) != XCR0_AVX512 || !(x & XCR0_AVX)))
		return false;
	return true;
}

bool fpu_valid(const void *area)
{
	const struct xsave_area *a = area;

	if ((uint64_t)a % 64 != 0 || a->mxcsr & ~fpu_mxcsr_mask)
		return false;
	if (a->xstate_bv & ~xcr0_host_max || a->xcomp_bv != 0)
		return false;
	for (unsigned i = 0; i < 6; i++)
		if (a->reserved[i] != 0)
			return false;
	return true;
}
