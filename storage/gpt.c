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

/* --- a new table --- */

#define ENTRIES	      128u
#define TABLE_SECTORS (ENTRIES * ENTRY_BYTES / SECTOR_SIZE)
#define ALIGN_SECTORS 2048u /* of the partition: as other tools have it */
#define LOOK_BYTES    ((size_t)(2 + TABLE_SECTORS) * SECTOR_SIZE)
#define CHECK_SECTORS 32u /* at once */
#define MBR_ENTRY     446u

/* A first or last MiB with anything in it is somebody's: file systems have their superblocks there.
 */
static int check_empty(struct blockdev *d, uint64_t sector, uint8_t *buf)
{
	int err = 0;

	for (unsigned at = 0; at < ALIGN_SECTORS && !err; at += CHECK_SECTORS) {
		err = dev_read(d, sector + at, buf, (size_t)CHECK_SECTORS * SECTOR_SIZE);
		for (size_t i = 0; i < (size_t)CHECK_SECTORS * SECTOR_SIZE && !err; i++)
			err = buf[i] ? -EEXIST : 0;
	}
	return err;
}

/* UEFI 2.10, table 5.4 */
static void fill_mbr(uint8_t *mbr, uint64_t disk_sectors)
{
	uint64_t rest = disk_sectors - 1;
	uint32_t first = 1, n = rest < UINT32_MAX ? (uint32_t)rest : UINT32_MAX;
	static const uint8_t start_chs[] = {0, 0x00, 0x02, 0x00},
			     type_chs[] = {0xee, 0xff, 0xff, 0xff};

	memcpy(mbr + MBR_ENTRY, start_chs, sizeof(start_chs));
	memcpy(mbr + MBR_ENTRY + 4, type_chs, sizeof(type_chs));
	memcpy(mbr + MBR_ENTRY + 8, &first, sizeof(first));
	memcpy(mbr + MBR_ENTRY + 12, &n, sizeof(n));
	mbr[510] = 0x55;
	mbr[511] = 0xaa;
}

static void fill_guid(uint8_t guid[16], uint64_t seed)
{
	for (unsigned i = 0; i < 16; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		guid[i] = (uint8_t)(seed >> 56);
	}
	guid[7] = (guid[7] & 0xf) | 0x40; /* RFC 4122, version 4, in the mixed order of GPT */
	guid[8] = (guid[8] & 0x3f) | 0x80;
}

static void fill_header(struct header *h, const struct entry *entries, uint64_t sectors,
			bool backup, uint64_t seed)
{
	*h = (struct header){.signature = SIGNATURE,
			     .revision = REVISION_1,
			     .header_bytes = HEADER_BYTES,
			     .my_lba = backup ? sectors - 1 : PRIMARY,
			     .alternate_lba = backup ? PRIMARY : sectors - 1,
			     .first_usable = PRIMARY + 1 + TABLE_SECTORS,
			     .last_usable = sectors - TABLE_SECTORS - 2,
			     .entries_lba = backup ? sectors - 1 - TABLE_SECTORS : PRIMARY + 1,
			     .entries = ENTRIES,
			     .entry_bytes = ENTRY_BYTES,
			     .entries_crc = crc32(entries, (size_t)ENTRIES * ENTRY_BYTES)};
	fill_guid(h->disk_guid, seed);
	h->crc = crc32(h, HEADER_BYTES);
}

/* The backup first: a disk with half a table has one. */
static int write_table(struct blockdev *d, uint8_t *buf, struct entry *entries, uint64_t seed)
{
	struct header *h = (void *)(buf + SECTOR_SIZE);
	int err;

	fill_header(h, entries, d->sectors, true, seed);
	err = dev_write(d, d->sectors - 1 - TABLE_SECTORS, entries, (size_t)ENTRIES * ENTRY_BYTES);
	if (!err)
		err = dev_write(d, d->sectors - 1, h, SECTOR_SIZE);
	fill_mbr(buf, d->sectors);
	fill_header(h, entries, d->sectors, false, seed);
	if (!err)
		err = dev_write(d, 0, buf, LOOK_BYTES);
	return err ? err : dev_flush(d);
}

int gpt_make_store(struct blockdev *d, uint64_t seed)
{
	static const char name[] = "stasis-store";
	struct entry e = {.type = GPT_STORE_TYPE, .first = ALIGN_SECTORS};
	uint8_t *buf;
	int err;

	if (d->sectors / 2 < ALIGN_SECTORS)
		return -EINVAL;
	buf = malloc(LOOK_BYTES);
	err = buf ? check_empty(d, 0, buf) : -ENOMEM;
	if (!err)
		err = check_empty(d, d->sectors - ALIGN_SECTORS, buf);
	if (!err) {
		e.last = d->sectors - TABLE_SECTORS - 2;
		fill_guid(e.guid, ~seed);
		for (unsigned i = 0; name[i]; i++)
			e.name[i] = (uint8_t)name[i];
		memset(buf, 0, LOOK_BYTES);
		memcpy(buf + 2 * (size_t)SECTOR_SIZE, &e, sizeof(e));
		err = write_table(d, buf, (void *)(buf + 2 * (size_t)SECTOR_SIZE), seed);
	}
	free(buf);
	return err;
}
