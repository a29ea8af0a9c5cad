/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log that nobody reads, and a panic that ends the test. */
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "hv/log.h"

void log_at(enum log_level level, const char *text, ...)
{
	(void)level, (void)text;
}

bool log_ratelimited(struct log_ratelimit *r)
{
	(void)r;
	return true;
}

void panic(const char *text, ...)
{
	va_list ap;

	va_start(ap, text);
	(void)fprintf(stderr, "panic: ");
	(void)vfprintf(stderr, text, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	abort();
}
