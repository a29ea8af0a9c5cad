/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A heap in one block of memory: what the store gets for its malloc (hv/disk.c). First fit;
 * neighbours that are free become one. One CPU, no lock. 16-byte aligned.
 */
#pragma once
#include <stddef.h>

struct arena {
	struct arena_block *first;
	size_t used; /* bytes, headers included */
};

void arena_init(struct arena *a, void *memory, size_t bytes);
void *arena_alloc(struct arena *a, size_t bytes);	    /* NULL: no piece is large enough */
void arena_free(struct arena *a, void *p);		    /* NULL is fine */
void *arena_resize(struct arena *a, void *p, size_t bytes); /* as realloc */
