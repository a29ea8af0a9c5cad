/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node's log to a syslog server over UDP (RFC 5426): each line once, from the boot's first on,
 * as soon as there is an address; at most 100 a second, the others later. Sending logs nothing
 * itself. Context: as net/stack.h.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

void syslog_init(uint32_t ip, uint16_t port);
bool syslog_step(void); /* sends a line; false: there is none, or it is not its time */
uint64_t syslog_sent(void);
