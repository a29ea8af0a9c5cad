/* build: timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include "test/unit/check.h"
#include "timevirt/vtimer.h"

static struct vtimerq q;
static struct vtimer t[4];
static char order[16];
static unsigned fired, kicks;
static vns_t rearm;

static void kick(struct vtimerq *queue)
{
	(void)queue;
	kicks++;
}

static void fire(struct vtimer *timer, vns_t now)
{
	(void)now;
	order[fired++] = (char)('a' + (timer - t));
	if (rearm.v != VNS_NEVER.v)
		vtimer_arm(timer, rearm);
}

static void cancel_next(struct vtimer *timer, vns_t now)
{
	(void)now;
	order[fired++] = (char)('a' + (timer - t));
	vtimer_cancel(&t[1]);
}

static void begin(void)
{
	vtimerq_init(&q, kick);
	for (int i = 0; i < 4; i++)
		vtimer_init(&t[i], &q, fire);
	memset(order, 0, sizeof(order));
	fired = kicks = 0;
	rearm = VNS_NEVER;
}

static bool run(uint64_t now, const char *expect)
{
	fired = 0;
	memset(order, 0, sizeof(order));
	vtimerq_run(&q, (vns_t){now});
	return !strcmp(order, expect);
}

static void test_order(void)
{
	begin();
	CHECK(vtimerq_next(&q).v == VNS_NEVER.v);
	vtimer_arm(&t[0], (vns_t){30});
	vtimer_arm(&t[1], (vns_t){10});
	vtimer_arm(&t[2], (vns_t){20});
	vtimer_arm(&t[3], (vns_t){20});
	CHECK(vtimerq_next(&q).v == 10);
	CHECK(run(9, ""));
	CHECK(run(20, "bcd"));
	CHECK(!vtimer_armed(&t[1]) && vtimer_armed(&t[0]));
	CHECK(vtimerq_next(&q).v == 30);
	CHECK(run(1000, "a"));
	CHECK(vtimerq_next(&q).v == VNS_NEVER.v);
}

static void test_cancel(void)
{
	begin();
	vtimer_cancel(&t[0]);
	vtimer_arm(&t[0], (vns_t){10});
	vtimer_arm(&t[1], (vns_t){11});
	vtimer_cancel(&t[0]);
	CHECK(vtimerq_next(&q).v == 11);
	vtimer_arm(&t[1], VNS_NEVER);
	CHECK(!vtimer_armed(&t[1]));
	CHECK(run(100, ""));
	/* cancelled by an earlier timer of the same run */
	vtimer_init(&t[0], &q, cancel_next);
	vtimer_arm(&t[0], (vns_t){10});
	vtimer_arm(&t[1], (vns_t){10});
	CHECK(run(100, "a"));
	CHECK(!vtimer_armed(&t[1]));
}

static void test_rearm(void)
{
	begin();
	vtimer_arm(&t[0], (vns_t){10});
	vtimer_arm(&t[1], (vns_t){20});
	vtimer_arm(&t[0], (vns_t){30});
	CHECK(run(20, "b"));
	CHECK(run(30, "a"));
	/* re-armed in the past: once per run, and still due afterwards */
	rearm = (vns_t){5};
	vtimer_arm(&t[0], (vns_t){40});
	vtimer_arm(&t[1], (vns_t){41});
	CHECK(run(50, "ab"));
	CHECK(vtimerq_next(&q).v == 5);
	CHECK(run(50, "ab"));
}

static void test_kick(void)
{
	begin();
	vtimer_arm(&t[0], (vns_t){20});
	CHECK(kicks == 1);
	vtimer_arm(&t[1], (vns_t){30});
	CHECK(kicks == 1);
	vtimer_arm(&t[1], (vns_t){10});
	CHECK(kicks == 2);
	vtimer_cancel(&t[1]);
	vtimer_arm(&t[0], (vns_t){25});
	CHECK(kicks == 2);
	q.kick = NULL;
	vtimer_arm(&t[0], (vns_t){1});
	CHECK(vtimerq_next(&q).v == 1);
}

int main(void)
{
	RUN(test_order);
	RUN(test_cancel);
	RUN(test_rearm);
	RUN(test_kick);
	return check_result();
}
