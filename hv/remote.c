// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/remote.h"
#include <string.h>
#include "boot/version.h"
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/execute.h"
#include "hv/experiment.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/ctlnet.h"

#define CHANNELS 4    /* of a connection, at a time */
#define PIECE	 1000 /* bytes of output in a record */
#define PIECE_MS 50u  /* that they wait for more */

struct channel {
	struct execution execution; /* first */
	uint16_t number;	    /* 0: free */
	uint8_t conn;
	bool queued; /* the execution is not done yet */
	char line[CTL_TO_NODE_MAX + 1];
};

static struct client {
	size_t log_position;
	struct channel channels[CHANNELS];
	uint16_t log_channel; /* 0: it does not follow the log */
} clients[CONTROL_CONNECTIONS];

static int console_owner = -1; /* the client that has the guest's console */
static uint64_t console_lost;  /* of the guest's output, reported so far */

/* Output of the command that runs, until it is worth a record. */
static char piece[PIECE];
static size_t piece_size;
static uint64_t piece_since; /* ms: its first byte */
static struct channel *piece_of;

/* --- commands --- */

/* False: no room. */
static bool flush_piece(void)
{
	if (piece_size &&
	    !control_send(piece_of->conn, CTL_OUTPUT, piece_of->number, piece, piece_size))
		return false;
	piece_size = 0;
	return true;
}

static bool alive(const struct channel *ch)
{
	return ch->number != 0;
}

static size_t write_output(struct execution *e, const char *s, size_t n)
{
	struct channel *ch = (struct channel *)e;

	if (!alive(ch)) /* nobody reads it any more */
		return n;
	piece_of = ch;
	if (piece_size == PIECE && !flush_piece())
		return 0;
	if (n > PIECE - piece_size)
		n = PIECE - piece_size;
	if (!piece_size)
		piece_since = ctlnet_ms();
	memcpy(piece + piece_size, s, n);
	piece_size += n;
	return n;
}

static bool flush_output(struct execution *e)
{
	return !alive((struct channel *)e) || flush_piece();
}

static void finished(struct execution *e, bool ok)
{
	struct channel *ch = (struct channel *)e;
	uint8_t status[4] = {!ok};

	ch->queued = false;
	if (!alive(ch))
		return;
	(void)control_send(ch->conn, CTL_DONE, ch->number, status, sizeof(status));
	ch->number = 0;
}

static struct channel *find_channel(struct client *c, uint16_t number)
{
	for (unsigned i = 0; i < CHANNELS; i++)
		if (c->channels[i].number == number && (number || !c->channels[i].queued))
			return &c->channels[i];
	return NULL;
}

static void command(unsigned conn, const struct ctl_record *r)
{
	struct client *c = &clients[conn];
	struct channel *ch = find_channel(c, 0);

	if (r->channel == 0 || r->channel == CTL_CONSOLE) {
		control_error(conn, 0, "a command needs a channel of its own, 1 to 65534");
	} else if (find_channel(c, r->channel) || r->channel == c->log_channel) {
		control_error(conn, r->channel, "this channel is in use");
	} else if (!ch) {
		control_error(conn, r->channel, "too many commands at a time: wait for a DONE");
	} else if (memchr(r->payload, 0, r->size) || memchr(r->payload, '\n', r->size)) {
		control_error(conn, r->channel, "a command is one line of text");
	} else {
		memcpy(ch->line, r->payload, r->size + 1);
		ch->number = r->channel;
		ch->conn = (uint8_t)conn;
		ch->queued = true;
		ch->execution = (struct execution){.line = ch->line,
						   .write = write_output,
						   .flush = flush_output,
						   .done = finished};
		execute_submit(&ch->execution);
	}
}

/* --- the log --- */

