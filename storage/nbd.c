// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/nbd.h"
#include <string.h>

/* Numbers by their names in the protocol. */
#define NBDMAGIC		   0x4e42444d41474943ull
#define IHAVEOPT		   0x49484156454f5054ull
#define NBD_REP_MAGIC		   0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC	   0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC	   0x67446698u
#define NBD_STRUCTURED_REPLY_MAGIC 0x668e33efu
#define NBD_REP_ERROR		   (1u << 31)
enum { NBD_FLAG_FIXED_NEWSTYLE = 1 << 0, NBD_FLAG_NO_ZEROES = 1 << 1 };
enum { NBD_OPT_GO = 7, NBD_OPT_STRUCTURED_REPLY = 8 };
enum { NBD_REP_ACK = 1, NBD_REP_INFO = 3 };
enum { NBD_INFO_EXPORT = 0, NBD_INFO_BLOCK_SIZE = 3 };
enum {
	NBD_FLAG_HAS_FLAGS = 1 << 0,
	NBD_FLAG_READ_ONLY = 1 << 1,
	NBD_FLAG_SEND_FLUSH = 1 << 2,
	NBD_FLAG_SEND_FUA = 1 << 3,
};
enum { NBD_CMD_FLAG_FUA = 1 << 0 };
enum { NBD_CMD_READ = 0, NBD_CMD_WRITE = 1, NBD_CMD_FLUSH = 3 };
enum { NBD_REPLY_FLAG_DONE = 1 << 0 };
enum { NBD_REPLY_TYPE_NONE = 0, NBD_REPLY_TYPE_OFFSET_DATA = 1, NBD_REPLY_TYPE_OFFSET_HOLE = 2 };
#define NBD_REPLY_TYPE_ERROR_BIT (1u << 15)
enum { NBD_EPERM = 1, NBD_ENOSPC = 28, NBD_ESHUTDOWN = 108 };

enum part { GREETING, OPTION_HEAD, OPTION_DATA, REPLY_MAGIC, SIMPLE, CHUNK_HEAD, CHUNK_DATA };
enum {
	GREETING_BYTES = 18,
	OPTION_BYTES = 20,
	MAGIC_BYTES = 4,
	SIMPLE_BYTES = 16,
	CHUNK_BYTES = 20,
	REQUEST_BYTES = 28,
};
#define OPTION_DATA_MAX	 4096u /* longest that a server has reason to send */
#define CHUNK_EXTRA_MAX	 4096u
#define CONNECT_MS	 10000u
#define BACKOFF_FIRST_MS 250u
#define BACKOFF_LAST_MS	 5000u

/* --- numbers on the wire are big-endian --- */

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static uint8_t *put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	return p + bytes;
}

/* --- requests that end --- */

static void finish(struct block_request *r, int status)
{
	r->status = status;
	r->done(r);
}

static void fail_all(struct nbd *n, int status)
{
	struct block_request *queue = n->first;

	n->first = NULL;
	n->last = &n->first;
	for (unsigned i = 0; i < NBD_SLOTS; i++) {
		struct block_request *r = n->slot[i].r;

		n->slot[i].r = NULL;
		if (r)
			finish(r, status);
	}
	while (queue) {
		struct block_request *next = queue->next;

		finish(queue, status);
		queue = next;
	}
}

/* --- the connection comes and goes --- */

static void expect(struct nbd *n, enum part part, size_t bytes)
{
	n->part = part;
	n->in_n = 0;
	n->in_want = bytes;
}

static void enter(struct nbd *n, enum nbd_state s)
{
	n->state = s;
	n->since = n->now;
}

/* Try again in a while. What was acknowledged and not flushed may be gone. */
static void disconnected(struct nbd *n)
{
	if (n->state == NBD_READY) {
		n->lost |= n->acked != n->stable;
		if (n->proved) { /* a handshake alone is no sign of life */
			n->away = n->now;
			n->backoff = BACKOFF_FIRST_MS;
		}
	}
	n->sending = n->receiving = NULL;
	n->out_n = n->out_done = 0;
	enter(n, NBD_IDLE);
	n->retry_at = n->now + n->backoff;
	if (n->backoff < BACKOFF_LAST_MS)
		n->backoff *= 2;
}

