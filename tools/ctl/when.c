// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/when.h"
#include <errno.h>
#include <string.h>

#define SHARED_DIGITS 16
#define NSEC_PER_SEC  1000000000ull

static bool all_digits(const char *s)
{
	return s[strspn(s, "0123456789")] == 0;
}

static int shared(const char *text, struct when *w)
{
	*w = (struct when){0};
	for (; *text; text++)
		if (__builtin_mul_overflow(w->ns, (uint64_t)10, &w->ns) ||
		    __builtin_add_overflow(w->ns, (uint64_t)(*text - '0'), &w->ns))
			return -EINVAL;
	return w->ns < WHEN_END ? 0 : -EINVAL;
}

/* Exactly `n` digits, up to `max`. */
static bool field(const char **p, unsigned n, int max, int *value)
{
	*value = 0;
	for (unsigned i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return *value <= max;
}

static bool fraction(const char **p, uint64_t *ns)
{
	uint64_t unit = NSEC_PER_SEC;

	for (; **p >= '0' && **p <= '9' && unit > 1; (*p)++) {
		unit /= 10;
		*ns += unit * (uint64_t)(**p - '0');
	}
	return unit < NSEC_PER_SEC;
}

static bool date(const char **p, struct tm *tm)
{
	if (!field(p, 4, 9999, &tm->tm_year) || *(*p)++ != '-' || !field(p, 2, 12, &tm->tm_mon) ||
	    *(*p)++ != '-' || !field(p, 2, 31, &tm->tm_mday) || (**p != ' ' && **p != 'T'))
		return false;
	(*p)++;
	tm->tm_year -= 1900;
	tm->tm_mon--;
	return tm->tm_mon >= 0 && tm->tm_mday > 0;
}

static bool time_of_day(const char **p, struct tm *tm, uint64_t *ns)
{
	if (!field(p, 2, 23, &tm->tm_hour) || *(*p)++ != ':' || !field(p, 2, 59, &tm->tm_min))
		return false;
	if (**p == ':') {
		(*p)++;
		if (!field(p, 2, 59, &tm->tm_sec))
			return false;
		if (**p == '.') {
			(*p)++;
			return fraction(p, ns);
		}
	}
	return true;
}

static time_t seconds(const struct tm *tm, bool utc)
{
	struct tm copy = *tm;

	copy.tm_isdst = -1;
	return utc ? timegm(&copy) : mktime(&copy);
}

/* mktime makes the 3rd of March of a 31st of February. */
static bool exists(const struct tm *tm)
{
	struct tm copy = *tm;

	return timegm(&copy) != -1 && copy.tm_mday == tm->tm_mday;
}

int when_parse(const char *text, time_t now, struct when *w)
{
	struct tm tm = {0}, today;
	const char *p = text;
	bool dated = strlen(text) > 4 && text[4] == '-', utc;
	uint64_t ns = 0;
	time_t at;

	if (strlen(text) >= SHARED_DIGITS && all_digits(text))
		return shared(text, w);
	if ((dated && (!date(&p, &tm) || !exists(&tm))) || !time_of_day(&p, &tm, &ns))
		return -EINVAL;
	utc = *p == 'Z';
	if (p[utc] != 0)
		return -EINVAL;
	if (!dated) {
		if (!(utc ? gmtime_r(&now, &today) : localtime_r(&now, &today)))
			return -EINVAL;
		tm.tm_year = today.tm_year;
		tm.tm_mon = today.tm_mon;
		tm.tm_mday = today.tm_mday;
	}
	at = seconds(&tm, utc);
	if (!dated && at <= now) {
		tm.tm_mday++;
		at = seconds(&tm, utc);
	}
	if (at < 0 || (uint64_t)at >= WHEN_END / NSEC_PER_SEC)
		return -EINVAL;
	*w = (struct when){.wall = true, .ns = (uint64_t)at * NSEC_PER_SEC + ns};
	return 0;
}
