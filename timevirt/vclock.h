/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node's one virtual clock: virtual = f(host TSC), running or stopped.
 *
 * Units: struct vns = nanoseconds of virtual time since the guest's power-on; "host ticks" = TSC
 * ticks of the boot CPU's TSC (other CPUs add their skew first); "guest ticks" = ticks of the
 * guest's TSC with TSC_ADJUST 0. While the clock runs, guest ticks = host ticks + offset (mod
 * 2^64). Context: vclock_stop/start/set only while every vCPU is parked; the readers from any CPU,
 * no lock. Pure: no hardware access; the caller brings the host ticks.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
	uint64_t v;
} vns_t; /* ns of virtual time */

#define VNS_NEVER    ((vns_t){UINT64_MAX})
#define NSEC_PER_SEC 1000000000ull

struct vclock {
	uint64_t hz;	  /* host TSC ticks per second, 50 MHz .. 6 GHz */
	uint64_t offset;  /* guest ticks - host ticks while running */
	uint64_t stopped; /* guest ticks at which the clock stands, or last stood */
	uint64_t started; /* host tick of the last start; before it the clock still stands */
	uint64_t max_ns;  /* largest ns value whose tick count fits 64 bits; later deadlines are
			     "never" */
	bool running;
};

/* Start at guest tick `guest_ticks` at host tick `host`. -ERANGE: hz outside 50 MHz .. 6 GHz. */
int vclock_init(struct vclock *c, uint64_t hz, uint64_t host, uint64_t guest_ticks);

/* Stand still at host tick `host`: the latest that any vCPU could have observed. */
void vclock_stop(struct vclock *c, uint64_t host);
/* Go on at host tick `host` from where the clock stands. */
void vclock_start(struct vclock *c, uint64_t host);
/* Set the guest ticks of a stopped clock. */
void vclock_set(struct vclock *c, uint64_t guest_ticks);
bool vclock_rate_valid(uint64_t hz);
/* The same, and what the guest's nanoseconds are counted by: a state image's. `hz` is valid. */
void vclock_restore(struct vclock *c, uint64_t hz, uint64_t guest_ticks);

/* Guest ticks at host tick `host` (the standing value when stopped). */
uint64_t vclock_ticks(const struct vclock *c, uint64_t host);
/* floor(guest ticks * 1e9 / hz), exact. */
vns_t vclock_ns(const struct vclock *c, uint64_t host);
vns_t vclock_ticks_to_ns(const struct vclock *c,
			 uint64_t guest_ticks); /* rounds down; saturates to VNS_NEVER */
vns_t vclock_ticks_to_ns_up(const struct vclock *c,
			    uint64_t guest_ticks); /* rounds up; saturates to VNS_NEVER */
uint64_t vclock_ns_to_ticks_up(const struct vclock *c,
			       vns_t t); /* rounds up; saturates to UINT64_MAX */
/* Host tick at which the clock reaches t (rounded up; UINT64_MAX = never, or it stands; not before
 * its last start). */
uint64_t vclock_host_deadline(const struct vclock *c, vns_t t);
