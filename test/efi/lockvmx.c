// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What firmware does when VT-x is switched off in its set-up: IA32_FEATURE_CONTROL locked with no
 * VMX enabled (SDM vol. 3, 24.7). Returns to the caller; a second run finds the lock and leaves it
 * alone.
 */
#include <efi.h>
#include "arch/x86_64/cpu.h"

#define IA32_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCK 1ull

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	(void)image;
	if (!(rdmsr(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK))
		wrmsr(IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK);
	st->ConOut->OutputString(st->ConOut, L"lockvmx: done\r\n");
	return EFI_SUCCESS;
}
