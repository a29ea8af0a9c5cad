// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/progress.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "tools/ctl/ctl.h"

#define EACH (100 * NSEC_PER_MSEC) /* no more often than this */

static char shown[512];
static uint64_t shown_at;

static size_t columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return sizeof(shown) - 1;
	return size.ws_col - 1;
}

void progress(const char *f, ...)
{
	char line[sizeof(shown)];
	size_t width;
	va_list ap;
	struct timespec t;
	uint64_t now;

	if (!options.progress && !isatty(STDERR_FILENO))
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
	if (now - shown_at < EACH)
		return;
	shown_at = now;
	va_start(ap, f);
	(void)vsnprintf(line, sizeof(line), f, ap);
	va_end(ap);
	width = columns();
	if (width < sizeof(line))
		line[width] = 0;
	if (strcmp(line, shown) == 0)
		return;
	memcpy(shown, line, sizeof(shown));
	(void)fprintf(stderr, "\r%s\033[K", line);
}

void progress_hide(void)
{
	if (!*shown)
		return;
	(void)fputs("\r\033[K", stderr);
	*shown = 0;
}
