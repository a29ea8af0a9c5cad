/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest sees as its processor: the real one through a table of masks (hv/cpuid.c), less
 * what it can't have: virtualization, and whatever counts and can't follow the virtual clock.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arch/x86_64/cpu.h"

struct vcpu;

void cpuid_setup(void); /* boot, once, before the first guest entry */
/* CRC-32C of what the guest's CPUs have in common: equal on machines that are alike to it. */
uint32_t cpuid_digest(void);
/* Features the rest asks about, after filtering. */
enum guest_feature {
	FEATURE_TSC_ADJUST,
	FEATURE_SPEC_CTRL,
	FEATURE_PRED_CMD,
	FEATURE_FLUSH_CMD,
	FEATURE_ARCH_CAP,
	FEATURE_RDTSCP,
	FEATURE_XSAVES,
	FEATURE_COUNT
};
bool cpuid_has(enum guest_feature f);
bool cpuid_vendor_amd(void); /* AMD or Hygon */
