// SPDX-License-Identifier: GPL-2.0-or-later
/* The connection, and requests on their way to the server. */
#include "storage/nbd.h"
#include <string.h>
#include "storage/nbd_wire.h"

#define CONNECT_MS	 10000u
#define BACKOFF_FIRST_MS 250u
#define BACKOFF_LAST_MS	 5000u

/* --- requests that end --- */

void nbd_finish(struct block_request *r, int status)
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
		if (!r)
			continue;
		n->dev.count.errors++;
		nbd_finish(r, status);
	}
	while (queue) {
		struct block_request *next = queue->next;

		n->dev.count.errors++;
		nbd_finish(queue, status);
		queue = next;
	}
}

/* --- the connection comes and goes --- */

void nbd_expect(struct nbd *n, enum part part, size_t bytes)
{
	n->part = part;
	n->in_n = 0;
	n->in_want = bytes;
}

void nbd_enter(struct nbd *n, enum nbd_state s)
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
	nbd_enter(n, NBD_IDLE);
	n->retry_at = n->now + n->backoff;
	if (n->backoff < BACKOFF_LAST_MS)
		n->backoff *= 2;
}

static void trouble(struct nbd *n, const char *why)
{
	strncpy(n->trouble, why, sizeof(n->trouble) - 1);
}

void nbd_drop(struct nbd *n, const char *why)
{
	trouble(n, why);
	n->ops->close(n->stream);
	disconnected(n);
}

/* Another attempt would end alike. */
void nbd_fail(struct nbd *n, const char *why)
{
	trouble(n, why);
	n->ops->close(n->stream);
	n->sending = n->receiving = NULL;
	nbd_enter(n, NBD_FAILED);
	fail_all(n, -ENODEV);
}

static void try_connect(struct nbd *n)
{
	nbd_enter(n, NBD_CONNECTING);
	if (n->ops->connect(n->stream) < 0) {
		trouble(n, "no connection can be made now");
		disconnected(n);
	}
}

void nbd_connected(struct nbd *n)
{
	if (n->state != NBD_CONNECTING)
		return;
	nbd_enter(n, NBD_NEGOTIATING);
	n->structured = false;
	n->skip = 0;
	nbd_expect(n, GREETING, GREETING_BYTES);
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

bool nbd_waits(const struct nbd *n)
{
	bool waits = n->first != NULL;

	for (unsigned i = 0; i < NBD_SLOTS; i++)
		waits |= n->slot[i].r != NULL;
	return waits;
}

uint64_t nbd_away_ms(const struct nbd *n)
{
	return nbd_waits(n) && (n->state != NBD_READY || !n->proved) ? n->now - n->away : 0;
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
			nbd_drop(n, "the server does not answer: is it an NBD server?");
		break;
	case NBD_READY:
		if (overdue(n))
			nbd_drop(n, "the server has not answered a request in time");
		break;
	case NBD_FAILED:
		return;
	}
	if (n->state != NBD_READY && n->options.give_up_ms &&
	    n->now - n->away > n->options.give_up_ms) {
		n->dev.count.timeouts += nbd_waits(n);
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

uint64_t nbd_cookie(const struct nbd *n, const struct nbd_slot *s)
{
	return (uint64_t)s->generation << 32 | (uint64_t)(s - n->slot);
}

static void begin_sending(struct nbd *n, struct nbd_slot *s)
{
	bool flush = s->r->op == BLOCK_FLUSH;
	uint8_t *p = nbd_put(n->out, NBD_REQUEST_MAGIC, 4);

	p = nbd_put(p, s->r->op == BLOCK_WRITE && n->fua ? NBD_CMD_FLAG_FUA : 0, 2);
	p = nbd_put(p, command_of(s->r), 2);
	p = nbd_put(p, nbd_cookie(n, s), 8);
	p = nbd_put(p, flush ? 0 : s->r->sector * SECTOR_SIZE, 8);
	(void)nbd_put(p, flush ? 0 : s->bytes, 4);
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
uint8_t *nbd_piece(const struct block_request *r, size_t at, size_t *bytes)
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
		const uint8_t *p = nbd_piece(s->r, n->data_done, &bytes);

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

void nbd_pump(struct nbd *n)
{
	while (send_out(n) && (!n->sending || send_data(n)) && n->state == NBD_READY)
		if (!next_request(n))
			break;
	n->ops->push(n->stream);
}

void nbd_writable(struct nbd *n)
{
	if (n->state == NBD_NEGOTIATING || n->state == NBD_READY)
		nbd_pump(n);
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
		nbd_finish(r, err);
		return;
	}
	r->next = NULL;
	*n->last = r;
	n->last = &r->next;
	if (n->state == NBD_READY && !n->out_n && !n->sending)
		nbd_pump(n);
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
