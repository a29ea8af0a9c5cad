/* build: net/servo.c net/shared_clock.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A quartz with an error and wander, a path with jitter, bursts and asymmetry, and a master. */
#include "net/servo.h"
#include "test/unit/check.h"

#define SECOND INT64_C(1000000000)
#define MS     1000000
#define START  (1000 * SECOND) /* true time, ns */

static struct servo s;
static struct shared_clock clock;
static uint32_t rng;

static struct {
	int64_t quartz_ppb, wander_ppb; /* wander: of each second, at most */
	int64_t delay, asymmetry;	/* one way; the way to the master takes that much longer */
	uint64_t jitter;		/* mostly much less */
	int64_t queue;			/* more on the way from the master */
	int64_t master;			/* its error against true time */
} world;
static int64_t true_ns, local_ns; /* since the start */
static uint64_t samples, contained, worst, stepped;

static uint64_t chance(uint64_t below)
{
	rng = rng * 1664525 + 1013904223;
	return below ? (rng >> 4) % below : 0;
}

/* Queues are mostly short. */
static int64_t queueing(void)
{
	uint64_t x = chance(world.jitter + 1);

	return (int64_t)(chance(4) ? x / 16 : x);
}

static uint64_t local_now(void)
{
	return (uint64_t)(START / 2 + local_ns);
}

static uint64_t master_now(void)
{
	return (uint64_t)(START + true_ns + world.master);
}

static void pass(int64_t ns)
{
	true_ns += ns;
	local_ns += ns + ns / 1000 * world.quartz_ppb / 1000000;
}

static int64_t clock_error(void)
{
	return (int64_t)(shared_at(&clock, local_now()) - master_now());
}

static void judge(void)
{
	int64_t e = clock_error();
	uint64_t error = (uint64_t)(e < 0 ? -e : e);

	samples++;
	contained += error <= servo_bound(&s, local_now());
	if (error > worst)
		worst = error;
}

static void exchange_sync(void)
{
	uint64_t t1 = master_now();

	pass(world.delay + world.queue + queueing());
	stepped += servo_arrival(&s, local_now(), (int64_t)(shared_at(&clock, local_now()) - t1)) ==
		   SERVO_STEPPED;
}

static void exchange_delay(void)
{
	uint64_t t1 = master_now(), t2, t3, t4;

	pass(world.delay + world.queue + queueing());
	t2 = shared_at(&clock, local_now());
	pass(MS);
	t3 = shared_at(&clock, local_now());
	pass(world.delay + world.asymmetry + queueing());
	t4 = master_now();
	servo_delay(&s, (int64_t)(t2 - t1 + t4 - t3) / 2);
}

/* One second: a Sync, an exchange of delays. */
static void second(void)
{
	exchange_delay();
	pass(SECOND / 2);
	judge();
	exchange_sync();
	judge();
	pass(SECOND / 2);
	world.quartz_ppb += (int64_t)chance((uint64_t)world.wander_ppb * 2 + 1) - world.wander_ppb;
}

static void seconds(unsigned n)
{
	samples = contained = worst = stepped = 0;
	while (n--)
		second();
}

static void begin(int64_t ppb, int64_t offset)
{
	static const struct servo_config config = SERVO_DEFAULTS;

	memset(&world, 0, sizeof(world));
	world.quartz_ppb = ppb;
	world.delay = 50000;
	world.jitter = 5000;
	world.wander_ppb = 2;
	true_ns = local_ns = 0;
	clock = (struct shared_clock){.local = START / 2, .shared = (uint64_t)(START + offset)};
	servo_init(&s, &clock, &config);
}

static bool locked(void)
{
	return s.state == SERVO_LOCKED;
}

