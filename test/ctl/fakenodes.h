/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that only speak: the server's side of the control protocol (docs/control.md) and the freeze
 * protocol's participant, with a simulated clock, guest and console. Many in one process.
 */
#pragma once
#include <mbedtls/ssl.h>
#include <uv.h>
#include "net/ctl_record.h"
#include "proto/participant.h"

#define CONNECTIONS 8

struct node;

struct connection {
	struct node *node;
	int fd;
	uv_poll_t poll;
	mbedtls_ssl_context ssl;
	bool greeted, dead;
	struct ctl_reader reader;
	uint8_t buf[CTL_TO_NODE_MAX];
	uint8_t *out; /* what waits to be written */
	size_t out_size, out_room;
	uint16_t log_channel; /* 0: it does not follow the log */
};

struct node {
	uint32_t index;
	uint64_t experiment, boot, margin;
	char hostile[16]; /* how it misbehaves; empty: not */
	bool gone;	  /* nothing answers at its address */
	int fd;
	uint16_t port;
	uv_poll_t listener;
	struct connection *connections[CONNECTIONS];
	struct connection *asker;     /* of what is answered at the moment */
	struct connection *commander; /* that was obeyed last */
	struct connection *console;

	struct participant p;
	uv_timer_t timer;
	int64_t offset;		     /* of its shared time */
	uint64_t bound;		     /* that it gives for it */
	uint64_t late;		     /* d of its freezes */
	uint64_t freeze_at, thaw_at; /* shared; WIRE_NEVER: not planned */
	uint64_t until;
	uint64_t frozen_at;
	unsigned freezes;
};

extern mbedtls_ssl_config tls;
extern uv_loop_t loop;

/* --- fakenodes.c --- */
struct moment node_now(const struct node *n);
void node_pump(struct node *n); /* after every event of the participant */

/* --- serve.c --- */
void serve_start(struct node *n);   /* listens, at a port that the system chooses */
void serve_stop(struct node *n);    /* and all connections are gone */
void serve_hang_up(struct node *n); /* all connections */
void serve_send(struct connection *c, enum ctl_type type, uint16_t channel, const void *payload,
		size_t size);
void serve_raw(struct connection *c, const void *bytes, size_t size);

/* --- answer.c --- */
void answer_greet(struct connection *c);
void answer_record(struct connection *c, const struct ctl_record *r);
