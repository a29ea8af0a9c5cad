// SPDX-License-Identifier: GPL-2.0-or-later
/* Words and lines of load options and of stasis.cfg. */
#include "boot/config_internal.h"

bool config_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int config_take(struct source *s, bool line, char *out, size_t size)
{
	size_t n = 0, keep = 0; /* keep: length without unquoted blanks at the end */
	bool quoted = false;

	for (; s->p < s->end; s->p++) {
		char c = *s->p;
		bool blank = false;

		if (c == '\\' && s->end - s->p > 1 && s->p[1] == '"') {
			c = *++s->p;
		} else if (c == '"') {
			quoted = !quoted;
			keep = n;
			continue;
		} else if (config_blank(c)) {
			if (!quoted && !line)
				break;
			blank = !quoted;
			c = ' ';
		} else if (c == '#' && line && !quoted && config_blank(s->p[-1])) {
			break;
		}
		if (c < ' ' || c > '~')
			return config_fail(s, "character 0x%x in the text: use plain ASCII",
					   (unsigned)(uint8_t)c);
		if (n + 1 >= size)
			return config_fail(s, "word of over %u characters: shorten it",
					   (unsigned)size);
		out[n++] = c;
		if (!blank)
			keep = n;
	}
	if (quoted)
		return config_fail(s, "a quote is not closed: add \"");
	out[line ? keep : n] = 0;
	return 0;
}

void config_skip_blanks(struct source *s)
{
	while (s->p < s->end && config_blank(*s->p))
		s->p++;
}
