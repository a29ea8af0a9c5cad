/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control server (docs/control.md): TCP connections, TLS with the experiment's key, records,
 * limits. What records mean is the handler's business (hv/remote.c).
 *
 * Work is done in steps of a few microseconds, in the slices of the control network
 * (net/ctlnet.h). Context: the boot CPU, its loop or a command's fiber; the handler's functions are
 * called from control_step and control_tick only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "net/ctl_record.h"
#include "net/stack.h"

struct handoff;

#define CONTROL_CONNECTIONS 8
#define CONTROL_HELLO_MAX   512
#define CONTROL_PEER_TEXT   (STACK_IP_TEXT + 8 + 64) /* "10.0.0.1:5555 stasisctl@host" */

struct control_conn;

struct control_handler {
	size_t (*hello)(char *text, size_t size); /* the node's HELLO; its length */
	void (*closed)(unsigned conn);		  /* one that was open */
	void (*record)(unsigned conn, struct ctl_record *r);
	/* There may be room for more of what waits to be sent. True: something was sent. */
	bool (*fill)(unsigned conn);
};

/* Nothing happens without a key. */
void control_start(const struct handoff *h, const struct control_handler *handler);
bool control_step(void);
bool control_tick(void); /* true: it wants to be called every 100 ms */

/* --- for the handler; `conn` is below CONTROL_CONNECTIONS, and opened --- */
/* Payload bytes of an OUTPUT, LOG or CONSOLE record that can be sent now. */
size_t control_room(unsigned conn);
/* OUTPUT, LOG and CONSOLE: false if there is no room. Others are small and always fit, or the
 * connection is closed, since the client does not read. */
bool control_send(unsigned conn, enum ctl_type type, uint16_t channel, const void *payload,
		  size_t size);
void control_error(unsigned conn, uint16_t channel, const char *text);
const char *control_peer(unsigned conn, char text[CONTROL_PEER_TEXT]);

void control_kick(void); /* there is something to fill in */

struct control_counts {
	unsigned open;			/* after the handshake */
	uint64_t accepted, turned_away; /* connections; the latter by the limits */
	uint64_t failed;		/* wrong key, bad records, time-outs */
};
void control_counts(struct control_counts *c);
uint16_t control_port(void); /* 0: there is no server */
