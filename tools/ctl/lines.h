/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of many nodes as lines on stdout, each with its node's name in front (unless it is NULL).
 * What could steer a terminal is taken out. `rest` keeps what is not a whole line yet. */
#pragma once
#include <stddef.h>
#include "tools/ctl/text.h"

void lines_put(struct text *rest, const char *name, const void *bytes, size_t n);
void lines_end(struct text *rest, const char *name);
