// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/config.h"
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include "boot/print.h"

#define SHOWN	 24 /* characters of a key or value repeated in an error line */
#define WORD_MAX (HANDOFF_CMDLINE + 64)

#define SYSLOG_PORT  514 /* RFC 5426, 3.3 */
#define CONTROL_PORT 4789
#define NODE_MAX     999999

static char word[WORD_MAX]; /* that is being read */

/* Where the text under the parser comes from. */
struct source {
	const char *p, *end;
	unsigned line;	   /* 0: load options */
	uint32_t seen;	   /* keys met in this source, for duplicates */
	uint32_t override; /* keys of an earlier source, which win */
	uint32_t n_nics_before;
	struct config_error *e;
};

static int fail(const struct source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(const struct source *s, const char *fmt, ...)
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

/* --- values --- */

static bool parse_number(const char *s, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned d;

		if (*s >= '0' && *s <= '9')
			d = (unsigned)(*s - '0');
		else if (base == 16 && (*s | 32) >= 'a' && (*s | 32) <= 'f')
			d = (unsigned)((*s | 32) - 'a') + 10;
		else
			return false;
		if (v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	*out = v;
	return true;
}

static bool set_name(char *out, const char *value)
{
	size_t n = strlen(value);

	if (n == 0 || n >= CONFIG_NAME_MAX)
		return false;
	memcpy(out, value, n + 1);
	return true;
}

static bool set_kernel(struct config *c, const char *value)
{
	return set_name(c->kernel, value);
}

static bool set_initrd(struct config *c, const char *value)
{
	return set_name(c->initrd, value);
}

static bool set_disk(struct config *c, const char *value)
{
	return set_name(c->disk, value);
}

static bool set_disk_room(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v < 32 || v > 1ull << 20)
		return false;
	c->disk_room = v << 20;
	return true;
}

static bool set_golden(struct config *c, const char *value)
{
	return disk_place_parse(value, &c->golden);
}

static bool set_store(struct config *c, const char *value)
{
	return disk_place_parse(value, &c->store);
}

static bool set_disk_errors(struct config *c, const char *value)
{
	if (!strcmp(value, "report"))
		c->disk_errors = DISK_ERRORS_REPORT;
	else if (!strcmp(value, "freeze"))
		c->disk_errors = DISK_ERRORS_FREEZE;
	else
		return false;
	return true;
}

static bool set_on_no_disk(struct config *c, const char *value)
{
	if (!strcmp(value, "start"))
		c->on_no_disk = NO_DISK_START;
	else if (!strcmp(value, "stop"))
		c->on_no_disk = NO_DISK_STOP;
	else
		return false;
	return true;
}

static bool set_append(struct config *c, const char *value)
{
	size_t n = strlen(value);

	if (n >= sizeof c->append)
		return false;
	memcpy(c->append, value, n + 1);
	return true;
}

static bool set_cpus(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v < 1 || v > HANDOFF_MAX_CPUS)
		return false;
	c->cpus = (uint32_t)v;
	return true;
}

static bool set_memory(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v < 64 || v > 1ull << 32)
		return false;
	c->memory = v << 20;
	return true;
}

static bool set_hv_base(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v < HV_ALIGN || v >= 1ull << 32 || v % HV_ALIGN)
		return false;
	c->hv_base = v;
	return true;
}

static bool set_hv_memory(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v < 16 || v > 512 || v % 2)
		return false;
	c->hv_memory = v << 20;
	return true;
}

