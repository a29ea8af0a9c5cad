// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the guest's ext4 says is free leaves the open delta: blocks of deleted files that the guest
 * never trimmed. The file system is libext2fs' business, which reads it through the store.
 */
#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "tools/store/tool.h"

/* libext2fs hands no argument to an io_manager's open. */
static struct {
	struct session *x;
	uint64_t first, sectors; /* the file system's part of the disk */
	int err;		 /* the last one of the store's */
} disk;

static int read_disk(uint64_t sector, void *buf, size_t bytes)
{
	struct block_vec vec = {buf, bytes};

	return store_read(disk.x->store, sector, &vec, 1);
}

/* --- an io_manager on the open delta's view, read-only --- */

static errcode_t view_open(const char *name, int flags, io_channel *channel);

static errcode_t view_close(io_channel c)
{
	if (--c->refcount == 0)
		free(c);
	return 0;
}

static errcode_t view_set_blksize(io_channel c, int size)
{
	c->block_size = size;
	return 0;
}

/* A negative count is one of bytes. */
static errcode_t view_read64(io_channel c, unsigned long long block, int count, void *data)
{
	uint64_t bytes =
		count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * (unsigned)c->block_size;
	uint64_t at = block * (unsigned)c->block_size,
		 whole = (bytes + SECTOR_SIZE - 1) & ~(SECTOR_SIZE - 1ull);
	char *buf;

	if (at % SECTOR_SIZE || at / SECTOR_SIZE > disk.sectors ||
	    whole / SECTOR_SIZE > disk.sectors - at / SECTOR_SIZE)
		return EXT2_ET_SHORT_READ;
	buf = allocate(whole);
	disk.err = read_disk(disk.first + at / SECTOR_SIZE, buf, whole);
	memcpy(data, buf, bytes);
	free(buf);
	return disk.err ? EXT2_ET_SHORT_READ : 0;
}

static errcode_t view_read(io_channel c, unsigned long block, int count, void *data)
{
	return view_read64(c, block, count, data);
}

