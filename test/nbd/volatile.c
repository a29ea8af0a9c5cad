// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An nbdkit plugin: a disk that loses what was not flushed when its power fails.
 *   nbdkit volatile.so file=FILE [seed=N] [cut=N] [fua=true] [lies=true]
 * Writes stay in the disk's cache until a FLUSH, or have FUA; a sector that is written again may
 * have left the cache before. In the cut-th write or flush (0: never) the power fails: chance
 * chooses which sectors of the cache, and of the request itself, reach FILE; then the server kills
 * itself without an answer. It prints `volatile cut kept=N lost=N`, sectors, before. fua=true
 * offers FUA. lies=true: a FLUSH does nothing.
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <fcntl.h>
#include <nbdkit-plugin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define SECTOR	     512u
#define LARGEST	     (32u << 20) /* bytes of a request */

static char *path;
static int file = -1;
static int offers_fua, lies;
static uint64_t cut, requests, chance = 1;

/* The cache: the sectors' bytes, NULL for those that are as in the file. */
static uint64_t sectors;
static uint8_t **cached;

static uint64_t below(uint64_t limit)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (chance >> 16) % limit;
}

static int volatile_config(const char *key, const char *value)
{
	if (strcmp(key, "file") == 0) {
		free(path);
		path = nbdkit_realpath(value);
		return path ? 0 : -1;
	}
	if (strcmp(key, "seed") == 0) {
		if (nbdkit_parse_uint64_t(key, value, &chance) != 0)
			return -1;
		chance = (chance + 1) * 0x9e3779b97f4a7c15ull | 1;
		return 0;
	}
	if (strcmp(key, "cut") == 0)
		return nbdkit_parse_uint64_t(key, value, &cut);
	if (strcmp(key, "fua") == 0) {
		offers_fua = nbdkit_parse_bool(value);
		return offers_fua < 0 ? -1 : 0;
	}
	if (strcmp(key, "lies") == 0) {
		lies = nbdkit_parse_bool(value);
		return lies < 0 ? -1 : 0;
	}
	nbdkit_error("unknown parameter '%s'", key);
	return -1;
}

static int volatile_get_ready(void)
{
	off_t size;

	if (!path) {
		nbdkit_error("file=FILE is missing");
		return -1;
	}
	file = open(path, O_RDWR | O_CLOEXEC);
	size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
	if (size < 0) {
		nbdkit_error("%s: %m", path);
		return -1;
	}
	sectors = (uint64_t)size / SECTOR;
	cached = calloc(sectors, sizeof(*cached));
	if (!cached) {
		nbdkit_error("out of memory");
		return -1;
	}
	return 0;
}

static void *volatile_open(int readonly)
{
	(void)readonly;
	return &file;
}

static int64_t volatile_get_size(void *handle)
{
	(void)handle;
	return (int64_t)(sectors * SECTOR);
}

static int volatile_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			       uint32_t *maximum)
{
	(void)handle;
	*minimum = SECTOR;
	*preferred = 4096;
	*maximum = LARGEST;
	return 0;
}

static int volatile_can_flush(void *handle)
{
	(void)handle;
	return 1;
}

static int volatile_can_fua(void *handle)
{
	(void)handle;
	return offers_fua ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

/* To the file, which outlives this process. */
static int write_back(uint64_t sector)
{
	if (pwrite(file, cached[sector], SECTOR, (off_t)(sector * SECTOR)) == (ssize_t)SECTOR)
		return 0;
	nbdkit_error("%s: sector %llu: %m", path, (unsigned long long)sector);
	return -1;
}

/* Other sectors stay in the cache: FUA says nothing about them, and a disk that emptied its cache
 * then would hide who relies on that. */
static int make_stable(uint64_t first, uint64_t n)
{
	for (uint64_t s = first; s < first + n; s++) {
		if (!cached[s])
			continue;
		if (write_back(s) != 0)
			return -1;
		free(cached[s]);
		cached[s] = NULL;
	}
	return 0;
}

static void power_fails(void)
{
	/* none, few, half, most or all */
	static const unsigned eighths[] = {0, 1, 4, 7, 8};
	unsigned share = eighths[below(sizeof(eighths) / sizeof(eighths[0]))];
	uint64_t kept = 0, lost = 0;

	for (uint64_t s = 0; s < sectors; s++) {
		if (!cached[s])
			continue;
		if (below(8) < share && write_back(s) == 0)
			kept++;
		else
			lost++;
	}
	(void)fprintf(stderr, "volatile cut kept=%llu lost=%llu\n", (unsigned long long)kept,
		      (unsigned long long)lost);
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

static int cache_all(const uint8_t *data, uint64_t first, uint64_t n)
{
	for (uint64_t s = first; s < first + n; s++, data += SECTOR) {
		if (cached[s] && below(2) && write_back(s) != 0)
			return -1;
		if (!cached[s])
			cached[s] = malloc(SECTOR);
		if (!cached[s]) {
			nbdkit_set_error(ENOMEM);
			return -1;
		}
		memcpy(cached[s], data, SECTOR);
	}
	return 0;
}

static void count_request(void)
{
	if (++requests == cut)
		power_fails();
}

static int misaligned(uint32_t count, uint64_t offset)
{
	if (count % SECTOR == 0 && offset % SECTOR == 0)
		return 0;
	nbdkit_error("%u bytes at %llu: not whole sectors", count, (unsigned long long)offset);
	nbdkit_set_error(EINVAL);
	return 1;
}

static int volatile_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	uint8_t *p = buf;

	(void)handle;
	(void)flags;
	if (misaligned(count, offset))
		return -1;
	if (pread(file, buf, count, (off_t)offset) != (ssize_t)count) {
		nbdkit_error("%s: %m", path);
		return -1;
	}
	for (uint64_t s = offset / SECTOR; s < (offset + count) / SECTOR; s++, p += SECTOR)
		if (cached[s])
			memcpy(p, cached[s], SECTOR);
	return 0;
}

static int volatile_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			   uint32_t flags)
{
	(void)handle;
	if (misaligned(count, offset) || cache_all(buf, offset / SECTOR, count / SECTOR) != 0)
		return -1;
	count_request();
	return flags & NBDKIT_FLAG_FUA ? make_stable(offset / SECTOR, count / SECTOR) : 0;
}

static int volatile_flush(void *handle, uint32_t flags)
{
	(void)handle;
	(void)flags;
	count_request();
	return lies ? 0 : make_stable(0, sectors);
}

static struct nbdkit_plugin plugin = {
	.name = "volatile",
	.config = volatile_config,
	.get_ready = volatile_get_ready,
	.open = volatile_open,
	.get_size = volatile_get_size,
	.block_size = volatile_block_size,
	.can_flush = volatile_can_flush,
	.can_fua = volatile_can_fua,
	.pread = volatile_pread,
	.pwrite = volatile_pwrite,
	.flush = volatile_flush,
	.errno_is_preserved = 0,
};

NBDKIT_REGISTER_PLUGIN(plugin)
