/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State images: a versioned sequence of checksummed sections. Layout in docs/state-format.md; all
 * fields little-endian.
 *
 *   header   magic "STASISST", u32 version, u32 section count, u64 total bytes, u32 crc32c of the
 * header's first 24 bytes, u32 0 section  name[16], u32 version, u32 crc32c of the payload, u64
 * payload bytes, u32 crc32c of the 32 bytes before, u32 0, payload, zero padding to 8 bytes Errors
 * are sticky: after one, getters give 0 and putters do nothing. Pure; survives any bytes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_NAME_LEN 16
#define STATE_VERSION  1

struct state_writer {
	uint8_t *buf;
	size_t size, pos; /* bytes */
	size_t section;	  /* offset of the open section's header, 0 = none open */
	uint32_t sections;
	int err; /* 0, -ENOSPC, or -EINVAL: put outside of a section, begin inside of one, bad name
		  */
};

struct state_reader { /* one section's payload */
	const uint8_t *buf;
	size_t size, pos;
	uint32_t version;
	char name[STATE_NAME_LEN];
	int err; /* 0 or -EINVAL: read past the end */
};

struct state_image {
	const uint8_t *buf;
	size_t size, pos;
	uint32_t sections, seen;
};

enum state_error { /* negative results of state_open/state_next; state_strerror says what is wrong
		      in words */
		   STATE_OK = 0,
		   STATE_END = 1, /* no more sections */
		   STATE_TRUNCATED = -1000,
		   STATE_MAGIC,
		   STATE_IMAGE_VERSION,
		   STATE_CHECKSUM,
		   STATE_UNKNOWN_SECTION,
		   STATE_SECTION_VERSION,
		   STATE_SECTION_SIZE,
		   STATE_MISSING_SECTION,
		   STATE_DUPLICATE_SECTION,
		   STATE_CONTENT, /* a value that no machine can have */
};

void state_writer_init(struct state_writer *w, void *buf, size_t size);
void state_begin(struct state_writer *w, const char *name, uint32_t version);
void state_end(struct state_writer *w);
int state_finish(struct state_writer *w); /* bytes written or w->err */
void state_put(struct state_writer *w, const void *p, size_t n);
void state_put8(struct state_writer *w, uint8_t v);
void state_put16(struct state_writer *w, uint16_t v);
void state_put32(struct state_writer *w, uint32_t v);
void state_put64(struct state_writer *w, uint64_t v);

int state_open(struct state_image *img, const void *buf, size_t size);
int state_next(struct state_image *img,
	       struct state_reader *r); /* checks header and payload checksums */
void state_get(struct state_reader *r, void *p, size_t n);
uint8_t state_get8(struct state_reader *r);
uint16_t state_get16(struct state_reader *r);
uint32_t state_get32(struct state_reader *r);
uint64_t state_get64(struct state_reader *r);
bool state_done(const struct state_reader *r); /* no error and nothing left over */
const char *state_strerror(int err);
uint32_t crc32c(uint32_t crc, const void *p, size_t n); /* software; start with 0 */
