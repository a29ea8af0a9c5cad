// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/checks.h"
#include <stddef.h>

/* SDM vol. 3, 24.7 and appendix A.3 */
#define FEATURE_CONTROL_LOCK	    (1ull << 0)
#define FEATURE_CONTROL_OUTSIDE_SMX (1ull << 2)
#define ALLOWED_1(control)	    (1ull << (32 + (control)))
#define PROCBASED_SECONDARY	    31
#define PROCBASED2_EPT		    1
#define PROCBASED2_UNRESTRICTED	    7
/* APM vol. 2, 15.30.1 */
#define VM_CR_SVMDIS (1ull << 4)

static const char *vmx_verdict(const struct cpu_facts *f)
{
	uint64_t second = f->procbased & ALLOWED_1(PROCBASED_SECONDARY) ? f->procbased2 : 0;

	if ((f->feature_control & FEATURE_CONTROL_LOCK) &&
	    !(f->feature_control & FEATURE_CONTROL_OUTSIDE_SMX))
		return "VT-x is locked off: switch it on in the firmware's set-up";
	if (!(second & ALLOWED_1(PROCBASED2_EPT)))
		return "this CPU has no EPT: use one from 2010 (Westmere) or newer";
	if (!(second & ALLOWED_1(PROCBASED2_UNRESTRICTED)))
		return "this CPU has no unrestricted guest: use Westmere or newer";
	return NULL;
}

static const char *svm_verdict(const struct cpu_facts *f)
{
	if (f->vm_cr & VM_CR_SVMDIS)
		return "AMD-V is disabled: switch SVM on in the firmware's set-up";
	if (!f->npt)
		return "this CPU has no nested paging: use an AMD Barcelona or newer";
	return NULL;
}

const char *cpu_verdict(const struct cpu_facts *f)
{
	const char *wrong;

	if (!f->vmx && !f->svm)
		return "no VT-x or AMD-V: switch it on in the firmware's set-up";
	wrong = f->vmx ? vmx_verdict(f) : svm_verdict(f);
	if (!wrong && f->la57)
		wrong = "5-level paging is on: switch it off in the firmware's set-up";
	return wrong;
}
