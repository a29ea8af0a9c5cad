/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of many nodes as lines on stdout. */
#pragma once
#include <stddef.h>
#include "tools/ctl/text.h"

typedef void line_put(const char *name, const char *line, size_t n);

/* Puts each whole line; `rest` keeps what is none yet. */
void lines_put(struct text *rest, line_put *put, const char *name, const void *bytes, size_t n);
/* The rest, as text. */
void lines_end(struct text *rest, const char *name);
/* With its node's name in front (unless it is NULL). What could steer a terminal is taken out. */
line_put line_text;
