/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks for host unit tests. A test is a void function made of CHECKs; main() RUNs each and
 * returns check_result(). RUN prints `ok NAME` if every check in it held; a failed check prints
 * `FAIL NAME: file:line: what` and the test goes on.
 */
#pragma once
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *check_name = "?";
static unsigned check_failures, check_failures_before;

static inline bool check_fail(const char *file, int line, const char *what)
{
	check_failures++;
	printf("FAIL %s: %s:%d: %s\n", check_name, file, line, what);
	return false;
}

static inline bool check_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
	char text[320];

	if (a == b)
		return true;
	(void)snprintf(text, sizeof(text), "%s: 0x%" PRIx64 " != 0x%" PRIx64, what, a, b);
	return check_fail(file, line, text);
}

static inline bool check_str(const char *file, int line, const char *what, const char *a,
			     const char *b)
{
	char text[640];

	if (strcmp(a, b) == 0)
		return true;
	(void)snprintf(text, sizeof(text), "%s: \"%s\", not \"%s\"", what, a, b);
	return check_fail(file, line, text);
}

/* All are expressions: true if the check held, so that a test can give up early. */
#define CHECK(cond)	((cond) ? true : check_fail(__FILE__, __LINE__, #cond))
#define CHECK_EQ(a, b)	check_eq(__FILE__, __LINE__, #a " == " #b, (uint64_t)(a), (uint64_t)(b))
#define CHECK_STR(a, b) check_str(__FILE__, __LINE__, #a, (a), (b))

#define RUN(test)                                            \
	do {                                                 \
		check_name = #test;                          \
		check_failures_before = check_failures;      \
		test();                                      \
		if (check_failures == check_failures_before) \
			printf("ok %s\n", #test);            \
		(void)fflush(stdout);                        \
	} while (0)

static inline int check_result(void)
{
	return check_failures != 0;
}
