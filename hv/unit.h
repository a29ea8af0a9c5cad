/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A unit is one piece of the guest's machine: registers it owns and five operations. There is no
 * guest state outside RAM that does not live in a unit.
 *
 * Context: freeze/thaw/save/load/reset run on one CPU while every vCPU is parked; no lock is
 * needed. `save` writes the payload of one section (hv/state.h). `load` reads the whole payload,
 * names what it refuses (state_require), and then takes over only if state_commit() says so; it
 * must not refuse or take anything that depends on another unit's live state, for all sections are
 * looked at before the first is taken. A unit's timers are saved as virtual-time deadlines.
 */
#pragma once
#include <stdint.h>
#include "hv/state.h"

struct unit {
	char name[STATE_NAME_LEN]; /* section name, unique */
	uint32_t version;	   /* of the payload's layout */
	void *dev;
	void (*reset)(void *dev);  /* to power-on state */
	void (*freeze)(void *dev); /* may be NULL: nothing to do */
	void (*thaw)(void *dev);   /* may be NULL */
	int (*save)(void *dev, struct state_writer *w);
	void (*load)(void *dev, struct state_reader *r);
	void (*scramble)(void *dev); /* selftest: overwrite the live state with garbage; must leave
					it safe to `load` over */
};

#define UNITS_MAX 640 /* two for each of 256 CPUs, and the board */

int unit_register(const struct unit *u); /* keeps the pointer; -ENOSPC, -EEXIST; boot only */
unsigned unit_count(void);
const struct unit *unit_at(unsigned i);
void units_reset(void);
void units_freeze(void); /* in order of registration */
void units_thaw(void);	 /* in reverse order */
int units_save(struct state_writer *w);
/*
 * Loads every section, in order of registration: all or nothing. Every registered unit must have
 * one, unknown ones are an error. The unit registered first says which machine it is, and is asked
 * first. STATE_OK or a state_error, and *f says more.
 */
int units_load(const void *image, size_t size, struct state_fault *f);
