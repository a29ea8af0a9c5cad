/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freeze and thaw of the whole node: every vCPU parked, the clock stopped, every unit frozen.
 *
 * Units: host ticks are the boot CPU's TSC. A freeze is due at T; each CPU's own physical timer
 * takes it out of the guest, no CPU waits for another's interrupt. The clock stands at the latest
 * tick S >= T that any vCPU could have observed; d = S - T is how late the freeze came. A thaw due
 * at T' starts the clock at T' + d, so that nodes that were frozen for the same T and T' stay as
 * far apart as they were. No vCPU enters before that tick; all of them wait for it side by side.
 *
 * Context: the boot CPU's loop (commands) with no lock held, unless it says "any CPU". While frozen
 * no vCPU enters the guest and no CPU touches a unit but the boot CPU.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define HOST_NEVER UINT64_MAX /* no such host tick */

enum freeze_state { NODE_RUNNING, NODE_FROZEN, NODE_THAWING };

struct freeze_plan {
	uint64_t at;	    /* T, host ticks; HOST_NEVER: nothing is planned */
	uint64_t for_ticks; /* T' - T; HOST_NEVER: until somebody thaws */
	uint64_t every;	    /* ticks from one T to the next; 0: once */
	uint64_t left;	    /* freezes to come, of a repeated plan; UINT64_MAX: no end */
	uint32_t exit_slot; /* T is `after_exit` ticks after the next exit of this kind (stats_slot)
			     */
	uint64_t after_exit;
};
#define NO_EXIT_SLOT UINT32_MAX

/* What became of one freeze. */
struct freeze_record {
	uint64_t at;	     /* T */
	uint64_t late;	     /* d */
	uint64_t latency;    /* from T until all were parked and the state was captured */
	uint64_t virtual_ns; /* where the clock stood */
	uint64_t virtual_ticks;
	/* ticks from S to where the clock goes on; HOST_NEVER: still frozen */
	uint64_t frozen;
	uint64_t thaw_late;    /* of the start, after T' + d; `frozen` has it, or the guest */
	uint64_t thaw_latency; /* from the start until the last vCPU was let go */
};
#define FREEZE_RECORDS 256

enum freeze_state freeze_state(void); /* any CPU */

/* Boot: an I/O port that is written to when all vCPUs are parked, for who measures from outside. */
void freeze_mark_at(uint16_t port);

/* -EBUSY while frozen. A plan in force is replaced. */
int freeze_arm(const struct freeze_plan *p);
void freeze_cancel(void);
const struct freeze_plan *freeze_planned(void);

int freeze_now(void); /* until thawed; -EALREADY; -ETIMEDOUT if a vCPU did not park (then the
			 node runs on) */
/* The same from where nobody can wait for CPUs: as soon as this one's loop comes round. False: it
 * is frozen, or about to be. */
bool freeze_soon(void);
int thaw_now(void);	  /* -EALREADY if it runs */
int thaw_at(uint64_t at); /* T'; at once if that is past; -EALREADY if it runs */

/* While frozen: the host tick at which the clock stopped; T', or HOST_NEVER if it isn't known. */
uint64_t freeze_stopped(void);
uint64_t freeze_restart(void);
bool freeze_open(void);		  /* frozen, and no thaw is planned */
uint64_t freeze_host_ticks(void); /* how long the clock has stood; 0 when running */
uint64_t freeze_total(void);	  /* freezes so far */
/* The nth of all, from 1; NULL if there was none, or it is no longer among the latest
 * FREEZE_RECORDS. */
const struct freeze_record *freeze_record(uint64_t n);

/* --- for the loop and the exit path --- */
struct vcpu;
/* The tick of this CPU's own TSC at which it must park; HOST_NEVER. Any CPU. */
uint64_t freeze_deadline(const struct vcpu *v);
void freeze_park(struct vcpu *v); /* own CPU, its deadline has passed: returns after the thaw */

/* An exit of the planned kind has been handled (hv/stats.h). Any CPU. */
extern uint32_t freeze_exit_slot;
void freeze_at_exit(void);