static bool set_console(struct config *c, const char *value)
{
	const char *comma = strchr(value, ',');
	size_t n = comma ? (size_t)(comma - value) : strlen(value);
	uint64_t port, baud = 115200;
	char name[8];

	if (n >= sizeof name)
		return false;
	memcpy(name, value, n);
	name[n] = 0;
	if (!strcmp(name, "com1"))
		port = 0x3f8;
	else if (!strcmp(name, "com2"))
		port = 0x2f8;
	else if (n < 3 || name[1] != 'x' || !parse_number(name, &port))
		return false;
	if (comma && !parse_number(comma + 1, &baud))
		return false;
	/* eight registers; below 100h there are no UARTs but the board's own devices */
	if (port < 0x100 || port > 0xfff8 || port % 8)
		return false;
	/* the 16550's divisor is 16 bits of 115200 Hz */
	if (baud && (baud > 115200 || 115200 % baud || 115200 / baud > 0xffff))
		return false;
	c->console_port = (uint16_t)port;
	c->console_baud = (uint32_t)baud;
	return true;
}

static bool set_on_reset(struct config *c, const char *value)
{
	if (!strcmp(value, "reboot"))
		c->on_reset = RESET_REBOOT;
	else if (!strcmp(value, "stop"))
		c->on_reset = RESET_STOP;
	else
		return false;
	return true;
}

/* Four decimal bytes with dots, then `stop` (or the text's end, which every address may have);
 * `*rest` is what follows. 0.0.0.0 and groups are no node's addresses. */
bool config_ip(const char *s, char stop, uint32_t *ip, const char **rest)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned byte = 0, digits = 0;

		for (; *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
			byte = byte * 10 + (unsigned)(*s - '0');
		if (!digits || byte > 255 || (i < 3 && *s++ != '.'))
			return false;
		v = v << 8 | byte;
	}
	if ((*s && *s != stop) || v >> 24 == 0 || v >> 28 >= 0xe)
		return false;
	*rest = *s ? s + 1 : NULL;
	*ip = v;
	return true;
}

static bool set_ip(struct config *c, const char *value)
{
	const char *bits;
	uint64_t prefix;

	if (!strcmp(value, "dhcp"))
		return true;
	if (!config_ip(value, '/', &c->ip, &bits) || !bits || !parse_number(bits, &prefix))
		return false;
	c->ip_prefix = (uint32_t)prefix;
	return prefix >= 1 && prefix <= 30;
}

static bool set_gateway(struct config *c, const char *value)
{
	const char *rest;

	return config_ip(value, 0, &c->gateway, &rest);
}

#define NIC_SETTLE_DEFAULT 2000
#define NIC_SETTLE_MAX	   100000

static bool set_nic_settle(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v > NIC_SETTLE_MAX)
		return false;
	c->nic_settle = (uint32_t)v;
	return true;
}

/* Of TCP, or of the processor's I/O: 1 to 65535. */
static bool parse_port(const char *value, uint16_t *port)
{
	uint64_t v;

	if (!parse_number(value, &v) || v < 1 || v > 65535)
		return false;
	*port = (uint16_t)v;
	return true;
}

static bool set_freeze_mark(struct config *c, const char *value)
{
	return parse_port(value, &c->freeze_mark);
}

static bool set_syslog(struct config *c, const char *value)
{
	const char *port;

	c->syslog_port = SYSLOG_PORT;
	return config_ip(value, ':', &c->syslog_ip, &port) &&
	       (!port || parse_port(port, &c->syslog_port));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool set_control_key(struct config *c, const char *value)
{
	size_t n = strlen(value);

	if (n != 2 * (size_t)HANDOFF_KEY_SIZE)
		return false;
	for (size_t i = 0; i < n; i += 2) {
		int high = hex_digit(value[i]), low = hex_digit(value[i + 1]);

		if (high < 0 || low < 0)
			return false;
		c->control_key[i / 2] = (uint8_t)(high << 4 | low);
	}
	c->control_key_size = (uint32_t)(n / 2);
	return true;
}

static bool set_control_port(struct config *c, const char *value)
{
	return parse_port(value, &c->control_port);
}

static bool set_experiment(struct config *c, const char *value)
{
	return parse_number(value, &c->experiment) && c->experiment;
}

static bool set_node(struct config *c, const char *value)
{
	uint64_t v;

	if (!parse_number(value, &v) || v > NODE_MAX)
		return false;
	c->node = (uint32_t)v;
	return true;
}

static bool set_ptp(struct config *c, const char *value)
{
	static const char *const names[] = {[PTP_MODE_ON] = "on",
					    [PTP_MODE_OFF] = "off",
					    [PTP_MODE_MASTER] = "master",
					    [PTP_MODE_SLAVE] = "slave"};

	for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(value, names[i]) != 0)
			continue;
		c->ptp = i;
		return true;
	}
	return false;
}

