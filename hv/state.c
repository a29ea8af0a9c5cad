/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images: writer, reader and their checksums. Layout in docs/state-format.md. */
#include "hv/state.h"
#include <errno.h>
#include <string.h>

static const char magic[8] = {'S', 'T', 'A', 'S', 'I', 'S', 'S', 'T'};

struct image_header {
	char magic[8];
	uint32_t version, sections;
	uint64_t total; /* bytes, header included */
	uint32_t crc;	/* of the bytes before */
	uint32_t zero;
};
_Static_assert(sizeof(struct image_header) == 32, "image header");
_Static_assert(offsetof(struct image_header, crc) == 24, "image header");

struct section_header {
	char name[STATE_NAME_LEN];
	uint32_t version;
	uint32_t payload_crc;
	uint64_t size; /* payload bytes, padding excluded */
	uint32_t crc;  /* of the bytes before */
	uint32_t zero;
};
_Static_assert(sizeof(struct section_header) == 40, "section header");
_Static_assert(offsetof(struct section_header, crc) == 32, "section header");

#define PAD 8u

/* CRC-32C (Castagnoli), reflected polynomial 82F63B78h, four bits a step. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *b = p;

	crc = ~crc;
	while (n--) {
		crc ^= *b++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* --- writer --- */

void state_writer_init(struct state_writer *w, void *buf, size_t size)
{
	*w = (struct state_writer){.buf = buf, .size = size, .pos = sizeof(struct image_header)};
	if (size < sizeof(struct image_header))
		w->err = -ENOSPC;
}

static void append(struct state_writer *w, const void *p, size_t n)
{
	if (w->err)
		return;
	if (n > w->size - w->pos) {
		w->err = -ENOSPC;
		return;
	}
	memcpy(w->buf + w->pos, p, n);
	w->pos += n;
}

static bool name_valid(const char name[STATE_NAME_LEN])
{
	size_t n = 0;

	while (n < STATE_NAME_LEN && name[n])
		n++;
	if (n == 0 || n == STATE_NAME_LEN)
		return false;
	for (; n < STATE_NAME_LEN; n++) {
		if (name[n])
			return false;
	}
	return true;
}

void state_begin(struct state_writer *w, const char *name, uint32_t version)
{
	struct section_header h = {.version = version};
	size_t at = w->pos, n = strlen(name);

	if (w->section || n == 0 || n >= STATE_NAME_LEN) {
		w->err = w->err ? w->err : -EINVAL;
		return;
	}
	memcpy(h.name, name, n);
	append(w, &h, sizeof(h));
	if (!w->err)
		w->section = at;
}

void state_end(struct state_writer *w)
{
	static const uint8_t zero[PAD];
	struct section_header h;
	const uint8_t *payload;

	if (w->err)
		return;
	if (!w->section) {
		w->err = -EINVAL;
		return;
	}
	memcpy(&h, w->buf + w->section, sizeof(h));
	payload = w->buf + w->section + sizeof(h);
	h.size = (uint64_t)(w->buf + w->pos - payload);
	h.payload_crc = crc32c(0, payload, h.size);
	h.crc = crc32c(0, &h, offsetof(struct section_header, crc));
	append(w, zero, -w->pos % PAD);
	if (w->err)
		return;
	memcpy(w->buf + w->section, &h, sizeof(h));
	w->section = 0;
	w->sections++;
}

int state_finish(struct state_writer *w)
{
	struct image_header h = {
		.version = STATE_VERSION, .sections = w->sections, .total = w->pos};

	if (!w->err && w->section)
		w->err = -EINVAL;
	if (!w->err && w->pos > INT32_MAX)
		w->err = -ENOSPC;
	if (w->err)
		return w->err;
	memcpy(h.magic, magic, sizeof(magic));
	h.crc = crc32c(0, &h, offsetof(struct image_header, crc));
	memcpy(w->buf, &h, sizeof(h));
	return (int)w->pos;
}

void state_put(struct state_writer *w, const void *p, size_t n)
{
	if (!w->err && !w->section)
		w->err = -EINVAL;
	append(w, p, n);
}

/* The processor is little-endian, and so is the format. */
void state_put8(struct state_writer *w, uint8_t v)
{
	state_put(w, &v, sizeof(v));
}

