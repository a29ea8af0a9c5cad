/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations as people type them: a decimal number and a unit, "200ms", "1.5s". Pure. */
#pragma once
#include <stdint.h>

#define DURATION_UNITS "ns, us, ms, s, m or h"

/* -EINVAL: not of that form, or more than nine digits after the point; -ERANGE: over 100 years. */
int duration_parse(const char *text, uint64_t *ns);
