// SPDX-License-Identifier: GPL-2.0-or-later
/* Splitting a command line, finding the command, and saying what would have been right. */
#include "hv/command.h"
#include <string.h>
#include "hv/console.h"

static bool failed;

void command_has_failed(void)
{
	failed = true;
}

static int split(char *line, char **argv, int max)
{
	int n = 0;

	for (char *p = line; *p;) {
		while (*p == ' ' || *p == '\t')
			*p++ = 0;
		if (!*p)
			break;
		if (n == max)
			return -1;
		argv[n++] = p;
		while (*p && *p != ' ' && *p != '\t')
			p++;
	}
	return n;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void fail(bool json, const char *what, const char *name)
{
	failed = true;
	if (json)
		out("{\"version\":%d,\"error\":\"%s\"}\n", COMMAND_JSON_VERSION, what);
	else
		out("%s: %s\n", name, what);
}

static int take_json(int argc, char **argv, bool *json)
{
	int n = 0;

	*json = false;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*json = true;
		else
			argv[n++] = argv[i];
	}
	return n;
}

static void usage(const struct command *c, bool json)
{
	failed = true;
	if (json)
		out("{\"version\":%d,\"error\":\"usage: %s%s%s [--json]\"}\n", COMMAND_JSON_VERSION,
		    c->name, *c->args ? " " : "", c->args);
	else
		out("usage: %s%s%s [--json]\n       %s\n", c->name, *c->args ? " " : "", c->args,
		    c->what);
}

bool command_wants_json(const char *line)
{
	return strstr(line, " --json");
}

bool command_run(char *line)
{
	char *argv[COMMAND_ARGS_MAX];
	const struct command *c;
	bool json = command_wants_json(line);
	int argc = split(line, argv, COMMAND_ARGS_MAX);

	failed = false;
	if (argc == 0)
		return true;
	if (argc < 0) {
		fail(json, "too many words: no command takes that many; see help", argv[0]);
		return false;
	}
	argc = take_json(argc, argv, &json);
	c = argc ? command_find(argv[0]) : NULL;
	if (!c) {
		fail(json, "unknown command; help lists them", argc ? argv[0] : "--json");
		return false;
	}
	if (c->run(argc - 1, argv + 1, json) < 0)
		usage(c, json);
	return !failed;
}

const char *command_complete(const char *line, size_t len)
{
	const char *match = NULL;
	unsigned matches = 0;

	for (size_t i = 0; i < command_count; i++) {
		if (strncmp(commands[i].name, line, len) != 0)
			continue;
		matches++;
		match = commands[i].name;
	}
	return matches == 1 && len ? match + len : NULL;
}
