// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/gpt.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/dev.h"

#define SIGNATURE    0x5452415020494645ull /* "EFI PART" */
#define REVISION_1   0x00010000u
#define HEADER_BYTES 92u
#define ENTRY_BYTES  128u
#define PRIMARY	     1u /* sector */

struct header { /* UEFI 2.10, table 5.5 */
	uint64_t signature;
	uint32_t revision, header_bytes, crc, reserved;
	uint64_t my_lba, alternate_lba, first_usable, last_usable;
	uint8_t disk_guid[16];
	uint64_t entries_lba;
	uint32_t entries, entry_bytes, entries_crc;
	uint8_t rest[SECTOR_SIZE - HEADER_BYTES];
} __attribute__((packed));
_Static_assert(sizeof(struct header) == SECTOR_SIZE, "one sector");

struct entry { /* table 5.6 */
	uint8_t type[16], guid[16];
	uint64_t first, last, attributes;
	uint16_t name[GPT_NAME_MAX];
};
_Static_assert(sizeof(struct entry) == ENTRY_BYTES, "without extensions");

/* CRC-32 of ISO 3309, reflected. */
static uint32_t crc32(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t crc = UINT32_MAX;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static uint64_t table_sectors(const struct header *h)
{
	return ((uint64_t)h->entries * h->entry_bytes + SECTOR_SIZE - 1) / SECTOR_SIZE;
}

static bool header_sound(const struct header *h, uint64_t sector, uint64_t disk_sectors)
{
	struct header copy = *h;

	if (h->revision < REVISION_1 || h->header_bytes < HEADER_BYTES ||
	    h->header_bytes > SECTOR_SIZE)
		return false;
	copy.crc = 0;
	if (crc32(&copy, h->header_bytes) != h->crc || h->my_lba != sector)
		return false;
	if (h->entry_bytes < ENTRY_BYTES || h->entry_bytes > GPT_ENTRIES_BYTES ||
	    h->entry_bytes & (h->entry_bytes - 1) || !h->entries ||
	    h->entries > GPT_ENTRIES_BYTES / h->entry_bytes)
		return false;
	if (h->first_usable <= PRIMARY || h->first_usable > h->last_usable ||
	    h->last_usable >= disk_sectors - 1) /* the backup is in the last one */
		return false;
	if (h->entries_lba <= PRIMARY || h->entries_lba >= disk_sectors)
		return false;
	/* whoever writes to a partition doesn't write to the table */
	return h->entries_lba > h->last_usable ||
	       (h->entries_lba < h->first_usable &&
		table_sectors(h) <= h->first_usable - h->entries_lba);
}

int gpt_check_header(const void *bytes, uint64_t sector, uint64_t disk_sectors,
		     struct gpt_header *out)
{
	struct header h;

	memcpy(&h, bytes, sizeof(h));
	if (h.signature != SIGNATURE)
		return -ENOENT;
	if (!header_sound(&h, sector, disk_sectors))
		return -EUCLEAN;
	*out = (struct gpt_header){.entries_sector = h.entries_lba,
				   .first_usable = h.first_usable,
				   .last_usable = h.last_usable,
				   .entries = h.entries,
				   .entry_bytes = h.entry_bytes,
				   .entries_crc = h.entries_crc};
	return 0;
}

static bool overlaps(const struct gpt *g, const struct gpt_partition *p)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct gpt_partition *o = &g->partition[i];

		if (p->first < o->first + o->sectors && o->first < p->first + p->sectors)
			return true;
	}
	return false;
}

static void take_name(const struct entry *e, char *name)
{
	unsigned i = 0;

	for (; i < GPT_NAME_MAX && e->name[i]; i++)
		name[i] = e->name[i] >= ' ' && e->name[i] <= '~' ? (char)e->name[i] : '?';
	name[i] = 0;
}

/* 0 for an entry that is not used, too. */
static int take_entry(const struct gpt_header *h, const struct entry *e, unsigned number,
		      struct gpt *g)
{
	static const uint8_t unused[16], store[16] = GPT_STORE_TYPE;
	struct gpt_partition *p = &g->partition[g->n];

	if (memcmp(e->type, unused, sizeof(unused)) == 0)
		return 0;
	if (e->first < h->first_usable || e->last > h->last_usable || e->first > e->last ||
	    g->n == GPT_PARTITIONS_MAX)
		return -EUCLEAN;
	*p = (struct gpt_partition){.number = number,
				    .store = memcmp(e->type, store, sizeof(store)) == 0,
				    .first = e->first,
				    .sectors = e->last - e->first + 1};
	take_name(e, p->name);
	if (overlaps(g, p))
		return -EUCLEAN;
	g->n++;
	return 0;
}

int gpt_take(const struct gpt_header *h, const void *entries, struct gpt *g)
{
	int err = 0;

	g->n = 0;
	if (crc32(entries, (size_t)h->entries * h->entry_bytes) != h->entries_crc)
		return -EUCLEAN;
	for (unsigned i = 0; i < h->entries && !err; i++) {
		struct entry e;

		memcpy(&e, (const char *)entries + (size_t)i * h->entry_bytes, sizeof(e));
		err = take_entry(h, &e, i + 1, g);
	}
	return err;
}

static int read_table(struct blockdev *d, uint64_t sector, void *buf, struct gpt *g)
{
	struct gpt_header h;
	size_t bytes;
	int err = dev_read(d, sector, buf, SECTOR_SIZE);

	if (!err)
		err = gpt_check_header(buf, sector, d->sectors, &h);
	if (err)
		return err;
	bytes = ((size_t)h.entries * h.entry_bytes + SECTOR_SIZE - 1) & ~(size_t)(SECTOR_SIZE - 1);
	if (bytes / SECTOR_SIZE > d->sectors - h.entries_sector)
		return -EUCLEAN;
	err = dev_read(d, h.entries_sector, buf, bytes);
	return err ? err : gpt_take(&h, buf, g);
}

int gpt_read(struct blockdev *d, struct gpt *g, bool *backup)
{
	void *buf = malloc(GPT_ENTRIES_BYTES);
	int err, second;

	*backup = false;
	if (!buf)
		return -ENOMEM;
	err = d->sectors > PRIMARY ? read_table(d, PRIMARY, buf, g) : -ENOENT;
	if (err == -ENOENT || err == -EUCLEAN) {
		second = d->sectors > PRIMARY ? read_table(d, d->sectors - 1, buf, g) : -ENOENT;
		*backup = second == 0;
		err = second == -ENOENT ? err : second;
	}
	free(buf);
	return err;
}
