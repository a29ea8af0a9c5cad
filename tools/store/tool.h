/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis-store, what its commands share: the options, and the store that they work on. Each
 * command is one function, runs inside a fiber, and returns the exit status.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "storage/store.h"
#include "tools/store/file.h"

enum { EXIT_OK, EXIT_DIFFERS, EXIT_TROUBLE }; /* 1: damage, or an image that is not the one */

#define STORE_JSON_VERSION 1

struct options {
	const char *store; /* a path, and where in the file it is */
	uint64_t offset, length;
	bool placed; /* one of them was given */
	const char *golden, *point, *base, *keep, *format;
	const char *file; /* the argument behind the store: an image, or a point */
	unsigned partition;
	bool json, progress, chain, force, drop, update;
};

struct session {
	const struct options *o;
	struct file_dev file, golden;
	struct overlay_dev overlay;
	struct blockdev *dev;	     /* the file, or what is laid over it */
	struct blockdev *golden_dev; /* NULL: not given */
	struct store *store;	     /* NULL: not open */
	char why[240];
};

/* --- main.c --- */
/* A message on stderr. With --json, die's is {"version":1,"error":...} on stdout as well. */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *f, ...);
__attribute__((format(printf, 1, 2))) void warn(const char *f, ...);
void *allocate(size_t bytes); /* zeroed; dies if there is none */

/* --- session.c --- */
int session_open(struct session *x);   /* session.why */
void session_close(struct session *x); /* what was changed is stable then; else it dies */
/* All points by creation, the open delta last: *n of them, the caller's to free. */
struct store_point *list_points(struct session *x, unsigned *n);
/* The point of that name, NULL: the open delta. Dies if there is none. */
struct store_point find_point(struct session *x, const char *name);
/* Does the open delta hold anything? */
bool open_is_empty(struct session *x);
/* Runs fn(arg) in a fiber, and whatever it starts, until it returns. */
void in_fiber(void (*fn)(void *arg), void *arg);

/* --- progress.c --- */
struct progress {
	const char *what;
	uint64_t total, done; /* bytes */
	int shown;	      /* percent, -1: nothing yet */
	bool on;
};
/* A bar on stderr, if that is a terminal or `--progress` was given. */
void progress_begin(struct progress *p, const struct options *o, const char *what, uint64_t total);
void progress_at(struct progress *p, uint64_t done);
void progress_end(struct progress *p);

/* --- text.c --- */
void print_json(json_t *members); /* a line, "version" in front; takes them */
/* Of any bytes; those that are not UTF-8 cost the text all that is not ASCII. */
json_t *json_text(char *text);
/* A store may come from anywhere; its names are not to steer a terminal. */
void make_printable(char *text);
/* "12.3 MiB" in a buffer of the caller's. */
#define SIZE_TEXT 24
const char *size_text(char buf[SIZE_TEXT], uint64_t bytes);

/* --- commands --- */
int command_info(struct session *x);
int command_tree(struct session *x);
int command_check(struct session *x);
int command_compact(struct session *x);
int command_export(struct session *x);
int command_import(struct session *x);
int command_seal(struct session *x);
int command_rollback(struct session *x);
int command_merge(struct session *x);
int command_free(struct session *x);
int command_hash(struct session *x);
int command_format(struct session *x);
