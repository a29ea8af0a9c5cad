/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to a node's control port: TCP, TLS-PSK, records (docs/control.md). Everything takes
 * place in one libuv loop; nothing blocks. What a node sends is not trusted.
 */
#pragma once
#include <uv.h>
#include "net/ctl_record.h"
#include "tools/ctl/text.h"
#include "tools/ctl/tls.h"

enum link_state {
	LINK_DOWN,
	LINK_RESOLVING,
	LINK_CONNECTING,
	LINK_HANDSHAKE,
	LINK_GREETING, /* HELLO is awaited */
	LINK_UP,
};

/* What the node said of itself. */
struct link_hello {
	char name[65], stasis[65], state[17];
	uint64_t boot, experiment, node; /* below 2^63 */
};

struct link {
	const char *host;
	uint16_t port;
	uint64_t timeout;	      /* ns from opening until it is up */
	void (*up)(struct link *l);   /* `hello` is there */
	void (*down)(struct link *l); /* `why`; not after link_close */
	/* Not PING, PONG, HELLO, nor an ERROR for the connection. May close the link. */
	void (*record)(struct link *l, const struct ctl_record *r);
	void *owner;

	enum link_state state;
	struct link_hello hello;
	char why[256]; /* the last time that it went down */
	bool refused;  /* it is no use to try again: wrong key, or no such protocol */

	uv_loop_t *loop;
	struct link_request *resolve; /* NULL: none under way */
	struct addrinfo *addresses, *address;
	int fd; /* -1: none */
	uv_poll_t *poll;
	int polled; /* events that it waits for */
	uv_timer_t timer;
	mbedtls_ssl_context ssl;
	bool ssl_live, wants_write;
	struct ctl_reader reader;
	uint8_t *buf;
	struct text out;	/* to be written, from out_at on */
	size_t out_at, writing; /* bytes of a write that could not be finished */
	uint64_t heard;		/* loop time, ms, of the last byte that came */
	bool busy;		/* inside of link_event: closing waits */
};

/* Once; `l` has its first members set. */
void link_init(struct link *l, uv_loop_t *loop);
void link_open(struct link *l); /* LINK_DOWN only */
void link_close(struct link *l);
/* Queued; nothing if the link is not up. `size` at most CTL_TO_NODE_MAX. */
void link_send(struct link *l, enum ctl_type type, uint16_t channel, const void *payload,
	       size_t size);
size_t link_backlog(const struct link *l); /* bytes that wait to be written */
