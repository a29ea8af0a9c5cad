// SPDX-License-Identifier: GPL-2.0-or-later
/* Eight bytes at a time: by the processor's instruction (SDM vol. 2, CRC32), or by tables where it
 * has none. */
#include "storage/crc32c.h"
#include <cpuid.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */
#define SLICES	   8

static uint32_t table[SLICES][256];

static void build(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? POLYNOMIAL : 0);
		table[0][i] = c;
	}
	for (unsigned i = 0; i < 256; i++)
		for (unsigned s = 1; s < SLICES; s++)
			table[s][i] = table[s - 1][i] >> 8 ^ table[0][table[s - 1][i] & 0xff];
}

static uint32_t by_tables(uint32_t crc, uint64_t v)
{
	v ^= crc;
	crc = 0;
	for (unsigned s = 0; s < SLICES; s++)
		crc ^= table[SLICES - 1 - s][v >> (8 * s) & 0xff];
	return crc;
}

static uint32_t by_instruction(uint32_t crc, uint64_t v)
{
	uint64_t c = crc;

	asm("crc32q %1, %0" : "+r"(c) : "rm"(v));
	return (uint32_t)c;
}

static bool has_instruction(void)
{
	static enum { NOT_ASKED, YES, NO } answer;
	unsigned a, b, c, d;

	if (answer == NOT_ASKED)
		answer = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2 ? YES : NO;
	return answer == YES;
}

uint32_t crc32c_with(bool instruction, uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (!table[0][1])
		build();
	crc = ~crc;
	for (; n >= SLICES; n -= SLICES, p += SLICES) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		crc = instruction ? by_instruction(crc, v) : by_tables(crc, v);
	}
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	return crc32c_with(has_instruction(), crc, data, n);
}
