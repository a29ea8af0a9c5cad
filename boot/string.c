// SPDX-License-Identifier: GPL-2.0-or-later
/* The few functions of <string.h> that the loader and its compiler call. String instructions: big
 * copies are the rule here. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *d = to;
	size_t words = n / 8;

	n %= 8;
	asm volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words) : : "memory");
	asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *to, int value, size_t n)
{
	void *d = to;
	size_t words = n / 8;

	n %= 8;
	asm volatile("rep stosq"
		     : "+D"(d), "+c"(words)
		     : "a"(0x0101010101010101ull * (uint8_t)value)
		     : "memory");
	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(value) : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	uint8_t *d = to;
	const uint8_t *s = from;

	if (d <= s || d >= s + n)
		return memcpy(to, from, n);
	while (n--)
		d[n] = s[n];
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

void *memchr(const void *p, int c, size_t n)
{
	const uint8_t *s = p;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == (uint8_t)c)
			return (void *)(uintptr_t)(s + i);
	}
	return NULL;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++) {
		if (*a != *b || !*a)
			return (uint8_t)*a - (uint8_t)*b;
	}
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}
