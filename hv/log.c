// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/log.h"
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/fmt.h"
#include "hv/logbuf.h"
#include "timevirt/rate.h"

#define LINE_MAX 240

static struct spinlock lock;
static const char *const level_names[] = {"error: ", "warning: ", "", ""};

static uint64_t microseconds(void)
{
	uint64_t hz = tsc_hz();

	return hz ? rate_cycles_to_ns(rdtsc() - handoff->tsc_entry, hz) / 1000 : 0;
}

void log_at(enum log_level level, const char *f, ...)
{
	char line[LINE_MAX];
	uint64_t us = microseconds();
	va_list ap;
	int n;

	n = fmt(line, sizeof(line), "[%5llu.%06llu] %s", (unsigned long long)(us / 1000000),
		(unsigned long long)(us % 1000000), level_names[level]);
	va_start(ap, f);
	fmt_v(line + n, sizeof(line) - (size_t)n, f, ap);
	va_end(ap);
	if (panic_active) {
		panic_printf("%s\n", line);
		return;
	}
	spin_lock(&lock);
	logbuf_add(line);
	spin_unlock(&lock);
	if (level != LOG_DEBUG)
		console_log(line, level == LOG_ERROR);
}

bool log_next(size_t *pos, char *line, size_t size)
{
	bool more;

	spin_lock(&lock);
	more = logbuf_next(pos, line, size);
	spin_unlock(&lock);
	return more;
}

bool log_ratelimited(struct log_ratelimit *r)
{
	uint64_t now = rdtsc();

	/* races between CPUs cost at most a line more or less */
	if (now - r->window > tsc_hz()) {
		r->window = now;
		r->seen = 0;
	}
	if (r->seen < r->burst) {
		r->seen++;
		return true;
	}
	r->dropped++;
	return false;
}
