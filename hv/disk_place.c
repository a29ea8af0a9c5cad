// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/disk_place.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/disk.h"
#include "hv/drives.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/nbd_tcp.h"
#include "net/stack.h"
#include "storage/gpt.h"

const char *disk_place_text(const struct disk_place *p, char text[PLACE_TEXT])
{
	char ip[STACK_IP_TEXT];

	if (p->ip)
		fmt(text, PLACE_TEXT, "nbd://%s:%u/%s", stack_ip_text(p->ip, ip), (unsigned)p->port,
		    p->export);
	else if (p->name[0])
		fmt(text, PLACE_TEXT, "name:%s", p->name);
	else if (p->partition)
		fmt(text, PLACE_TEXT, "%s:%u", p->drive, (unsigned)p->partition);
	else
		fmt(text, PLACE_TEXT, "%s", p->drive[0] ? p->drive : "memory");
	return text;
}

struct hit {
	struct drive *drive;
	struct gpt_partition p;
};

static bool wanted(const struct disk_place *p, const struct gpt_partition *x)
{
	if (p->name[0])
		return strcmp(p->name, x->name) == 0;
	return p->partition ? p->partition == x->number : x->store;
}

/* One disk's partitions that the name means; how many of them. */
static int look_on(const struct disk_place *p, struct drive *d, struct gpt *g, struct hit *hit,
		   unsigned *hits)
{
	bool backup;
	int err = gpt_read(&d->dev, g, &backup);

	if (err)
		return err;
	if (backup)
		log_warn("%s: the primary partition table is damaged, its backup is used: repair "
			 "it (sgdisk -v)",
			 d->name);
	for (unsigned i = 0; i < g->n; i++)
		if (wanted(p, &g->partition[i])) {
			*hit = (struct hit){d, g->partition[i]};
			++*hits;
		}
	return 0;
}

static int no_table(const struct drive *d, int err, char *why, size_t size)
{
	if (err == -ENOENT)
		fmt(why, size, "%s has no GPT: make one, with a partition for it", d->name);
	else if (err == -EUCLEAN)
		fmt(why, size, "both partition tables of %s are damaged: repair them (sgdisk -v)",
		    d->name);
	else
		fmt(why, size, "%s can't be read (%d)", d->name, err);
	return err;
}

static int find_partition(const struct disk_place *p, struct hit *hit, char *why, size_t size)
{
	struct drive *only = p->drive[0] ? drives_by_name(p->drive) : NULL;
	struct gpt *g = malloc(sizeof(*g));
	char text[PLACE_TEXT];
	unsigned hits = 0;
	int err = g ? 0 : -ENOMEM;

	if (!err && only)
		err = look_on(p, only, g, hit, &hits);
	for (unsigned i = 0; !err && !p->drive[0] && i < drives_count(); i++)
		(void)look_on(p, drives_get(i), g, hit, &hits);
	free(g);
	if (err)
		return only ? no_table(only, err, why, size) : err;
	if (hits == 1)
		return 0;
	disk_place_text(p, text);
	if (hits)
		fmt(why, size, "%s means %u partitions: give a number, as in ahci0:2", text, hits);
	else if (p->partition || p->name[0])
		fmt(why, size, "there is no partition %s: correct the key", text);
	else
		fmt(why, size, "%s has no partition of the store's type: make one (docs/boot.md)",
		    text);
	return -ENOENT;
}

/* -ENODEV: the configuration names a disk that isn't there. */
static int check_drive(const struct disk_place *p, char *why, size_t size)
{
	if (!p->drive[0] || drives_by_name(p->drive))
		return 0;
	fmt(why, size, "there is no disk %s: the lines above list what was found", p->drive);
	return -ENODEV;
}

int disk_place_golden(const struct disk_place *p, struct partition *part, char *why, size_t size)
{
	int err = check_drive(p, why, size);
	struct hit hit;

	if (err)
		return err;
	if (p->drive[0] && !p->partition) {
		struct blockdev *d = &drives_by_name(p->drive)->dev;

		partition_init(part, d, 0, d->sectors, true);
		return 0;
	}
	err = find_partition(p, &hit, why, size);
	if (!err)
		partition_init(part, &hit.drive->dev, hit.p.first, hit.p.sectors, true);
	return err;
}

int disk_place_store(const struct disk_place *p, struct partition *part, char *why, size_t size)
{
	int err = check_drive(p, why, size);
	struct hit hit;

	if (!err)
		err = find_partition(p, &hit, why, size);
	if (err)
		return err;
	if (!hit.p.store) {
		fmt(why, size,
		    "partition %u of %s (%s) is not of the store's type: nothing is written there",
		    hit.p.number, hit.drive->name, hit.p.name);
		return -EPERM;
	}
	partition_init(part, &hit.drive->dev, hit.p.first, hit.p.sectors, false);
	return 0;
}

int disk_place_remote(const struct disk_place *p, struct partition *part, bool read_only, char *why,
		      size_t size)
{
	const struct nbd_open_options o = {.ip = p->ip,
					   .port = (uint16_t)p->port,
					   .export = p->export,
					   .read_only = read_only,
					   .wake = disk_wake};
	struct blockdev *d = nbd_open(&o, why, size);

	if (!d)
		return -ENODEV;
	partition_init(part, d, 0, d->sectors, read_only);
	return 0;
}
