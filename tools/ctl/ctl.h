/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stasisctl, what all its parts share: options, exit statuses, messages to the operator. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "tools/ctl/json.h"
#include "tools/ctl/text.h"
#include "tools/ctl/when.h"

#define CTL_JSON_VERSION 1
#define NSEC_PER_SEC	 1000000000ull
#define NSEC_PER_MSEC	 1000000ull

enum ctl_exit {
	EXIT_CLEAN,
	EXIT_FAILED,  /* or aborted */
	EXIT_USAGE,   /* of the command line, or the experiment file */
	EXIT_LATE,    /* all frozen, one too late */
	EXIT_PARTIAL, /* some were not */
};

struct options {
	const char *file; /* of the experiment */
	bool json, progress, force, follow, keep_going;
	bool has_at, has_in, has_for, has_every;
	struct when at;		  /* --at */
	uint64_t in, hold, every; /* ns: --in, --for, --every */
	uint64_t count;		  /* 0: no end */
	int argc;		  /* behind the command */
	char **argv;
};

extern struct options options;

/* A message on stderr. With --json, die's is a line {"version":1,"error":...} on stdout as well. */
__attribute__((format(printf, 1, 2))) void warn(const char *f, ...);
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *f, ...); /* EXIT_FAILED */
__attribute__((format(printf, 1, 2), noreturn)) void die_usage(const char *f, ...);

/* --- output.c --- */
/* Prints the text and a newline to stdout, flushes, and empties it. Dies if that fails. */
void put_line(struct text *t);
/* {"version":1,"command":...}, to be added to; command NULL: without. */
json_t *json_begin(const char *command);
/* Prints the object and a newline to stdout, flushes, and frees it. Dies if that fails. */
void put_json(json_t *object);
/* "1.5 s", "20 us" */
#define DURATION_TEXT 24
const char *duration_text(char buf[DURATION_TEXT], uint64_t ns);