#define PLACE_USE "use ahci0, nvme0:2, name:PARTITION or nbd://ADDRESS:PORT/EXPORT"

static const struct key {
	const char *name;
	bool (*set)(struct config *, const char *value);
	const char *use; /* what a right value looks like */
	bool secret;	 /* never shown */
} keys[] = {
	{"kernel", set_kernel, "give a file name", false},
	{"initrd", set_initrd, "give a file name", false},
	{"append", set_append, "it is too long", false},
	{"disk", set_disk, "give a file name", false},
	{"disk_room", set_disk_room, "use MiB, 32 or more", false},
	{"golden", set_golden, PLACE_USE, false},
	{"store", set_store, PLACE_USE, false},
	{"on_no_disk", set_on_no_disk, "use start or stop", false},
	{"disk_errors", set_disk_errors, "use report or freeze", false},
	{"cpus", set_cpus, "use 1 to 256", false},
	{"memory", set_memory, "use MiB, 64 or more", false},
	{"hv_base", set_hv_base, "use a multiple of 0x200000 below 4 GiB", false},
	{"hv_memory", set_hv_memory, "use MiB, even, 16 to 512", false},
	{"console", set_console, "use com1, com2 or 0xPORT, then ,BAUD", false},
	{"on_reset", set_on_reset, "use reboot or stop", false},
	{"ip", set_ip, "use dhcp or ADDRESS/BITS, as 10.0.0.5/24", false},
	{"gateway", set_gateway, "use an address, as 10.0.0.1", false},
	{"syslog", set_syslog, "use ADDRESS or ADDRESS:PORT", false},
	{"freeze_mark", set_freeze_mark, "use an I/O port, as 0x2ff", false},
	{"nic_settle", set_nic_settle, "use microseconds, 0 to 100000", false},
	{"control_key", set_control_key, "use 64 hex digits", true},
	{"control_port", set_control_port, "use 1 to 65535", false},
	{"experiment", set_experiment, "use a number from 1", false},
	{"node", set_node, "use a number, 0 to 999999", false},
	{"ptp", set_ptp, "use on, off, master or slave", false},
};
#define N_KEYS (sizeof keys / sizeof *keys)
_Static_assert(N_KEYS <= 32, "config.given has a bit per key");

/* --- nic.WHICH=ROLE --- */

/* Exactly `digits` hexadecimal digits (or 1 to 2, if 0), then `stop`. */
static const char *hex_field(const char *s, unsigned max, char stop, uint8_t *out)
{
	unsigned v = 0, n = 0;

	for (; n < max && *s && *s != stop; s++, n++) {
		char c = (char)(*s | 32);

		if (*s >= '0' && *s <= '9')
			v = v * 16 + (unsigned)(*s - '0');
		else if (c >= 'a' && c <= 'f')
			v = v * 16 + (unsigned)(c - 'a') + 10;
		else
			return NULL;
	}
	if (n == 0 || *s != stop)
		return NULL;
	*out = (uint8_t)v;
	return stop ? s + 1 : s;
}

static bool parse_mac(const char *s, struct nic_config *nic)
{
	char separator = strchr(s, '-') ? '-' : ':';

	for (unsigned i = 0; i < 6; i++) {
		s = hex_field(s, 2, i < 5 ? separator : 0, &nic->mac[i]);
		if (!s)
			return false;
	}
	nic->by_mac = 1;
	return true;
}

static bool parse_bdf(const char *s, struct nic_config *nic)
{
	s = hex_field(s, 2, ':', &nic->bus);
	if (s)
		s = hex_field(s, 2, '.', &nic->dev);
	if (s)
		s = hex_field(s, 1, 0, &nic->fn);
	return s && nic->dev < 32 && nic->fn < 8;
}

