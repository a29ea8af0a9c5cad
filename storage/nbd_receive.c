// SPDX-License-Identifier: GPL-2.0-or-later
/* What the server says: the negotiation, then replies. Nothing of it is trusted. */
#include <string.h>
#include "storage/nbd.h"
#include "storage/nbd_wire.h"

/* --- negotiation --- */

static void send_option(struct nbd *n, uint32_t option)
{
	size_t name = strlen(n->options.export);
	uint8_t *p = n->out + n->out_n;

	p = nbd_put(p, IHAVEOPT, 8);
	p = nbd_put(p, option, 4);
	if (option == NBD_OPT_GO) {
		p = nbd_put(p, 4 + name + 4, 4);
		p = nbd_put(p, name, 4);
		memcpy(p, n->options.export, name);
		p = nbd_put(p + name, 1, 2);
		p = nbd_put(p, NBD_INFO_BLOCK_SIZE, 2);
	} else {
		p = nbd_put(p, 0, 4);
	}
	n->out_n = (size_t)(p - n->out);
	n->option = option;
	nbd_expect(n, OPTION_HEAD, OPTION_BYTES);
	nbd_pump(n);
}

static void greeting(struct nbd *n)
{
	unsigned flags = (unsigned)nbd_get(n->in + 16, 2);

	if (nbd_get(n->in, 8) != NBDMAGIC || nbd_get(n->in + 8, 8) != IHAVEOPT) {
		nbd_fail(n, "what answers at that port is no NBD server");
		return;
	}
	if (!(flags & NBD_FLAG_FIXED_NEWSTYLE)) {
		nbd_fail(n, "the server has only the old negotiation: use a newer one");
		return;
	}
	n->out_n = (size_t)(nbd_put(n->out, flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
				    4) -
			    n->out);
	n->dev.max_sectors = NBD_MAX_SECTORS;
	n->sized = false;
	send_option(n, NBD_OPT_STRUCTURED_REPLY);
}

static bool take_export(struct nbd *n, uint64_t bytes, unsigned flags)
{
	if (n->was_ready && n->dev.sectors != bytes / SECTOR_SIZE)
		nbd_fail(n, "the export has another size than before");
	else if (!(bytes / SECTOR_SIZE) || bytes > INT64_MAX)
		nbd_fail(n, "the export has no room for a sector");
	else if (!n->options.read_only && flags & NBD_FLAG_READ_ONLY)
		nbd_fail(n, "the export is read-only: make it writable");
	else if (!n->options.read_only && !(flags & NBD_FLAG_SEND_FLUSH))
		nbd_fail(n, "the server can't flush: use one that can");
	n->dev.sectors = bytes / SECTOR_SIZE;
	n->fua = flags & NBD_FLAG_SEND_FUA;
	n->sized = true;
	return n->state != NBD_FAILED;
}

static void take_block_size(struct nbd *n, uint32_t least, uint32_t most)
{
	if (least > SECTOR_SIZE || most < SECTOR_SIZE)
		nbd_fail(n, "the server does not take blocks of 512 bytes");
	else if (most / SECTOR_SIZE < n->dev.max_sectors)
		n->dev.max_sectors = most / SECTOR_SIZE;
}

static void take_info(struct nbd *n, size_t bytes)
{
	unsigned type = bytes >= 2 ? (unsigned)nbd_get(n->in, 2) : UINT32_MAX;

	if (type == NBD_INFO_EXPORT && bytes == 12)
		(void)take_export(n, nbd_get(n->in + 2, 8), (unsigned)nbd_get(n->in + 10, 2));
	else if (type == NBD_INFO_BLOCK_SIZE && bytes == 14)
		take_block_size(n, (uint32_t)nbd_get(n->in + 2, 4),
				(uint32_t)nbd_get(n->in + 10, 4));
	else if (type == NBD_INFO_EXPORT || type == NBD_INFO_BLOCK_SIZE)
		nbd_drop(n, "the server breaks the protocol (information of a wrong length)");
}

static void ready(struct nbd *n)
{
	if (!n->sized || !n->dev.sectors) {
		nbd_drop(n, "the server breaks the protocol (no size)");
		return;
	}
	nbd_enter(n, NBD_READY);
	n->trouble[0] = 0;
	n->dev.count.resets += n->was_ready;
	n->was_ready = true;
	n->proved = !nbd_waits(n);
	n->resend = 0;
	nbd_expect(n, REPLY_MAGIC, MAGIC_BYTES);
	nbd_pump(n);
}

/* Its data, as far as `in` holds it, is there. */
static void option_reply(struct nbd *n, size_t bytes)
{
	if (n->reply == NBD_REP_INFO && n->option == NBD_OPT_GO) {
		take_info(n, bytes);
		if (n->state == NBD_NEGOTIATING)
			nbd_expect(n, OPTION_HEAD, OPTION_BYTES);
	} else if (n->option == NBD_OPT_STRUCTURED_REPLY) {
		n->structured = n->reply == NBD_REP_ACK;
		if (!n->structured && !(n->reply & NBD_REP_ERROR))
			nbd_drop(n, "the server breaks the protocol (reply to an option)");
		else
			send_option(n, NBD_OPT_GO);
	} else if (n->reply == NBD_REP_ACK) {
		ready(n);
	} else if (n->reply & NBD_REP_ERROR) {
		nbd_fail(n,
			 "the server refuses the export: correct its name, or the server's list");
	} else {
		nbd_drop(n, "the server breaks the protocol (reply to an option)");
	}
}

