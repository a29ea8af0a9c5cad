/* build: hv/state.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images: what is written comes back, and no damage passes. */
#include <errno.h>
#include "hv/state.h"
#include "test/unit/check.h"

#define HEADER	32
#define SECTION 40

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

/* The first thing wrong with the image, or STATE_END. */
static int verdict(void)
{
	struct state_image img;
	struct state_reader r;
	int err = state_open(&img, image, (size_t)size);

	while (err == STATE_OK)
		err = state_next(&img, &r);
	return err;
}

static void seal_header(void)
{
	uint32_t crc = crc32c(0, image, 24);

	memcpy(image + 24, &crc, 4);
}

static void seal_section(size_t at)
{
	uint64_t n;
	uint32_t crc;

	memcpy(&n, image + at + 24, 8);
	if (n < sizeof(image) - at - SECTION) {
		crc = crc32c(0, image + at + SECTION, n);
		memcpy(image + at + 20, &crc, 4);
	}
	crc = crc32c(0, image + at, 32);
	memcpy(image + at + 32, &crc, 4);
}

static void checksum_is_crc32c(void)
{
	CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
	CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	CHECK_EQ(crc32c(0, "", 0), 0);
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
	CHECK(!state_done(&r));
	CHECK_EQ(state_get64(&r), 0x8899aabbccddeeff);
	CHECK(state_done(&r));
	CHECK_EQ(state_next(&img, &r), STATE_OK);
	CHECK_STR(r.name, "beta");
	CHECK(state_done(&r));
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
	CHECK(!state_done(&r));
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
		CHECK(strcmp(state_strerror(err), "unknown error") != 0);
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

static void set(size_t at, uint64_t val, size_t n)
{
	write_image();
	memcpy(image + at, &val, n);
	if (at < HEADER)
		seal_header();
	else
		seal_section(HEADER);
}

static void each_damage_has_its_error(void)
{
	write_image();
	image[0] = 's';
	CHECK_EQ(verdict(), STATE_MAGIC);
	write_image();
	image[8] = 2;
	CHECK_EQ(verdict(), STATE_CHECKSUM);
	set(8, 2, 4);
	CHECK_EQ(verdict(), STATE_IMAGE_VERSION);
	set(12, 1, 4); /* one section less: bytes are left over */
	CHECK_EQ(verdict(), STATE_SECTION_SIZE);
	set(12, 3, 4);
	CHECK_EQ(verdict(), STATE_TRUNCATED);
	set(16, 31, 8);
	CHECK_EQ(verdict(), STATE_SECTION_SIZE);
	set(16, (uint64_t)size + 1, 8);
	CHECK_EQ(verdict(), STATE_TRUNCATED);
	set(28, 1, 4);
	CHECK_EQ(verdict(), STATE_CONTENT);
	write_image();
	image[HEADER + SECTION] ^= 1;
	CHECK_EQ(verdict(), STATE_CHECKSUM);
	set(HEADER + 24, ~0ull, 8); /* size */
	CHECK_EQ(verdict(), STATE_SECTION_SIZE);
	set(HEADER + 24, 57, 8); /* fits, its padding does not */
	CHECK_EQ(verdict(), STATE_SECTION_SIZE);
	set(HEADER + 24, 14, 8); /* the last byte becomes padding */
	CHECK_EQ(verdict(), STATE_CONTENT);
	set(HEADER, 0, 1); /* no name */
	CHECK_EQ(verdict(), STATE_CONTENT);
	set(HEADER + 15, 'x', 1); /* letters behind the name's end */
	CHECK_EQ(verdict(), STATE_CONTENT);
	set(HEADER + 36, 1, 4);
	CHECK_EQ(verdict(), STATE_CONTENT);
}

int main(void)
{
	RUN(checksum_is_crc32c);
	RUN(what_is_written_comes_back);
	RUN(reading_past_the_end_sticks);
	RUN(a_full_buffer_is_an_error);
	RUN(misuse_is_an_error);
	RUN(every_flipped_bit_is_found);
	RUN(every_cut_is_found);
	RUN(each_damage_has_its_error);
	return check_result();
}