static bool same_nic(const struct nic_config *a, const struct nic_config *b)
{
	if (a->by_mac != b->by_mac)
		return false;
	if (a->by_mac)
		return !memcmp(a->mac, b->mac, sizeof a->mac);
	return a->bus == b->bus && a->dev == b->dev && a->fn == b->fn;
}

static bool parse_role(const char *s, uint8_t *role)
{
	static const char names[][16] = {
		[NIC_ROLE_NONE] = "none",
		[NIC_ROLE_CONTROL] = "control",
		[NIC_ROLE_EXPERIMENT] = "experiment",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcmp(s, names[i])) {
			*role = (uint8_t)i;
			return true;
		}
	}
	return false;
}

/* 1: taken, 0: an earlier source has it already, -1: wrong. */
static int set_nic(struct config *c, struct source *s, const char *which, const char *value)
{
	struct nic_config nic = {0};

	if (!parse_bdf(which, &nic)) {
		memset(&nic, 0, sizeof nic);
		if (!parse_mac(which, &nic))
			return fail(s, "bad key nic.%.*s: use nic.MAC or nic.BB:DD.F", SHOWN,
				    which);
	}
	if (!parse_role(value, &nic.role))
		return fail(s, "bad nic role %.*s: use control, experiment or none", SHOWN, value);
	for (uint32_t i = 0; i < c->n_nics; i++) {
		if (!same_nic(&c->nics[i], &nic))
			continue;
		if (i < s->n_nics_before)
			return 0;
		return fail(s, "nic.%.*s given twice: remove one", SHOWN, which);
	}
	if (c->n_nics == HANDOFF_MAX_NICS)
		return fail(s, "more than %u nic keys: remove some", HANDOFF_MAX_NICS);
	c->nics[c->n_nics++] = nic;
	return 1;
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

	for (size_t i = 0; i < N_KEYS; i++) {
		const char *name = keys[i].name;
		unsigned d = one_begins_other(key, name) ? 0 : distance(key, name);

		if (d < best && d <= strlen(name) / 3) {
			best = d;
			nearest = name;
		}
	}
	if (nearest)
		return fail(s, "unknown key %.*s: did you mean %s?", SHOWN, key, nearest);
	return fail(s, "unknown key %.*s: see the list of keys in docs/boot.md", SHOWN, key);
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
		int r = set_nic(c, s, key + 4, value);

		if (r > 0)
			record(c, key, value);
		return r < 0 ? r : 0;
	}
	for (size_t i = 0; i < N_KEYS; i++) {
		uint32_t bit = 1u << i;

		if (strcmp(key, keys[i].name) != 0)
			continue;
		if (s->seen & bit)
			return fail(s, "%s given twice: remove one", key);
		s->seen |= bit;
		if (s->override & bit)
			return 0;
		if (!keys[i].set(c, value))
			return fail(s, "bad %s=%.*s: %s", key, SHOWN,
				    keys[i].secret ? "(hidden)" : value, keys[i].use);
		c->given |= bit;
		record(c, key, keys[i].secret ? "(hidden)" : value);
		return 0;
	}
	return unknown_key(s, key);
}

/* --- words and lines --- */

void config_wipe(void *secret, size_t size)
{
	memset(secret, 0, size);
	memset(word, 0, sizeof word);
	__asm__ volatile("" : : "r"(secret), "r"(word) : "memory"); /* not optimized away */
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * One word (up to a blank) or, with `line`, the rest of the text less trailing blanks and comment.
 * "..." keeps blanks and #,
 * \" is a quote itself; other backslashes stand for themselves (they separate directories in file
 * names).
 */
