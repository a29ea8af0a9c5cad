// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/shared_clock.h"

static int64_t gained(int64_t ns, int64_t rate)
{
	return (int64_t)((__int128)ns * rate >> 48);
}

uint64_t shared_at(const struct shared_clock *c, uint64_t local)
{
	int64_t since = (int64_t)(local - c->local), slewed = since < 0 ? 0 : since;

	if ((uint64_t)slewed > c->slew_ns)
		slewed = (int64_t)c->slew_ns;
	return c->shared + (uint64_t)(since + gained(since, c->rate) + gained(slewed, c->slew));
}

uint64_t shared_to_local(const struct shared_clock *c, uint64_t shared)
{
	uint64_t local = c->local + (shared - c->shared);

	/* each turn leaves two thousandths of the error, and less */
	for (int i = 0; i < 6; i++)
		local += shared - shared_at(c, local);
	return local;
}

void shared_set_rate(struct shared_clock *c, uint64_t local, int64_t rate)
{
	c->shared = shared_at(c, local);
	c->local = local;
	c->rate = rate;
	c->slew = 0;
	c->slew_ns = 0;
}

void shared_slew(struct shared_clock *c, uint64_t local, int64_t slew, uint64_t ns)
{
	shared_set_rate(c, local, c->rate);
	c->slew = slew;
	c->slew_ns = ns;
}

void shared_step(struct shared_clock *c, uint64_t local, int64_t by)
{
	shared_set_rate(c, local, c->rate);
	c->shared += (uint64_t)by;
}
