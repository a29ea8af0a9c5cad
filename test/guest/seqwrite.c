// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Numbered writes to a disk, and whether those that were flushed are there:
 *   seqwrite write DEVICE SEED GENERATION            until a line comes on stdin
 *   seqwrite check DEVICE SEED GENERATION:NUMBER...  in the order in which they were written
 * Number 1, 2, ... of a generation is some writes of 512 bytes to 128 KiB wherever SEED says, then
 * fsync, then a line `seqwrite flushed GENERATION NUMBER`; when the disk fails, `seqwrite failed
 * WHY`. To a line on stdin it answers, even while fsync does not return, `seqwrite last GENERATION
 * NUMBER`. Each sector written says of which generation and number it is, and where it belongs. The
 * checker is given the last number that was flushed of each generation. Each sector has to be of
 * the last of these that wrote it, or of a later one that wrote it, at most one behind the last; or
 * as in the golden image of the tests (eight digits of the sector's number, again and again) if
 * none did. It prints `seqwrite found sectors=N later=N untouched=N bad=N`; exit status 1 if one is
 * bad.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <unistd.h>
#include "lib/watch.h"

#define SECTOR	    512u
#define PAGE	    4096u
#define LARGEST	    256u /* sectors of a write */
#define WRITES	    6u	 /* of a number, at most */
#define GENERATIONS 256u
#define MAGIC	    0x5e9a11c3d07f2b46ull
#define UNDER_WAY   1u	/* numbers behind the last one flushed that can have been written in part */
#define BAD_SAID    10u /* lines about bad sectors */

struct stamp {
	uint64_t magic, sector, generation, number;
	uint64_t filling[SECTOR / 8 - 4];
};
_Static_assert(sizeof(struct stamp) == SECTOR, "one sector");

struct extent {
	uint64_t sector, n;
};

static uint64_t disk_sectors, seed;

static int die(const char *what)
{
	printf("seqwrite: %s: %s\n", what, strerror(errno));
	return 1;
}

static int open_disk(const char *path, int flags)
{
	int fd = open(path, flags);
	uint64_t bytes;

	if (fd >= 0 && ioctl(fd, BLKGETSIZE64, &bytes) == 0)
		disk_sectors = bytes / SECTOR;
	return fd;
}

static void fill(struct stamp *s, uint64_t sector, uint64_t generation, uint64_t number)
{
	uint64_t x = (sector << 40 ^ generation << 32 ^ number) | 1ull << 63;

	*s = (struct stamp){MAGIC, sector, generation, number, {0}};
	for (unsigned i = 0; i < sizeof(s->filling) / 8; i++)
		s->filling[i] = random_below(&x, UINT64_MAX);
}

/* The writes of one number: how many. */
static unsigned extents_of(uint64_t generation, uint64_t number, struct extent *e)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15ull ^ generation << 40 ^ number;
	unsigned n;

	for (unsigned i = 0; i < 8; i++) /* neighbours come far apart */
		(void)random_below(&x, 2);
	n = 1 + (unsigned)random_below(&x, WRITES);
	for (unsigned i = 0; i < n; i++) {
		static const uint64_t sizes[] = {1, 16, 64, LARGEST};

		e[i].n = 1 + random_below(&x, sizes[random_below(&x, 4)]);
		e[i].sector = random_below(&x, disk_sectors - e[i].n + 1);
	}
	return n;
}

/* --- writing --- */

static int write_number(int fd, uint64_t generation, uint64_t number)
{
	static struct stamp buf[LARGEST] __attribute__((aligned(PAGE)));
	struct extent e[WRITES];
	unsigned n = extents_of(generation, number, e);

	for (unsigned i = 0; i < n; i++) {
		ssize_t bytes = (ssize_t)(e[i].n * SECTOR);

		for (uint64_t k = 0; k < e[i].n; k++)
			fill(&buf[k], e[i].sector + k, generation, number);
		if (pwrite(fd, buf, (size_t)bytes, (off_t)(e[i].sector * SECTOR)) != bytes)
			return -1;
	}
	return fsync(fd);
}

static uint64_t generation_written;
static _Atomic uint64_t last_flushed;
static int disk[2];

/* Odd numbers go straight to the disk, even ones through the kernel's cache, which writes pages and
 * several at once. */
static void *write_all(void *unused)
{
	(void)unused;
	for (uint64_t number = 1;; number++) {
		if (write_number(disk[number % 2], generation_written, number) != 0)
			break;
		last_flushed = number;
		printf("seqwrite flushed %llu %llu\n", (unsigned long long)generation_written,
		       (unsigned long long)number);
	}
	printf("seqwrite failed: %s\n", strerror(errno));
	return NULL;
}

