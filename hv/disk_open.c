// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/disk_open.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/disk.h"
#include "hv/disk_memory.h"
#include "hv/disk_place.h"
#include "hv/drives.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "hv/ramdisk.h"
#include "storage/dev.h"
#include "storage/gpt.h"

#define HEAP_MIN (4ull << 20)
#define HEAP_MAX (24ull << 20)

static struct ramdisk golden_ram, room_ram;
static struct partition golden_part, store_part;
static struct blockdev *golden, *room; /* NULL: there is none that can be used */
static struct store_options options;
static struct store *store;	    /* NULL: it could not be opened */
static bool servers;		    /* all that are asked for are there */
static char no_disk[240];	    /* why the guest has none, although one is configured */
static const struct handoff *given; /* NULL: before boot */

bool disk_memory_poll(void)
{
	bool more = ramdisk_poll(&room_ram);

	return ramdisk_poll(&golden_ram) || more;
}

static bool on_drives(const struct disk_place *p)
{
	return disk_place_given(p) && !p->ip;
}

/* Connects to the servers; false: one of them is away. */
static bool find_servers(const struct handoff *h)
{
	return (!h->golden_place.ip || disk_place_remote(&h->golden_place, &golden_part, true,
							 no_disk, sizeof(no_disk)) == 0) &&
	       (!h->store_place.ip || disk_place_remote(&h->store_place, &store_part, false,
							no_disk, sizeof(no_disk)) == 0);
}

static int find_golden(const struct handoff *h, char *why, size_t size)
{
	int err = 0;

	if (on_drives(&h->golden_place))
		err = disk_place_golden(&h->golden_place, &golden_part, why, size);
	if (!err)
		golden = h->disk_golden ? &golden_ram.dev : &golden_part.dev;
	return err;
}

static int find_room(const struct handoff *h, char *why, size_t size)
{
	int err = 0;

	if (on_drives(&h->store_place))
		err = disk_place_store(&h->store_place, &store_part, why, size);
	if (!err && disk_place_given(&h->golden_place) && disk_place_given(&h->store_place) &&
	    partition_overlap(&golden_part, &store_part)) {
		fmt(why, size,
		    "golden= and store= mean the same sectors: what is written to the store would "
		    "change the golden image");
		return -EINVAL;
	}
	if (!err)
		room = disk_place_given(&h->store_place) ? &store_part.dev : &room_ram.dev;
	return err;
}

/* Memory holds nothing worth keeping; on a disk, only a partition that is empty gets a store. */
static int format_if_new(void)
{
	int err = store_format(room, golden, &options, room == &room_ram.dev);

	if (!err && room != &room_ram.dev)
		log_info("disk: the store's partition was empty: it has been formatted");
	if (err && err != -EEXIST)
		fmt(no_disk, sizeof(no_disk), "no store can be made (%d): %s", err,
		    err == -EINVAL ? "give it more room" : "see disk status");
	return err == -EEXIST ? 0 : err;
}

/* In a fiber. */
static int create(struct store *none, void *arg)
{
	int err = find_golden(arg, no_disk, sizeof(no_disk));

	(void)none;
	if (!err)
		err = find_room(arg, no_disk, sizeof(no_disk));
	if (!err)
		err = format_if_new();
	if (!err)
		err = store_open(room, golden, &options, &store, no_disk, sizeof(no_disk));
	if (err && !*no_disk)
		fmt(no_disk, sizeof(no_disk), "it can't be opened (%d): raise hv_memory=", err);
	return err;
}

/* Half of what the hypervisor has left is the store's, within limits. */
static size_t take_heap(void)
{
	size_t bytes = pages_free_count() * PAGE_SIZE / 2;

	if (bytes > HEAP_MAX)
		bytes = HEAP_MAX;
	bytes &= ~(PAGE_SIZE - 1);
	if (bytes < HEAP_MIN || !disk_memory_init(bytes))
		panic("no memory for the disk's index: raise hv_memory=");
	return bytes;
}

static void init_memory(const struct handoff *h)
{
	uint64_t bytes = h->disk_bytes - h->disk_store;

	if (h->disk_golden)
		ramdisk_init(&golden_ram, phys_to_virt((hpa_t){h->disk_base}), h->disk_golden,
			     true);
	if (bytes)
		ramdisk_init(&room_ram, phys_to_virt((hpa_t){h->disk_base + h->disk_store}), bytes,
			     false);
}

