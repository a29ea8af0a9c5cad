// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Requests of 4 KiB straight to a disk, so many under way at once:
 *   diskload DEVICE read|write DEPTH COUNT
 * They go up and down the first half of the device in a fixed order. Prints
 * `diskload requests=N ticks=N`: the TSC's, from the first submission to the last completion.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/watch.h"

#define BLOCK	  4096u
#define DEPTH_MAX 256u
#define STRIDE	  7919u /* blocks from one request to the next; a prime */

static uint8_t buffers[DEPTH_MAX][BLOCK] __attribute__((aligned(BLOCK)));
static struct iocb control[DEPTH_MAX];
static int disk, opcode;
static uint64_t blocks;
static aio_context_t context;

static int die(const char *what)
{
	(void)fprintf(stderr, "diskload: %s: %s\n", what, strerror(errno));
	return 1;
}

static long submit(unsigned slot, uint64_t number)
{
	struct iocb *c = &control[slot];

	*c = (struct iocb){.aio_data = slot,
			   .aio_lio_opcode = (uint16_t)opcode,
			   .aio_fildes = (uint32_t)disk,
			   .aio_buf = (uintptr_t)buffers[slot],
			   .aio_nbytes = BLOCK,
			   .aio_offset = (int64_t)(number * STRIDE % blocks * BLOCK)};
	return syscall(SYS_io_submit, context, 1, &c) == 1 ? 0 : -1;
}

static int run(unsigned depth, uint64_t count)
{
	uint64_t submitted = 0, done = 0, start = tsc_now();
	struct io_event events[DEPTH_MAX];

	for (unsigned slot = 0; slot < depth && submitted < count; slot++)
		if (submit(slot, submitted++) != 0)
			return die("io_submit");
	while (done < count) {
		long n = syscall(SYS_io_getevents, context, 1, depth, events, NULL);

		if (n < 1)
			return die("io_getevents");
		for (long i = 0; i < n; i++, done++) {
			if (events[i].res != BLOCK) {
				errno = (int)-events[i].res;
				return die("a request failed");
			}
			if (submitted < count && submit((unsigned)events[i].data, submitted++) != 0)
				return die("io_submit");
		}
	}
	printf("diskload requests=%llu ticks=%llu\n", (unsigned long long)count,
	       (unsigned long long)(tsc_now() - start));
	return 0;
}

int main(int argc, char **argv)
{
	unsigned depth = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
	uint64_t bytes;

	if (!depth || depth > DEPTH_MAX) {
		(void)fprintf(stderr, "usage: diskload DEVICE read|write DEPTH COUNT\n");
		return 2;
	}
	opcode = strcmp(argv[2], "write") == 0 ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	disk = open(argv[1], O_RDWR | O_DIRECT);
	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &bytes) != 0)
		return die(argv[1]);
	blocks = bytes / BLOCK / 2;
	memset(buffers, 0x5a, sizeof(buffers));
	if (syscall(SYS_io_setup, depth, &context) != 0)
		return die("io_setup");
	return run(depth, strtoull(argv[4], NULL, 10));
}
