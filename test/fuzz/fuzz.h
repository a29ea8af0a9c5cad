/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What fuzz targets share: the input as a stream of numbers, and a check that stops the run. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(c)                                                                            \
	do {                                                                                  \
		if (!(c)) {                                                                   \
			(void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #c); \
			abort();                                                              \
		}                                                                             \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *fuzz_in, *fuzz_end;

static inline void fuzz_begin(const uint8_t *data, size_t size)
{
	fuzz_in = data;
	fuzz_end = data + size;
}

static inline int fuzz_more(void)
{
	return fuzz_in < fuzz_end;
}

/* The next n bytes, little-endian; 0 behind the end. */
static inline uint64_t take(unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && fuzz_in < fuzz_end; i++)
		v |= (uint64_t)*fuzz_in++ << 8 * i;
	return v;
}
