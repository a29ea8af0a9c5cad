// SPDX-License-Identifier: GPL-2.0-or-later
/* The I/O and MSR permission bitmaps, one of each for all vCPUs: APM vol. 2, 15.10 and 15.11. A set
 * bit intercepts. */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/msr.h"
#include "svm/svm.h"

#define IOPM_PAGES  3
#define MSRPM_PAGES 2
#define MSRPM_RANGE 0x2000u /* MSRs in one range of the map, two bits each */

static const uint32_t msrpm_base[] = {0, 0xc0000000, 0xc0010000};

/*
 * Never the processor's own, whatever the list says: in the VMCB with other contents than the guest
 * may see (EFER), or kept in the VMCB where not every processor gives the guest its copy (PAT,
 * DEBUGCTL).
 */
static bool held_in_vmcb(uint32_t msr)
{
	return msr == MSR_EFER || msr == MSR_IA32_PAT || msr == MSR_IA32_DEBUGCTL;
}

static void allow(uint8_t *map, unsigned bit)
{
	map[bit / 8] = (uint8_t)(map[bit / 8] & ~(1u << bit % 8));
}

static void msrpm_build(uint8_t *map)
{
	memset(map, 0xff, MSRPM_PAGES * PAGE_SIZE);
	for (unsigned r = 0; r < sizeof(msrpm_base) / sizeof(msrpm_base[0]); r++) {
		for (unsigned i = 0; i < MSRPM_RANGE; i++) {
			uint32_t msr = msrpm_base[r] + i;
			unsigned bit = (r * MSRPM_RANGE + i) * 2;

			if (held_in_vmcb(msr))
				continue;
			if (msr_passthrough(msr, false))
				allow(map, bit);
			if (msr_passthrough(msr, true))
				allow(map, bit + 1);
		}
	}
}

int svm_permission_setup(void)
{
	uint8_t *iopm = pages_alloc(IOPM_PAGES);
	uint8_t *msrpm = pages_alloc(MSRPM_PAGES);

	if (!iopm || !msrpm)
		return -ENOMEM;
	memset(iopm, 0xff, IOPM_PAGES * PAGE_SIZE);
	msrpm_build(msrpm);
	svm.iopm_pa = virt_to_phys(iopm).v;
	svm.msrpm_pa = virt_to_phys(msrpm).v;
	return 0;
}
