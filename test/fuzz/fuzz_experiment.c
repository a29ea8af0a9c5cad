/* build: tools/ctl/experiment.c tools/ctl/text.c tools/ctl/json.c hv/duration.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an experiment file, as JSON from a node, and as a string. A file that is taken has
 * all that a file must have; one that is not has a message with a line of it. What is taken as JSON
 * is the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>
#include "test/fuzz/fuzz.h"
#include "tools/ctl/experiment.h"
#include "tools/ctl/json.h"

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

static void written_and_read(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_t *again;

	REQUIRE(text && !strchr(text, '\n'));
	again = json_loads(text, JSON_ALLOW_NUL, NULL);
	REQUIRE(json_equal(object, again));
	json_decref(again);
	json_decref(object);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *text = (const char *)bytes;
	json_t *said = json_said(text, size), *o = json_object();

	any_file(text, size);
	if (said)
		written_and_read(said);
	json_add(o, "bytes", json_bytes(bytes, size));
	written_and_read(o);
	return 0;
}
