/* build: hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images: what is written comes back, and no damage passes. */
#include <errno.h>
#include "hv/state.h"
#include "test/unit/check.h"
#include "test/unit/images.h"

#define HEADER	IMAGE_HEADER
#define SECTION IMAGE_SECTION

static uint8_t image[1024];
static int size;

/* Two sections: `alpha` of 15 bytes (1 byte of padding), `beta` without a payload. */
static void write_image(void)
{
	struct state_writer w;

	memset(image, 0xcc, sizeof(image));
	state_writer_init(&w, image, sizeof(image));
	state_begin(&w, "alpha", 3);
	state_put8(&w, 0x11);
	state_put16(&w, 0x2233);
	state_put32(&w, 0x44556677);
	state_put64(&w, 0x8899aabbccddeeff);
	state_end(&w);
	state_begin(&w, "beta", 1);
	state_end(&w);
	size = state_finish(&w);
}

static char text[STATE_TEXT_MAX]; /* about the first thing wrong with the image */

/* That, or STATE_END. */
static int verdict(void)
{
	struct state_image img;
	struct state_reader r;
	int err = state_open(&img, image, (size_t)size);

	while (err == STATE_OK)
		err = state_next(&img, &r);
	state_describe(&img.fault, text, sizeof(text));
	return err;
}

static void checksum_is_crc32c(void)
{
	unsigned char bytes[100];

	CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
	CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	CHECK_EQ(crc32c(0, "", 0), 0);
	for (size_t n = 0; __builtin_cpu_supports("sse4.2") && n < sizeof(bytes); n++) {
		bytes[n] = (unsigned char)(n * 151 + 7);
		CHECK_EQ(crc32c_with(true, (uint32_t)n, bytes, n),
			 crc32c_with(false, (uint32_t)n, bytes, n));
	}
}

static void what_is_written_comes_back(void)
{
	struct state_image img;
	struct state_reader r;

	write_image();
	CHECK_EQ(size, HEADER + SECTION + 16 + SECTION);
	CHECK_EQ(state_open(&img, image, sizeof(image)), STATE_OK); /* a buffer may be longer */
	CHECK_EQ(state_next(&img, &r), STATE_OK);
	CHECK_STR(r.name, "alpha");
	CHECK_EQ(r.version, 3);
	CHECK_EQ(state_get8(&r), 0x11);
	CHECK_EQ(state_get16(&r), 0x2233);
	CHECK_EQ(state_get32(&r), 0x44556677);
	CHECK(!state_commit(&r));
	CHECK_EQ(state_get64(&r), 0x8899aabbccddeeff);
	CHECK(state_commit(&r));
	CHECK_EQ(state_next(&img, &r), STATE_OK);
	CHECK_STR(r.name, "beta");
	CHECK(state_commit(&r));
	CHECK_EQ(state_next(&img, &r), STATE_END);
	CHECK_EQ(state_next(&img, &r), STATE_END);
}

static void reading_past_the_end_sticks(void)
{
	struct state_image img;
	struct state_reader r;
	uint8_t buf[8] = {1, 2, 3};

	write_image();
	state_open(&img, image, (size_t)size);
	state_next(&img, &r);
	state_get64(&r);
	CHECK_EQ(r.err, 0);
	state_get(&r, buf, sizeof(buf)); /* 7 are left */
	CHECK_EQ(r.err, -EINVAL);
	CHECK_EQ(buf[0] | buf[1] | buf[2], 0);
	CHECK_EQ(state_get8(&r), 0);
	CHECK(!state_commit(&r));
}

/* What became of `alpha` after `bytes` were read and this was required. */
static const char *after(unsigned bytes, bool holds, uint64_t has, bool look)
{
	struct state_image img;
	struct state_reader r;
	struct state_fault f;
	uint8_t buf[32];

	write_image();
	state_open(&img, image, (size_t)size);
	state_next(&img, &r);
	r.look = look;
	state_get(&r, buf, bytes);
	state_require(&r, holds, "knob");
	state_expect(&r, has, 4, "lever");
	CHECK_EQ(state_commit(&r), state_loaded(&r, &f) && !look);
	state_describe(&f, text, sizeof(text));
	return text;
}

static void a_reader_says_what_it_refused(void)
{
	CHECK_STR(after(15, true, 4, false), "section alpha: no error");
	CHECK_STR(after(15, true, 4, true), "section alpha: no error"); /* but not to be taken */
	CHECK_STR(after(15, false, 5, false), "section alpha: refused: knob");
	CHECK_STR(after(15, true, 5, false),
		  "section alpha: refused: lever: 0x5 in the image, 0x4 here");
	CHECK_STR(after(14, true, 4, false),
		  "section alpha: another size: 15 bytes, 14 were expected");
	/* what was read behind the end is not to blame */
	CHECK_STR(after(16, false, 4, false),
		  "section alpha: another size: its 15 bytes are too few");
	CHECK_STR(after(14, false, 4, false), "section alpha: refused: knob");
}

static void a_full_buffer_is_an_error(void)
{
	uint8_t full[HEADER + SECTION + 16 + SECTION];

	write_image();
	for (size_t n = 0; n <= sizeof(full); n++) {
		struct state_writer w;

		state_writer_init(&w, full, n);
		state_begin(&w, "alpha", 3);
		state_put(&w, image + HEADER + SECTION, 15);
		state_end(&w);
		state_begin(&w, "beta", 1);
		state_end(&w);
		CHECK_EQ(state_finish(&w), n == sizeof(full) ? (int)n : -ENOSPC);
	}
	CHECK(memcmp(full, image, sizeof(full)) == 0);
}

