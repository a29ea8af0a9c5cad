/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NBD client's two halves: storage/nbd.c has the connection, and what is sent;
 * storage/nbd_receive.c what the server says. Numbers have the protocol's names ("proto.md").
 */
#pragma once
#include "storage/nbd.h"

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
#define OPTION_DATA_MAX 4096u /* longest that a server has reason to send */
#define CHUNK_EXTRA_MAX 4096u

/* Numbers on the wire are big-endian. */

static inline uint64_t nbd_get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t *nbd_put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	return p + bytes;
}

/* --- nbd.c --- */
void nbd_finish(struct block_request *r, int status);
void nbd_expect(struct nbd *n, enum part part, size_t bytes); /* comes next */
void nbd_enter(struct nbd *n, enum nbd_state s);
void nbd_drop(struct nbd *n, const char *why); /* the connection: another one may do better */
void nbd_fail(struct nbd *n, const char *why); /* for good */
bool nbd_waits(const struct nbd *n);	       /* somebody does */
uint64_t nbd_cookie(const struct nbd *n, const struct nbd_slot *s);
/* The *bytes at `at` of the request's memory, or as many as lie together. */
uint8_t *nbd_piece(const struct block_request *r, size_t at, size_t *bytes);
void nbd_pump(struct nbd *n); /* sends what there is to send */
