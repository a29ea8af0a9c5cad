/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machine checks of the host (SDM vol. 3, chapter 16; APM vol. 2, chapter 9): banks enabled, errors
 * reported. */
#include "arch/x86_64/internal.h"
#include "hv/log.h"

#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL    0x17b
#define MSR_MC0_CTL    0x400 /* each bank: CTL, STATUS, ADDR, MISC */
#define MCG_CTL_P      (1ull << 8)
#define MCI_VAL	       (1ull << 63)
#define MCI_MISCV      (1ull << 59)
#define MCI_ADDRV      (1ull << 58)

enum { CTL, STATUS, ADDR, MISC };

static uint32_t bank_msr(unsigned bank, unsigned reg)
{
	return MSR_MC0_CTL + 4 * bank + reg;
}

static unsigned banks(uint64_t *cap)
{
	return rdmsr_safe(MSR_MCG_CAP, cap) == 0 ? *cap & 0xff : 0;
}

void mce_init_cpu(void)
{
	uint64_t cap, status;
	unsigned n = banks(&cap);

	if (n > 0 && cap & MCG_CTL_P)
		(void)wrmsr_safe(MSR_MCG_CTL, UINT64_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (rdmsr_safe(bank_msr(i, STATUS), &status) == 0 && status & MCI_VAL)
			log_warn("CPU %u: machine-check bank %u has 0x%llx from before the boot",
				 this_cpu()->index, i, (unsigned long long)status);
		(void)wrmsr_safe(bank_msr(i, CTL), UINT64_MAX);
		(void)wrmsr_safe(bank_msr(i, STATUS), 0);
	}
}

void mce_report(void)
{
	uint64_t cap, v = 0;
	unsigned n = banks(&cap);

	(void)rdmsr_safe(MSR_MCG_STATUS, &v);
	panic_printf("machine check: MCG_STATUS %016llx, %u banks\n", (unsigned long long)v, n);
	for (unsigned i = 0; i < n; i++) {
		uint64_t status = 0, addr = 0, misc = 0;

		if (rdmsr_safe(bank_msr(i, STATUS), &status) < 0 || !(status & MCI_VAL))
			continue;
		if (status & MCI_ADDRV)
			(void)rdmsr_safe(bank_msr(i, ADDR), &addr);
		if (status & MCI_MISCV)
			(void)rdmsr_safe(bank_msr(i, MISC), &misc);
		panic_printf("  bank %u: STATUS %016llx ADDR %016llx MISC %016llx\n", i,
			     (unsigned long long)status, (unsigned long long)addr,
			     (unsigned long long)misc);
	}
}