static void test_clock_is_linear(void)
{
	struct shared_clock c = {.local = 1000, .shared = 5000, .rate = RATE_OF(100000)};
	uint64_t hour = 3600 * (uint64_t)SECOND, at;

	CHECK_EQ(shared_at(&c, 1000), 5000);
	at = shared_at(&c, 1000 + hour);
	CHECK(at - (5000 + hour) - 360000000 < 2 || 5000 + hour + 360000000 - at < 2);
	for (int64_t ppb = -RATE_PPB_MAX; ppb <= RATE_PPB_MAX; ppb += 123457) {
		c.rate = RATE_OF(ppb);
		at = shared_to_local(&c, 5000 + hour);
		CHECK(shared_at(&c, at) - (5000 + hour) + 1 <= 2);
	}
	c = (struct shared_clock){.rate = 0};
	shared_slew(&c, 0, RATE_OF(1000), (uint64_t)SECOND);
	CHECK_EQ(shared_at(&c, (uint64_t)SECOND / 2), (uint64_t)SECOND / 2 + 499); /* floor */
	CHECK_EQ(shared_at(&c, hour), hour + 999);
	shared_set_rate(&c, 1000 + hour, 0);
	at = shared_at(&c, 1000 + hour);
	shared_step(&c, 1000 + hour, -77);
	CHECK_EQ(shared_at(&c, 1000 + hour), at - 77);
}

static void test_locks(void)
{
	static const int64_t quartz[] = {-80000, -1000, 0, 30000, 200000};

	for (unsigned i = 0; i < sizeof(quartz) / sizeof(*quartz); i++) {
		rng = i;
		begin(quartz[i], i % 2 ? 3 * SECOND : -7 * MS);
		CHECK_EQ(servo_bound(&s, local_now()), SERVO_NO_BOUND);
		seconds(30);
		CHECK(locked());
		CHECK_EQ(stepped, 1);
		seconds(1000);
		CHECK(locked());
		CHECK(worst < 5000);
		CHECK(contained * 100 >= samples * 99);
		CHECK_EQ(stepped, 0);
	}
}

/* Asymmetry can't be seen; the bound knows. */
static void test_asymmetry(void)
{
	begin(10000, 0);
	world.asymmetry = 40000;
	seconds(60);
	seconds(500);
	CHECK(worst > 15000);
	CHECK(contained * 100 >= samples * 99);
}

/* A queue on the way from the master, for 20 s. */
static void test_burst(void)
{
	begin(10000, 0);
	seconds(100);
	world.queue = MS / 2;
	seconds(20);
	CHECK(worst < 20000);
	CHECK(s.rejected >= 15);
	CHECK(contained * 100 >= samples * 99);
	world.queue = 0;
	seconds(100);
	CHECK(locked() && worst < 20000);
}

static void test_single_spikes(void)
{
	begin(-20000, 0);
	seconds(100);
	for (int i = 0; i < 20; i++) {
		world.queue = 3 * MS;
		seconds(1);
		world.queue = 0;
		seconds(9);
		CHECK(worst < 10000);
	}
	CHECK(locked());
}

static void test_master_steps(void)
{
	begin(10000, 0);
	seconds(100);
	world.master += SECOND;
	seconds(30);
	CHECK_EQ(stepped, 1);
	seconds(100);
	CHECK(locked() && worst < 5000 && stepped == 0);
	world.master += MS / 2; /* too little to be stepped away */
	seconds(60);
	CHECK_EQ(stepped, 0);
	seconds(100);
	CHECK(locked() && worst < 5000);
}

/* Off by `offset`, on a path of 5 us; 0: by a little more than what the bound allows. */
static enum servo_result arrive(int64_t offset)
{
	pass(SECOND);
	servo_delay(&s, 5000);
	if (!offset)
		offset = (int64_t)servo_bound(&s, local_now()) + 1;
	return servo_arrival(&s, local_now(), 5000 + offset);
}

/* A freeze must not end as one of an unknown clock because of one bad measurement. */
static void test_lock_kept(void)
{
	unsigned n = 0;

	begin(0, 0);
	for (int i = 0; i < 100; i++)
		(void)arrive(i % 2 ? 20000 : -20000);
	CHECK(locked());
	servo_hold(&s, true, local_now());
	for (int i = 0; i < 2; i++)
		CHECK_EQ(arrive(0), SERVO_TAKEN);
	CHECK(s.bad == 2 && locked());
	for (; n < 40 && locked(); n++)
		(void)arrive(0);
	CHECK(n < 40);
}

