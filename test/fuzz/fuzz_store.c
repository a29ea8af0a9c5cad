// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/fiber.c storage/extents.c storage/crc32c.c storage/dev.c storage/page.c storage/cache.c storage/run.c storage/segments.c storage/log.c storage/views.c storage/look.c storage/index.c storage/manifest.c storage/recover.c storage/store.c storage/tree.c storage/clean.c */
/*
 * The bytes of a store: an input is changes to an image that was a good one, made where structures
 * lie; then the checksums are put right, so that what is behind them is reached. The store is
 * opened and used in all ways. It may refuse; it may not touch other memory, hang, or write outside
 * of its device.
 */
#include "storage/crc32c.h"
#include "storage/store_internal.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/store_rig.h"

#define SECTORS	 512u
#define SEGMENT	 256u
#define SEGMENTS 40u
#define DEVICE	 (16u + SEGMENTS * SEGMENT)
#define STRUCTS	 64u
#define OPS_MAX	 24u

enum kind { SUPER, PIECE, PAGE, RECORD };

static const struct store_options options = {
	.cache_bytes = 64 * 4096, .memtable_bytes = 4096, .segment_sectors = SEGMENT};
static struct {
	enum kind kind;
	uint64_t sector;
} structs[STRUCTS];
static unsigned n_structs;
static uint8_t *good;
static struct store *store;
static bool done;

static void run(void (*fn)(void *))
{
	rig_sched = fiber_sched_create(RIG_STACKS, RIG_STACK);
	done = false;
	REQUIRE(fiber_start(rig_sched, fn, NULL) == 0);
	REQUIRE(rig_run(&done));
	fiber_sched_free(rig_sched);
	rig_dev.queue = NULL;
	rig_dev.queue_end = &rig_dev.queue;
}

static int open_store(void)
{
	char why[160];

	return store_open(&rig_dev.dev, &rig_golden.dev, &options, &store, why, sizeof(why));
}

static int write_sectors(uint64_t sector, uint64_t n)
{
	static uint8_t buf[64 * SECTOR_SIZE];
	struct block_vec vec = {buf, n * SECTOR_SIZE};

	return store_write(store, sector, &vec, 1);
}

/* --- the good one --- */

static void make(void *arg)
{
	(void)arg;
	REQUIRE(store_format(&rig_dev.dev, &rig_golden.dev, &options, true) == 0);
	REQUIRE(open_store() == 0);
	for (unsigned i = 0; i < 400; i += 2)
		REQUIRE(write_sectors(i, 1) == 0);
	REQUIRE(store_seal(store, "a") == 0 && write_sectors(7, 9) == 0);
	REQUIRE(store_seal(store, "b") == 0 && write_sectors(40, 64) == 0);
	REQUIRE(store_close(store) == 0 && open_store() == 0);
	REQUIRE(write_sectors(100, 5) == 0 && store_discard(store, 5, 50) == 0);
	REQUIRE(store_flush(store) == 0); /* and the power fails: a tail */
	done = true;
}

static void find_structs(void)
{
	for (uint64_t i = 0; i < DEVICE && n_structs < STRUCTS; i++) {
		const void *at = good + i * SECTOR_SIZE;
		uint32_t magic;
		enum kind kind;

		memcpy(&magic, at, sizeof(magic));
		if (i < 16 && super_valid(at))
			kind = SUPER;
		else if (magic == PIECE_MAGIC)
			kind = PIECE;
		else if (magic == PAGE_MAGIC)
			kind = PAGE;
		else if (magic == RECORD_MAGIC)
			kind = RECORD;
		else
			continue;
		structs[n_structs].kind = kind;
		structs[n_structs++].sector = i;
	}
	REQUIRE(n_structs > 8);
}

static void begin(void)
{
	ram_init(&rig_dev, DEVICE, false);
	ram_init(&rig_golden, SECTORS, false);
	run(make);
	good = malloc((size_t)DEVICE * SECTOR_SIZE);
	REQUIRE(good);
	memcpy(good, rig_dev.data, (size_t)DEVICE * SECTOR_SIZE);
	find_structs();
}

