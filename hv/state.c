/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images: writer, reader and their checksums. Layout in docs/state-format.md. */
#include "hv/state.h"
#include <errno.h>
#include <string.h>
#include "hv/fmt.h"

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

static int fail(struct state_image *img, int err, const char *name, uint64_t has, uint64_t wants)
{
	struct state_fault *f = &img->fault;

	*f = (struct state_fault){.err = err, .numbers = true, .has = has, .wants = wants};
	if (img->pos) /* past the image's header */
		f->section = img->seen + 1;
	if (name)
		memcpy(f->name, name, STATE_NAME_LEN);
	return err;
}

/* `field`: what is wrong with a header whose checksum is right */
static int malformed(struct state_image *img, const char *name, const char *field)
{
	fail(img, STATE_CONTENT, name, 0, 0);
	img->fault.field = field;
	img->fault.numbers = false;
	return STATE_CONTENT;
}

int state_open(struct state_image *img, const void *buf, size_t size)
{
	struct image_header h;
	uint32_t crc;

	*img = (struct state_image){.buf = buf};
	if (size < sizeof(h))
		return fail(img, STATE_TRUNCATED, NULL, size, sizeof(h));
	memcpy(&h, buf, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) != 0)
		return fail(img, STATE_MAGIC, NULL, 0, 0);
	crc = crc32c(0, &h, offsetof(struct image_header, crc));
	if (h.crc != crc)
		return fail(img, STATE_CHECKSUM, NULL, h.crc, crc);
	if (h.version != STATE_VERSION)
		return fail(img, STATE_IMAGE_VERSION, NULL, h.version, STATE_VERSION);
	if (h.total < sizeof(h))
		return fail(img, STATE_SECTION_SIZE, NULL, h.total, sizeof(h));
	if (h.zero)
		return malformed(img, NULL, "bytes that must be zero");
	img->total = h.total;
	img->size = h.total < size ? h.total : size;
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

/* The bytes end before the image does; or, if they don't, the image's sizes contradict each other.
 */
static int too_short(struct state_image *img, const char *name, uint64_t has, uint64_t wants)
{
	return fail(img, img->size < img->total ? STATE_TRUNCATED : STATE_SECTION_SIZE, name, has,
		    wants);
}

static int check_payload(struct state_image *img, const struct section_header *h)
{
	const uint8_t *payload = img->buf + img->pos + sizeof(*h);
	size_t left = img->size - img->pos - sizeof(*h), pad = -h->size % PAD;
	uint32_t crc;

	if (!name_valid(h->name))
		return malformed(img, NULL, "a name that no section can have");
	if (h->size > left || pad > left - h->size)
		return too_short(img, h->name, left, h->size > left ? h->size : h->size + pad);
	crc = crc32c(0, payload, h->size);
	if (h->payload_crc != crc)
		return fail(img, STATE_CHECKSUM, h->name, h->payload_crc, crc);
	if (h->zero || !all_zero(payload + h->size, pad))
		return malformed(img, h->name, "bytes that must be zero");
	return STATE_OK;
}

