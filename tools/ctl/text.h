/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that grows, and JSON written into it. Memory that runs out ends the program. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* JSON: commas come by themselves. `key` is NULL in arrays. */
void json_open(struct text *t, const char *key, char bracket); /* '{' or '[' */
void json_close(struct text *t, char bracket);
void json_string(struct text *t, const char *key, const char *s); /* NULL: null */
void json_bytes(struct text *t, const char *key, const void *bytes, size_t n);
void json_u64(struct text *t, const char *key, uint64_t n);
void json_i64(struct text *t, const char *key, int64_t n);
void json_bool(struct text *t, const char *key, bool b);
void json_null(struct text *t, const char *key);
void json_raw(struct text *t, const char *key, const char *json, size_t n); /* as it is */
