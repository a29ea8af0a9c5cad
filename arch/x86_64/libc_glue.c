/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What newlib's string and formatting functions (build/libgpr.a) ask of their surroundings, and the
 * two memory functions that the exit path and the loader of guest state lean on. The formatter
 * wants a heap only for a result longer than its buffer, which sniprintf and vsniprintf never give
 * it.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <reent.h>

/* REP MOVSQ/STOSQ have a start-up cost (Intel Optimization Manual 3.7.6), so short blocks are
 * copied by words. */
#define REP_MIN 64

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	void *d = dst;
	const void *s = src;

	if (n >= REP_MIN) {
		size_t words = n / 8;

		asm volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
		n %= 8;
	}
	for (; n >= 8; n -= 8) {
		__builtin_memcpy(d, s, 8);
		d = (char *)d + 8;
		s = (const char *)s + 8;
	}
	for (; n > 0; n--) {
		*(char *)d = *(const char *)s;
		d = (char *)d + 1;
		s = (const char *)s + 1;
		asm volatile("" : : : "memory"); /* or gcc makes a call of memcpy out of it */
	}
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	const uint64_t pattern = 0x0101010101010101ull * (uint8_t)c;
	void *d = dst;

	if (n >= REP_MIN) {
		size_t words = n / 8;

		asm volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
		n %= 8;
	}
	for (; n >= 8; n -= 8) {
		__builtin_memcpy(d, &pattern, 8);
		d = (char *)d + 8;
	}
	for (; n > 0; n--) {
		*(char *)d = (char)c;
		d = (char *)d + 1;
		asm volatile("" : : : "memory");
	}
	return dst;
}

void *_malloc_r(struct _reent *r, size_t size)
{
	(void)r;
	(void)size;
	return NULL;
}

void *_realloc_r(struct _reent *r, void *p, size_t size)
{
	(void)r;
	(void)p;
	(void)size;
	return NULL;
}

void _free_r(struct _reent *r, void *p)
{
	(void)r;
	(void)p;
}
