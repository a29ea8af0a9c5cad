/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What isr.S leaves on the stack for trap_handler(). */
#pragma once
#include <stdint.h>

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss; /* by the processor */
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8,
	       "isr.S pushes 15 registers, vector and error code");

enum { VEC_DB = 1, VEC_NMI = 2, VEC_DF = 8, VEC_GP = 13, VEC_PF = 14, VEC_MC = 18 };
