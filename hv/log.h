/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node's log: a ring of lines, each with time since entry, kept for the command `log`; shown on
 * the console while the node boots, and later only while the prompt is open (errors always).
 * Integer formats only (newlib's vsniprintf; in host tests vsnprintf). Any CPU, any context but NMI
 * and #MC.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* Walks the log as logbuf_next does. Any CPU. */
bool log_next(size_t *pos, char *line, size_t size);

/* For things the guest can repeat without end: true at most `burst` times a second of host time,
 * per call site's struct. */
struct log_ratelimit {
	uint64_t window; /* host ticks at the window's start */
	uint32_t burst, seen, dropped;
};
bool log_ratelimited(struct log_ratelimit *r);

__attribute__((noreturn, format(printf, 1, 2))) void panic(const char *fmt, ...);
#define ASSERT(c) ((c) ? (void)0 : panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #c))
