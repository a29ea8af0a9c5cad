// SPDX-License-Identifier: GPL-2.0-or-later
/* The experiment file and the key's file, from the disk. A key that others can read is none. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tools/ctl/experiment.h"
#include "tools/ctl/text.h"

#define FILE_MAX_BYTES (16 << 20)

static int wrong(char why[WHY_BYTES], const char *file, const char *what)
{
	(void)snprintf(why, WHY_BYTES, "%s: %s", file, what);
	return -EINVAL;
}

static int read_fd(int fd, struct text *t)
{
	char piece[65536];
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) > 0) {
		if (t->len + (size_t)n > FILE_MAX_BYTES)
			return -EFBIG;
		text_bytes(t, piece, (size_t)n);
	}
	explicit_bzero(piece, sizeof(piece));
	return n < 0 ? -errno : 0;
}

/* The whole file; *mode: who may read it. */
static int read_file(const char *file, struct text *t, mode_t *mode, char why[WHY_BYTES])
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), err;
	struct stat st;

	if (fd < 0)
		return wrong(why, file, strerror(errno));
	err = fstat(fd, &st) < 0 ? -errno : read_fd(fd, t);
	(void)close(fd);
	if (err)
		return wrong(why, file, strerror(-err));
	*mode = st.st_mode;
	return 0;
}

/* Others, or a group that may write: then the key is anybody's. */
static int check_secret(const char *file, mode_t mode, char why[WHY_BYTES])
{
	if (S_ISREG(mode) && mode & (S_IRWXO | S_IWGRP)) {
		(void)snprintf(why, WHY_BYTES,
			       "%s holds the key and is open to others: chmod 600 '%s' (and make a "
			       "new key if somebody may have read it)",
			       file, file);
		return -EACCES;
	}
	return 0;
}

/* A relative path is relative to the experiment file. */
static char *beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	struct text t = {0};

	if (*path == '/' || !slash)
		return copy_string(path);
	text_bytes(&t, file, (size_t)(slash - file) + 1);
	text_add(&t, "%s", path);
	return t.s;
}

/* In front of what is wrong. */
static void name_line(char why[WHY_BYTES], const char *file, unsigned line)
{
	struct text t = {0};

	text_add(&t, "%s:%u: key: %s", file, line, why);
	(void)snprintf(why, WHY_BYTES, "%s", t.s);
	text_free(&t);
}

static int load_key(struct experiment *e, const char *file, char why[WHY_BYTES])
{
	char *path = beside(file, e->key_file);
	struct text t = {0};
	mode_t mode = 0;
	int err = read_file(path, &t, &mode, why);

	if (!err)
		err = check_secret(path, mode, why);
	if (!err && !key_parse(t.s ? t.s : "", t.len, e->key)) {
		(void)snprintf(why, WHY_BYTES,
			       "%s: a key is %d hex digits and nothing else (openssl rand -hex %d "
			       "makes one)",
			       path, 2 * KEY_BYTES, KEY_BYTES);
		err = -EINVAL;
	}
	if (t.s)
		explicit_bzero(t.s, t.len);
	text_free(&t);
	free(path);
	if (err)
		name_line(why, file, e->key_line);
	return err;
}

int experiment_load(struct experiment *e, const char *file, char why[WHY_BYTES])
{
	struct text t = {0};
	mode_t mode = 0;
	int err;

	*e = (struct experiment){0};
	err = read_file(file, &t, &mode, why);
	if (err)
		(void)snprintf(why + strlen(why), WHY_BYTES - strlen(why),
			       ": name the experiment's file with -e FILE");
	else
		err = experiment_parse(e, file, t.s ? t.s : "", t.len, why);
	if (!err)
		err = e->key_file ? load_key(e, file, why) : check_secret(file, mode, why);
	if (t.s)
		explicit_bzero(t.s, t.len);
	text_free(&t);
	return err;
}
