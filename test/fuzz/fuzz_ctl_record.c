/* build: net/ctl_record.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the stream of a control connection, in any pieces: the reader stays within its
 * buffer, and what it takes for a record has the same bytes when it is written again. */
#include <stdlib.h>
#include <string.h>
#include "net/ctl_record.h"
#include "test/fuzz/fuzz.h"

#define MAX CTL_TO_NODE_MAX

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *buf = malloc(MAX); /* of that size exactly: one byte too many is caught */
	uint8_t header[CTL_HEADER];
	struct ctl_reader r;
	struct ctl_record rec;
	size_t begin = 1, at = 1, step, taken;

	ctl_reader_init(&r, buf, MAX);
	step = size ? 1 + bytes[0] : 1;
	while (at < size) {
		size_t n = size - at < step ? size - at : step;
		int got = ctl_reader_feed(&r, bytes + at, n, &taken, &rec);

		REQUIRE(taken <= n);
		at += taken;
		if (got < 0)
			break;
		REQUIRE(got == 1 || taken == n);
		if (got == 0)
			continue;
		ctl_header(header, rec.type, rec.channel, rec.size);
		REQUIRE(rec.size <= MAX && at - begin == CTL_HEADER + rec.size);
		REQUIRE(memcmp(header, bytes + begin, CTL_HEADER) == 0);
		REQUIRE(memcmp(rec.payload, bytes + begin + CTL_HEADER, rec.size) == 0);
		begin = at;
	}
	free(buf);
	return 0;
}
