// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/ctl_record.h"
#include <errno.h>
#include <string.h>

#define VERSION_END 1000000 /* no version is that high */

void ctl_reader_init(struct ctl_reader *r, uint8_t *buf, uint32_t payload_max)
{
	*r = (struct ctl_reader){.buf = buf, .payload_max = payload_max};
}

static uint32_t length(const uint8_t *h)
{
	return h[0] | (uint32_t)h[1] << 8 | (uint32_t)h[2] << 16 | (uint32_t)h[3] << 24;
}

static int check_header(const struct ctl_reader *r)
{
	const uint8_t *h = r->header;

	if (h[4] == 0 || h[4] >= CTL_TYPES || h[5] != 0)
		return -EBADMSG;
	return length(h) > r->payload_max ? -EMSGSIZE : 0;
}

static size_t take(uint8_t *to, size_t wanted, const uint8_t *data, size_t size)
{
	size_t n = wanted < size ? wanted : size;

	if (n)
		memcpy(to, data, n);
	return n;
}

int ctl_reader_feed(struct ctl_reader *r, const uint8_t *data, size_t size, size_t *taken,
		    struct ctl_record *rec)
{
	size_t n = 0;
	uint32_t whole;

	*taken = 0;
	if (r->error)
		return r->error;
	if (r->used < CTL_HEADER) {
		n = take(r->header + r->used, CTL_HEADER - r->used, data, size);
		r->used += (uint32_t)n;
		*taken = n;
		if (r->used < CTL_HEADER)
			return 0;
		r->error = check_header(r);
		if (r->error)
			return r->error;
	}
	whole = CTL_HEADER + length(r->header);
	n = take(r->buf + (r->used - CTL_HEADER), whole - r->used, data + n, size - n);
	r->used += (uint32_t)n;
	*taken += n;
	if (r->used < whole)
		return 0;
	*rec = (struct ctl_record){
		.type = (enum ctl_type)r->header[4],
		.channel = (uint16_t)(r->header[6] | r->header[7] << 8),
		.size = length(r->header),
		.payload = r->buf,
	};
	r->used = 0;
	return 1;
}

void ctl_header(uint8_t header[CTL_HEADER], enum ctl_type type, uint16_t channel, uint32_t size)
{
	for (int i = 0; i < 4; i++)
		header[i] = (uint8_t)(size >> 8 * i);
	header[4] = (uint8_t)type;
	header[5] = 0;
	header[6] = (uint8_t)channel;
	header[7] = (uint8_t)(channel >> 8);
}

uint32_t ctl_reader_wants(const struct ctl_reader *r)
{
	return (r->used < CTL_HEADER ? 0 : length(r->header)) + CTL_HEADER - r->used;
}

int ctl_hello_version(const char *text)
{
	static const char name[] = "\"version\"";
	const char *p = strstr(text, name);
	int v = 0;

	if (*text != '{' || !p)
		return -1;
	p += sizeof(name) - 1;
	p += strspn(p, " \t");
	if (*p++ != ':')
		return -1;
	p += strspn(p, " \t");
	if (*p < '0' || *p > '9')
		return -1;
	for (; *p >= '0' && *p <= '9' && v < VERSION_END; p++)
		v = v * 10 + (*p - '0');
	return v;
}