void state_put16(struct state_writer *w, uint16_t v)
{
	state_put(w, &v, sizeof(v));
}

void state_put32(struct state_writer *w, uint32_t v)
{
	state_put(w, &v, sizeof(v));
}

void state_put64(struct state_writer *w, uint64_t v)
{
	state_put(w, &v, sizeof(v));
}

/* --- reader --- */

int state_open(struct state_image *img, const void *buf, size_t size)
{
	struct image_header h;

	*img = (struct state_image){.buf = buf};
	if (size < sizeof(h))
		return STATE_TRUNCATED;
	memcpy(&h, buf, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) != 0)
		return STATE_MAGIC;
	if (h.crc != crc32c(0, &h, offsetof(struct image_header, crc)))
		return STATE_CHECKSUM;
	if (h.version != STATE_VERSION)
		return STATE_IMAGE_VERSION;
	if (h.total > size)
		return STATE_TRUNCATED;
	if (h.total < sizeof(h))
		return STATE_SECTION_SIZE;
	if (h.zero)
		return STATE_CONTENT;
	img->size = h.total;
	img->pos = sizeof(h);
	img->sections = h.sections;
	return STATE_OK;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n--) {
		if (*p++)
			return false;
	}
	return true;
}

int state_next(struct state_image *img, struct state_reader *r)
{
	size_t left = img->size - img->pos;
	struct section_header h;
	const uint8_t *payload;
	size_t pad;

	if (img->seen == img->sections)
		return left ? STATE_SECTION_SIZE : STATE_END;
	if (left < sizeof(h))
		return STATE_TRUNCATED;
	memcpy(&h, img->buf + img->pos, sizeof(h));
	if (h.crc != crc32c(0, &h, offsetof(struct section_header, crc)))
		return STATE_CHECKSUM;
	left -= sizeof(h);
	pad = -h.size % PAD;
	if (h.size > left || pad > left - h.size)
		return STATE_SECTION_SIZE;
	payload = img->buf + img->pos + sizeof(h);
	if (h.payload_crc != crc32c(0, payload, h.size))
		return STATE_CHECKSUM;
	if (!name_valid(h.name) || h.zero || !all_zero(payload + h.size, pad))
		return STATE_CONTENT;
	*r = (struct state_reader){.buf = payload, .size = h.size, .version = h.version};
	memcpy(r->name, h.name, sizeof(r->name));
	img->pos += sizeof(h) + h.size + pad;
	img->seen++;
	return STATE_OK;
}

void state_get(struct state_reader *r, void *p, size_t n)
{
	if (!r->err && n > r->size - r->pos)
		r->err = -EINVAL;
	if (r->err) {
		memset(p, 0, n);
		return;
	}
	memcpy(p, r->buf + r->pos, n);
	r->pos += n;
}

uint8_t state_get8(struct state_reader *r)
{
	uint8_t v;

	state_get(r, &v, sizeof(v));
	return v;
}

uint16_t state_get16(struct state_reader *r)
{
	uint16_t v;

	state_get(r, &v, sizeof(v));
	return v;
}

uint32_t state_get32(struct state_reader *r)
{
	uint32_t v;

	state_get(r, &v, sizeof(v));
	return v;
}

uint64_t state_get64(struct state_reader *r)
{
	uint64_t v;

	state_get(r, &v, sizeof(v));
	return v;
}

bool state_done(const struct state_reader *r)
{
	return !r->err && r->pos == r->size;
}

const char *state_strerror(int err)
{
	switch (err) {
	case STATE_OK:
		return "no error";
	case STATE_END:
		return "no more sections";
	case STATE_TRUNCATED:
		return "the image ends too early";
	case STATE_MAGIC:
		return "not a state image";
	case STATE_IMAGE_VERSION:
		return "an image format of another version";
	case STATE_CHECKSUM:
		return "checksum mismatch";
	case STATE_UNKNOWN_SECTION:
		return "a section of a unit that this machine does not have";
	case STATE_SECTION_VERSION:
		return "a section of another version";
	case STATE_SECTION_SIZE:
		return "a section's size does not fit";
	case STATE_MISSING_SECTION:
		return "the section of one of this machine's units is missing";
	case STATE_DUPLICATE_SECTION:
		return "a section appears twice";
	case STATE_CONTENT:
		return "a value that no machine can have";
	default:
		return "unknown error";
	}
}
