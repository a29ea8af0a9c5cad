/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of the prompt. Each takes `--json` and then prints one line of JSON
 * (docs/commands.md says which members; a member is never removed or renamed within a version).
 * Boot CPU's loop only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define COMMAND_ARGS_MAX     16
#define COMMAND_JSON_VERSION 1

struct command {
	const char *name;
	const char *args; /* as in a manual page */
	const char *what;
	/* argc counts without the command's name and without --json. Negative: wrong arguments, the
	 * usage is shown. */
	int (*run)(int argc, char **argv, bool json);
};

/* Splits it in place; false: it was wrong, or could not be carried out. */
bool command_run(char *line);
bool command_wants_json(const char *line);
void command_has_failed(void);			      /* the one that runs */
const struct command *command_find(const char *name); /* NULL: there is none */
const char *command_complete(const char *line, size_t len);
extern const struct command commands[];
extern const size_t command_count;