static int take(struct source *s, bool line, char *out, size_t size)
{
	size_t n = 0, keep = 0; /* keep: length without unquoted blanks at the end */
	bool quoted = false;

	for (; s->p < s->end; s->p++) {
		char c = *s->p;

		bool blank = false;

		if (c == '\\' && s->end - s->p > 1 && s->p[1] == '"') {
			c = *++s->p;
		} else if (c == '"') {
			quoted = !quoted;
			keep = n;
			continue;
		} else if (is_blank(c)) {
			if (!quoted && !line)
				break;
			blank = !quoted;
			c = ' ';
		} else if (c == '#' && line && !quoted && is_blank(s->p[-1])) {
			break;
		}
		if (c < ' ' || c > '~')
			return fail(s, "character 0x%x in the text: use plain ASCII",
				    (unsigned)(uint8_t)c);
		if (n + 1 >= size)
			return fail(s, "word of over %u characters: shorten it", (unsigned)size);
		out[n++] = c;
		if (!blank)
			keep = n;
	}
	if (quoted)
		return fail(s, "a quote is not closed: add \"");
	out[line ? keep : n] = 0;
	return 0;
}

static void skip_blanks(struct source *s)
{
	while (s->p < s->end && is_blank(*s->p))
		s->p++;
}

static int split(struct config *c, struct source *s, char *word)
{
	char *equals = strchr(word, '=');

	if (!equals)
		return fail(s, "%.*s is not key=value: quote a value that has blanks", SHOWN, word);
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
	c->hv_base = HV_BASE_DEFAULT;
	c->hv_memory = HV_SIZE_DEFAULT;
	c->disk_room = DISK_ROOM_DEFAULT;
	c->console_port = 0x3f8;
	c->console_baud = 115200;
	c->on_reset = RESET_REBOOT;
	c->nic_settle = NIC_SETTLE_DEFAULT;
	c->control_port = CONTROL_PORT;
}

int config_options(struct config *c, const char *text, struct config_error *e)
{
	struct source s;
	bool first = true;

	source_init(&s, c, text, strlen(text), e);
	for (skip_blanks(&s); s.p < s.end; skip_blanks(&s)) {
		if (take(&s, false, word, sizeof word))
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
	char key[64];
	size_t n = 0;

	skip_blanks(s);
	if (s->p == s->end || *s->p == '#')
		return 0;
	while (s->p < s->end && *s->p != '=' && !is_blank(*s->p) && n + 1 < sizeof key) {
		if (*s->p < '!' || *s->p > '~')
			return fail(s, "character 0x%x in the text: use plain ASCII",
				    (unsigned)(uint8_t)*s->p);
		key[n++] = *s->p++;
	}
	key[n] = 0;
	skip_blanks(s);
	if (s->p == s->end || *s->p != '=')
		return fail(s, "%.*s is not key=value: add =VALUE, or # for a comment", SHOWN, key);
	s->p++;
	skip_blanks(s);
	if (take(s, true, word, sizeof word))
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
		return fail(s, "disk= and golden= are both given: remove one");
	if (disk_place_given(&c->store) && !image && !golden)
		return fail(s, "store= without an image: add disk=FILE or golden=DEVICE");
	if (golden && !memcmp(&c->golden, &c->store, sizeof c->golden))
		return fail(s, "golden= and store= name the same place: change one");
	if ((c->golden.ip || c->store.ip) && !has_control(c))
		return fail(s, "nbd:// without a control card: add nic.MAC=control");
	return 0;
}

static int check_network(const struct source *s, const struct config *c)
{
	if (c->gateway && !c->ip)
		return fail(s, "gateway= without an address: give one with ip=ADDRESS/BITS");
	if (c->gateway && (c->gateway ^ c->ip) >> (32 - c->ip_prefix))
		return fail(s, "gateway= is not in the network of ip=: correct one of them");
	return 0;
}

int config_finish(struct config *c, struct config_error *e)
{
	struct source s;

	source_init(&s, c, "", 0, e);
	if (!c->kernel[0])
		return fail(&s,
			    "no kernel given: add kernel=FILE (command line or " CONFIG_FILE_NAME
			    ")");
	return check_network(&s, c) ? -1 : check_disk(&s, c);
}
