// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/shared_clock.h"

static int64_t gained(int64_t ns, int64_t rate)
{
	return (int64_t)((__int128)ns * rate >> 48);
}

uint64_t shared_at(const struct shared_clock *c, uint64_t local)
{
	int64_t since = (int64_t)(local - c->local);

	return c->shared + (uint64_t)since + (uint64_t)gained(since, c->rate);
}

uint64_t shared_to_local(const struct shared_clock *c, uint64_t shared)
{
	uint64_t local = c->local + (shared - c->shared);

	/* each turn leaves a thousandth of the error, and less */
	for (int i = 0; i < 6; i++)
		local += shared - shared_at(c, local);
	return local;
}

void shared_set_rate(struct shared_clock *c, uint64_t local, int64_t rate)
{
	c->shared = shared_at(c, local);
	c->local = local;
	c->rate = rate;
}

void shared_step(struct shared_clock *c, uint64_t local, int64_t by)
{
	shared_set_rate(c, local, c->rate);
	c->shared += (uint64_t)by;
}
