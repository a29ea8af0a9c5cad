/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's physical memory: the map (built once at boot, hv/memmap.h) and access to it by the
 * hypervisor. The hypervisor's own memory is not in the map; reaching for it fails like any hole.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"

struct guest_map;
/* Boot, once, before anything else here; keeps the pointer. */
void guest_memory_init(const struct guest_map *m);
const struct guest_map *guest_memory_map(void);

/* Copy between a buffer and guest RAM. -EFAULT if any byte is not guest RAM (nothing is copied
 * then). */
int guest_read(gpa_t gpa, void *buf, size_t n);
int guest_write(gpa_t gpa, const void *buf, size_t n);
/* Pointer to n bytes of guest RAM, NULL if they are not all RAM or not contiguous for the
 * hypervisor. */
void *guest_ptr(gpa_t gpa, size_t n);
/* Is this in the hypervisor's own memory? (then the access is reported) */
bool guest_gpa_is_hypervisor(gpa_t gpa);
