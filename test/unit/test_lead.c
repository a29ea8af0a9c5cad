/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: timevirt/lead.c */
#include "timevirt/lead.h"
#include "test/unit/check.h"

#define MAX 300

static void learn(struct lead *l, uint64_t late, unsigned times)
{
	while (times--)
		lead_learn(l, late);
}

static void a_constant_lateness(void)
{
	struct lead l = {0};

	CHECK_EQ(lead_ticks(&l, MAX), 0);
	learn(&l, 40, 1);
	CHECK_EQ(lead_ticks(&l, MAX), 0);
	learn(&l, 42, 1);
	CHECK_EQ(lead_ticks(&l, MAX), 40);
}

static void a_busy_cpu_has_no_say(void)
{
	struct lead l = {0};

	learn(&l, 42, 3);
	learn(&l, 250, 1);
	CHECK_EQ(lead_ticks(&l, MAX), 42);
	learn(&l, 5000, 1);
	CHECK_EQ(lead_ticks(&l, MAX), 250);
	learn(&l, 5000, 1);
	CHECK_EQ(lead_ticks(&l, MAX), MAX);
}

static void what_was_is_forgotten(void)
{
	struct lead l = {0};

	learn(&l, 5000, LEAD_SAMPLES);
	learn(&l, 41, LEAD_SAMPLES - 1);
	CHECK_EQ(lead_ticks(&l, MAX), 41);
	learn(&l, 0, LEAD_SAMPLES);
	CHECK_EQ(lead_ticks(&l, MAX), 0);
}

int main(void)
{
	RUN(a_constant_lateness);
	RUN(a_busy_cpu_has_no_say);
	RUN(what_was_is_forgotten);
	return check_result();
}
