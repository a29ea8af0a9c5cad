// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "tools/store/file.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tools/store/tool.h"

/* --- requests --- */

static int transfer(struct file_dev *f, const struct block_request *r)
{
	off_t at = (off_t)(f->offset + r->sector * SECTOR_SIZE);

	for (unsigned i = 0; i < r->n_vec; i++) {
		char *base = r->vec[i].base;
		size_t left = r->vec[i].bytes;

		while (left) {
			ssize_t n = r->op == BLOCK_READ ? pread(f->fd, base, left, at)
							: pwrite(f->fd, base, left, at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 ? -errno : -EIO;
			base += n;
			at += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

static uint64_t request_sectors(const struct block_request *r)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < r->n_vec; i++)
		bytes += r->vec[i].bytes;
	return bytes / SECTOR_SIZE;
}

static void file_submit(struct blockdev *dev, struct block_request *r)
{
	struct file_dev *f = (struct file_dev *)dev;
	uint64_t n = r->op == BLOCK_FLUSH ? 0 : request_sectors(r);

	if (r->op != BLOCK_READ && dev->read_only)
		r->status = -EROFS;
	else if (r->op == BLOCK_FLUSH)
		r->status = fdatasync(f->fd) ? -errno : 0;
	else if (r->sector > dev->sectors || n > dev->sectors - r->sector)
		r->status = -ERANGE;
	else
		r->status = transfer(f, r);
	r->done(r);
}

static void file_poll(struct blockdev *dev)
{
	(void)dev;
}

static const struct blockdev_ops file_ops = {
	.name = "file", .submit = file_submit, .poll = file_poll};

/* --- opening --- */

#define QEMU_WRITES                                                                               \
	101 /* byte that QEMU locks in an image while it may write it: 100 + BLK_PERM_WRITE's bit \
	     */

static void in_use(const char *path)
{
	die("%s is in use: stop the node or program that has it open, and try again", path);
}

/*
 * Programs of the store's lock files as a whole (flock), QEMU locks bytes of its images (open file
 * description locks). A block device that is opened with O_EXCL is nobody else's, mounted or not.
 */
static void lock_file(const struct file_dev *f, enum file_use use)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct flock writer = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = QEMU_WRITES, .l_len = 1};

	if (use == FILE_IMAGE)
		return;
	if (flock(f->fd, (use == FILE_CHANGE ? LOCK_EX : LOCK_SH) | LOCK_NB) &&
	    errno == EWOULDBLOCK)
		in_use(f->path);
	if (use == FILE_CHANGE && fcntl(f->fd, F_OFD_SETLK, &all) &&
	    (errno == EAGAIN || errno == EACCES))
		in_use(f->path);
	if (use == FILE_LOOK && !fcntl(f->fd, F_OFD_GETLK, &writer) && writer.l_type != F_UNLCK)
		in_use(f->path);
}

static uint64_t size_of(const struct file_dev *f, const struct stat *st)
{
	uint64_t bytes = (uint64_t)st->st_size;

	if (S_ISBLK(st->st_mode) && ioctl(f->fd, BLKGETSIZE64, &bytes))
		die("%s: its size can't be read: %s", f->path, strerror(errno));
	return bytes;
}

static void refuse_non_disk(const struct file_dev *f, uint64_t bytes)
{
	static const struct {
		const char *name, *magic;
	} formats[] = {{"qcow2", "QFI\xfb"}, {"vmdk", "KDMV"}, {"vhdx", "vhdxfile"}};
	char begin[8];

	if (!bytes || bytes % SECTOR_SIZE)
		die("%s: %llu bytes are no disk: use a raw image of 512-byte sectors ('qemu-img "
		    "convert -O raw' makes one)",
		    f->path, (unsigned long long)bytes);
	if (pread(f->fd, begin, sizeof(begin), 0) != sizeof(begin))
		die("%s can't be read: %s", f->path, strerror(errno));
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (memcmp(begin, formats[i].magic, strlen(formats[i].magic)) == 0)
			die("%s is a %s file, and as such no disk: use a raw image ('qemu-img "
			    "convert -O raw' makes one)",
			    f->path, formats[i].name);
}

static void refuse_place(const struct file_dev *f, uint64_t bytes, uint64_t length)
{
	if (!bytes)
		die("%s is empty: give it the size that the store is to have (truncate -s)",
		    f->path);
	if (f->offset >= bytes || length > bytes - f->offset)
		die("%s has %llu bytes: offset %llu and length %llu lead beyond its end", f->path,
		    (unsigned long long)bytes, (unsigned long long)f->offset,
		    (unsigned long long)length);
}

void file_open(struct file_dev *f, const char *path, enum file_use use, uint64_t offset,
	       uint64_t length)
{
	int flags = (use == FILE_CHANGE ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	struct stat st;
	uint64_t bytes;

	*f = (struct file_dev){.dev = {.ops = &file_ops,
				       .max_sectors = 2048,
				       .max_vec = 64,
				       .read_only = use != FILE_CHANGE},
			       .path = path,
			       .offset = offset};
	if (stat(path, &st))
		die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		die("%s is neither a file nor a block device", path);
	if (S_ISBLK(st.st_mode) && use == FILE_CHANGE)
		flags |= O_EXCL;
	f->fd = open(path, flags);
	if (f->fd < 0 && errno == EBUSY)
		in_use(path);
	if (f->fd < 0)
		die("%s: %s", path, strerror(errno));
	lock_file(f, use);
	bytes = size_of(f, &st);
	if (use == FILE_IMAGE)
		refuse_non_disk(f, bytes);
	else
		refuse_place(f, bytes, length);
	f->dev.sectors = (length ? length : bytes - offset) / SECTOR_SIZE;
}

void file_close(struct file_dev *f)
{
	close(f->fd);
}

uint64_t file_hole(const struct file_dev *f, uint64_t sector)
{
	off_t at = (off_t)(f->offset + sector * SECTOR_SIZE), data = lseek(f->fd, at, SEEK_DATA);
	uint64_t left = f->dev.sectors - sector;

	if (data < 0)
		return errno == ENXIO ? left : 0;
	return (uint64_t)(data - at) / SECTOR_SIZE < left ? (uint64_t)(data - at) / SECTOR_SIZE
							  : left;
}

void file_punch(struct file_dev *f, uint64_t sector, uint64_t n)
{
	/* refused by some file systems and devices: the space stays where it is, nothing is lost */
	(void)!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(f->offset + sector * SECTOR_SIZE), (off_t)(n * SECTOR_SIZE));
}