int state_next(struct state_image *img, struct state_reader *r)
{
	size_t left = img->size - img->pos;
	struct section_header h;
	uint32_t crc;
	int err;

	if (img->seen == img->sections) {
		if (img->size < img->total)
			return fail(img, STATE_TRUNCATED, NULL, img->size, img->total);
		return left ? fail(img, STATE_SECTION_SIZE, NULL, left, 0) : STATE_END;
	}
	if (left < sizeof(h))
		return too_short(img, NULL, left, sizeof(h));
	memcpy(&h, img->buf + img->pos, sizeof(h));
	crc = crc32c(0, &h, offsetof(struct section_header, crc));
	if (h.crc != crc)
		return fail(img, STATE_CHECKSUM, NULL, h.crc, crc);
	err = check_payload(img, &h);
	if (err)
		return err;
	img->pos += sizeof(h);
	*r = (struct state_reader){.buf = img->buf + img->pos,
				   .size = h.size,
				   .version = h.version,
				   .section = ++img->seen};
	memcpy(r->name, h.name, sizeof(r->name));
	img->pos += h.size + -h.size % PAD;
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

bool state_require(struct state_reader *r, bool holds, const char *field)
{
	if (!holds && !r->refused)
		r->refused = field;
	return holds;
}

bool state_expect(struct state_reader *r, uint64_t has, uint64_t wants, const char *field)
{
	if (has != wants && !r->refused) {
		r->numbers = true;
		r->has = has;
		r->wants = wants;
	}
	return state_require(r, has == wants, field);
}

static bool all_well(const struct state_reader *r)
{
	return !r->err && !r->refused && r->pos == r->size;
}

bool state_commit(struct state_reader *r)
{
	return !r->look && all_well(r);
}

bool state_loaded(const struct state_reader *r, struct state_fault *f)
{
	*f = (struct state_fault){.section = r->section};
	memcpy(f->name, r->name, sizeof(f->name));
	if (all_well(r))
		return true;
	if (r->err ||
	    !r->refused) { /* what was read past the end is 0, and may be refused for it */
		f->err = STATE_SECTION_SIZE;
		f->has = r->size;
		f->wants = r->pos;
		f->numbers = !r->err;
		return false;
	}
	f->err = STATE_CONTENT;
	f->field = r->refused;
	f->numbers = r->numbers;
	f->has = r->has;
	f->wants = r->wants;
	return false;
}

/* --- words --- */

typedef unsigned long long ull;

static int where(const struct state_fault *f, char *text, size_t size)
{
	if (!f->section && !f->name[0])
		return fmt(text, size, "the image: ");
	if (!f->name[0])
		return fmt(text, size, "section %u: ", (unsigned)f->section);
	return fmt(text, size, "section %.*s: ", STATE_NAME_LEN, f->name);
}

static void describe_size(const struct state_fault *f, char *text, size_t size)
{
	if (!f->numbers)
		fmt(text, size, "another size: its %llu bytes are too few", (ull)f->has);
	else if (f->name[0] && f->wants > f->has)
		fmt(text, size, "another size: %llu bytes do not fit into the %llu that are left",
		    (ull)f->wants, (ull)f->has);
	else if (f->name[0])
		fmt(text, size, "another size: %llu bytes, %llu were expected", (ull)f->has,
		    (ull)f->wants);
	else if (f->wants)
		fmt(text, size, "another size: %llu bytes cannot hold a header of %llu",
		    (ull)f->has, (ull)f->wants);
	else
		fmt(text, size, "another size: %llu bytes behind the last section", (ull)f->has);
}

void state_describe(const struct state_fault *f, char *text, size_t size)
{
	int n = where(f, text, size);
	ull has = f->has, wants = f->wants;

	if (n < 0 || (size_t)n >= size)
		return;
	text += n;
	size -= (size_t)n;
	switch (f->err) {
	case STATE_TRUNCATED:
		fmt(text, size, "truncated: %llu of %llu bytes are there", has, wants);
		break;
	case STATE_MAGIC:
		fmt(text, size, "not a state image: it does not begin with %.8s", magic);
		break;
	case STATE_IMAGE_VERSION:
	case STATE_SECTION_VERSION:
		fmt(text, size, "unknown version %llu: this build knows %llu", has, wants);
		break;
	case STATE_CHECKSUM:
		fmt(text, size, "wrong checksum: 0x%08llx is written, 0x%08llx found", has, wants);
		break;
	case STATE_UNKNOWN_SECTION:
		fmt(text, size, "unknown: this machine has no such unit");
		break;
	case STATE_SECTION_SIZE:
		describe_size(f, text, size);
		break;
	case STATE_MISSING_SECTION:
		fmt(text, size, "missing");
		break;
	case STATE_DUPLICATE_SECTION:
		fmt(text, size, "duplicate: it is there twice");
		break;
	case STATE_CONTENT:
		if (f->numbers)
			fmt(text, size, "refused: %s: 0x%llx in the image, 0x%llx here", f->field,
			    has, wants);
		else
			fmt(text, size, "refused: %s", f->field);
		break;
	default:
		fmt(text, size, "no error");
	}
}
