// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/lines.h"
#include <string.h>
#include "tools/ctl/ctl.h"

#define LINE_LIMIT 65536 /* a longer one is broken up */

void line_text(const char *name, const char *line, size_t n)
{
	struct text t = {0};

	if (name)
		text_add(&t, "%s: ", name);
	text_bytes(&t, line, n);
	printable(t.s, t.len);
	put_line(&t);
	text_free(&t);
}

void lines_put(struct text *rest, line_put *put, const char *name, const void *bytes, size_t n)
{
	const char *line, *newline;
	size_t left;

	text_bytes(rest, bytes, n);
	line = rest->s;
	left = rest->len;
	while ((newline = memchr(line, '\n', left)) || left > LINE_LIMIT) {
		size_t size = newline ? (size_t)(newline - line) : left;

		put(name, line, size);
		size += newline != NULL;
		line += size;
		left -= size;
	}
	memmove(rest->s, line, left);
	rest->len = left;
	rest->s[left] = 0;
}

void lines_end(struct text *rest, const char *name)
{
	if (rest->len)
		line_text(name, rest->s, rest->len);
	text_free(rest);
}