static void trouble(struct nbd *n, const char *why)
{
	strncpy(n->trouble, why, sizeof(n->trouble) - 1);
}

static void drop(struct nbd *n, const char *why)
{
	trouble(n, why);
	n->ops->close(n->stream);
	disconnected(n);
}

/* Another attempt would end alike. */
static void fail(struct nbd *n, const char *why)
{
	trouble(n, why);
	n->ops->close(n->stream);
	n->sending = n->receiving = NULL;
	enter(n, NBD_FAILED);
	fail_all(n, -ENODEV);
}

static void try_connect(struct nbd *n)
{
	enter(n, NBD_CONNECTING);
	if (n->ops->connect(n->stream) < 0) {
		trouble(n, "no connection can be made now");
		disconnected(n);
	}
}

void nbd_connected(struct nbd *n)
{
	if (n->state != NBD_CONNECTING)
		return;
	enter(n, NBD_NEGOTIATING);
	n->structured = false;
	n->skip = 0;
	expect(n, GREETING, GREETING_BYTES);
}

void nbd_closed(struct nbd *n)
{
	if (n->state == NBD_IDLE || n->state == NBD_FAILED)
		return;
	trouble(n, n->state == NBD_CONNECTING
			   ? "the server can't be reached: start it, or correct the key"
			   : "the server has closed the connection");
	disconnected(n);
}

static bool somebody_waits(const struct nbd *n)
{
	bool waits = n->first != NULL;

	for (unsigned i = 0; i < NBD_SLOTS; i++)
		waits |= n->slot[i].r != NULL;
	return waits;
}

uint64_t nbd_away_ms(const struct nbd *n)
{
	return somebody_waits(n) && (n->state != NBD_READY || !n->proved) ? n->now - n->away : 0;
}

static bool overdue(const struct nbd *n)
{
	for (unsigned i = 0; i < n->resend; i++)
		if (n->slot[i].r && n->now - n->slot[i].at > n->options.request_ms)
			return true;
	return false;
}

void nbd_tick(struct nbd *n, uint64_t now_ms)
{
	if (!n->now)
		n->away = now_ms;
	n->now = now_ms;
	switch (n->state) {
	case NBD_IDLE:
		if (n->now >= n->retry_at)
			try_connect(n);
		break;
	case NBD_CONNECTING:
	case NBD_NEGOTIATING:
		if (n->now - n->since > CONNECT_MS)
			drop(n, "the server does not answer: is it an NBD server?");
		break;
	case NBD_READY:
		if (overdue(n))
			drop(n, "the server has not answered a request in time");
		break;
	case NBD_FAILED:
		return;
	}
	if (n->state != NBD_READY && n->options.give_up_ms &&
	    n->now - n->away > n->options.give_up_ms) {
		n->dev.count.timeouts += somebody_waits(n);
		fail_all(n, -ETIMEDOUT);
	}
}

/* --- sending --- */

static unsigned command_of(const struct block_request *r)
{
	return r->op == BLOCK_READ    ? NBD_CMD_READ
	       : r->op == BLOCK_WRITE ? NBD_CMD_WRITE
				      : NBD_CMD_FLUSH;
}

static uint64_t cookie_of(const struct nbd *n, const struct nbd_slot *s)
{
	return (uint64_t)s->generation << 32 | (uint64_t)(s - n->slot);
}

static void begin_sending(struct nbd *n, struct nbd_slot *s)
{
	bool flush = s->r->op == BLOCK_FLUSH;
	uint8_t *p = put(n->out, NBD_REQUEST_MAGIC, 4);

	p = put(p, s->r->op == BLOCK_WRITE && n->fua ? NBD_CMD_FLAG_FUA : 0, 2);
	p = put(p, command_of(s->r), 2);
	p = put(p, cookie_of(n, s), 8);
	p = put(p, flush ? 0 : s->r->sector * SECTOR_SIZE, 8);
	(void)put(p, flush ? 0 : s->bytes, 4);
	n->out_n = REQUEST_BYTES;
	n->out_done = n->data_done = 0;
	n->sending = s;
	s->at = n->now;
	s->status = 0;
	memset(s->came, 0, sizeof(s->came));
}

