/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lwIP on the control card. Everything here and every call into lwIP: the boot CPU's loop, or a
 * command's fiber between two pauses; never an interrupt. Time is the host's: the control network
 * lives while the guest is frozen.
 *
 * IPv4 addresses are numbers, 10.0.0.5 = 0x0a000005.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netdev;

struct stack_config {
	uint32_t ip; /* 0: DHCP */
	uint32_t prefix;
	uint32_t gateway; /* 0: none */
};

void stack_init(struct netdev *d, const struct stack_config *c);
/* A frame from the card: copied. */
void stack_input(struct netdev *d, const void *frame, size_t n, uint64_t tsc);
/* The stamp of the frame that is being taken (inside lwIP's callbacks), and of the latest that was
 * sent since stack_forget_tx; false: none was. */
struct netdev_stamp;
uint64_t stack_rx_tsc(void);
void stack_forget_tx(void);
bool stack_tx_stamp(struct netdev_stamp *s);
/* What is due by the clock, and a change of the link; returns the milliseconds until it has to be
 * called again. */
uint32_t stack_timers(void);

enum stack_lease { LEASE_NONE, LEASE_ASKING, LEASE_BOUND };
struct stack_status {
	uint32_t ip, mask, gateway; /* 0: none yet */
	bool link;
	bool dhcp;
	enum stack_lease lease;
	uint32_t server;  /* that gave the lease */
	uint32_t seconds; /* for which it is */
};
void stack_status(struct stack_status *s);
unsigned stack_prefix(uint32_t mask); /* 0 for any mask that is none, which a server may give */

#define STACK_IP_TEXT 16 /* "255.255.255.255" */
const char *stack_ip_text(uint32_t ip, char text[STACK_IP_TEXT]);