static void follow_log(unsigned conn, const struct ctl_record *r)
{
	struct client *c = &clients[conn];

	if (r->channel == 0 || r->channel == CTL_CONSOLE) {
		control_error(conn, 0, "the log needs a channel of its own, 1 to 65534");
	} else if (c->log_channel || find_channel(c, r->channel)) {
		control_error(conn, r->channel, "this channel, or the log, is in use");
	} else {
		c->log_channel = r->channel;
		c->log_position = 0;
	}
}

static bool fill_log(unsigned conn)
{
	struct client *c = &clients[conn];
	char line[256];
	size_t n;

	if (!c->log_channel || control_room(conn) < sizeof(line) ||
	    !log_next(&c->log_position, line, sizeof(line) - 1))
		return false;
	n = strlen(line);
	line[n++] = '\n';
	return control_send(conn, CTL_LOG, c->log_channel, line, n);
}

/* --- the guest's console --- */

static void console_record(unsigned conn, const struct ctl_record *r)
{
	if (r->channel != CTL_CONSOLE) {
		control_error(conn, r->channel, "the console's channel is 65535");
	} else if (console_owner == (int)conn && r->size == 0) {
		console_owner = -1;
		console_tap(false);
	} else if (console_owner == (int)conn) {
		console_type((const char *)r->payload, r->size);
	} else if (r->size) {
		control_error(conn, CTL_CONSOLE, "open the console first, with an empty record");
	} else if (console_owner >= 0) {
		control_error(conn, CTL_CONSOLE, "another client has the console");
	} else {
		console_owner = (int)conn;
		console_tap(true);
		console_lost = 0;
	}
}

static bool fill_console(unsigned conn)
{
	char text[PIECE];
	size_t n = control_room(conn);
	uint64_t lost;

	if (console_owner != (int)conn || n < sizeof(text))
		return false;
	n = console_tapped(text, sizeof(text), &lost);
	if (lost != console_lost)
		log_warn("control: %llu bytes of the guest's output were dropped: the client reads "
			 "slowly",
			 (ull)(lost - console_lost));
	console_lost = lost;
	return n && control_send(conn, CTL_CONSOLE_DATA, CTL_CONSOLE, text, n);
}

/* --- the handler --- */

static size_t hello(char *text, size_t size)
{
	struct experiment_identity id;

	experiment_identity(&id);
	return (size_t)fmt(text, size,
			   HEAD "\"name\":\"%s\",\"boot\":%llu,\"stasis\":\"%s\",\"state\":\"%s\","
				"\"experiment\":%llu,\"node\":%u,\"port_margin_ns\":%llu}",
			   id.name, (ull)id.boot, STASIS_VERSION, node_state_name(),
			   (ull)id.experiment, id.node, (ull)id.margin);
}

/* A command that runs goes on, for nobody; those that wait don't begin. */
static void closed(unsigned conn)
{
	struct client *c = &clients[conn];

	for (unsigned i = 0; i < CHANNELS; i++) {
		struct channel *ch = &c->channels[i];

		if (ch->queued && execute_withdraw(&ch->execution))
			ch->queued = false;
		if (piece_of == ch)
			piece_size = 0;
		ch->number = 0;
	}
	c->log_channel = 0;
	if (console_owner == (int)conn) {
		console_owner = -1;
		console_tap(false);
	}
	experiment_forget(conn);
}

static void record(unsigned conn, struct ctl_record *r)
{
	switch (r->type) {
	case CTL_COMMAND:
		command(conn, r);
		return;
	case CTL_FREEZE:
		experiment_receive(conn, r->payload, r->size);
		return;
	case CTL_CONSOLE_DATA:
		console_record(conn, r);
		return;
	default: /* CTL_LOG */
		follow_log(conn, r);
		return;
	}
}

static bool fill(unsigned conn)
{
	if (piece_size && piece_of->conn == conn && ctlnet_ms() - piece_since >= PIECE_MS)
		return flush_piece();
	return fill_console(conn) || fill_log(conn);
}

const struct control_handler remote_handler = {
	.hello = hello, .closed = closed, .record = record, .fill = fill};
