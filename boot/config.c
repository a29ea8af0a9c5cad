// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/config.h"
#include <limits.h>
#include <string.h>
#include "boot/config_internal.h"
#include "boot/print.h"

#define WORD_MAX (HANDOFF_CMDLINE + 64)

static char word[WORD_MAX]; /* that is being read */

int config_fail(const struct source *s, const char *fmt, ...)
{
	char *text = s->e->text;
	size_t size = sizeof s->e->text;
	va_list ap;
	int n = 0;

	if (s->line)
		n = sniprintf(text, size, CONFIG_FILE_NAME ":%u: ", s->line);
	va_start(ap, fmt);
	vsniprintf(text + n, size - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* --- keys --- */

/* Edit distance (insert, delete, replace), for "did you mean"; names longer than that are never
 * near. */
static unsigned distance(const char *a, const char *b)
{
	enum { LONGEST = 24 };
	unsigned row[LONGEST + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > LONGEST || lb > LONGEST)
		return LONGEST;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

/* Abbreviated or with an ending: mem, cpu, kernels. */
static bool one_begins_other(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), n = la < lb ? la : lb;

	return n >= 3 && !strncmp(a, b, n);
}

static int unknown_key(const struct source *s, const char *key)
{
	const char *nearest = NULL;
	unsigned best = UINT_MAX;

	for (size_t i = 0; i < config_n_keys; i++) {
		const char *name = config_keys[i].name;
		unsigned d = one_begins_other(key, name) ? 0 : distance(key, name);

		if (d < best && d <= strlen(name) / 3) {
			best = d;
			nearest = name;
		}
	}
	if (nearest)
		return config_fail(s, "unknown key %.*s: did you mean %s?", CONFIG_SHOWN, key,
				   nearest);
	return config_fail(s, "unknown key %.*s: see the list of keys in docs/boot.md",
			   CONFIG_SHOWN, key);
}

static void append_char(char *text, size_t size, size_t *n, char c)
{
	if (*n + 1 < size)
		text[(*n)++] = c;
}

/* Keep what was given, spelled as in load options, for the status command; what does not fit is cut
 * off. */
static void record(struct config *c, const char *key, const char *value)
{
	size_t n = strlen(c->options), size = sizeof c->options;
	bool quote = strchr(value, ' ') != NULL;

	if (n)
		append_char(c->options, size, &n, ' ');
	while (*key)
		append_char(c->options, size, &n, *key++);
	append_char(c->options, size, &n, '=');
	if (quote)
		append_char(c->options, size, &n, '"');
	for (; *value; value++) {
		if (*value == '"')
			append_char(c->options, size, &n, '\\');
		append_char(c->options, size, &n, *value);
	}
	if (quote)
		append_char(c->options, size, &n, '"');
	c->options[n] = 0;
}

static int set_key(struct config *c, struct source *s, const char *key, const char *value)
{
	if (!strncmp(key, "nic.", 4)) {
		int r = config_set_nic(c, s, key + 4, value);

		if (r > 0)
			record(c, key, value);
		return r < 0 ? r : 0;
	}
	for (size_t i = 0; i < config_n_keys; i++) {
		uint32_t bit = 1u << i;

		if (strcmp(key, config_keys[i].name) != 0)
			continue;
		if (s->seen & bit)
			return config_fail(s, "%s given twice: remove one", key);
		s->seen |= bit;
		if (s->override & bit)
			return 0;
		if (!config_keys[i].set(c, value))
			return config_fail(s, "bad %s=%.*s: %s", key, CONFIG_SHOWN,
					   config_keys[i].secret ? "(hidden)" : value,
					   config_keys[i].use);
		c->given |= bit;
		record(c, key, config_keys[i].secret ? "(hidden)" : value);
		return 0;
	}
	return unknown_key(s, key);
}

/* --- sources --- */

void config_wipe(void *secret, size_t size)
{
	memset(secret, 0, size);
	memset(word, 0, sizeof word);
	__asm__ volatile("" : : "r"(secret), "r"(word) : "memory"); /* not optimized away */
}

static int split(struct config *c, struct source *s, char *word)
{
	char *equals = strchr(word, '=');

	if (!equals)
		return config_fail(s, "%.*s is not key=value: quote a value that has blanks",
				   CONFIG_SHOWN, word);
	*equals = 0;
	return set_key(c, s, word, equals + 1);
}

static void source_init(struct source *s, const struct config *c, const char *text, size_t size,
			struct config_error *e)
{
	*s = (struct source){.p = text,
			     .end = text + size,
			     .override = c->given,
			     .n_nics_before = c->n_nics,
			     .e = e};
}

void config_init(struct config *c)
{
	memset(c, 0, sizeof *c);
	config_defaults(c);
}

int config_options(struct config *c, const char *text, struct config_error *e)
{
	struct source s;
	bool first = true;

	source_init(&s, c, text, strlen(text), e);
	for (config_skip_blanks(&s); s.p < s.end; config_skip_blanks(&s)) {
		if (config_take(&s, false, word, sizeof word))
			return -1;
		if ((!first || strchr(word, '=')) && split(c, &s, word))
			return -1;
		first = false;
	}
	return 0;
}

/* `key = value` with blanks around the = as people write it in files. */
static int file_line(struct config *c, struct source *s)
{
	char key[64] = "";
	size_t n = 0;

	config_skip_blanks(s);
	if (s->p == s->end || *s->p == '#')
		return 0;
	while (s->p < s->end && *s->p != '=' && !config_blank(*s->p) && n + 1 < sizeof key) {
		if (*s->p < '!' || *s->p > '~')
			return config_fail(s, "character 0x%x in the text: use plain ASCII",
					   (unsigned)(uint8_t)*s->p);
		key[n++] = *s->p++;
	}
	key[n] = 0;
	config_skip_blanks(s);
	if (s->p == s->end || *s->p != '=')
		return config_fail(s, "%.*s is not key=value: add =VALUE, or # for a comment",
				   CONFIG_SHOWN, key);
	s->p++;
	config_skip_blanks(s);
	if (config_take(s, true, word, sizeof word))
		return -1;
	return set_key(c, s, key, word);
}

int config_file(struct config *c, const char *text, size_t size, struct config_error *e)
{
	const char *end = text + size;
	struct source s;

	source_init(&s, c, text, size, e);
	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) /* some editors' byte order mark */
		text += 3;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		s.line++;
		s.p = text;
		s.end = newline ? newline : end;
		if (file_line(c, &s))
			return -1;
		text = newline ? newline + 1 : end;
	}
	return 0;
}

