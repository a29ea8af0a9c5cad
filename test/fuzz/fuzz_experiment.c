/* build: tools/ctl/experiment.c tools/ctl/text.c tools/ctl/json_read.c hv/duration.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an experiment file, and as JSON from a node. A file that is taken has all that a
 * file must have; one that is not has a message with a line of it. */
#include <string.h>
#include "test/fuzz/fuzz.h"
#include "tools/ctl/experiment.h"
#include "tools/ctl/json_read.h"

static void any_file(const char *text, size_t size)
{
	struct experiment e;
	char why[WHY_BYTES] = "";

	if (experiment_parse(&e, "f", text, size, why) == 0) {
		REQUIRE(e.number && *e.name && e.node_count);
		REQUIRE(e.margin && e.clock_bound && e.patience && e.connect);
		for (uint32_t i = 0; i < e.node_count; i++) {
			REQUIRE(e.nodes[i].port && *e.nodes[i].host);
			REQUIRE(!strpbrk(e.nodes[i].name, " ,=\t\x1b"));
		}
	} else {
		REQUIRE(strncmp(why, "f:", 2) == 0 && why[2] >= '1' && why[2] <= '9');
	}
	experiment_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *text = (const char *)bytes;
	char value[20];
	uint64_t n;

	any_file(text, size);
	if (json_is_object(text, size)) {
		(void)json_read_u64(text, size, "boot", &n);
		if (json_read_string(text, size, "name", value, sizeof(value)))
			REQUIRE(strlen(value) < sizeof(value));
	}
	return 0;
}