static void option_head(struct nbd *n)
{
	uint32_t option = (uint32_t)nbd_get(n->in + 8, 4);

	n->reply = (uint32_t)nbd_get(n->in + 12, 4);
	n->left = (uint32_t)nbd_get(n->in + 16, 4);
	if (nbd_get(n->in, 8) != NBD_REP_MAGIC || option != n->option ||
	    n->left > OPTION_DATA_MAX) {
		nbd_drop(n, "the server breaks the protocol (reply to an option)");
		return;
	}
	if (!n->left) {
		option_reply(n, 0);
		return;
	}
	/* the rest of a long text is passed over before the reply is looked at */
	nbd_expect(n, OPTION_DATA, n->left < sizeof(n->in) ? n->left : sizeof(n->in));
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
	if (i >= NBD_SLOTS || !n->slot[i].r || cookie != nbd_cookie(n, &n->slot[i]) ||
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
		nbd_drop(n, "the server breaks the protocol (data is missing)");
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
	nbd_expect(n, REPLY_MAGIC, MAGIC_BYTES);
	nbd_finish(r, status);
	if (n->state == NBD_READY && !n->out_n && !n->sending)
		nbd_pump(n);
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
		nbd_drop(n, "the server breaks the protocol (data outside the request)");
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
		nbd_drop(n, "the server breaks the protocol (data outside the request)");
		return;
	}
	for (size_t done = 0; done < bytes;) {
		size_t run = bytes - done;
		uint8_t *p = nbd_piece(s->r, at + done, &run);

		memset(p, 0, run);
		done += run;
	}
}

static void simple_reply(struct nbd *n)
{
	uint32_t error = (uint32_t)nbd_get(n->in + 4, 4);
	struct nbd_slot *s = find(n, nbd_get(n->in + 8, 8));

	if (!s) {
		nbd_drop(n, "the server breaks the protocol (an answer to nothing)");
		return;
	}
	if (error == NBD_ESHUTDOWN) {
		nbd_drop(n, "the server shuts down");
		return;
	}
	s->status = status_of(error);
	if (s->r->op != BLOCK_READ || error) {
		answered(n, s);
	} else if (n->structured) {
		nbd_drop(n, "the server breaks the protocol (data without structure)");
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
		nbd_expect(n, REPLY_MAGIC, MAGIC_BYTES);
}

/* What of a chunk is in `in`, all but the data of OFFSET_DATA. */
static void chunk_data(struct nbd *n)
{
	struct nbd_slot *s = find(n, nbd_get(n->in + 8, 8));
	const uint8_t *body = n->in + CHUNK_BYTES;
	uint64_t first = n->left >= 8 ? nbd_get(body, 8) : 0;

	if (!s) {
		nbd_drop(n, "the server breaks the protocol (an answer to nothing)");
		return;
	}
	if (n->chunk_type & NBD_REPLY_TYPE_ERROR_BIT) {
		uint32_t error = (uint32_t)nbd_get(body, 4);

		if (error == NBD_ESHUTDOWN) {
			nbd_drop(n, "the server shuts down");
			return;
		}
		s->status = error ? status_of(error) : -EIO;
		n->skip = CHUNK_BYTES + n->left - n->in_n;
	} else if (n->chunk_type == NBD_REPLY_TYPE_OFFSET_HOLE) {
		hole(n, s, first, (uint32_t)nbd_get(body + 8, 4));
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

	n->chunk_flags = (uint16_t)nbd_get(n->in + 4, 2);
	n->chunk_type = (uint16_t)nbd_get(n->in + 6, 2);
	n->left = (uint32_t)nbd_get(n->in + 16, 4);
	header = chunk_header(n);
	if (n->chunk_type == NBD_REPLY_TYPE_NONE && !n->left &&
	    n->chunk_flags & NBD_REPLY_FLAG_DONE) {
		chunk_data(n);
	} else if (!header) {
		nbd_drop(n, "the server breaks the protocol (a chunk of a wrong length)");
	} else { /* the header grows */
		n->part = CHUNK_DATA;
		n->in_want = CHUNK_BYTES + header;
	}
}

static void reply_magic(struct nbd *n)
{
	uint32_t magic = (uint32_t)nbd_get(n->in, 4);

	if (magic == NBD_SIMPLE_REPLY_MAGIC) {
		n->part = SIMPLE;
		n->in_want = SIMPLE_BYTES;
	} else if (magic == NBD_STRUCTURED_REPLY_MAGIC && n->structured) {
		n->part = CHUNK_HEAD;
		n->in_want = CHUNK_BYTES;
	} else {
		nbd_drop(n, "the server breaks the protocol (neither reply nor chunk)");
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
	uint8_t *p = nbd_piece(s->r, n->data_at, &run);

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