static void test_holdover(void)
{
	uint64_t before;

	begin(50000, 0);
	world.wander_ppb = 1;
	seconds(200);
	before = servo_bound(&s, local_now());
	samples = contained = 0;
	for (int i = 0; i < 600; i++) {
		pass(SECOND);
		judge();
	}
	CHECK_EQ(contained, samples);
	CHECK(servo_bound(&s, local_now()) > before + 100000);
	seconds(30);
	CHECK(locked());
}

/* Noise on the path is part of what the rate may be off by when the master vanishes, or the servo
 * is held. */
static void test_holdover_after_noise(void)
{
	for (unsigned i = 0; i < 40; i++) {
		rng = i;
		begin(-30000, 0);
		world.wander_ppb = 0;
		world.jitter = i % 2 ? 5000 : 200000;
		seconds(100 + i);
		if (i % 4 < 2)
			servo_hold(&s, true, local_now());
		samples = contained = 0;
		for (int k = 0; k < 1000; k++) {
			pass(SECOND);
			judge();
		}
		CHECK_EQ(contained, samples);
	}
}

static void test_held(void)
{
	struct shared_clock before;

	begin(10000, 0);
	seconds(100);
	servo_hold(&s, true, local_now());
	before = clock;
	world.master += SECOND;
	seconds(30);
	CHECK(stepped == 0 && memcmp(&before, &clock, sizeof(clock)) == 0);
	servo_hold(&s, false, local_now());
	seconds(40);
	CHECK_EQ(stepped, 1);
	seconds(50);
	CHECK(locked());
}

/* Held for long, by a quartz that has changed: what is measured meanwhile is in the bound. */
static void test_held_for_long(void)
{
	begin(10000, 0);
	seconds(100);
	servo_hold(&s, true, local_now());
	world.quartz_ppb += 150;
	seconds(600);
	CHECK(worst > 50000);
	CHECK_EQ(contained, samples);
	servo_restart(&s); /* another master takes over */
	seconds(20);
	samples = contained = 0;
	seconds(100);
	CHECK_EQ(contained, samples);
	servo_hold(&s, false, local_now());
	seconds(100);
	seconds(100);
	CHECK(locked() && worst < 5000);
}

/* Freezes so dense that there is hardly a moment between one and the arming of the next. */
static void test_held_again_and_again(void)
{
	begin(10000, 0);
	seconds(100);
	world.quartz_ppb += 2000;
	samples = contained = worst = 0;
	for (int i = 0; i < 600; i++) {
		servo_hold(&s, true, local_now());
		second();
		servo_hold(&s, false, local_now());
		pass(5 * MS);
		if (i == 200)
			worst = 0;
	}
	CHECK_EQ(contained, samples);
	CHECK(locked() && worst < 10000);
}

static void test_nonsense(void)
{
	begin(0, 0);
	CHECK_EQ(servo_arrival(&s, local_now(), 5), SERVO_REJECTED); /* no delay yet */
	servo_delay(&s, -1);
	servo_delay(&s, 0);
	CHECK_EQ(s.delay_count, 0);
	servo_delay(&s, INT64_MAX);
	servo_delay(&s, 1);
	for (int i = 0; i < 200; i++) {
		pass(i % 3 ? 1 : SECOND);
		(void)servo_arrival(&s, local_now(), i % 2 ? INT64_MAX / 2 : INT64_MIN / 2);
		CHECK(clock.rate <= RATE_OF(RATE_PPB_MAX) && clock.rate >= RATE_OF(-RATE_PPB_MAX));
	}
}

int main(void)
{
	RUN(test_clock_is_linear);
	RUN(test_locks);
	RUN(test_asymmetry);
	RUN(test_burst);
	RUN(test_single_spikes);
	RUN(test_master_steps);
	RUN(test_lock_kept);
	RUN(test_holdover);
	RUN(test_holdover_after_noise);
	RUN(test_held);
	RUN(test_held_for_long);
	RUN(test_held_again_and_again);
	RUN(test_nonsense);
	return check_result();
}
