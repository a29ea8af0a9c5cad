// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/syslog_format.h"
#include <string.h>
#include "hv/fmt.h"
#include "hv/rtc_date.h"

enum { FACILITY_LOCAL0 = 16 };
enum severity { SEVERITY_ERROR = 3, SEVERITY_WARNING = 4, SEVERITY_INFO = 6 };

static const char *number(const char *s, uint64_t *v)
{
	for (*v = 0; *s >= '0' && *s <= '9' && *v < UINT32_MAX; s++)
		*v = *v * 10 + (unsigned)(*s - '0');
	return s;
}

/* The time in front of the text; a line without one happened at entry. */
static const char *split_time(const char *line, uint64_t *seconds, uint64_t *us)
{
	const char *s = line;

	*seconds = *us = 0;
	if (*s++ != '[')
		return line;
	while (*s == ' ')
		s++;
	s = number(s, seconds);
	if (*s == '.')
		s = number(s + 1, us);
	return s[0] == ']' && s[1] == ' ' && *us < 1000000 ? s + 2 : line;
}

static enum severity severity_of(const char *text)
{
	if (strncmp(text, "error: ", 7) == 0)
		return SEVERITY_ERROR;
	return strncmp(text, "warning: ", 9) == 0 ? SEVERITY_WARNING : SEVERITY_INFO;
}

size_t syslog_format(char buf[SYSLOG_MESSAGE_MAX + 1], const char *line, int64_t entry,
		     const char *host)
{
	uint64_t seconds, us;
	const char *text = split_time(line, &seconds, &us);
	struct rtc_date d = rtc_date_from_seconds(entry + (int64_t)seconds);
	int n = fmt(buf, SYSLOG_MESSAGE_MAX + 1,
		    "<%d>1 %04d-%02u-%02uT%02u:%02u:%02u.%06uZ %s stasis - - - %s",
		    FACILITY_LOCAL0 * 8 + (int)severity_of(text), (int)d.year, d.month, d.day,
		    d.hour, d.minute, d.second, (unsigned)us, host, text);

	return n > SYSLOG_MESSAGE_MAX ? SYSLOG_MESSAGE_MAX : (size_t)n;
}
