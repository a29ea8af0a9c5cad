// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/experiment.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/duration.h"
#include "net/ctl_record.h"
#include "proto/wire.h"
#include "tools/ctl/text.h"

#define LINE_MAX_BYTES 1024
#define MS	       ((uint64_t)1000000)
#define SECOND	       (1000 * MS)
#define NAME_CHARS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define HEX_DIGITS     "0123456789abcdefABCDEF"

struct parser {
	struct experiment *e;
	const char *file;
	uint32_t line;
	uint32_t room; /* for nodes */
	unsigned seen; /* bit per key */
	char *why;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct parser *p, const char *f, ...)
{
	int n = snprintf(p->why, WHY_BYTES, "%s:%u: ", p->file, p->line);
	va_list ap;

	if (n < 0 || n >= WHY_BYTES)
		n = 0;
	va_start(ap, f);
	(void)vsnprintf(p->why + n, WHY_BYTES - (size_t)n, f, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= NAME_MAX_BYTES && strspn(s, NAME_CHARS) == n && *s != '-';
}

/* A decimal number from 1 to `max`. */
static bool number(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t n = 0;

	if (!*s)
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return false;
	*value = n;
	return *s == 0 && n > 0 && n <= max;
}

bool key_parse(const char *text, size_t size, uint8_t key[KEY_BYTES])
{
	char pair[3] = {0};

	while (size && strchr(" \t\r\n", text[size - 1]))
		size--;
	while (size && strchr(" \t\r\n", *text)) {
		text++;
		size--;
	}
	if (size != 2 * (size_t)KEY_BYTES)
		return false;
	for (size_t i = 0; i < size; i++)
		if (!text[i] || !strchr(HEX_DIGITS, text[i]))
			return false;
	for (size_t i = 0; i < KEY_BYTES; i++) {
		memcpy(pair, text + 2 * i, 2);
		key[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return true;
}

/* --- keys --- */

static int take_experiment(struct parser *p, char *value)
{
	char *slash = strchr(value, '/');

	if (slash)
		*slash = 0;
	if (!slash || !is_name(value) || !number(slash + 1, INT64_MAX, &p->e->number))
		return wrong(p,
			     "experiment takes NAME/NUMBER, as in experiment = demo/17: a name of "
			     "letters, digits, '.', '_' and '-', and the number, below 2^63, "
			     "that its nodes have as experiment= in their boot configuration");
	(void)snprintf(p->e->name, sizeof(p->e->name), "%s", value);
	return 0;
}

static int take_key(struct parser *p, char *value)
{
	p->e->key_line = p->line;
	if (strncmp(value, "file:", 5) == 0 && value[5]) {
		p->e->key_file = copy_string(value + 5);
		return 0;
	}
	if (!key_parse(value, strlen(value), p->e->key))
		return wrong(p,
			     "key takes file:PATH (recommended) or %d hex digits: what the nodes "
			     "have as control_key= in their boot configuration",
			     2 * KEY_BYTES);
	return 0;
}

static const struct {
	const char *name;
	size_t offset; /* of a duration; 0: has a function of its own */
	int (*take)(struct parser *p, char *value);
	uint64_t least, most, usual;
} keys[] = {
	{"experiment", 0, take_experiment, 0, 0, 0},
	{"key", 0, take_key, 0, 0, 0},
#define DURATION(k, least, most, usual)                                      \
	{                                                                    \
#k, offsetof(struct experiment, k), NULL, least, most, usual \
	}
	DURATION(margin, MS, 60 * SECOND, 100 * MS),
	DURATION(lead, 0, 3600 * SECOND, 500 * MS),
	DURATION(late_limit, 0, 3600 * SECOND, SECOND),
	DURATION(late_clean, 0, SECOND, MS / 10),
	DURATION(clock_bound, 1, SECOND, MS / 10),
	DURATION(patience, 10 * MS, 3600 * SECOND, 3 * SECOND),
	DURATION(connect, 10 * MS, 3600 * SECOND, 10 * SECOND),
#undef DURATION
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static int take_duration(struct parser *p, size_t key, const char *value)
{
	uint64_t ns;

	if (duration_parse(value, &ns) != 0)
		return wrong(p,
			     "%s takes a number with a unit (" DURATION_UNITS "), as in %s = 200ms",
			     keys[key].name, keys[key].name);
	if (ns < keys[key].least || ns > keys[key].most)
		return wrong(p, "%s must be from %" PRIu64 " ns to %" PRIu64 " s", keys[key].name,
			     keys[key].least, keys[key].most / SECOND);
	memcpy((char *)p->e + keys[key].offset, &ns, sizeof(ns));
	return 0;
}

static int take_setting(struct parser *p, const char *name, char *value)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		if (p->seen >> i & 1)
			return wrong(p, "%s is given twice: remove one", name);
		p->seen |= 1u << i;
		if (!*value)
			return wrong(p, "%s has no value: write %s = VALUE, or remove the line",
				     name, name);
		return keys[i].take ? keys[i].take(p, value) : take_duration(p, i, value);
	}
	return wrong(p,
		     "there is no key '%.64s': experiment, key, margin, lead, late_limit, "
		     "late_clean, clock_bound, patience, connect; or node NAME ADDRESS[:PORT]",
		     name);
}

/* --- nodes --- */

/* HOST, HOST:PORT, IPv6 address, [IPv6 address]:PORT. In place. */
static bool split_address(char *text, char **host, uint16_t *port)
{
	char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
	uint64_t n = CTL_PORT;

	*host = text;
	if (*text == '[') {
		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return false;
		colon = bracket[1] ? bracket + 1 : NULL;
		*bracket = 0;
		(*host)++;
	} else if (colon && strchr(text, ':') != colon) {
		colon = NULL; /* more than one: an IPv6 address */
	}
	if (colon) {
		*colon = 0;
		if (!number(colon + 1, UINT16_MAX, &n))
			return false;
	}
	*port = (uint16_t)n;
	n = strlen(*host);
	return n > 0 && n < HOST_MAX_BYTES && strspn(*host, NAME_CHARS ":%") == n;
}

static int take_node(struct parser *p, char *rest)
{
	struct experiment *e = p->e;
	char *save, *name = strtok_r(rest, " \t", &save);
	char *address = name ? strtok_r(NULL, " \t", &save) : NULL, *host;
	uint16_t port;

	if (!address || strtok_r(NULL, " \t", &save))
		return wrong(p, "a node's line is: node NAME ADDRESS[:PORT]");
	if (!is_name(name) || strcmp(name, "all") == 0)
		return wrong(p,
			     "a node's name has 1 to %d letters, digits, '.', '_' and '-', and is "
			     "not 'all'",
			     NAME_MAX_BYTES);
	if (!split_address(address, &host, &port))
		return wrong(p,
			     "node %s: the address must be a host name or an IP address, and a "
			     "port from 1 to 65535 behind a colon if it is not %d; an IPv6 address "
			     "with a port goes in brackets",
			     name, CTL_PORT);
	if (e->node_count == NODES_MAX)
		return wrong(p, "more than %d nodes", NODES_MAX);
	if (e->node_count == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		e->nodes = reallocate(e->nodes, p->room * sizeof(*e->nodes));
	}
	e->nodes[e->node_count++] = (struct experiment_node){
		.name = copy_string(name),
		.host = copy_string(host),
		.port = port,
		.line = p->line,
	};
	return 0;
}

static int by_name(const void *x, const void *y)
{
	const struct experiment_node *const *a = x, *const *b = y;
	int order = strcmp((*a)->name, (*b)->name);

	return order ? order : ((*a)->line > (*b)->line) - ((*a)->line < (*b)->line);
}

static int by_address(const void *x, const void *y)
{
	const struct experiment_node *const *a = x, *const *b = y;
	int order = strcmp((*a)->host, (*b)->host);

	if (!order)
		order = (*a)->port - (*b)->port;
	return order ? order : ((*a)->line > (*b)->line) - ((*a)->line < (*b)->line);
}

static bool same_address(const struct experiment_node *a, const struct experiment_node *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static int check_twice(struct parser *p)
{
	uint32_t n = p->e->node_count;
	struct experiment_node **order = allocate(n * sizeof(struct experiment_node *));
	int err = 0;

	for (uint32_t i = 0; i < n; i++)
		order[i] = &p->e->nodes[i];
	qsort(order, n, sizeof(struct experiment_node *), by_name);
	for (uint32_t i = 1; i < n && !err; i++) {
		p->line = order[i]->line;
		if (strcmp(order[i]->name, order[i - 1]->name) == 0)
			err = wrong(p, "there is a node %s in line %u already: names must differ",
				    order[i]->name, order[i - 1]->line);
	}
	qsort(order, n, sizeof(struct experiment_node *), by_address);
	for (uint32_t i = 1; i < n && !err; i++) {
		p->line = order[i]->line;
		if (same_address(order[i], order[i - 1]))
			err = wrong(p, "node %s has the address of node %s in line %u",
				    order[i]->name, order[i - 1]->name, order[i - 1]->line);
	}
	free(order);
	return err;
}

/* --- lines --- */

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	end = s + strlen(s);
	while (end > s && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	*end = 0;
	return s;
}

static int take_line(struct parser *p, const char *text, size_t size)
{
	char copy[LINE_MAX_BYTES], *s, *equals;

	if (size >= sizeof(copy))
		return wrong(p, "the line is longer than %d bytes", LINE_MAX_BYTES - 1);
	if (memchr(text, 0, size))
		return wrong(p, "there is a zero byte: this is no text file");
	memcpy(copy, text, size);
	copy[size] = 0;
	copy[strcspn(copy, "#")] = 0;
	s = trim(copy);
	if (!*s)
		return 0;
	if (strncmp(s, "node", 4) == 0 && (s[4] == ' ' || s[4] == '\t'))
		return take_node(p, s + 5);
	equals = strchr(s, '=');
	if (!equals)
		return wrong(p, "neither KEY = VALUE nor node NAME ADDRESS[:PORT]");
	*equals = 0;
	return take_setting(p, trim(s), trim(equals + 1));
}

/* What must be there, and what is so if nothing is said. */
static int complete(struct parser *p)
{
	p->line++;
	for (size_t i = 0; i < KEYS; i++) {
		if (p->seen >> i & 1)
			continue;
		if (keys[i].take)
			return wrong(p, "there is no line '%s = %s'", keys[i].name,
				     keys[i].take == take_key ? "file:PATH" : "NAME/NUMBER");
		memcpy((char *)p->e + keys[i].offset, &keys[i].usual, sizeof(keys[i].usual));
	}
	if (p->e->node_count == 0)
		return wrong(p, "there is no node: add lines 'node NAME ADDRESS[:PORT]'");
	return check_twice(p);
}

int experiment_parse(struct experiment *e, const char *file, const char *text, size_t size,
		     char why[WHY_BYTES])
{
	struct parser p = {.e = e, .file = file, .why = why};
	int err;

	*e = (struct experiment){0};
	while (size) {
		const char *newline = memchr(text, '\n', size);
		size_t n = newline ? (size_t)(newline - text) : size;

		p.line++;
		err = take_line(&p, text, n);
		if (err)
			return err;
		n += newline != NULL;
		text += n;
		size -= n;
	}
	return complete(&p);
}

void experiment_free(struct experiment *e)
{
	for (uint32_t i = 0; i < e->node_count; i++) {
		free(e->nodes[i].name);
		free(e->nodes[i].host);
	}
	free(e->nodes);
	free(e->key_file);
	explicit_bzero(e->key, sizeof(e->key));
	*e = (struct experiment){0};
}
