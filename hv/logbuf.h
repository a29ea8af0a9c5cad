/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring that keeps the latest log lines. Pure; the caller locks. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define LOGBUF_SIZE 65536 /* bytes, power of two */

void logbuf_add(const char *line);
/* Walk the lines, oldest first: *pos starts at 0; false at the end. `line` gets at most size - 1
 * bytes. */
bool logbuf_next(size_t *pos, char *line, size_t size);
