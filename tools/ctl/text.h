/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory, and text that grows. Memory that runs out ends the program. */
#pragma once
#include <stddef.h>

struct text {
	char *s; /* NUL-terminated; NULL while empty */
	size_t len, room;
};

void *allocate(size_t bytes); /* zeroed */
void *reallocate(void *p, size_t bytes);
char *copy_string(const char *s);

__attribute__((format(printf, 2, 3))) void text_add(struct text *t, const char *f, ...);
void text_bytes(struct text *t, const void *bytes, size_t n);
void text_clear(struct text *t); /* empty; keeps its memory */
void text_free(struct text *t);

/* Bytes that came from a node, for a terminal: anything but printable ASCII, tab and newline
 * becomes '.', so that no node can steer the operator's terminal. In place. */
void printable(char *s, size_t n);