static bool has_control(const struct config *c)
{
	for (uint32_t i = 0; i < c->n_nics; i++)
		if (c->nics[i].role == NIC_ROLE_CONTROL)
			return true;
	return false;
}

static int check_disk(const struct source *s, const struct config *c)
{
	bool image = c->disk[0], golden = disk_place_given(&c->golden);

	if (image && golden)
		return config_fail(s, "disk= and golden= are both given: remove one");
	if (disk_place_given(&c->store) && !image && !golden)
		return config_fail(s, "store= without an image: add disk=FILE or golden=DEVICE");
	if (golden && !memcmp(&c->golden, &c->store, sizeof c->golden))
		return config_fail(s, "golden= and store= name the same place: change one");
	if ((c->golden.ip || c->store.ip) && !has_control(c))
		return config_fail(s, "nbd:// without a control card: add nic.MAC=control");
	return 0;
}

static int check_network(const struct source *s, const struct config *c)
{
	if (c->gateway && !c->ip)
		return config_fail(s, "gateway= without an address: give one with ip=ADDRESS/BITS");
	if (c->gateway && (c->gateway ^ c->ip) >> (32 - c->ip_prefix))
		return config_fail(s, "gateway= is not in the network of ip=: correct one of them");
	return 0;
}

int config_finish(struct config *c, struct config_error *e)
{
	struct source s;

	source_init(&s, c, "", 0, e);
	if (!c->kernel[0])
		return config_fail(
			&s,
			"no kernel given: add kernel=FILE (command line or " CONFIG_FILE_NAME ")");
	return check_network(&s, c) ? -1 : check_disk(&s, c);
}
