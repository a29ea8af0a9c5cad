/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XSAVE area in standard format (SDM vol. 1, 13.4). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define XCR0_X87    (1ull << 0)
#define XCR0_SSE    (1ull << 1)
#define XCR0_AVX    (1ull << 2)
#define XCR0_AVX512 (7ull << 5)
/* x87, SSE, AVX, AVX-512, PKRU. Neither MPX (3, 4) nor AMX (17, 18): design. CET and PT are under
 * IA32_XSS. */
#define XCR0_KNOWN 0x2e7ull

struct xsave_area {
	uint8_t x87[24];
	uint32_t mxcsr, mxcsr_mask;
	uint8_t regs[480];
	uint64_t xstate_bv, xcomp_bv, reserved[6]; /* the XSAVE header */
};
_Static_assert(sizeof(struct xsave_area) == 576, "legacy region and XSAVE header");
_Static_assert(offsetof(struct xsave_area, mxcsr) == 24, "MXCSR in the FXSAVE image");

extern uint32_t fpu_mxcsr_mask; /* bits of MXCSR that the processor has */
