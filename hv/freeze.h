/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freeze and thaw of the whole node: every vCPU parked, the clock stopped, every unit frozen.
 *
 * Context: freeze_now and thaw_now run on the boot CPU, from its loop (commands), with no lock
 * held; the other CPUs park themselves in their loops. While frozen no vCPU enters the guest and no
 * CPU touches a unit but the boot CPU.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum freeze_state { NODE_RUNNING, NODE_FREEZING, NODE_FROZEN };

enum freeze_state freeze_state(void);
int freeze_now(void);	  /* -EALREADY; -ETIMEDOUT if a vCPU did not park (then the node runs on) */
int thaw_now(void);	  /* -EALREADY if it runs */
bool freeze_wanted(void); /* lock-free: must this CPU park before entering? */
struct vcpu;
void freeze_park(struct vcpu *v); /* park this CPU until the thaw; not for the boot CPU */
uint64_t
freeze_host_ticks(void); /* how long the node has been frozen, host ticks; 0 when running */
