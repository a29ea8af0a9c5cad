/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The experiment file: which nodes belong together, and how to reach them (docs/operator.md). Lines
 * `key = value` and `node NAME ADDRESS[:PORT]`; # begins a comment. Strict: what is not understood
 * is an error, with the line and what to do.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_BYTES 64
#define HOST_MAX_BYTES 256
#define NODES_MAX      65536
#define KEY_BYTES      32

struct experiment_node {
	char *name;
	char *host; /* a name or an address, without brackets */
	uint16_t port;
	uint32_t line; /* where it is in the file, from 1 */
};

struct experiment {
	char name[NAME_MAX_BYTES + 1];
	uint64_t number; /* from 1, below 2^63 */
	uint8_t key[KEY_BYTES];
	char *key_file; /* NULL: `key` was in the experiment file itself */
	uint32_t key_line;
	/* ns */
	uint64_t margin, lead, late_limit, late_clean, clock_bound, patience, connect;
	struct experiment_node *nodes; /* in the order of their lines: index 0, 1, ... */
	uint32_t node_count;
};

#define WHY_BYTES 512

/* Pure. 0; -EINVAL: `why` says what is wrong, with `file` and the line. In both cases
 * experiment_free must follow. The key is not read if it is in a file of its own. */
int experiment_parse(struct experiment *e, const char *file, const char *text, size_t size,
		     char why[WHY_BYTES]);
/* Reads the file, and its key's. */
int experiment_load(struct experiment *e, const char *file, char why[WHY_BYTES]);
void experiment_free(struct experiment *e);

/* 64 hex digits, white space around them. Pure. */
bool key_parse(const char *text, size_t size, uint8_t key[KEY_BYTES]);
