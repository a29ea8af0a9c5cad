// SPDX-License-Identifier: GPL-2.0-or-later
/* What a node says, and what it says when it is hostile. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "test/ctl/fakenodes.h"

static bool is(const struct connection *c, const char *mode)
{
	return strcmp(c->node->hostile, mode) == 0;
}

static void say(struct connection *c, enum ctl_type type, uint16_t channel, const char *text)
{
	serve_send(c, type, channel, text, strlen(text));
}

static void hello(struct connection *c)
{
	const struct node *n = c->node;
	const char *boot = "\"boot\":7,";
	char text[512];

	if (is(c, "lacks"))
		boot = "";
	else if (is(c, "negative"))
		boot = "\"boot\":-7,";
	else if (is(c, "twice"))
		boot = "\"boot\":7,\"boot\":8,";
	(void)snprintf(text, sizeof(text),
		       "{\"version\":%d,\"name\":\"fake%" PRIu32 "\",%s\"stasis\":\"%s\","
		       "\"state\":\"%s\",\"experiment\":%" PRIu64 ",\"node\":%" PRIu32
		       ",\"port_margin_ns\":0}",
		       is(c, "version") ? 2 : 1, n->index, boot,
		       is(c, "escape") ? "\\u001b[2J" : "fake",
		       n->p.report.state == STATE_FROZEN ? "frozen" : "running",
		       n->experiment + is(c, "experiment"), n->index + is(c, "node"));
	say(c, CTL_HELLO, 0, text);
}

void answer_greet(struct connection *c)
{
	static const uint8_t oversize[CTL_HEADER] = {1, 0, 1, 0, CTL_OUTPUT};
	static const uint8_t unknown[CTL_HEADER] = {0, 0, 0, 0, 77};
	static const uint8_t reserved[CTL_HEADER] = {0, 0, 0, 0, CTL_PONG, 1};
	static const char deep[] =
		"{\"version\":1,\"boot\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[";

	if (is(c, "mute"))
		return;
	if (is(c, "nohello"))
		say(c, CTL_PONG, 0, "");
	else if (is(c, "json"))
		say(c, CTL_HELLO, 0, deep);
	else if (is(c, "refuse"))
		say(c, CTL_ERROR, 0, "too many\x1b[31m connections");
	else
		hello(c);
	if (is(c, "oversize"))
		serve_raw(c, oversize, sizeof(oversize));
	if (is(c, "type"))
		serve_raw(c, unknown, sizeof(unknown));
	if (is(c, "reserved"))
		serve_raw(c, reserved, sizeof(reserved));
	if (is(c, "ping"))
		serve_send(c, CTL_PING, 0, deep, CTL_PING_MAX + 1);
}

/* --- commands --- */

static void done(struct connection *c, uint16_t channel, uint32_t status)
{
	uint8_t word[4] = {(uint8_t)status};

	serve_send(c, CTL_DONE, channel, word, sizeof(word));
}

static void flood(struct connection *c, uint16_t channel)
{
	char *big = malloc(CTL_TO_CLIENT_MAX);

	memset(big, 'x', CTL_TO_CLIENT_MAX);
	for (int i = 0; i < 24 << 4; i++)
		serve_send(c, CTL_OUTPUT, channel, big, CTL_TO_CLIENT_MAX);
	free(big);
}

static void say_json(struct connection *c, uint16_t channel, const char *kind)
{
	static const char *const kinds[][2] = {
		{"deep", "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
			 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"},
		{"twice", "{\"a\":1,\"a\":2}"},
		{"nan", "{\"a\":NaN}"},
		{"infinite", "{\"a\":1e999}"},
		{"large", "{\"a\":9223372036854775808}"},
		{"utf8", "{\"a\":\"\xff\"}"},
		{"surrogate", "{\"a\":\"\\udc00\"}"},
		{"nul", "{\"a\":\"\\u0000\"}"},
		{"list", "[{}]"},
		{"more", "{} {}"},
		{"lines", "{\n\"b\":[9223372036854775807,-1,0.5],\n\"a\":\"\\u001b\\\"\"}"},
		{"long", "{}"},
	};
	char blanks[CTL_TO_CLIENT_MAX];

	memset(blanks, ' ', sizeof(blanks));
	for (int i = 0; i < 10 && strcmp(kind, "long") == 0; i++)
		serve_send(c, CTL_OUTPUT, channel, blanks, sizeof(blanks));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i][0]) == 0)
			say(c, CTL_OUTPUT, channel, kinds[i][1]);
}

