/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "timevirt/vclock.h"
#include <errno.h>
#include "timevirt/rate.h"

#define HZ_MIN 49000000ull /* 50 MHz, as a calibration may measure it */
#define HZ_MAX 6000000000ull
_Static_assert(HZ_MAX <= RATE_MAX_HZ, "remainders must fit 64 bits");
_Static_assert(NSEC_PER_SEC == RATE_SECOND, "one second");

bool vclock_rate_valid(uint64_t hz)
{
	return hz >= HZ_MIN && hz <= HZ_MAX;
}

void vclock_restore(struct vclock *c, uint64_t hz, uint64_t guest_ticks)
{
	c->hz = hz;
	c->max_ns = rate_cycles_to_ns(UINT64_MAX, hz);
	c->stopped = guest_ticks;
}

int vclock_init(struct vclock *c, uint64_t hz, uint64_t host, uint64_t guest_ticks)
{
	if (!vclock_rate_valid(hz))
		return -ERANGE;
	vclock_restore(c, hz, guest_ticks);
	c->running = false;
	vclock_start(c, host);
	return 0;
}

void vclock_stop(struct vclock *c, uint64_t host)
{
	c->stopped = vclock_ticks(c, host);
	c->running = false;
}

void vclock_start(struct vclock *c, uint64_t host)
{
	if (c->running)
		return;
	c->started = host;
	c->offset = c->stopped - host;
	c->running = true;
}

void vclock_set(struct vclock *c, uint64_t guest_ticks)
{
	c->stopped = guest_ticks;
}

uint64_t vclock_ticks(const struct vclock *c, uint64_t host)
{
	/* A CPU may look a little before the common start; time must not be seen to run backwards
	 * (or below 0). */
	if (!c->running || (int64_t)(host - c->started) < 0)
		return c->stopped;
	return host + c->offset;
}

vns_t vclock_ns(const struct vclock *c, uint64_t host)
{
	return vclock_ticks_to_ns(c, vclock_ticks(c, host));
}

vns_t vclock_ticks_to_ns(const struct vclock *c, uint64_t guest_ticks)
{
	return (vns_t){rate_cycles_to_ns(guest_ticks, c->hz)};
}

vns_t vclock_ticks_to_ns_up(const struct vclock *c, uint64_t guest_ticks)
{
	return (vns_t){rate_cycles_to_ns_up(guest_ticks, c->hz)};
}

uint64_t vclock_ns_to_ticks_up(const struct vclock *c, vns_t t)
{
	return t.v == VNS_NEVER.v ? UINT64_MAX : rate_ns_to_cycles_up(t.v, c->hz);
}

uint64_t vclock_host_deadline(const struct vclock *c, vns_t t)
{
	uint64_t ticks, host;

	if (!c->running || t.v == VNS_NEVER.v || t.v > c->max_ns)
		return UINT64_MAX;
	ticks = vclock_ns_to_ticks_up(c, t);
	if (ticks <= c->stopped)
		return c->started;
	if (__builtin_add_overflow(c->started, ticks - c->stopped, &host))
		return UINT64_MAX;
	return host;
}