static bool take_slot(struct nbd *n, struct block_request *r)
{
	for (unsigned i = 0; i < NBD_SLOTS; i++) {
		struct nbd_slot *s = &n->slot[i];

		if (s->r)
			continue;
		s->r = r;
		s->generation++;
		s->began = n->now;
		s->acked = n->acked;
		s->bytes = 0;
		for (unsigned v = 0; r->op != BLOCK_FLUSH && v < r->n_vec; v++)
			s->bytes += (uint32_t)r->vec[v].bytes;
		begin_sending(n, s);
		return true;
	}
	return false;
}

/* The next request for the wire: first those of the connection that broke. */
static bool next_request(struct nbd *n)
{
	struct block_request *r = n->first;

	for (; n->resend < NBD_SLOTS; n->resend++) {
		struct nbd_slot *s = &n->slot[n->resend];

		if (!s->r)
			continue;
		n->resend++;
		n->resent++;
		s->generation++; /* a late answer to the first is not taken for this one's */
		begin_sending(n, s);
		return true;
	}
	if (!r || !take_slot(n, r))
		return false;
	n->first = r->next;
	if (!n->first)
		n->last = &n->first;
	return true;
}

/* The n bytes at `at` of the request's memory, or as many as lie together. */
static uint8_t *piece(const struct block_request *r, size_t at, size_t *bytes)
{
	for (unsigned i = 0; i < r->n_vec; i++) {
		if (at < r->vec[i].bytes) {
			if (*bytes > r->vec[i].bytes - at)
				*bytes = r->vec[i].bytes - at;
			return (uint8_t *)r->vec[i].base + at;
		}
		at -= r->vec[i].bytes;
	}
	*bytes = 0;
	return NULL;
}

/* False: the stream is full. */
static bool send_data(struct nbd *n)
{
	const struct nbd_slot *s = n->sending;

	while (s->r->op == BLOCK_WRITE && n->data_done < s->bytes) {
		size_t bytes = s->bytes - n->data_done, taken;
		const uint8_t *p = piece(s->r, n->data_done, &bytes);

		taken = n->ops->write(n->stream, p, bytes);
		if (!taken)
			return false;
		n->data_done += taken;
	}
	n->sending = NULL;
	return true;
}

static bool send_out(struct nbd *n)
{
	while (n->out_done < n->out_n) {
		size_t taken =
			n->ops->write(n->stream, n->out + n->out_done, n->out_n - n->out_done);

		if (!taken)
			return false;
		n->out_done += taken;
	}
	n->out_n = n->out_done = 0;
	return true;
}

static void pump(struct nbd *n)
{
	while (send_out(n) && (!n->sending || send_data(n)) && n->state == NBD_READY)
		if (!next_request(n))
			break;
	n->ops->push(n->stream);
}

void nbd_writable(struct nbd *n)
{
	if (n->state == NBD_NEGOTIATING || n->state == NBD_READY)
		pump(n);
}

/* --- negotiation --- */

static void send_option(struct nbd *n, uint32_t option)
{
	size_t name = strlen(n->options.export);
	uint8_t *p = n->out + n->out_n;

	p = put(p, IHAVEOPT, 8);
	p = put(p, option, 4);
	if (option == NBD_OPT_GO) {
		p = put(p, 4 + name + 4, 4);
		p = put(p, name, 4);
		memcpy(p, n->options.export, name);
		p = put(p + name, 1, 2);
		p = put(p, NBD_INFO_BLOCK_SIZE, 2);
	} else {
		p = put(p, 0, 4);
	}
	n->out_n = (size_t)(p - n->out);
	n->option = option;
	expect(n, OPTION_HEAD, OPTION_BYTES);
	pump(n);
}