static void command(struct connection *c, uint16_t channel, const char *line)
{
	uint32_t status = 0;
	char text[300];

	if (strcmp(line, "status --json") == 0) {
		say(c, CTL_OUTPUT, channel, "{\"version\":1,\"state\":");
		say(c, CTL_OUTPUT, channel, "\"running\"}\n");
	} else if (strcmp(line, "log --json") == 0) {
		say(c, CTL_OUTPUT, channel, "{\"version\":1,\"lines\":[\"first line\"]}\n");
	} else if (strcmp(line, "log") == 0) {
		say(c, CTL_OUTPUT, channel, "first line\nsecond");
		say(c, CTL_OUTPUT, channel, " line\n");
	} else if (strncmp(line, "echo ", 5) == 0) {
		(void)snprintf(text, sizeof(text), "%.250s\n", line + 5);
		say(c, CTL_OUTPUT, channel, text);
	} else if (strncmp(line, "json ", 5) == 0) {
		say_json(c, channel, line + 5);
	} else if (strcmp(line, "esc") == 0) {
		say(c, CTL_OUTPUT, channel, "\x1b]0;title\x07\n");
	} else if (strcmp(line, "flood") == 0) {
		flood(c, channel);
	} else if (strcmp(line, "hang") == 0) {
		return;
	} else if (strcmp(line, "reboot") == 0) {
		serve_hang_up(c->node);
		return;
	} else {
		say(c, CTL_OUTPUT, channel, "no such command\n");
		status = 1;
	}
	done(c, channel, status);
}

static void console(struct connection *c, const struct ctl_record *r)
{
	struct node *n = c->node;
	char back[CTL_TO_NODE_MAX];

	if (n->console && n->console != c) {
		say(c, CTL_ERROR, CTL_CONSOLE, "somebody else has the console");
		return;
	}
	if (r->size == 0) {
		n->console = n->console ? NULL : c;
		if (n->console)
			say(c, CTL_CONSOLE_DATA, CTL_CONSOLE, "login: ");
		return;
	}
	for (uint32_t i = 0; i < r->size; i++) /* so that it is no local echo */
		back[i] = (char)(r->payload[i] >= 'a' && r->payload[i] <= 'z' ? r->payload[i] - 32
									      : r->payload[i]);
	serve_send(c, CTL_CONSOLE_DATA, CTL_CONSOLE, back, r->size);
}

/* Reports that nobody asked for, of everything but the truth. */
static void lie(struct connection *c)
{
	uint8_t bytes[WIRE_MESSAGE_MAX];
	struct wire_message m = {.type = WIRE_REPORT,
				 .experiment = c->node->experiment,
				 .incarnation = UINT64_MAX,
				 .boot = 99,
				 .node = c->node->index + 1,
				 .report = {.obeys = UINT64_MAX}};

	for (unsigned i = 0; i < 50; i++) {
		for (size_t b = 0; b < sizeof(bytes); b++)
			bytes[b] = (uint8_t)rand();
		serve_send(c, CTL_FREEZE, 0, bytes, (size_t)rand() % sizeof(bytes));
		serve_send(c, CTL_FREEZE, 0, bytes, wire_encode(&m, bytes));
	}
	/* what is its own, but for an epoch that no time leads to */
	m.node = c->node->index;
	m.boot = c->node->p.config.boot;
	m.incarnation = c->node->p.report.obeys;
	m.epoch = INT64_MAX;
	m.report = c->node->p.report;
	serve_send(c, CTL_FREEZE, 0, bytes, wire_encode(&m, bytes));
}

static void freeze(struct connection *c, const struct ctl_record *r)
{
	struct node *n = c->node;
	struct moment now = node_now(n);
	struct wire_message m;

	if (wire_decode(r->payload, r->size, &m) != 0 || is(c, "silent") ||
	    (is(c, "deaf") && (m.type == WIRE_ARM || m.type == WIRE_THAW_ARM)))
		return;
	if (is(c, "lies"))
		lie(c);
	participant_receive(&n->p, &m, &now);
	if (m.type != WIRE_QUERY && n->p.report.obeys == m.incarnation)
		n->commander = c;
	n->asker = c;
	node_pump(n);
	n->asker = NULL;
}

void answer_record(struct connection *c, const struct ctl_record *r)
{
	char line[CTL_TO_NODE_MAX + 1];

	switch (r->type) {
	case CTL_COMMAND:
		memcpy(line, r->payload, r->size);
		line[r->size] = 0;
		command(c, r->channel, line);
		break;
	case CTL_FREEZE:
		freeze(c, r);
		break;
	case CTL_CONSOLE_DATA:
		console(c, r);
		break;
	case CTL_LOG:
		c->log_channel = r->channel;
		say(c, CTL_LOG, r->channel, "kept line\nand a ha");
		say(c, CTL_LOG, r->channel, "lf\n");
		break;
	case CTL_PING:
		serve_send(c, CTL_PONG, r->channel, r->payload, r->size);
		break;
	default:
		break;
	}
}
