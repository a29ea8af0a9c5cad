/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Can this processor run the hypervisor? The verdict is pure; checks.c gathers the facts. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct cpu_facts {
	bool vmx;		  /* CPUID.1:ECX[5] */
	uint64_t feature_control; /* IA32_FEATURE_CONTROL */
	uint64_t procbased;  /* IA32_VMX_PROCBASED_CTLS: allowed-1 settings in the upper half */
	uint64_t procbased2; /* IA32_VMX_PROCBASED_CTLS2, 0 if there is none */
	bool svm;	     /* CPUID.80000001H:ECX[2] */
	bool npt;	     /* CPUID.8000000AH:EDX[0] */
	uint64_t vm_cr;	     /* VM_CR */
	bool la57;	     /* CR4.LA57: the firmware uses 5-level paging */
};

/* NULL, or the error line's "what is wrong: what to do". */
const char *cpu_verdict(const struct cpu_facts *f);
