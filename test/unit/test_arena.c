/* build: hv/arena.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's heap: blocks don't overlap, and what is freed comes back whole. */
#include "test/unit/check.h"
#include "test/unit/quiet.h"
#include "hv/arena.h"

#define BYTES  65536u
#define BLOCKS 200u

static char memory[BYTES] __attribute__((aligned(16)));
static struct arena arena;

static void all_of_it_comes_back(void)
{
	void *p, *q;

	arena_init(&arena, memory, BYTES);
	p = arena_alloc(&arena, 1000);
	q = arena_alloc(&arena, BYTES / 2);
	CHECK(p && q && !arena_alloc(&arena, BYTES / 2));
	CHECK(!arena_alloc(&arena, SIZE_MAX));
	arena_free(&arena, p);
	arena_free(&arena, q);
	arena_free(&arena, NULL);
	CHECK_EQ(arena.used, 0);
	CHECK(arena_alloc(&arena, BYTES - 64));
}

static void a_resized_block_keeps_its_bytes(void)
{
	char *p;

	arena_init(&arena, memory, BYTES);
	p = arena_resize(&arena, NULL, 10);
	(void)arena_alloc(&arena, 1);
	(void)strcpy(p, "contents");
	p = arena_resize(&arena, p, 5000);
	CHECK_STR(p, "contents");
	CHECK(arena_resize(&arena, p, 100) == p);
	CHECK(!arena_resize(&arena, p, BYTES));
	CHECK_STR(p, "contents");
}

static void blocks_do_not_overlap(void)
{
	static struct {
		unsigned char *p;
		size_t n;
	} b[BLOCKS];
	unsigned seed = 1, failed = 0;

	arena_init(&arena, memory, BYTES);
	for (unsigned step = 0; step < 100000; step++) {
		unsigned i = (seed = seed * 1103515245 + 12345) / 65536 % BLOCKS;

		for (size_t k = 0; b[i].p && k < b[i].n; k++)
			failed += b[i].p[k] != (unsigned char)i;
		if (b[i].p) {
			arena_free(&arena, b[i].p);
			b[i].p = NULL;
			continue;
		}
		b[i].n = (seed = seed * 1103515245 + 12345) / 65536 % 1500;
		b[i].p = arena_alloc(&arena, b[i].n);
		failed += (uintptr_t)b[i].p % 16 != 0;
		if (b[i].p)
			memset(b[i].p, (int)i, b[i].n);
	}
	CHECK_EQ(failed, 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		arena_free(&arena, b[i].p);
	CHECK_EQ(arena.used, 0);
	CHECK(arena_alloc(&arena, BYTES - 64));
}

int main(void)
{
	RUN(all_of_it_comes_back);
	RUN(a_resized_block_keeps_its_bytes);
	RUN(blocks_do_not_overlap);
	return check_result();
}
