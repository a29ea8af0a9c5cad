// SPDX-License-Identifier: GPL-2.0-or-later
/* A new store, and the space of an old one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "storage/store_internal.h"
#include "tools/store/tool.h"

int command_format(struct session *x)
{
	struct store_options o = {0};
	int err;

	if (getrandom(&o.seed, sizeof(o.seed), 0) != sizeof(o.seed))
		die("no random numbers: %s", strerror(errno));
	err = store_format(x->dev, x->golden_dev, &o, x->o->force);
	if (err == -EEXIST)
		die("%s holds something: --force replaces a store; anything else has to be wiped "
		    "first "
		    "(wipefs, dd)",
		    x->o->store);
	if (err == -EINVAL || err == -ERANGE)
		die("%s is too small for a store: 24 MiB and 8 KiB are the least", x->o->store);
	if (err)
		die("%s can't be formatted: %s", x->o->store, strerror(-err));
	return EXIT_OK;
}

/* What is free afterwards is handed back to the file system, or the SSD. */
static void punch_free(struct session *x)
{
	const struct store *s = x->store;

	for (uint32_t i = 0, n; i < s->super.segments; i += n) {
		for (n = 0; i + n < s->super.segments && s->segments[i + n].owner == OWNER_FREE;)
			n++;
		if (n)
			file_punch(&x->file, segment_sector(s, i),
				   (uint64_t)n * s->super.segment_sectors);
		n += !n;
	}
}

int command_compact(struct session *x)
{
	struct store_stats before, after;
	char size[2][SIZE_TEXT];
	int err;

	store_stats(x->store, &before);
	err = store_compact(x->store);
	if (err)
		die("%s can't be compacted: %s", x->o->store, strerror(-err));
	store_stats(x->store, &after);
	punch_free(x);
	printf("%s free, %s before\n", size_text(size[0], after.free_bytes),
	       size_text(size[1], before.free_bytes));
	if (!after.damaged_segments)
		return EXIT_OK;
	warn("%" PRIu64 " segments hold damaged data and stay as they are: run stasis-store check",
	     after.damaged_segments);
	return EXIT_DIFFERS;
}
