/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formatted text: %s %.*s %c %u %d %x with l, ll, z, width and 0; nothing else. On the host these
 * are libc's. */
#pragma once
#include <stdarg.h>
#include <stddef.h>

int sniprintf(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsniprintf(char *buf, size_t size, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