static void greeting(struct nbd *n)
{
	unsigned flags = (unsigned)get(n->in + 16, 2);

	if (get(n->in, 8) != NBDMAGIC || get(n->in + 8, 8) != IHAVEOPT) {
		fail(n, "what answers at that port is no NBD server");
		return;
	}
	if (!(flags & NBD_FLAG_FIXED_NEWSTYLE)) {
		fail(n, "the server has only the old negotiation: use a newer one");
		return;
	}
	n->out_n = (size_t)(put(n->out, flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES), 4) -
			    n->out);
	n->dev.max_sectors = NBD_MAX_SECTORS;
	n->sized = false;
	send_option(n, NBD_OPT_STRUCTURED_REPLY);
}

static bool take_export(struct nbd *n, uint64_t bytes, unsigned flags)
{
	if (n->was_ready && n->dev.sectors != bytes / SECTOR_SIZE)
		fail(n, "the export has another size than before");
	else if (!(bytes / SECTOR_SIZE) || bytes > INT64_MAX)
		fail(n, "the export has no room for a sector");
	else if (!n->options.read_only && flags & NBD_FLAG_READ_ONLY)
		fail(n, "the export is read-only: make it writable");
	else if (!n->options.read_only && !(flags & NBD_FLAG_SEND_FLUSH))
		fail(n, "the server can't flush: use one that can");
	n->dev.sectors = bytes / SECTOR_SIZE;
	n->fua = flags & NBD_FLAG_SEND_FUA;
	n->sized = true;
	return n->state != NBD_FAILED;
}

static void take_block_size(struct nbd *n, uint32_t least, uint32_t most)
{
	if (least > SECTOR_SIZE || most < SECTOR_SIZE)
		fail(n, "the server does not take blocks of 512 bytes");
	else if (most / SECTOR_SIZE < n->dev.max_sectors)
		n->dev.max_sectors = most / SECTOR_SIZE;
}

static void take_info(struct nbd *n, size_t bytes)
{
	unsigned type = bytes >= 2 ? (unsigned)get(n->in, 2) : UINT32_MAX;

	if (type == NBD_INFO_EXPORT && bytes == 12)
		(void)take_export(n, get(n->in + 2, 8), (unsigned)get(n->in + 10, 2));
	else if (type == NBD_INFO_BLOCK_SIZE && bytes == 14)
		take_block_size(n, (uint32_t)get(n->in + 2, 4), (uint32_t)get(n->in + 10, 4));
	else if (type == NBD_INFO_EXPORT || type == NBD_INFO_BLOCK_SIZE)
		drop(n, "the server breaks the protocol (information of a wrong length)");
}

static void ready(struct nbd *n)
{
	if (!n->sized || !n->dev.sectors) {
		drop(n, "the server breaks the protocol (no size)");
		return;
	}
	enter(n, NBD_READY);
	n->trouble[0] = 0;
	n->dev.count.resets += n->was_ready;
	n->was_ready = true;
	n->proved = !somebody_waits(n);
	n->resend = 0;
	expect(n, REPLY_MAGIC, MAGIC_BYTES);
	pump(n);
}

/* Its data, as far as `in` holds it, is there. */
static void option_reply(struct nbd *n, size_t bytes)
{
	if (n->reply == NBD_REP_INFO && n->option == NBD_OPT_GO) {
		take_info(n, bytes);
		if (n->state == NBD_NEGOTIATING)
			expect(n, OPTION_HEAD, OPTION_BYTES);
	} else if (n->option == NBD_OPT_STRUCTURED_REPLY) {
		n->structured = n->reply == NBD_REP_ACK;
		if (!n->structured && !(n->reply & NBD_REP_ERROR))
			drop(n, "the server breaks the protocol (reply to an option)");
		else
			send_option(n, NBD_OPT_GO);
	} else if (n->reply == NBD_REP_ACK) {
		ready(n);
	} else if (n->reply & NBD_REP_ERROR) {
		fail(n, "the server refuses the export: correct its name, or the server's list");
	} else {
		drop(n, "the server breaks the protocol (reply to an option)");
	}
}

