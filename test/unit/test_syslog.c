/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: net/syslog_format.c hv/rtc_date.c */
/* Lines of the log as RFC 5424 messages. */
#include "net/syslog_format.h"
#include "test/unit/check.h"

#define ENTRY 1700000000 /* 2023-11-14T22:13:20Z */

static char text[SYSLOG_MESSAGE_MAX + 1];

static const char *format(const char *line)
{
	size_t n = syslog_format(text, line, ENTRY, "10.0.0.5");

	CHECK_EQ(n, strlen(text));
	return text;
}

static void time_and_severity(void)
{
	CHECK_STR(format("[    1.000250] net: link up"),
		  "<134>1 2023-11-14T22:13:21.000250Z 10.0.0.5 stasis - - - net: link up");
	CHECK_STR(format("[   40.500000] error: it broke"),
		  "<131>1 2023-11-14T22:14:00.500000Z 10.0.0.5 stasis - - - error: it broke");
	CHECK_STR(format("[90000.999999] warning: careful"),
		  "<132>1 2023-11-15T23:13:20.999999Z 10.0.0.5 stasis - - - warning: careful");
}

static void strange_lines(void)
{
	CHECK_STR(format("no time"),
		  "<134>1 2023-11-14T22:13:20.000000Z 10.0.0.5 stasis - - - no time");
	CHECK_STR(format(""), "<134>1 2023-11-14T22:13:20.000000Z 10.0.0.5 stasis - - - ");
	CHECK(strstr(format("[99999999999999999999.1] x"), "stasis - - - ") != NULL);
	CHECK(strstr(format("["), "stasis - - - [") != NULL);
}

static void long_lines_are_cut(void)
{
	char line[2 * SYSLOG_MESSAGE_MAX];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	(void)format(line);
	CHECK_EQ(strlen(text), SYSLOG_MESSAGE_MAX);
}

int main(void)
{
	RUN(time_and_severity);
	RUN(strange_lines);
	RUN(long_lines_are_cut);
	return check_result();
}
