// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/logbuf.h"
#include <stdint.h>

static char ring[LOGBUF_SIZE];
static size_t head; /* bytes ever written; lines end with a newline */

static void put(char c)
{
	ring[head++ & (LOGBUF_SIZE - 1)] = c;
}

void logbuf_add(const char *line)
{
	for (; *line; line++)
		put(*line == '\n' ? ' ' : *line);
	put('\n');
}

bool logbuf_next(size_t *pos, char *line, size_t size)
{
	size_t n = 0, p = *pos;

	if (head > LOGBUF_SIZE && p < head - LOGBUF_SIZE) {
		p = head - LOGBUF_SIZE;
		while (p < head &&
		       ring[p & (LOGBUF_SIZE - 1)] != '\n') /* the oldest line has lost its start */
			p++;
		p++;
	}
	if (p >= head)
		return false;
	for (; p < head && ring[p & (LOGBUF_SIZE - 1)] != '\n'; p++)
		if (n + 1 < size)
			line[n++] = ring[p & (LOGBUF_SIZE - 1)];
	line[n] = 0;
	*pos = p + 1;
	return true;
}
