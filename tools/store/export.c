// SPDX-License-Identifier: GPL-2.0-or-later
/* A branch as an image file: raw, one qcow2 over the golden image, or a qcow2 for each delta. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "storage/store_internal.h"
#include "tools/store/nbd.h"
#include "tools/store/tool.h"

#define CLUSTER_SECTORS 128u /* 64 KiB: qcow2's, written whole so that QEMU has nothing to copy */
#define PIECE_SECTORS	2048u

/* --- common --- */

static void read_point(struct session *x, uint32_t id, uint64_t sector, uint64_t n, void *buf)
{
	struct block_vec vec = {buf, n * SECTOR_SIZE};
	int err = store_read_point(x->store, id, sector, &vec, 1);

	if (err == -EUCLEAN)
		die("the index is damaged: run stasis-store check");
	if (err)
		die("sector %" PRIu64 " can't be read: %s", sector, strerror(-err));
}

static void next_difference_failed(int err)
{
	if (err != -ENOENT)
		die("the index can't be read (%s): run stasis-store check", strerror(-err));
}

/* Everything is written under another name first: an export is whole, or is not there. */
static void part_name(const struct options *o, char part[PATH_MAX], const char *file)
{
	if (snprintf(part, PATH_MAX, "%s.part", file) >= PATH_MAX)
		die("%s: the name is too long", file);
	if (!o->force && access(part, F_OK) == 0)
		die("%s exists: an export was cut off, or is under way; remove it, or give --force",
		    part);
}

static void in_place(const char *part, const char *file)
{
	if (rename(part, file))
		die("%s can't be renamed to %s: %s", part, file, strerror(errno));
}

static void refuse_existing(const struct options *o, const char *file)
{
	if (!o->force && access(file, F_OK) == 0)
		die("%s exists: give another name, or --force to replace it", file);
}

/* --- raw --- */

static bool all_zero(const char *p, size_t n)
{
	return !p[0] && memcmp(p, p + 1, n - 1) == 0;
}

static void write_at(int fd, const char *path, const char *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			die("%s can't be written: %s", path, strerror(errno));
		p += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
}

/* Zeros of a cluster and more become holes. */
static void write_sparse(int fd, const char *path, const char *buf, uint64_t sector, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += CLUSTER_SECTORS) {
		uint64_t piece = n - i < CLUSTER_SECTORS ? n - i : CLUSTER_SECTORS;

		if (!all_zero(buf + i * SECTOR_SIZE, piece * SECTOR_SIZE))
			write_at(fd, path, buf + i * SECTOR_SIZE, piece * SECTOR_SIZE,
				 (sector + i) * SECTOR_SIZE);
	}
}

/* Sectors from `sector` on that are a hole of the golden image, and that nothing lies over. */
static uint64_t untouched_hole(struct session *x, uint32_t id, uint64_t sector)
{
	uint64_t hole = file_hole(&x->golden, sector);
	struct store_stretch d;
	int err;

	if (hole < PIECE_SECTORS)
		return 0;
	err = store_difference(x->store, id, 0, sector, &d);
	if (err) {
		next_difference_failed(err);
		return hole;
	}
	return d.sector - sector < hole ? d.sector - sector : hole;
}

static void export_raw(struct session *x, uint32_t id, const char *file)
{
	uint64_t sectors = store_sectors(x->store);
	char part[PATH_MAX], *buf = allocate((size_t)PIECE_SECTORS * SECTOR_SIZE);
	struct progress p;
	int fd;

	part_name(x->o, part, file);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || ftruncate(fd, (off_t)(sectors * SECTOR_SIZE)))
		die("%s can't be written: %s", part, strerror(errno));
	progress_begin(&p, x->o, "export", sectors * SECTOR_SIZE);
	for (uint64_t at = 0, n; at < sectors; at += n) {
		n = untouched_hole(x, id, at);
		if (!n) {
			n = sectors - at < PIECE_SECTORS ? sectors - at : PIECE_SECTORS;
			read_point(x, id, at, n, buf);
			write_sparse(fd, part, buf, at, n);
		}
		progress_at(&p, (at + n) * SECTOR_SIZE);
	}
	if (fsync(fd) || close(fd))
		die("%s can't be written: %s", part, strerror(errno));
	progress_end(&p);
	free(buf);
	in_place(part, file);
}

/* --- qcow2 --- */

/* What a point has elsewhere than its base, in whole clusters, one after the other. */
struct clusters {
	struct session *x;
	uint32_t id, base;
	uint64_t from, to; /* sectors, being gathered */
	bool zero;
};

