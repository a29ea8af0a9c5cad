/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images of all registered units, for unit tests and fuzzers: saved, damaged, loaded again.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "hv/unit.h"

#define IMAGE_MAX     131072
#define IMAGE_HEADER  32
#define IMAGE_SECTION 40

static inline int image_save(uint8_t *image)
{
	struct state_writer w;

	state_writer_init(&w, image, IMAGE_MAX);
	if (units_save(&w) != 0)
		return -1;
	return state_finish(&w);
}

static inline void image_scramble(void)
{
	for (unsigned i = 0; i < unit_count(); i++)
		unit_at(i)->scramble(unit_at(i)->dev);
}

static inline bool image_load(const uint8_t *image, int size)
{
	struct state_fault f;
	char text[STATE_TEXT_MAX];

	if (size > 0 && units_load(image, (size_t)size, &f) == STATE_OK)
		return true;
	state_describe(&f, text, sizeof(text));
	printf("  %s\n", text);
	return false;
}

/* Save, scramble, load, save: true if both images are the same. */
static inline bool image_round_trip(void)
{
	static uint8_t a[IMAGE_MAX], b[IMAGE_MAX];
	int n = image_save(a);

	image_scramble();
	return image_load(a, n) && image_save(b) == n && memcmp(a, b, (size_t)n) == 0;
}

/* --- a section, by the offset of its header --- */

static inline uint64_t section_bytes(const uint8_t *image, size_t at)
{
	uint64_t n;

	memcpy(&n, image + at + 24, sizeof(n));
	return n;
}

static inline size_t section_next(const uint8_t *image, size_t at)
{
	return at + IMAGE_SECTION + (section_bytes(image, at) + 7) / 8 * 8;
}

static inline uint8_t *section_payload(uint8_t *image, size_t at)
{
	return image + at + IMAGE_SECTION;
}

/* 0: there is none of this name */
static inline size_t section_find(const uint8_t *image, int size, const char *name)
{
	size_t at = IMAGE_HEADER;

	while (at < (size_t)size) {
		if (strcmp((const char *)image + at, name) == 0)
			return at;
		at = section_next(image, at);
	}
	return 0;
}

/* Make the checksums right again. */
static inline void section_seal(uint8_t *image, size_t at)
{
	uint32_t crc = crc32c(0, section_payload(image, at), section_bytes(image, at));

	memcpy(image + at + 20, &crc, sizeof(crc));
	crc = crc32c(0, image + at, 32);
	memcpy(image + at + 32, &crc, sizeof(crc));
}

static inline void image_seal(uint8_t *image)
{
	uint32_t crc = crc32c(0, image, 24);

	memcpy(image + 24, &crc, sizeof(crc));
}

/* Put `n` bytes of `val` into a section's payload, and seal it. */
static inline void section_patch(uint8_t *image, size_t at, size_t offset, uint64_t val, size_t n)
{
	memcpy(section_payload(image, at) + offset, &val, n);
	section_seal(image, at);
}
