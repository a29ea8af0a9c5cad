// SPDX-License-Identifier: GPL-2.0-or-later
/* By tables, eight bytes at a time. */
#include "storage/crc32c.h"
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

static uint32_t eight(uint32_t crc, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	v ^= crc;
	crc = 0;
	for (unsigned s = 0; s < SLICES; s++)
		crc ^= table[SLICES - 1 - s][v >> (8 * s) & 0xff];
	return crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (!table[0][1])
		build();
	crc = ~crc;
	for (; n >= SLICES; n -= SLICES, p += SLICES)
		crc = eight(crc, p);
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}