/* The next cluster in which something differs; zero: all of it is zeros by the index. */
static bool next_cluster(struct clusters *c, uint64_t at)
{
	uint64_t sectors = store_sectors(c->x->store);
	struct store_stretch d;
	uint64_t covered = 0;
	int err = store_difference(c->x->store, c->id, c->base, at, &d);

	if (err) {
		next_difference_failed(err);
		return false;
	}
	c->from = d.sector / CLUSTER_SECTORS * CLUSTER_SECTORS;
	c->to = c->from + CLUSTER_SECTORS < sectors ? c->from + CLUSTER_SECTORS : sectors;
	while (!err && d.zero && d.sector < c->to) {
		covered += (d.sector + d.n < c->to ? d.sector + d.n : c->to) - d.sector;
		err = store_difference(c->x->store, c->id, c->base, d.sector + d.n, &d);
	}
	c->zero = covered == c->to - c->from;
	return true;
}

static void export_delta(struct session *x, const struct store_point *point, uint32_t base,
			 const char *file, const char *backing, const char *backing_format)
{
	uint64_t sectors = store_sectors(x->store);
	char part[PATH_MAX], *buf = allocate((size_t)CLUSTER_SECTORS * SECTOR_SIZE);
	struct clusters c = {.x = x, .id = point->id, .base = base};
	struct progress p;
	struct image m;

	part_name(x->o, part, file);
	image_create(part, sectors * SECTOR_SIZE, backing, backing_format);
	image_open(&m, part, "qcow2", true);
	progress_begin(&p, x->o, point->open ? "(open)" : point->name, sectors * SECTOR_SIZE);
	for (uint64_t at = 0; at < sectors && next_cluster(&c, at); at = c.to) {
		if (c.zero) {
			image_zero(&m, c.from * SECTOR_SIZE, (c.to - c.from) * SECTOR_SIZE);
		} else {
			read_point(x, point->id, c.from, c.to - c.from, buf);
			image_write(&m, c.from * SECTOR_SIZE, buf, (c.to - c.from) * SECTOR_SIZE);
		}
		progress_at(&p, c.to * SECTOR_SIZE);
	}
	image_close(&m);
	progress_end(&p);
	free(buf);
	in_place(part, file);
}

/* A file of a chain: the exported one's name, then the point's number and as much of its name as a
 * file name can have. */
static char *chain_name(const char *file, const struct store_point *p)
{
	const char *slash = strrchr(file, '/'), *dot = strrchr(file, '.');
	int stem = dot && (!slash || dot > slash) ? (int)(dot - file) : (int)strlen(file);
	char name[STORE_NAME_MAX + 1], *path = allocate(PATH_MAX);

	memcpy(name, p->name, sizeof(name));
	for (char *c = name; *c; c++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.",
			    *c))
			*c = '_';
	if (snprintf(path, PATH_MAX, "%.*s-%" PRIu32 "-%s.qcow2", stem, file, p->id, name) >=
	    PATH_MAX)
		die("%s: the name is too long", file);
	return path;
}

static const char *file_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct store_point *by_id(const struct store_point *p, unsigned n, uint32_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (p[i].id == id)
			return &p[i];
	return NULL;
}

/* The golden image's first: each file's backing file is there before it is named. */
static void export_chain(struct session *x, const struct store_point *point, const char *golden)
{
	const struct store_point *chain[POINTS_MAX + 1], *at = point;
	unsigned n, length = 0;
	struct store_point *all = list_points(x, &n);
	char *backing = NULL;

	while (at && length <= POINTS_MAX) {
		chain[length++] = at;
		at = by_id(all, n, at->parent);
	}
	for (unsigned i = length; i-- > 0;) {
		char *file = i ? chain_name(x->o->file, chain[i]) : strdup(x->o->file);

		if (!file)
			die("out of memory");
		refuse_existing(x->o, file);
		export_delta(x, chain[i], chain[i]->parent, file,
			     backing ? file_part(backing) : golden, backing ? "qcow2" : "raw");
		printf("%s\n", file);
		free(backing);
		backing = file;
	}
	free(backing);
	free(all);
}

int command_export(struct session *x)
{
	struct store_point p = find_point(x, x->o->point);
	const char *format = x->o->format ? x->o->format : "qcow2";
	char *golden = realpath(x->o->golden, NULL);

	if (!golden)
		die("%s: %s", x->o->golden, strerror(errno));
	refuse_existing(x->o, x->o->file);
	if (strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0)
		die("a branch is exported as qcow2 or raw, not as %s", format);
	if (x->o->chain && strcmp(format, "qcow2") != 0)
		die("a chain is one of qcow2 files: leave out --chain, or --format %s", format);
	if (strcmp(format, "raw") == 0)
		export_raw(x, p.id, x->o->file);
	else if (x->o->chain)
		export_chain(x, &p, golden);
	else
		export_delta(x, &p, 0, x->o->file, golden, "raw");
	free(golden);
	return EXIT_OK;
}
