/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State images: a versioned sequence of checksummed sections, little-endian; layout in
 * docs/state-format.md. Errors are sticky: after one, getters give 0 and putters do nothing. Pure;
 * the reader survives any bytes and never changes them.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "storage/crc32c.h"

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

enum state_error {
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
	STATE_CONTENT, /* a value that this machine can't have */
};

/* What is wrong with an image, and where; `has` and `wants` as the error needs them. */
struct state_fault {
	int err;
	uint32_t section;	   /* number of the section, from 1; 0: the image's header */
	char name[STATE_NAME_LEN]; /* its name; empty: not known */
	const char *field;	   /* STATE_CONTENT: what was refused; else NULL */
	bool numbers;		   /* `has` and `wants` say more */
	uint64_t has, wants;
};
#define STATE_TEXT_MAX 256
/* One line in plain words, with the section's name. */
void state_describe(const struct state_fault *f, char *text, size_t size);

struct state_reader { /* one section's payload */
	const uint8_t *buf;
	size_t size, pos;
	uint32_t version, section;
	char name[STATE_NAME_LEN];
	bool look;	     /* state_commit() says no: only find out whether all is well */
	int err;	     /* 0 or -EINVAL: read past the end */
	const char *refused; /* the first value that was refused */
	bool numbers;
	uint64_t has, wants;
};

struct state_image {
	const uint8_t *buf;
	size_t size, pos; /* bytes that are there */
	uint64_t total;	  /* bytes that should be there */
	uint32_t sections, seen;
	struct state_fault fault;
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

/* A state_error; if it is negative, img->fault says more. */
int state_open(struct state_image *img, const void *buf, size_t size);
/* The same; checks the checksums of header and payload. */
int state_next(struct state_image *img, struct state_reader *r);
void state_get(struct state_reader *r, void *p, size_t n);
uint8_t state_get8(struct state_reader *r);
uint16_t state_get16(struct state_reader *r);
uint32_t state_get32(struct state_reader *r);
uint64_t state_get64(struct state_reader *r);
/* Refuse the section unless this holds; `field` (a literal) names the value, or says what is wrong
 * with it. Returns `holds`. The first refusal counts. */
bool state_require(struct state_reader *r, bool holds, const char *field);
bool state_expect(struct state_reader *r, uint64_t has, uint64_t wants, const char *field);
/* Everything is read, nothing was refused: what was read may be taken now. */
bool state_commit(struct state_reader *r);
/* What became of the section: true, or a fault. */
bool state_loaded(const struct state_reader *r, struct state_fault *f);
