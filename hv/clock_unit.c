// SPDX-License-Identifier: GPL-2.0-or-later
/* The node's clock as a unit: where it stands, and the rate that the guest knows its TSC by. */
#include "hv/log.h"
#include "hv/unit.h"
#include "hv/vcpu.h"

/* Parts in 10^6 by which two measurements of one machine's TSC may differ. The guest keeps the rate
 * that it began with: virtual nanoseconds are a function of its ticks. */
#define RATE_TOLERANCE_PPM 1000

static uint64_t measured_hz;

static int clock_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put64(w, node_clock.hz);
	state_put64(w, node_clock.stopped);
	return w->err;
}

static bool rate_near(uint64_t hz)
{
	uint64_t off = hz > measured_hz ? hz - measured_hz : measured_hz - hz;

	return off <= measured_hz / 1000000 * RATE_TOLERANCE_PPM && vclock_rate_valid(hz);
}

static void clock_load(void *dev, struct state_reader *r)
{
	uint64_t hz = state_get64(r), ticks = state_get64(r);

	(void)dev;
	if (!rate_near(hz))
		state_expect(r, hz, measured_hz, "hz (rate of the TSC)");
	if (state_commit(r))
		vclock_restore(&node_clock, hz, ticks);
}

static void clock_scramble(void *dev)
{
	(void)dev;
	vclock_set(&node_clock, 0xa5a5a5a5a5a5a5a5);
}

/* It goes on: a machine that resets doesn't stop its clock. */
static void clock_reset(void *dev)
{
	(void)dev;
}

static const struct unit clock_unit = {.name = "clock",
				       .version = 1,
				       .reset = clock_reset,
				       .save = clock_save,
				       .load = clock_load,
				       .scramble = clock_scramble};

void clock_unit_register(void)
{
	measured_hz = node_clock.hz;
	ASSERT(unit_register(&clock_unit) == 0);
}
