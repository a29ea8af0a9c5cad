/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of the node's log as a syslog message (RFC 5424). Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define SYSLOG_MESSAGE_MAX 480 /* every receiver takes it (RFC 5426, 3.2) */

/* `line`: "[SECONDS.MICROSECONDS] text", seconds since entry, which was at Unix time `entry`.
 * Returns the message's length, at most SYSLOG_MESSAGE_MAX. */
size_t syslog_format(char buf[SYSLOG_MESSAGE_MAX + 1], const char *line, int64_t entry,
		     const char *host);
