// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/disk_memory.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/arena.h"

static struct arena arena;

bool disk_memory_init(size_t bytes)
{
	void *memory = pages_alloc(bytes / PAGE_SIZE);

	if (memory)
		arena_init(&arena, memory, bytes);
	return memory;
}

void *malloc(size_t bytes)
{
	return arena_alloc(&arena, bytes);
}

void *calloc(size_t n, size_t each)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, each, &bytes))
		return NULL;
	p = arena_alloc(&arena, bytes);
	return p ? memset(p, 0, bytes) : NULL;
}

void *realloc(void *p, size_t bytes)
{
	return arena_resize(&arena, p, bytes);
}

void free(void *p)
{
	arena_free(&arena, p);
}
