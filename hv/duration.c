// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/duration.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define DURATION_MAX_NS (100ull * 366 * 24 * 3600 * 1000000000)
#define FRACTION_DIGITS 9
#define FRACTION_ONE	1000000000ull /* 10 ^ FRACTION_DIGITS */

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60 * 1000000000ull},
	{"h", 3600 * 1000000000ull},
};

static uint64_t unit_ns(const char *name)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].name, name) == 0)
			return units[i].ns;
	return 0;
}

/* The digits at *p as a number; UINT64_MAX if it has no room. */
static uint64_t digits(const char **p)
{
	uint64_t n = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		n = n < UINT64_MAX / 10 ? n * 10 + (uint64_t)(**p - '0') : UINT64_MAX;
	return n;
}

int duration_parse(const char *text, uint64_t *ns)
{
	const char *p = text, *point;
	uint64_t whole = digits(&p), fraction = 0, unit;
	ptrdiff_t n = 0;

	if (p == text)
		return -EINVAL;
	if (*p == '.') {
		point = ++p;
		fraction = digits(&p);
		n = p - point;
		if (n == 0 || n > FRACTION_DIGITS)
			return -EINVAL;
	}
	unit = unit_ns(p);
	if (!unit)
		return -EINVAL;
	for (; n < FRACTION_DIGITS; n++)
		fraction *= 10;
	if (whole > DURATION_MAX_NS / unit)
		return -ERANGE;
	/* seconds and more are whole multiples of FRACTION_ONE; what is smaller can't overflow */
	fraction = unit >= FRACTION_ONE ? fraction * (unit / FRACTION_ONE)
					: fraction * unit / FRACTION_ONE;
	*ns = whole * unit + fraction;
	return *ns > DURATION_MAX_NS ? -ERANGE : 0;
}
