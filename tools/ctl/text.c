// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 256

static void *or_die(void *p)
{
	if (!p) {
		(void)fputs("stasisctl: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

void *allocate(size_t bytes)
{
	return or_die(calloc(1, bytes ? bytes : 1));
}

void *reallocate(void *p, size_t bytes)
{
	return or_die(realloc(p, bytes));
}

char *copy_string(const char *s)
{
	return or_die(strdup(s));
}

static void make_room(struct text *t, size_t more)
{
	size_t room = t->room ? t->room : ROOM_FIRST;

	while (room - t->len <= more)
		room *= 2;
	if (room != t->room)
		t->s = reallocate(t->s, room);
	t->room = room;
}

void text_add(struct text *t, const char *f, ...)
{
	va_list ap;
	int n;

	va_start(ap, f);
	n = vsnprintf(NULL, 0, f, ap);
	va_end(ap);
	if (n < 0)
		return;
	make_room(t, (size_t)n);
	va_start(ap, f);
	(void)vsnprintf(t->s + t->len, (size_t)n + 1, f, ap);
	va_end(ap);
	t->len += (size_t)n;
}

void text_bytes(struct text *t, const void *bytes, size_t n)
{
	make_room(t, n);
	if (n)
		memcpy(t->s + t->len, bytes, n);
	t->len += n;
	t->s[t->len] = 0;
}

void text_clear(struct text *t)
{
	t->len = 0;
	if (t->s)
		t->s[0] = 0;
}

void text_free(struct text *t)
{
	free(t->s);
	*t = (struct text){0};
}

void printable(char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((s[i] < ' ' || s[i] > '~') && s[i] != '\n' && s[i] != '\t')
			s[i] = '.';
}
