/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control network: one card that is the hypervisor's, and what runs over it. Its work is done
 * by the boot CPU in slices of 20 us, between which the guest gets as much time (as with the disk,
 * hv/disk.h); also while the guest is frozen.
 *
 * Context: the boot CPU.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct handoff;
struct netdev;

struct control_handler;

/* Boot: nothing if no card has the role. `handler`: of the control server (net/control.h). */
void ctlnet_init(const struct handoff *h, const struct control_handler *handler);
const struct netdev *ctlnet_card(void); /* NULL: there is none */
/* Tick of the boot CPU's TSC at which ctlnet_work is due; UINT64_MAX: never. */
uint64_t ctlnet_due(void);
void ctlnet_work(bool guest_runs);
/* The end, before a reset: the log's last lines leave, and the card is quiet for good. */
void ctlnet_stop(void);
uint64_t ctlnet_ms(void); /* its clock */
void ctlnet_kick(void); /* there is something to do; any CPU, but the boot CPU must come to look */
void ctlnet_poll(void); /* a step of it, in the time of whoever waits for an answer */
