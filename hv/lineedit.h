/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Line editing with history, for a terminal that understands ANSI. Pure: bytes in, bytes out
 * through `emit`. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_SIZE    256
#define HISTORY_SIZE 16

struct lineedit {
	char line[LINE_SIZE]; /* NUL-terminated */
	size_t len, pos;
	char history[HISTORY_SIZE][LINE_SIZE];
	unsigned entries, browse; /* entries kept; 0 = the line being typed, n = n-th last */
	char typed[LINE_SIZE];	  /* the line being typed while history is shown */
	uint8_t escape[4];	  /* of an escape sequence so far */
	unsigned escape_len;
	uint8_t last; /* previous byte: CR LF counts as one */
	const char *prompt;
	void (*emit)(const char *s, size_t n);
	/* Completion: given the line's first `len` bytes, the rest of the only match or NULL; may
	 * list matches by emit. */
	const char *(*complete)(const char *line, size_t len);
};

void lineedit_start(struct lineedit *e); /* a new line: shows the prompt */
void lineedit_redraw(struct lineedit *e);
/* True when `line` is complete (Enter); it has been added to the history. */
bool lineedit_feed(struct lineedit *e, uint8_t byte);
