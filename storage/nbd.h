/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network block device (NBD protocol, "proto.md": fixed newstyle negotiation, NBD_OPT_GO,
 * structured replies) as a struct blockdev. Pure: bytes come and go through a stream that the
 * caller provides, and time is what the caller says it is.
 *
 * A connection that breaks is made again, and what was not answered is sent again: reads and writes
 * of blocks can be repeated. What can't be repeated is a write that was acknowledged and not yet
 * stable, for the server may have lost it with its memory. So writes are asked for with FUA; from a
 * server that has no such thing, the next FLUSH fails with -EIO, once. The server is not trusted:
 * whatever it sends, a request's memory is written only inside its bounds, and only if every sector
 * came is it a success.
 *
 * Units: bytes on the wire, sectors of 512 bytes in requests, milliseconds. Context: one CPU;
 * `done` is called from nbd_received, nbd_closed, nbd_tick and, for what is refused, submit.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "storage/blockdev.h"

#define NBD_SLOTS	16   /* requests on the wire */
#define NBD_MAX_SECTORS 256u /* of one request */
#define NBD_NAME_MAX	255

/* What the engine asks of the connection; none of these calls back. */
struct nbd_stream_ops {
	/* Starts connecting; nbd_connected or nbd_closed follows. Negative: it can't. */
	int (*connect)(void *stream);
	/* Takes at most n bytes, copies them, and returns how many; nbd_writable follows when there
	 * is room again. */
	size_t (*write)(void *stream, const void *buf, size_t n);
	void (*push)(void *stream);  /* what was written may go */
	void (*close)(void *stream); /* at once; nothing more is called for it */
};

struct nbd_options {
	const char *export; /* at most NBD_NAME_MAX bytes; not copied */
	bool read_only;
	uint32_t request_ms; /* unanswered for so long: the connection is broken */
	uint32_t give_up_ms; /* without a connection that answers for so long, requests fail with
				-ETIMEDOUT; 0: never */
};

enum nbd_state { NBD_IDLE, NBD_CONNECTING, NBD_NEGOTIATING, NBD_READY, NBD_FAILED };

struct nbd_slot {
	struct block_request *r; /* NULL: free */
	uint64_t at, began;	 /* milliseconds when it was sent last, and first */
	uint64_t acked;		 /* FLUSH: writes acknowledged before it was submitted */
	uint32_t bytes, generation;
	int status;			     /* of its error chunks */
	uint64_t came[NBD_MAX_SECTORS / 64]; /* READ: sectors that have come */
};

struct nbd {
	struct blockdev dev; /* sectors and limits are valid once the state has been NBD_READY */
	enum nbd_state state;
	struct nbd_options options;
	const struct nbd_stream_ops *ops;
	void *stream;
	char trouble[96]; /* why the latest connection failed; "" */
	uint64_t resent;

	/* private */
	uint64_t now, since, retry_at; /* milliseconds; since: in this state */
	uint64_t away;		       /* since when there is none that answers */
	uint32_t backoff;
	bool structured, sized, was_ready, lost, fua;
	bool proved;		/* nobody waits, or this connection has answered somebody */
	uint64_t acked, stable; /* writes acknowledged, and of these flushed */
	struct nbd_slot slot[NBD_SLOTS];
	struct block_request *first, **last; /* not on the wire yet */
	/* sending */
	uint8_t out[512];
	size_t out_n, out_done;
	struct nbd_slot *sending; /* whose data follows `out` */
	size_t data_done;
	unsigned resend; /* slots from here on have to be sent again */
	/* receiving */
	unsigned part;	 /* what `in` is */
	uint8_t in[320]; /* a header, or the start of an option's data */
	size_t in_n, in_want;
	uint64_t skip;		/* bytes that nobody wants */
	uint32_t option, reply; /* of the option's reply */
	uint32_t left;		/* bytes of the option's data or of the chunk that follow */
	uint16_t chunk_flags, chunk_type;
	struct nbd_slot *receiving; /* whose data comes */
	uint32_t data_at, data_left;
};

void nbd_init(struct nbd *n, const struct nbd_options *o, const struct nbd_stream_ops *ops,
	      void *stream);
/* The clock, at least every 100 ms; the first call connects. */
void nbd_tick(struct nbd *n, uint64_t now_ms);
/* In: `trouble` says in one line what is wrong. */
void nbd_connected(struct nbd *n);
void nbd_received(struct nbd *n, const void *data, size_t bytes);
void nbd_writable(struct nbd *n);
void nbd_closed(struct nbd *n);
/* How long somebody has waited without a connection that answers; 0: nobody does. */
uint64_t nbd_away_ms(const struct nbd *n);