static errcode_t view_write64(io_channel c, unsigned long long block, int count, const void *data)
{
	(void)c;
	(void)block;
	(void)count;
	(void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t view_write(io_channel c, unsigned long block, int count, const void *data)
{
	return view_write64(c, block, count, data);
}

static errcode_t view_flush(io_channel c)
{
	(void)c;
	return 0;
}

static struct struct_io_manager view_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "stasis store",
	.open = view_open,
	.close = view_close,
	.set_blksize = view_set_blksize,
	.read_blk = view_read,
	.write_blk = view_write,
	.flush = view_flush,
	.read_blk64 = view_read64,
	.write_blk64 = view_write64,
};

static errcode_t view_open(const char *name, int flags, io_channel *channel)
{
	io_channel c = allocate(sizeof(*c));

	(void)name;
	(void)flags;
	c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	c->manager = &view_manager;
	c->name = view_manager.name ? (char *)(uintptr_t)view_manager.name : NULL;
	c->block_size = 1024;
	c->refcount = 1;
	*channel = c;
	return 0;
}

/* --- where it is --- */

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static void read_table(uint64_t sector, uint8_t *buf, size_t bytes)
{
	int err = read_disk(sector, buf, bytes);

	if (err)
		die("the guest's partition table can't be read: %s", strerror(-err));
}

/* An entry of a GUID partition table (UEFI 2.10, 5.3): where it begins and ends. */
static void gpt_partition(unsigned n, uint64_t *first, uint64_t *last)
{
	uint8_t buf[SECTOR_SIZE];
	uint64_t at;
	uint32_t count, size;

	read_table(1, buf, sizeof(buf));
	at = le64(buf + 72);
	count = le32(buf + 80);
	size = le32(buf + 84);
	if (memcmp(buf, "EFI PART", 8) != 0 || size < 128 || size > SECTOR_SIZE ||
	    SECTOR_SIZE % size)
		die("the guest's GUID partition table is damaged: repair it in the guest");
	if (n > count)
		die("the guest's partition table has no entry %u", n);
	read_table(at + (uint64_t)(n - 1) * size / SECTOR_SIZE, buf, sizeof(buf));
	*first = le64(buf + (n - 1) * size % SECTOR_SIZE + 32);
	*last = le64(buf + (n - 1) * size % SECTOR_SIZE + 40);
}

#define MBR_ENTRIES    446
#define MBR_PROTECTIVE 0xee

static void find_partition(unsigned n)
{
	uint64_t sectors = store_sectors(disk.x->store), first, last;
	uint8_t mbr[SECTOR_SIZE];

	disk.first = 0;
	disk.sectors = sectors;
	if (!n)
		return;
	read_table(0, mbr, sizeof(mbr));
	if (mbr[510] != 0x55 || mbr[511] != 0xaa)
		die("the guest's disk has no partition table: leave out --partition");
	if (mbr[MBR_ENTRIES + 4] == MBR_PROTECTIVE) {
		gpt_partition(n, &first, &last);
	} else {
		const uint8_t *e = &mbr[MBR_ENTRIES + 16 * (n - 1)];

		if (n > 4)
			die("only the primary partitions 1 to 4 of an MBR are known");
		first = le32(e + 8);
		last = first + le32(e + 12) - 1;
	}
	if (!first || last < first || last >= sectors)
		die("partition %u does not exist, or reaches beyond the guest's disk", n);
	disk.first = first;
	disk.sectors = last - first + 1;
}

/* --- what is free --- */

static ext2_filsys open_file_system(void)
{
	ext2_filsys fs;
	errcode_t err = ext2fs_open2("", NULL, EXT2_FLAG_64BITS, 0, 0, &view_manager, &fs);

	if (err && disk.err)
		die("the guest's disk can't be read: %s", strerror(-disk.err));
	if (err == EXT2_ET_BAD_MAGIC)
		die("there is no ext2, ext3 or ext4 there: --partition N says in which partition "
		    "it is");
	if (err)
		die("the guest's file system is not understood (libext2fs: error %ld)", (long)err);
	if (ext2fs_has_feature_journal_needs_recovery(fs->super) ||
	    !(fs->super->s_state & EXT2_VALID_FS))
		die("the file system was not unmounted: boot the guest once, shut it down, try "
		    "again");
	if (fs->super->s_state & EXT2_ERROR_FS)
		die("the file system has errors: run fsck in the guest first");
	err = ext2fs_read_block_bitmap(fs);
	if (err)
		die("the file system's block bitmaps are damaged (libext2fs: error %ld): run fsck "
		    "in the guest",
		    (long)err);
	return fs;
}

/* What the open delta itself holds in these sectors of the disk is hidden by zeros. */
static uint64_t drop(const struct store_point *open, uint64_t from, uint64_t to)
{
	struct session *x = disk.x;
	struct store_stretch d = {.sector = from};
	uint64_t dropped = 0;
	int err;

	while (!(err = store_difference(x->store, open->id, open->parent, d.sector + d.n, &d)) &&
	       d.sector < to) {
		uint64_t n = d.sector + d.n < to ? d.n : to - d.sector;

		if (d.zero)
			continue;
		err = store_discard(x->store, d.sector, n);
		if (err)
			break;
		dropped += n;
	}
	if (err && err != -ENOENT)
		die("%s: %s", x->o->store, strerror(-err));
	return dropped * SECTOR_SIZE;
}

/* The next stretch of free blocks; false: none. */
static bool next_free(ext2_filsys fs, blk64_t at, blk64_t *from, blk64_t *to)
{
	blk64_t end = ext2fs_blocks_count(fs->super) - 1;

	if (at > end || ext2fs_find_first_zero_block_bitmap2(fs->block_map, at, end, from))
		return false;
	if (ext2fs_find_first_set_block_bitmap2(fs->block_map, *from, end, to))
		*to = end + 1;
	return true;
}

int command_free(struct session *x)
{
	struct store_point open = find_point(x, NULL);
	char size[2][SIZE_TEXT];
	uint64_t per_block, dropped = 0, free_bytes = 0;
	blk64_t from, to = 0;
	struct progress p;
	ext2_filsys fs;
	int err;

	disk.x = x;
	find_partition(x->o->partition);
	fs = open_file_system();
	per_block = fs->blocksize / SECTOR_SIZE;
	if (ext2fs_blocks_count(fs->super) > disk.sectors / per_block)
		die("the file system is larger than its partition: run fsck in the guest");
	to = fs->super->s_first_data_block;
	progress_begin(&p, x->o, "free", disk.sectors * SECTOR_SIZE);
	while (next_free(fs, to, &from, &to)) {
		free_bytes += (to - from) * fs->blocksize;
		dropped += drop(&open, disk.first + from * per_block, disk.first + to * per_block);
		progress_at(&p, to * fs->blocksize);
	}
	progress_end(&p);
	(void)ext2fs_free(fs);
	err = store_flush(x->store);
	if (err)
		die("%s: %s", x->o->store, strerror(-err));
	printf("%s are free in the guest's file system; %s of them were in the open delta, and are "
	       "dropped: compact gives their space back\n",
	       size_text(size[0], free_bytes), size_text(size[1], dropped));
	return EXIT_OK;
}