static int write_until_asked(const char *path, uint64_t generation)
{
	pthread_t thread;

	generation_written = generation;
	disk[0] = open_disk(path, O_RDWR);
	disk[1] = open_disk(path, O_RDWR | O_DIRECT);
	if (disk[0] < 0 || disk[1] < 0)
		return die(path);
	errno = pthread_create(&thread, NULL, write_all, NULL);
	if (errno)
		return die("thread");
	(void)getchar();
	printf("seqwrite last %llu %llu\n", (unsigned long long)generation,
	       (unsigned long long)last_flushed);
	return 0;
}

/* --- checking --- */

struct mark {
	uint64_t generation, number; /* 0, 0: nobody wrote here */
};

static struct mark *wanted;
static uint64_t last[GENERATIONS]; /* that can have been written, by generation */

static int take_generation(const char *text)
{
	struct extent e[WRITES];
	char *end;
	uint64_t generation = strtoull(text, &end, 10), number;

	if (*end != ':' || !generation || generation >= GENERATIONS) {
		(void)fprintf(stderr, "seqwrite: not GENERATION:NUMBER: %s\n", text);
		return -1;
	}
	last[generation] = strtoull(end + 1, NULL, 10) + UNDER_WAY;
	for (number = 1; number + UNDER_WAY <= last[generation]; number++)
		for (unsigned i = extents_of(generation, number, e); i--;)
			for (uint64_t k = 0; k < e[i].n; k++)
				wanted[e[i].sector + k] = (struct mark){generation, number};
	return 0;
}

static bool wrote(uint64_t generation, uint64_t number, uint64_t sector)
{
	struct extent e[WRITES];

	if (!number || generation >= GENERATIONS || number > last[generation])
		return false;
	for (unsigned i = extents_of(generation, number, e); i--;)
		if (sector >= e[i].sector && sector - e[i].sector < e[i].n)
			return true;
	return false;
}

static bool is_golden(const struct stamp *s, uint64_t sector)
{
	char digits[9];

	(void)snprintf(digits, sizeof(digits), "%08u", (unsigned)(sector % 100000000));
	for (unsigned i = 0; i < SECTOR; i += 8)
		if (memcmp((const char *)s + i, digits, 8) != 0)
			return false;
	return true;
}

struct found {
	uint64_t sectors, later, untouched, bad;
};

static void judge(struct found *f, const struct stamp *s, uint64_t sector)
{
	const struct mark *w = &wanted[sector];
	struct stamp same;

	if (!w->number && is_golden(s, sector)) {
		f->untouched++;
		return;
	}
	f->sectors++;
	fill(&same, sector, s->generation, s->number);
	if (memcmp(s, &same, sizeof(same)) == 0) {
		if (s->generation == w->generation && s->number == w->number)
			return;
		if ((s->generation > w->generation ||
		     (s->generation == w->generation && s->number > w->number)) &&
		    wrote(s->generation, s->number, sector)) {
			f->later++;
			return;
		}
	}
	if (f->bad++ < BAD_SAID)
		printf("seqwrite bad sector=%llu wanted=%llu:%llu found=%llu:%llu%s\n",
		       (unsigned long long)sector, (unsigned long long)w->generation,
		       (unsigned long long)w->number, (unsigned long long)s->generation,
		       (unsigned long long)s->number,
		       s->magic != MAGIC     ? " no stamp"
		       : s->sector != sector ? " misplaced"
					     : "");
}

static int check_all(const char *path, int n, char **generations)
{
	static struct stamp buf[LARGEST] __attribute__((aligned(PAGE)));
	int fd = open_disk(path, O_RDONLY | O_DIRECT);
	struct found f = {0};

	if (fd < 0)
		return die(path);
	wanted = calloc(disk_sectors, sizeof(*wanted));
	if (!wanted)
		return die("memory");
	for (int i = 0; i < n; i++)
		if (take_generation(generations[i]) != 0)
			return 2;
	for (uint64_t sector = 0; sector < disk_sectors;) {
		ssize_t bytes = pread(fd, buf, sizeof(buf), (off_t)(sector * SECTOR));

		if (bytes <= 0)
			return die("a read failed");
		for (unsigned i = 0; i < (size_t)bytes / SECTOR; i++)
			judge(&f, &buf[i], sector++);
	}
	printf("seqwrite found sectors=%llu later=%llu untouched=%llu bad=%llu\n",
	       (unsigned long long)f.sectors, (unsigned long long)f.later,
	       (unsigned long long)f.untouched, (unsigned long long)f.bad);
	return f.bad != 0;
}

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	if (argc >= 4)
		seed = strtoull(argv[3], NULL, 10);
	if (argc == 5 && strcmp(argv[1], "write") == 0)
		return write_until_asked(argv[2], strtoull(argv[4], NULL, 10));
	if (argc >= 4 && strcmp(argv[1], "check") == 0)
		return check_all(argv[2], argc - 4, argv + 4);
	(void)fprintf(stderr, "usage: seqwrite write DEVICE SEED GENERATION | "
			      "seqwrite check DEVICE SEED GENERATION:NUMBER...\n");
	return 2;
}
