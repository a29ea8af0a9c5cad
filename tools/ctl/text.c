// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/text.h"
#include <inttypes.h>
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

/* --- JSON --- */

static void separate(struct text *t, const char *key)
{
	char last = '[';

	if (t->len)
		last = t->s[t->len - 1];
	if (last != '{' && last != '[')
		text_add(t, ",");
	if (key)
		text_add(t, "\"%s\":", key);
}

void json_open(struct text *t, const char *key, char bracket)
{
	separate(t, key);
	text_add(t, "%c", bracket);
}

void json_close(struct text *t, char bracket)
{
	text_add(t, "%c", bracket);
}

void json_bytes(struct text *t, const char *key, const void *bytes, size_t n)
{
	const unsigned char *s = bytes;

	separate(t, key);
	text_add(t, "\"");
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '"' || s[i] == '\\')
			text_add(t, "\\%c", s[i]);
		else if (s[i] < 0x20 || s[i] >= 0x7f)
			text_add(t, "\\u%04x", s[i]);
		else
			text_bytes(t, &s[i], 1);
	}
	text_add(t, "\"");
}

void json_string(struct text *t, const char *key, const char *s)
{
	if (s)
		json_bytes(t, key, s, strlen(s));
	else
		json_null(t, key);
}

void json_u64(struct text *t, const char *key, uint64_t n)
{
	separate(t, key);
	text_add(t, "%" PRIu64, n);
}

void json_i64(struct text *t, const char *key, int64_t n)
{
	separate(t, key);
	text_add(t, "%" PRId64, n);
}

void json_bool(struct text *t, const char *key, bool b)
{
	separate(t, key);
	text_add(t, "%s", b ? "true" : "false");
}

void json_null(struct text *t, const char *key)
{
	separate(t, key);
	text_add(t, "null");
}

void json_raw(struct text *t, const char *key, const char *json, size_t n)
{
	separate(t, key);
	text_bytes(t, json, n);
}
