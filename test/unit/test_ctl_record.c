/* build: net/ctl_record.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the control protocol, whole and in pieces, good and bad. */
#include "net/ctl_record.h"
#include <errno.h>
#include "test/unit/check.h"

#define MAX 100

static uint8_t buf[MAX];
static struct ctl_reader r;
static struct ctl_record rec;
static size_t taken;

static void start(void)
{
	ctl_reader_init(&r, buf, MAX);
	rec = (struct ctl_record){0};
}

static size_t put(uint8_t *to, enum ctl_type type, uint16_t channel, const char *text)
{
	size_t n = strlen(text);

	ctl_header(to, type, channel, (uint32_t)n);
	memcpy(to + CTL_HEADER, text, n);
	return CTL_HEADER + n;
}

static void header_is_little_endian(void)
{
	static const uint8_t expected[] = {0x04, 0x03, 0x02, 0x01, 9, 0, 0xcd, 0xab};
	uint8_t h[CTL_HEADER];

	ctl_header(h, CTL_PING, 0xabcd, 0x01020304);
	CHECK(memcmp(h, expected, sizeof(h)) == 0);
}

static void any_cut_gives_the_same_records(void)
{
	uint8_t stream[64];
	size_t size = put(stream, CTL_COMMAND, 7, "status");

	size += put(stream + size, CTL_PING, 0, "");
	size += put(stream + size, CTL_CONSOLE_DATA, CTL_CONSOLE, "x");
	for (size_t step = 1; step <= size; step++) {
		unsigned n = 0;

		start();
		for (size_t at = 0; at < size;) {
			size_t piece = size - at < step ? size - at : step;
			int got = ctl_reader_feed(&r, stream + at, piece, &taken, &rec);

			at += taken;
			if (!CHECK(got >= 0) || !CHECK(got || taken == piece))
				return;
			if (got && n == 0)
				CHECK(rec.type == CTL_COMMAND && rec.channel == 7 &&
				      rec.size == 6 && memcmp(rec.payload, "status", 6) == 0);
			if (got && n == 1)
				CHECK(rec.type == CTL_PING && rec.size == 0);
			if (got && n == 2)
				CHECK(rec.channel == CTL_CONSOLE && rec.payload[0] == 'x');
			n += got == 1;
		}
		CHECK_EQ(n, 3);
		CHECK_EQ(r.used, 0);
	}
}

static int feed_header(uint32_t size, unsigned type, unsigned reserved)
{
	uint8_t h[CTL_HEADER];

	start();
	ctl_header(h, (enum ctl_type)type, 0, size);
	h[5] = (uint8_t)reserved;
	return ctl_reader_feed(&r, h, sizeof(h), &taken, &rec);
}

static void bad_headers_end_the_stream(void)
{
	static const uint8_t ping[CTL_HEADER] = {0, 0, 0, 0, CTL_PING};

	CHECK_EQ(feed_header(MAX, CTL_OUTPUT, 0), 0);
	CHECK_EQ(feed_header(MAX + 1, CTL_OUTPUT, 0), -EMSGSIZE);
	CHECK_EQ(feed_header(UINT32_MAX, CTL_OUTPUT, 0), -EMSGSIZE);
	CHECK_EQ(feed_header(1, 0, 0), -EBADMSG);
	CHECK_EQ(feed_header(1, CTL_TYPES, 0), -EBADMSG);
	CHECK_EQ(feed_header(1, CTL_OUTPUT, 1), -EBADMSG);
	/* what follows is not taken for a record */
	CHECK_EQ(ctl_reader_feed(&r, ping, sizeof(ping), &taken, &rec), -EBADMSG);
	CHECK_EQ(taken, 0);
}

static void longest_record(void)
{
	uint8_t h[CTL_HEADER], body[MAX + 1];

	start();
	memset(body, 'a', sizeof(body));
	ctl_header(h, CTL_OUTPUT, 1, MAX);
	CHECK_EQ(ctl_reader_feed(&r, h, sizeof(h), &taken, &rec), 0);
	CHECK_EQ(ctl_reader_feed(&r, body, sizeof(body), &taken, &rec), 1);
	CHECK_EQ(taken, MAX);
	CHECK_EQ(rec.size, MAX);
}

static void versions_of_a_hello_are_read(void)
{
	CHECK_EQ(ctl_hello_version("{\"version\":1,\"client\":\"x\"}"), 1);
	CHECK_EQ(ctl_hello_version("{\"client\":\"x\",\"version\" : 23}"), 23);
	CHECK_EQ(ctl_hello_version(""), -1);
	CHECK_EQ(ctl_hello_version("{\"version\":}"), -1);
	CHECK_EQ(ctl_hello_version("{\"version\""), -1);
	CHECK_EQ(ctl_hello_version("[\"version\":1]"), -1);
	CHECK_EQ(ctl_hello_version("{\"version\":-1}"), -1);
	CHECK(ctl_hello_version("{\"version\":99999999999999999999}") > 1);
}

static void no_more_is_wanted_than_the_record_has(void)
{
	uint8_t stream[64];
	size_t size = put(stream, CTL_COMMAND, 7, "status"), at = 0;
	int got = 0;

	start();
	while (!got && at < size) {
		size_t piece = ctl_reader_wants(&r);

		CHECK(piece > 0 && piece <= size - at);
		got = ctl_reader_feed(&r, stream + at, piece, &taken, &rec);
		at += taken;
	}
	CHECK_EQ(got, 1);
	CHECK_EQ(at, size);
}

int main(void)
{
	RUN(versions_of_a_hello_are_read);
	RUN(no_more_is_wanted_than_the_record_has);
	RUN(header_is_little_endian);
	RUN(any_cut_gives_the_same_records);
	RUN(bad_headers_end_the_stream);
	RUN(longest_record);
	return check_result();
}