/* --- changing it --- */

static uint8_t *at_sector(uint64_t sector)
{
	return rig_dev.data + sector * SECTOR_SIZE;
}

static void change(void)
{
	unsigned which = (unsigned)take(1) % n_structs, width = 1u << take(1) % 4;
	size_t bytes = structs[which].kind == PIECE || structs[which].kind == PAGE ? PAGE_BYTES
										   : SECTOR_SIZE;
	size_t at = take(2) % (bytes / 4) * 4;
	uint64_t value = take(width);

	if (at + width > bytes)
		width = (unsigned)(bytes - at);
	memcpy(at_sector(structs[which].sector) + at, &value, width);
}

static void seal_manifest(struct superblock *b)
{
	const struct manifest_piece *p;

	if (b->manifest < 16 || b->manifest > DEVICE - PAGE_SECTORS ||
	    b->manifest_bytes > PAGE_BYTES - sizeof(*p))
		return;
	p = (const void *)at_sector(b->manifest);
	b->manifest_crc = crc32c(0, p + 1, b->manifest_bytes);
}

static void reseal(void)
{
	for (unsigned i = 0; i < n_structs; i++) {
		uint8_t *at = at_sector(structs[i].sector);
		struct record *r = (struct record *)at;
		struct superblock *b = (struct superblock *)at;

		if (structs[i].kind == PAGE) {
			page_seal((struct page *)at);
		} else if (structs[i].kind == RECORD) {
			if (r->payload_sectors <= DEVICE - structs[i].sector - 1)
				r->payload_crc =
					crc32c(0, r + 1, (size_t)r->payload_sectors * SECTOR_SIZE);
			r->crc = record_checksum(r);
		} else if (structs[i].kind == SUPER) {
			seal_manifest(b);
			b->crc = super_checksum(b);
		}
	}
}

/* --- using it --- */

static void look(void)
{
	static uint8_t buf[SECTORS * SECTOR_SIZE];
	struct block_vec vec = {buf, sizeof(buf)};
	struct store_point p;
	struct store_stretch d = {0};

	(void)store_read(store, 0, &vec, 1);
	for (unsigned i = 0; store_point(store, i, &p) == 0; i++)
		(void)store_read_point(store, p.id, 0, &vec, 1);
	for (unsigned i = 0; i < SECTORS && !store_difference(store, 1, 0, d.sector + d.n, &d); i++)
		REQUIRE(d.n);
}

static void operate(void)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	unsigned what = (unsigned)take(1), which = what >> 3 & 3;

	switch (what % 8) {
	case 0:
		(void)store_seal(store, names[which]);
		break;
	case 1:
		(void)store_rollback(store, names[which]);
		break;
	case 2:
		(void)store_merge(store, names[which]);
		break;
	case 3:
		(void)store_compact(store);
		break;
	case 4:
		(void)store_discard(store, what, 1 + take(1));
		break;
	case 5:
		for (unsigned i = 0; i < 64; i++)
			(void)write_sectors(i * 3 + which, 1 + which);
		break;
	default:
		(void)write_sectors(take(1), 1 + what / 4);
	}
}

static void use(void *arg)
{
	(void)arg;
	if (open_store() == 0) {
		look();
		for (unsigned i = 0; i < OPS_MAX && fuzz_more(); i++)
			operate();
		look();
		(void)store_close(store);
	}
	done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned changes;

	if (!good)
		begin();
	fuzz_begin(data, size);
	rig_seed = 1;
	memcpy(rig_dev.data, good, (size_t)DEVICE * SECTOR_SIZE);
	for (changes = (unsigned)take(1) % 8; changes; changes--)
		change();
	reseal();
	run(use);
	if (take(1) & 1) /* and once more, what came of it */
		run(use);
	return 0;
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0"; /* of the one without power */
}
