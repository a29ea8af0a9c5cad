// SPDX-License-Identifier: GPL-2.0-or-later
/* EFI MP services (PI 1.7 vol. 2, 13.4): only asked who is there, never to start anyone. Not all
 * firmware has them. */
#include "boot/loader.h"

#define MP_SERVICES_GUID                                               \
	{                                                              \
		0x3fdda605, 0xa76e, 0x4f46,                            \
		{                                                      \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 \
		}                                                      \
	}
#define PROCESSOR_ENABLED_BIT 0x2

struct processor_info {	    /* EFI_PROCESSOR_INFORMATION */
	UINT64 ProcessorId; /* APIC ID */
	UINT32 StatusFlag;
	UINT32 Package, Core, Thread;
	UINT32 Extended[6];
};

struct mp_services { /* EFI_MP_SERVICES_PROTOCOL, the part that we use */
	EFI_STATUS(EFIAPI *GetNumberOfProcessors)
	(struct mp_services *, UINTN *all, UINTN *enabled);
	EFI_STATUS(EFIAPI *GetProcessorInfo)
	(struct mp_services *, UINTN number, struct processor_info *);
};

void mp_list(struct handoff *h)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *mp;
	UINTN all, enabled;

	h->n_cpus = 0;
	h->bsp_apic_id = cpu_apic_id();
	if (EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->GetNumberOfProcessors(mp, &all, &enabled)))
		return;
	for (UINTN i = 0; i < all; i++) {
		struct processor_info info = {0};

		if (EFI_ERROR(mp->GetProcessorInfo(mp, i, &info)) ||
		    !(info.StatusFlag & PROCESSOR_ENABLED_BIT))
			continue;
		if (h->n_cpus == HANDOFF_MAX_CPUS) {
			say("more than %u CPUs: the rest stays idle", HANDOFF_MAX_CPUS);
			return;
		}
		h->apic_ids[h->n_cpus++] = (uint32_t)info.ProcessorId;
	}
}
