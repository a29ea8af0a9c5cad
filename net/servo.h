/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps a shared clock (net/shared_clock.h) at its master's time: a PI controller that is fed with
 * the delay of each exchange with the master and the offset of each Sync.
 *
 * The path's delay is the smallest of the latest exchanges: queues only ever add to it. An offset
 * far beyond the usual noise is left out, unless it stays and the path's delay has not grown with
 * it: then the clock really is off. Without a master the clock runs on at its last rate. The bound
 * is honest: it holds whatever the path's asymmetry, since an offset can't be off by more than half
 * of the smallest round trip; and it grows with the time since the last measurement.
 *
 * Units: ns (local time, unless it says shared), ppb. Integer arithmetic. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "net/shared_clock.h"

#define SERVO_NO_BOUND UINT64_MAX

#define SERVO_DELAYS 32
#define SERVO_NOISE  16

struct servo_config {
	uint64_t step_first;   /* at the start an offset larger than this is stepped away */
	uint64_t step;	       /* and later one larger than this that stays; 0: never */
	uint32_t holdover_ppb; /* how far the rate may be off after it has settled */
};
#define SERVO_DEFAULTS                                                    \
	{                                                                 \
		.step_first = 20000, .step = 1000000, .holdover_ppb = 200 \
	}

enum servo_state {
	SERVO_EMPTY,	/* no offset yet */
	SERVO_FIRST,	/* one: the next gives the rate */
	SERVO_TRACKING, /* converging */
	SERVO_LOCKED,
};

struct servo {
	struct servo_config config;
	struct shared_clock *clock;
	enum servo_state state;
	bool held, missed; /* missed: an offset was taken that nothing was done about */

	uint64_t delays[SERVO_DELAYS];	  /* latest, a ring */
	unsigned delay_next, delay_count; /* where the next one goes; how many there are */
	uint64_t delay;			  /* the smallest of them; 0: none yet */

	uint64_t noise[SERVO_NOISE]; /* magnitudes of the latest offsets that were taken */
	unsigned noise_next, noise_count;
	uint64_t jitter, usual; /* the largest and the middle one */

	int64_t integral;	  /* rate without the proportional part */
	uint64_t interval;	  /* latest, between offsets that were taken */
	uint64_t last;		  /* local time of the latest offset that was taken */
	int64_t offset;		  /* shared - master's, then */
	unsigned good, bad;	  /* in a row, within the bound and beyond it */
	unsigned outliers, taken; /* outliers: in a row */
	uint64_t rejected;	  /* all of them */
};

enum servo_result { SERVO_TAKEN, SERVO_REJECTED, SERVO_STEPPED };

void servo_init(struct servo *s, struct shared_clock *clock, const struct servo_config *config);
/* A new master, or the clock was set: what was learnt of the path is void; the rate is kept. */
void servo_restart(struct servo *s);
/* Half of a round trip. Not positive, or longer than 10 s: left out. */
void servo_delay(struct servo *s, int64_t delay);
/* A Sync: how much later the clock showed its arrival than the master's showed its departure. Does
 * nothing before the first delay. */
enum servo_result servo_arrival(struct servo *s, uint64_t local, int64_t master_to_slave);
/* Held: from `local` on offsets are measured, and neither rate nor time change. What the latest of
 * them asks for is done when it is let go: clocks that are held most of the time stay together. */
void servo_hold(struct servo *s, bool held, uint64_t local);

/* How far the clock may be off at local time `local`; SERVO_NO_BOUND before there is a measurement.
 */
uint64_t servo_bound(const struct servo *s, uint64_t local);
/* How fast that grows without measurements: a bound on the error of the rate. */
uint32_t servo_drift_ppb(const struct servo *s);
