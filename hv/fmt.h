/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formatted text without floating point: newlib's integer-only printf family on the node, the
 * host's in tests. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#ifdef HOST_TEST
#define fmt_v(buf, size, f, ap) vsnprintf(buf, size, f, ap)
#else
#define fmt_v(buf, size, f, ap) vsniprintf(buf, size, f, ap)
#endif

/* As snprintf: always terminated, returns the length it would have had. */
__attribute__((format(printf, 3, 4))) static inline int fmt(char *buf, size_t size, const char *f,
							    ...)
{
	va_list ap;
	int n;

	va_start(ap, f);
	n = fmt_v(buf, size, f, ap);
	va_end(ap);
	return n;
}