static void option_head(struct nbd *n)
{
	uint32_t option = (uint32_t)get(n->in + 8, 4);

	n->reply = (uint32_t)get(n->in + 12, 4);
	n->left = (uint32_t)get(n->in + 16, 4);
	if (get(n->in, 8) != NBD_REP_MAGIC || option != n->option || n->left > OPTION_DATA_MAX) {
		drop(n, "the server breaks the protocol (reply to an option)");
		return;
	}
	if (!n->left) {
		option_reply(n, 0);
		return;
	}
	/* the rest of a long text is passed over before the reply is looked at */
	expect(n, OPTION_DATA, n->left < sizeof(n->in) ? n->left : sizeof(n->in));
}

static void option_data(struct nbd *n)
{
	size_t bytes = n->in_n;

	n->skip = n->left - bytes;
	option_reply(n, bytes);
}

/* --- replies --- */

static int status_of(uint32_t error)
{
	switch (error) {
	case 0:
		return 0;
	case NBD_EPERM:
		return -EROFS;
	case NBD_ENOSPC:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

static struct nbd_slot *find(struct nbd *n, uint64_t cookie)
{
	unsigned i = (unsigned)cookie & 0xffffffffu;

	/* one that is still being sent has no answer yet */
	if (i >= NBD_SLOTS || !n->slot[i].r || cookie != cookie_of(n, &n->slot[i]) ||
	    i >= n->resend || &n->slot[i] == n->sending)
		return NULL;
	return &n->slot[i];
}

static bool complete(const struct nbd_slot *s)
{
	for (uint32_t i = 0; i < s->bytes / SECTOR_SIZE; i++)
		if (!(s->came[i / 64] >> i % 64 & 1))
			return false;
	return true;
}

static void answered(struct nbd *n, struct nbd_slot *s)
{
	struct block_request *r = s->r;
	int status = s->status;

	if (r->op == BLOCK_READ && !status && !complete(s)) {
		drop(n, "the server breaks the protocol (data is missing)");
		return;
	}
	if (r->op == BLOCK_WRITE && !status && !n->fua)
		n->acked++;
	if (r->op == BLOCK_FLUSH && !status) {
		if (n->lost)
			status = -EIO;
		n->lost = false;
		n->stable = s->acked;
	}
	if (status)
		n->dev.count.errors++;
	else
		block_count(&n->dev.count, r, (n->now - s->began) * 1000);
	s->r = NULL;
	n->proved = true;
	expect(n, REPLY_MAGIC, MAGIC_BYTES);
	finish(r, status);
	if (n->state == NBD_READY && !n->out_n && !n->sending)
		pump(n);
}

/* Sectors that came; false: not whole ones, outside the request, or twice. */
static bool mark(struct nbd_slot *s, uint64_t offset, uint32_t bytes)
{
	uint64_t from = offset - s->r->sector * SECTOR_SIZE;

	if (s->r->op != BLOCK_READ || !bytes || offset < s->r->sector * SECTOR_SIZE ||
	    from % SECTOR_SIZE || bytes % SECTOR_SIZE || from > s->bytes || bytes > s->bytes - from)
		return false;
	for (uint64_t i = from / SECTOR_SIZE; i < (from + bytes) / SECTOR_SIZE; i++) {
		if (s->came[i / 64] >> i % 64 & 1)
			return false;
		s->came[i / 64] |= 1ull << i % 64;
	}
	return true;
}

static void receive_data(struct nbd *n, struct nbd_slot *s, uint64_t offset, uint32_t bytes)
{
	if (!mark(s, offset, bytes)) {
		drop(n, "the server breaks the protocol (data outside the request)");
		return;
	}
	n->receiving = s;
	n->data_at = (uint32_t)(offset - s->r->sector * SECTOR_SIZE);
	n->data_left = bytes;
}

static void hole(struct nbd *n, struct nbd_slot *s, uint64_t offset, uint32_t bytes)
{
	size_t at = (size_t)(offset - s->r->sector * SECTOR_SIZE);

	if (!mark(s, offset, bytes)) {
		drop(n, "the server breaks the protocol (data outside the request)");
		return;
	}
	for (size_t done = 0; done < bytes;) {
		size_t run = bytes - done;
		uint8_t *p = piece(s->r, at + done, &run);

		memset(p, 0, run);
		done += run;
	}
}

static void simple_reply(struct nbd *n)
{
	uint32_t error = (uint32_t)get(n->in + 4, 4);
	struct nbd_slot *s = find(n, get(n->in + 8, 8));

	if (!s) {
		drop(n, "the server breaks the protocol (an answer to nothing)");
		return;
	}
	if (error == NBD_ESHUTDOWN) {
		drop(n, "the server shuts down");
		return;
	}
	s->status = status_of(error);
	if (s->r->op != BLOCK_READ || error) {
		answered(n, s);
	} else if (n->structured) {
		drop(n, "the server breaks the protocol (data without structure)");
	} else {
		n->chunk_flags = NBD_REPLY_FLAG_DONE;
		receive_data(n, s, s->r->sector * SECTOR_SIZE, s->bytes);
	}
}

static void chunk_done(struct nbd *n, struct nbd_slot *s)
{
	if (n->state != NBD_READY)
		return;
	if (n->chunk_flags & NBD_REPLY_FLAG_DONE)
		answered(n, s);
	else
		expect(n, REPLY_MAGIC, MAGIC_BYTES);
}

/* What of a chunk is in `in`, all but the data of OFFSET_DATA. */
static void chunk_data(struct nbd *n)
{
	struct nbd_slot *s = find(n, get(n->in + 8, 8));
	const uint8_t *body = n->in + CHUNK_BYTES;
	uint64_t first = n->left >= 8 ? get(body, 8) : 0;

	if (!s) {
		drop(n, "the server breaks the protocol (an answer to nothing)");
		return;
	}
	if (n->chunk_type & NBD_REPLY_TYPE_ERROR_BIT) {
		uint32_t error = (uint32_t)get(body, 4);

		if (error == NBD_ESHUTDOWN) {
			drop(n, "the server shuts down");
			return;
		}
		s->status = error ? status_of(error) : -EIO;
		n->skip = CHUNK_BYTES + n->left - n->in_n;
	} else if (n->chunk_type == NBD_REPLY_TYPE_OFFSET_HOLE) {
		hole(n, s, first, (uint32_t)get(body + 8, 4));
	} else if (n->chunk_type == NBD_REPLY_TYPE_OFFSET_DATA) {
		receive_data(n, s, first, n->left - 8);
		return;
	}
	chunk_done(n, s);
}

/* How much of a chunk of this type is a header; 0: it can't be of that length. */
static uint32_t chunk_header(const struct nbd *n)
{
	if (n->chunk_type & NBD_REPLY_TYPE_ERROR_BIT)
		return n->left >= 6 && n->left <= CHUNK_EXTRA_MAX ? 6 : 0;
	switch (n->chunk_type) {
	case NBD_REPLY_TYPE_OFFSET_DATA:
		return n->left > 8 && n->left <= 8 + NBD_MAX_SECTORS * SECTOR_SIZE ? 8 : 0;
	case NBD_REPLY_TYPE_OFFSET_HOLE:
		return n->left == 12 ? 12 : 0;
	default:
		return 0;
	}
}

static void chunk_head(struct nbd *n)
{
	uint32_t header;

	n->chunk_flags = (uint16_t)get(n->in + 4, 2);
	n->chunk_type = (uint16_t)get(n->in + 6, 2);
	n->left = (uint32_t)get(n->in + 16, 4);
	header = chunk_header(n);
	if (n->chunk_type == NBD_REPLY_TYPE_NONE && !n->left &&
	    n->chunk_flags & NBD_REPLY_FLAG_DONE) {
		chunk_data(n);
	} else if (!header) {
		drop(n, "the server breaks the protocol (a chunk of a wrong length)");
	} else { /* the header grows */
		n->part = CHUNK_DATA;
		n->in_want = CHUNK_BYTES + header;
	}
}

static void reply_magic(struct nbd *n)
{
	uint32_t magic = (uint32_t)get(n->in, 4);

	if (magic == NBD_SIMPLE_REPLY_MAGIC) {
		n->part = SIMPLE;
		n->in_want = SIMPLE_BYTES;
	} else if (magic == NBD_STRUCTURED_REPLY_MAGIC && n->structured) {
		n->part = CHUNK_HEAD;
		n->in_want = CHUNK_BYTES;
	} else {
		drop(n, "the server breaks the protocol (neither reply nor chunk)");
	}
}

static void part_complete(struct nbd *n)
{
	static void (*const parts[])(struct nbd *) = {
		[GREETING] = greeting,	     [OPTION_HEAD] = option_head,
		[OPTION_DATA] = option_data, [REPLY_MAGIC] = reply_magic,
		[SIMPLE] = simple_reply,     [CHUNK_HEAD] = chunk_head,
		[CHUNK_DATA] = chunk_data,
	};

	parts[n->part](n);
}

static bool listening(const struct nbd *n)
{
	return n->state == NBD_NEGOTIATING || n->state == NBD_READY;
}

/* Data of a READ, straight to where it belongs. Returns the bytes taken. */
static size_t take_data(struct nbd *n, const uint8_t *data, size_t bytes)
{
	struct nbd_slot *s = n->receiving;
	size_t run = bytes < n->data_left ? bytes : n->data_left;
	uint8_t *p = piece(s->r, n->data_at, &run);

	memcpy(p, data, run);
	n->data_at += (uint32_t)run;
	n->data_left -= (uint32_t)run;
	if (!n->data_left) {
		n->receiving = NULL;
		chunk_done(n, s);
	}
	return run;
}

static size_t take(struct nbd *n, const uint8_t *data, size_t bytes)
{
	size_t run;

	if (n->receiving)
		return take_data(n, data, bytes);
	if (n->skip) {
		run = bytes < n->skip ? bytes : (size_t)n->skip;
		n->skip -= run;
		return run;
	}
	run = n->in_want - n->in_n;
	run = bytes < run ? bytes : run;
	memcpy(n->in + n->in_n, data, run);
	n->in_n += run;
	if (n->in_n == n->in_want)
		part_complete(n);
	return run;
}

void nbd_received(struct nbd *n, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	while (bytes && listening(n)) {
		size_t run = take(n, p, bytes);

		p += run;
		bytes -= run;
	}
}

/* --- the block device --- */

static int check(const struct nbd *n, const struct block_request *r)
{
	uint64_t bytes = 0;

	if (n->state == NBD_FAILED)
		return -ENODEV;
	if (r->op == BLOCK_FLUSH)
		return 0;
	for (unsigned i = 0; i < r->n_vec; i++)
		bytes += r->vec[i].bytes;
	if (r->op == BLOCK_WRITE && n->options.read_only)
		return -EROFS;
	if (!bytes || bytes % SECTOR_SIZE || bytes / SECTOR_SIZE > n->dev.max_sectors ||
	    r->sector > n->dev.sectors || bytes / SECTOR_SIZE > n->dev.sectors - r->sector)
		return -ERANGE;
	return 0;
}

static void submit(struct blockdev *d, struct block_request *r)
{
	struct nbd *n = (struct nbd *)d; /* its first member */
	int err = check(n, r);

	if (err || (r->op == BLOCK_FLUSH && n->options.read_only)) {
		finish(r, err);
		return;
	}
	r->next = NULL;
	*n->last = r;
	n->last = &r->next;
	if (n->state == NBD_READY && !n->out_n && !n->sending)
		pump(n);
}

/* Answers come through nbd_received. */
static void poll(struct blockdev *d)
{
	(void)d;
}

static const struct blockdev_ops nbd_ops = {.name = "nbd", .submit = submit, .poll = poll};

void nbd_init(struct nbd *n, const struct nbd_options *o, const struct nbd_stream_ops *ops,
	      void *stream)
{
	*n = (struct nbd){.dev = {.ops = &nbd_ops,
				  .max_sectors = NBD_MAX_SECTORS,
				  .max_vec = 64,
				  .read_only = o->read_only},
			  .options = *o,
			  .ops = ops,
			  .stream = stream,
			  .backoff = BACKOFF_FIRST_MS,
			  .resend = NBD_SLOTS};
	n->last = &n->first;
}
