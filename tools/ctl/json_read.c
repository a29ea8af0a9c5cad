// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/json_read.h"
#include <string.h>

#define DEPTH_MAX 32

struct cursor {
	const char *p, *end;
};

static char peek(const struct cursor *c)
{
	return c->p < c->end ? *c->p : '\0';
}

static bool accept(struct cursor *c, char want)
{
	if (peek(c) != want || c->p == c->end)
		return false;
	c->p++;
	return true;
}

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static bool digits(struct cursor *c)
{
	const char *begin = c->p;

	while (peek(c) >= '0' && peek(c) <= '9')
		c->p++;
	return c->p > begin;
}

static bool skip_number(struct cursor *c)
{
	(void)accept(c, '-');
	if (!accept(c, '0') && !digits(c))
		return false;
	if (accept(c, '.') && !digits(c))
		return false;
	if (accept(c, 'e') || accept(c, 'E')) {
		if (!accept(c, '+'))
			(void)accept(c, '-');
		return digits(c);
	}
	return true;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

/* The character behind a backslash; \u beyond ASCII is '?'. -1: no such escape. */
static int escaped(struct cursor *c)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *found;
	int code = 0;

	if (c->p == c->end || !*c->p)
		return -1;
	if (*c->p != 'u') {
		found = strchr(names, *c->p++);
		return found ? values[found - names] : -1;
	}
	c->p++;
	for (int i = 0; i < 4; i++) {
		int digit = c->p < c->end ? hex_digit(*c->p++) : -1;

		if (digit < 0)
			return -1;
		code = code << 4 | digit;
	}
	return code < 0x80 ? code : '?';
}

/* A string; `value` (if not NULL) gets it, cut at `size` - 1. *len: its whole length. */
static bool read_string(struct cursor *c, char *value, size_t size, size_t *len)
{
	size_t n = 0;

	if (!accept(c, '"'))
		return false;
	while (c->p < c->end && *c->p != '"') {
		int ch = (unsigned char)*c->p++;

		if (ch < ' ')
			return false;
		if (ch == '\\')
			ch = escaped(c);
		if (ch < 0)
			return false;
		if (value && n + 1 < size)
			value[n] = ch >= ' ' && ch <= '~' ? (char)ch : '?';
		n++;
	}
	if (value)
		value[n < size ? n : size - 1] = 0;
	*len = n;
	return accept(c, '"');
}

static bool skip_string(struct cursor *c)
{
	size_t len;

	return read_string(c, NULL, 0, &len);
}

static bool skip_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	c->p += n;
	return true;
}

static bool skip_value(struct cursor *c, unsigned depth);

static bool skip_member(struct cursor *c, bool named, unsigned depth)
{
	skip_space(c);
	if (named) {
		if (!skip_string(c))
			return false;
		skip_space(c);
		if (!accept(c, ':'))
			return false;
	}
	return skip_value(c, depth);
}

static bool skip_members(struct cursor *c, char close, unsigned depth)
{
	if (depth == DEPTH_MAX)
		return false;
	c->p++;
	skip_space(c);
	if (accept(c, close))
		return true;
	do {
		if (!skip_member(c, close == '}', depth + 1))
			return false;
	} while (accept(c, ','));
	return accept(c, close);
}

static bool skip_value(struct cursor *c, unsigned depth)
{
	bool good;

	skip_space(c);
	switch (peek(c)) {
	case '{':
		good = skip_members(c, '}', depth);
		break;
	case '[':
		good = skip_members(c, ']', depth);
		break;
	case '"':
		good = skip_string(c);
		break;
	case 't':
		good = skip_word(c, "true");
		break;
	case 'f':
		good = skip_word(c, "false");
		break;
	case 'n':
		good = skip_word(c, "null");
		break;
	default:
		good = skip_number(c);
	}
	skip_space(c);
	return good;
}

bool json_is_object(const char *s, size_t n)
{
	struct cursor c = {s, s + n};

	skip_space(&c);
	return peek(&c) == '{' && skip_value(&c, 0) && c.p == c.end;
}

/* Puts the cursor on the value of a member of the outermost object. */
static bool find(struct cursor *c, const char *key)
{
	char name[64];
	size_t len;

	skip_space(c);
	if (!accept(c, '{'))
		return false;
	do {
		skip_space(c);
		if (!read_string(c, name, sizeof(name), &len))
			return false;
		skip_space(c);
		if (!accept(c, ':'))
			return false;
		skip_space(c);
		if (len < sizeof(name) && strcmp(name, key) == 0)
			return true;
		if (!skip_value(c, 1))
			return false;
	} while (accept(c, ','));
	return false;
}

bool json_read_u64(const char *s, size_t n, const char *key, uint64_t *value)
{
	struct cursor c = {s, s + n};
	const char *begin;
	uint64_t v = 0;

	if (!find(&c, key))
		return false;
	begin = c.p;
	for (; peek(&c) >= '0' && peek(&c) <= '9'; c.p++)
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*c.p - '0'), &v))
			return false;
	if (c.p == begin || peek(&c) == '.' || peek(&c) == 'e' || peek(&c) == 'E')
		return false;
	*value = v;
	return true;
}

bool json_read_string(const char *s, size_t n, const char *key, char *value, size_t size)
{
	struct cursor c = {s, s + n};
	size_t len;

	return find(&c, key) && read_string(&c, value, size, &len) && len < size;
}
