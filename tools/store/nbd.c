// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/store/nbd.h"
#include <inttypes.h>
#include <libnbd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tools/store/tool.h"

#define ARGS_MAX      16
#define CHILD_SECONDS 60u /* for what takes no time */
#define EXTENTS_AT_ONCE \
	(1ull << 31) /* bytes asked for in one NBD_CMD_BLOCK_STATUS, which has 32 bits */

static void run(const char *const *args)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("no process for %s: %s", args[0], strerror(errno));
	if (!pid) {
		(void)alarm(CHILD_SECONDS); /* it outlives exec */
		execvp(args[0], (char *const *)args);
		(void)fprintf(stderr, "stasis-store: %s can't be started: install qemu-utils\n",
			      args[0]);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("%s got lost: %s", args[0], strerror(errno));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		die("%s has not come to an end in %u s: look for what holds up its files", args[0],
		    CHILD_SECONDS);
	if (status)
		die("%s failed; see above", args[0]);
}

void image_create(const char *path, uint64_t bytes, const char *backing, const char *backing_format)
{
	const char *args[ARGS_MAX] = {"qemu-img", "create", "-q", "-f", "qcow2"};
	char size[24];
	unsigned n = 5;

	if (backing) {
		args[n++] = "-b";
		args[n++] = backing;
		args[n++] = "-F";
		args[n++] = backing_format;
	}
	(void)snprintf(size, sizeof(size), "%" PRIu64, bytes);
	args[n++] = path;
	args[n] = size;
	run(args);
}

static _Noreturn void failed(const struct image *m)
{
	const char *why = nbd_get_error();

	die("%s: %s", m->path, why ? why : "qemu-nbd failed");
}

void image_open(struct image *m, const char *path, const char *format, bool writable)
{
	char *args[ARGS_MAX] = {"qemu-nbd"};
	char option[64];
	unsigned n = 1;

	*m = (struct image){.nbd = nbd_create(), .path = path};
	if (!m->nbd || nbd_add_meta_context(m->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION))
		failed(m);
	if (format) {
		(void)snprintf(option, sizeof(option), "--format=%s", format);
		args[n++] = option;
	}
	args[n++] = writable ? "--discard=unmap" : "--read-only";
	args[n++] = (char *)(uintptr_t)path;
	if (nbd_connect_systemd_socket_activation(m->nbd, args))
		failed(m);
	m->bytes = (uint64_t)nbd_get_size(m->nbd);
	if ((int64_t)m->bytes < 0)
		failed(m);
}

void image_read(struct image *m, uint64_t at, void *buf, size_t n)
{
	if (nbd_pread(m->nbd, buf, n, at, 0))
		failed(m);
}

void image_write(struct image *m, uint64_t at, const void *buf, size_t n)
{
	if (nbd_pwrite(m->nbd, buf, n, at, 0))
		failed(m);
}

void image_zero(struct image *m, uint64_t at, uint64_t n)
{
	if (nbd_zero(m->nbd, n, at, 0))
		failed(m);
}

struct found {
	uint64_t n;
	bool zero, some;
};

static int take_extents(void *user, const char *context, uint64_t at, uint32_t *entries, size_t n,
			int *error)
{
	struct found *f = user;

	(void)at;
	(void)error;
	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || n < 2 || f->some)
		return 0;
	f->some = true;
	f->n = entries[0];
	f->zero = entries[1] & LIBNBD_STATE_ZERO;
	return 0;
}

uint64_t image_extent(struct image *m, uint64_t at, bool *zero)
{
	uint64_t n = m->bytes - at < EXTENTS_AT_ONCE ? m->bytes - at : EXTENTS_AT_ONCE;
	struct found f = {.n = n};

	if (nbd_can_meta_context(m->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1 &&
	    nbd_block_status(m->nbd, n, at,
			     (nbd_extent_callback){.callback = take_extents, .user_data = &f}, 0))
		failed(m);
	*zero = f.some && f.zero;
	return f.n && f.n < n ? f.n : n;
}

void image_close(struct image *m)
{
	if (nbd_is_read_only(m->nbd) == 0 && nbd_flush(m->nbd, 0))
		failed(m);
	if (nbd_shutdown(m->nbd, 0))
		failed(m);
	nbd_close(m->nbd); /* waits for qemu-nbd */
}