static void report(const struct handoff *h, size_t heap)
{
	char from[PLACE_TEXT], to[PLACE_TEXT];

	if (!store) {
		log_error("disk: %s; the guest gets no disk", no_disk);
		return;
	}
	log_info("disk: %llu MiB from %s, %llu MiB in %s for what is written, %zu KiB of heap",
		 (unsigned long long)golden->sectors >> 11, disk_place_text(&h->golden_place, from),
		 (unsigned long long)room->sectors >> 11, disk_place_text(&h->store_place, to),
		 heap >> 10);
}

void disk_init(const struct handoff *h)
{
	bool devices = on_drives(&h->golden_place) || on_drives(&h->store_place);
	size_t heap;

	given = h;
	if (!h->disk_bytes && !disk_place_given(&h->golden_place) &&
	    !disk_place_given(&h->store_place))
		return;
	heap = take_heap();
	options = (struct store_options){.seed = rdtsc() ^ h->tsc_entry,
					 .cache_bytes = heap / 3,
					 .memtable_bytes = heap / 24};
	init_memory(h);
	if (devices)
		drives_find();
	disk_start();
	servers = find_servers(h);
	if (servers)
		(void)disk_do(create, (void *)(uintptr_t)h);
	if (store)
		disk_use(store);
	disk_on_errors((enum disk_errors_action)h->disk_errors);
	report(h, heap);
}

const char *disk_missing(void)
{
	return *no_disk ? no_disk : NULL;
}

/* --- disk format --- */

#define WIPED_SECTORS 16 /* superblocks */

struct format {
	bool erase;
	char *why;
	size_t size;
};

/* A partition of the store's type is ours, whatever it holds. */
static int wipe(void)
{
	char *zeros = calloc(WIPED_SECTORS, SECTOR_SIZE);
	int err = zeros ? dev_write(room, 0, zeros, (size_t)WIPED_SECTORS * SECTOR_SIZE) : -ENOMEM;

	free(zeros);
	return err;
}

/* The partition, or an empty disk's first. */
static int find_or_make_room(const struct format *f)
{
	const struct disk_place *p = &given->store_place;
	int err = find_room(given, f->why, f->size);

	if (err != -ENOENT || !p->drive[0] || p->partition)
		return err;
	err = gpt_make_store(&drives_by_name(p->drive)->dev, rdtsc());
	if (!err)
		return find_room(given, f->why, f->size);
	if (err != -EEXIST) /* else `why` says already what is wrong with the disk */
		fmt(f->why, f->size, "no partition table can be written to %s (%d)", p->drive, err);
	return err;
}

static int format_room(const struct format *f)
{
	int err = f->erase && !given->store_place.ip ? wipe() : 0;

	if (!err)
		err = store_format(room, golden, &options, f->erase);
	if (err == -EEXIST)
		fmt(f->why, f->size,
		    f->erase ? "the export holds something that is no store: empty it on the server"
			     : "there is something already: `disk format --erase` replaces it");
	else if (err)
		fmt(f->why, f->size, "no store can be made (%d)%s", err,
		    err == -EINVAL ? ": give it more room" : "");
	return err;
}

static int format(struct store *none, void *arg)
{
	const struct format *f = arg;
	int err = find_golden(given, f->why, f->size);

	(void)none;
	if (!err)
		err = find_or_make_room(f);
	return err ? err : format_room(f);
}

int disk_format(bool erase, char *why, size_t size)
{
	struct format f = {erase, why, size};
	int err = -EINVAL;

	if (!disk_place_given(&given->store_place))
		fmt(why, size, "there is no store=: what the guest writes stays in memory");
	else if (store)
		fmt(why, size,
		    "the guest's disk is in this store: boot the node with another store=, "
		    "or with none");
	else if (!servers)
		fmt(why, size, "%s", no_disk);
	else
		err = disk_do(format, &f);
	if (!err)
		fmt(no_disk, sizeof(no_disk),
		    "a store has been made: `reboot` starts the node with it");
	return err;
}

/* --- for disk status --- */

static const struct block_counters *counters(const struct partition *p, const struct blockdev *d)
{
	return d == &p->dev ? &p->whole->count : &d->count;
}

bool disk_side_golden(struct disk_side *s)
{
	static char text[PLACE_TEXT];

	if (!golden)
		return false;
	*s = (struct disk_side){disk_place_text(&given->golden_place, text),
				counters(&golden_part, golden)};
	return true;
}

bool disk_side_store(struct disk_side *s)
{
	static char text[PLACE_TEXT];

	if (!room)
		return false;
	*s = (struct disk_side){disk_place_text(&given->store_place, text),
				counters(&store_part, room)};
	return true;
}
