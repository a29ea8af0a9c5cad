/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a state image must find again: the guest's processors, their features, and the map of its
 * memory. A unit without a state of its own, registered before all others: images of another
 * machine are refused because of it, and by its words.
 */
#pragma once
#include <stdint.h>

struct guest_map;

struct machine {
	char vendor[12];    /* CPUID leaf 0 */
	char back_end[8];   /* "VT-x", "AMD-V": some of a vCPU's state is in its terms */
	uint32_t signature; /* CPUID leaf 1 EAX */
	uint32_t features;  /* cpuid_digest() */
	uint64_t xcr0;	    /* what the guest may enable */
	uint32_t cpus;
	const uint32_t *apic_ids; /* of each */
	const struct guest_map *map;
};

/* Boot, once; keeps the pointer. */
void machine_register(const struct machine *m);