static void misuse_is_an_error(void)
{
	struct state_writer w;

	state_writer_init(&w, image, sizeof(image));
	state_put8(&w, 1);
	CHECK_EQ(state_finish(&w), -EINVAL);
	state_writer_init(&w, image, sizeof(image));
	state_begin(&w, "a", 1);
	CHECK_EQ(state_finish(&w), -EINVAL);
	state_writer_init(&w, image, sizeof(image));
	state_begin(&w, "sixteen-letters!", 1);
	CHECK_EQ(w.err, -EINVAL);
	state_writer_init(&w, image, sizeof(image));
	state_begin(&w, "", 1);
	CHECK_EQ(w.err, -EINVAL);
	state_writer_init(&w, image, sizeof(image));
	state_begin(&w, "a", 1);
	state_begin(&w, "b", 1);
	CHECK_EQ(w.err, -EINVAL);
	state_writer_init(&w, image, sizeof(image));
	state_end(&w);
	CHECK_EQ(w.err, -EINVAL);
}

static void every_flipped_bit_is_found(void)
{
	write_image();
	CHECK_EQ(verdict(), STATE_END);
	for (int i = 0; i < size * 8; i++) {
		int err;

		image[i / 8] ^= 1 << i % 8;
		err = verdict();
		if (!CHECK(err < 0))
			printf("  bit %d\n", i);
		CHECK(!strstr(text, "no error"));
		image[i / 8] ^= 1 << i % 8;
	}
}

static void every_cut_is_found(void)
{
	int whole;

	write_image();
	whole = size;
	for (size = 0; size < whole; size++)
		CHECK_EQ(verdict(), STATE_TRUNCATED);
}

static const char *damage(size_t at, uint64_t val, size_t n)
{
	write_image();
	memcpy(image + at, &val, n);
	if (at < HEADER) {
		image_seal(image);
	} else if (section_bytes(image, HEADER) < sizeof(image) - HEADER - SECTION) {
		section_seal(image, HEADER);
	} else { /* there is no such payload: the header's checksum only */
		uint32_t crc = crc32c(0, image + HEADER, 32);

		memcpy(image + HEADER + 32, &crc, sizeof(crc));
	}
	verdict();
	return text;
}

static const char *flip(size_t at)
{
	write_image();
	image[at] ^= 0x20;
	verdict();
	return text;
}

static const char *cut(int bytes)
{
	write_image();
	size = bytes;
	verdict();
	return text;
}

static void each_damage_has_its_words(void)
{
	CHECK_STR(flip(0), "the image: not a state image: it does not begin with STASISST");
	CHECK_STR(flip(8), "the image: wrong checksum: 0xa5f7c05b is written, 0x89bb9125 found");
	CHECK_STR(damage(8, 2, 4), "the image: unknown version 2: this build knows 1");
	CHECK_STR(damage(16, 31, 8),
		  "the image: another size: 31 bytes cannot hold a header of 32");
	CHECK_STR(damage(28, 1, 4), "the image: refused: bytes that must be zero");
	/* one section less: bytes are left over; one more: they end too early */
	CHECK_STR(damage(12, 1, 4), "section 2: another size: 40 bytes behind the last section");
	CHECK_STR(damage(12, 3, 4), "section 3: another size: 0 bytes cannot hold a header of 40");
	CHECK_STR(damage(16, (uint64_t)size + 1, 8),
		  "section 3: truncated: 128 of 129 bytes are there");
	CHECK_STR(flip(HEADER),
		  "section 1: wrong checksum: 0x636fb662 is written, 0xce30efd5 found");
	CHECK_STR(flip(HEADER + SECTION),
		  "section alpha: wrong checksum: 0xa46c8d5b is written, 0x6d614137 found");
	CHECK_STR(damage(HEADER + 24, 57, 8), /* it fits, its padding does not */
		  "section alpha: another size: 57 bytes do not fit into the 56 that are left");
	CHECK_STR(damage(HEADER + 24, 14, 8), /* the last byte becomes padding */
		  "section alpha: refused: bytes that must be zero");
	CHECK_STR(damage(HEADER + 24, ~0ull, 8), "section alpha: another size: "
						 "18446744073709551615 bytes do not fit into the "
						 "56 that are left");
	CHECK_STR(damage(HEADER, 0, 1), "section 1: refused: a name that no section can have");
	CHECK_STR(damage(HEADER + 15, 'x', 1),
		  "section 1: refused: a name that no section can have");
	CHECK_STR(damage(HEADER + 36, 1, 4), "section alpha: refused: bytes that must be zero");
	CHECK_STR(cut(31), "the image: truncated: 31 of 32 bytes are there");
	CHECK_STR(cut(HEADER + 10), "section 1: truncated: 10 of 40 bytes are there");
	CHECK_STR(cut(HEADER + SECTION + 10), "section alpha: truncated: 10 of 15 bytes are there");
	CHECK_STR(cut(HEADER + SECTION + 16 + SECTION - 1),
		  "section 2: truncated: 39 of 40 bytes are there");
}

int main(void)
{
	RUN(checksum_is_crc32c);
	RUN(what_is_written_comes_back);
	RUN(reading_past_the_end_sticks);
	RUN(a_reader_says_what_it_refused);
	RUN(a_full_buffer_is_an_error);
	RUN(misuse_is_an_error);
	RUN(every_flipped_bit_is_found);
	RUN(every_cut_is_found);
	RUN(each_damage_has_its_words);
	return check_result();
}
