/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node's PTP clock on the control network: net/ptp_clock.c over lwIP, with the driver's time
 * stamps. Its local clock is the boot CPU's TSC in ns, which nobody sets.
 *
 * Context: the boot CPU's loop.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct handoff;
struct ptp_clock;

void ptp_udp_init(const struct handoff *h, const uint8_t mac[6]);
const struct ptp_clock *ptp_udp_clock(void); /* NULL: ptp=off, or no control network */
bool ptp_udp_step(void);		     /* what is due by the clock; true: something was */
uint64_t ptp_udp_due(void);		     /* tick at which ptp_udp_step has to be called */
void ptp_udp_hold(bool held);
uint64_t ptp_udp_steps(void); /* how often the clock was set so far */

/* The local clock, and host ticks. */
uint64_t ptp_udp_local(uint64_t ticks);
uint64_t ptp_udp_ticks(uint64_t shared); /* at which the clock shows `shared`, or a little later */
