// SPDX-License-Identifier: GPL-2.0-or-later
/* What a store is, and the tree of its points. */
#include <inttypes.h>
#include <stdlib.h>
#include "storage/store_internal.h"
#include "tools/store/tool.h"

static void uuid_text(char buf[37], const uint8_t uuid[16])
{
	for (unsigned i = 0; i < 16; i++)
		buf += sprintf(buf, "%02x%s", uuid[i],
			       i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
}

static void info_json(struct session *x, const char *uuid, const struct store_stats *st,
		      unsigned points)
{
	const struct superblock *b = &x->store->super;
	uint64_t device = b->sectors * SECTOR_SIZE, golden = b->golden_sectors * SECTOR_SIZE;

	print_json(
		json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "format",
			  (json_int_t)b->version, "uuid", uuid, "device_bytes", (json_int_t)device,
			  "segment_bytes", (json_int_t)b->segment_sectors * SECTOR_SIZE, "segments",
			  (json_int_t)b->segments, "golden_bytes", (json_int_t)golden, "generation",
			  (json_int_t)b->generation, "epoch", (json_int_t)b->epoch, "free_bytes",
			  (json_int_t)st->free_bytes, "live_bytes", (json_int_t)st->live_bytes,
			  "dead_bytes", (json_int_t)st->dead_bytes, "points", (json_int_t)points));
}

int command_info(struct session *x)
{
	const struct superblock *b = &x->store->super;
	char uuid[37], size[4][SIZE_TEXT];
	struct store_stats st;
	unsigned points;

	free(list_points(x, &points));
	points--; /* the open delta */
	uuid_text(uuid, b->uuid);
	store_stats(x->store, &st);
	if (x->o->json) {
		info_json(x, uuid, &st, points);
		return EXIT_OK;
	}
	printf("store      %s, format version %" PRIu32 "\n", uuid, b->version);
	printf("device     %s: %" PRIu32 " segments of %s\n",
	       size_text(size[0], b->sectors * SECTOR_SIZE), b->segments,
	       size_text(size[1], (uint64_t)b->segment_sectors * SECTOR_SIZE));
	printf("disk       %s (as its golden image)\n",
	       size_text(size[0], b->golden_sectors * SECTOR_SIZE));
	printf("space      %s free, %s in use, %s hidden or waste\n",
	       size_text(size[0], st.free_bytes), size_text(size[1], st.live_bytes),
	       size_text(size[2], st.dead_bytes));
	printf("opened     %" PRIu64 " times\n", b->epoch);
	printf("points     %u sealed\n", points);
	return EXIT_OK;
}

static void tree_json(const struct store_point *p, unsigned n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:s?, s:I, s:b}", "id", (json_int_t)p[i].id, "parent",
				  (json_int_t)p[i].parent, "name", p[i].open ? NULL : p[i].name,
				  "bytes", (json_int_t)p[i].bytes, "open", p[i].open));
	print_json(json_pack("{s:o}", "points", list));
}

/* The children of a point, each with what hangs on it. */
static void print_children(const struct store_point *p, unsigned n, uint32_t parent, unsigned depth)
{
	char size[SIZE_TEXT];

	for (unsigned i = 0; i < n && depth <= n; i++) {
		if (p[i].parent != parent)
			continue;
		printf("%*s%s  %s\n", (int)(2 * depth), "", p[i].open ? "(open)" : p[i].name,
		       size_text(size, p[i].bytes));
		print_children(p, n, p[i].id, depth + 1);
	}
}

int command_tree(struct session *x)
{
	unsigned n;
	struct store_point *p = list_points(x, &n);

	if (x->o->json) {
		tree_json(p, n);
	} else {
		printf("golden image\n");
		print_children(p, n, 0, 1);
	}
	free(p);
	return EXIT_OK;
}
