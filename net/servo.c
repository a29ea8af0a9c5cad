// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/servo.h"

#define SECOND	       1000000000
#define SETTLING       6 /* offsets for which the servo follows fast */
#define LOCK_AFTER     3 /* offsets within the bound */
#define LOST_AFTER     3 /* beyond it; each one widens it */
#define NOISE_FLOOR    100
#define OUTLIER_FACTOR 6
#define OUTLIERS_REAL  4      /* that stay are not the network's */
#define OUTLIERS_MAX   40     /* longer than the delays are remembered */
#define NOISE_IN_RATE  16     /* of the integral's gain, 1/32, and its memory of past noise */
#define DRIFT_UNKNOWN  100000 /* ppb; a quartz that nobody has measured */
#define DELAY_MAX      INT64_C(10000000000)
#define OFFSET_MAX     (INT64_C(1) << 60)
#define INTERVAL_MIN   1000000
#define INTERVAL_MAX   INT64_C(16000000000)

void servo_init(struct servo *s, struct shared_clock *clock, const struct servo_config *config)
{
	*s = (struct servo){.config = *config, .clock = clock};
}

static void forget_noise(struct servo *s)
{
	s->noise_count = 0;
	s->jitter = s->usual = 0;
	s->good = s->bad = s->outliers = 0;
	s->missed = false;
}

void servo_restart(struct servo *s)
{
	forget_noise(s);
	s->delay_count = 0;
	s->delay = 0;
	s->state = SERVO_EMPTY;
	s->taken = 0;
	s->integral = s->clock->rate;
}

static uint64_t magnitude(int64_t x)
{
	return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

/* --- what is known of the path, and of the noise on it --- */

/* The ring's next place; its count grows up to its size. */
static unsigned advance(unsigned *next, unsigned *count, unsigned size)
{
	unsigned place = *next;

	*next = (place + 1) % size;
	if (*count < size)
		++*count;
	return place;
}

void servo_delay(struct servo *s, int64_t delay)
{
	if (delay <= 0 || delay > DELAY_MAX)
		return;
	if (s->delay_count == 0)
		s->delay_next = 0;
	s->delays[advance(&s->delay_next, &s->delay_count, SERVO_DELAYS)] = (uint64_t)delay;
	s->delay = UINT64_MAX;
	for (unsigned i = 0; i < s->delay_count; i++)
		if (s->delays[i] < s->delay)
			s->delay = s->delays[i];
}

/* How much longer than the shortest the latest exchange took. */
static uint64_t latest_excess(const struct servo *s)
{
	unsigned latest = (s->delay_next + SERVO_DELAYS - 1) % SERVO_DELAYS;

	return s->delay_count ? s->delays[latest] - s->delay : 0;
}

static void note_noise(struct servo *s, uint64_t noise)
{
	uint64_t sorted[SERVO_NOISE] = {0};
	unsigned k;

	if (s->noise_count == 0)
		s->noise_next = 0;
	s->noise[advance(&s->noise_next, &s->noise_count, SERVO_NOISE)] = noise;
	s->jitter = 0;
	for (unsigned i = 0; i < s->noise_count; i++) {
		if (s->noise[i] > s->jitter)
			s->jitter = s->noise[i];
		for (k = i; k && sorted[k - 1] > s->noise[i]; k--)
			sorted[k] = sorted[k - 1];
		sorted[k] = s->noise[i];
	}
	s->usual = sorted[s->noise_count / 2];
}

static bool is_outlier(struct servo *s, uint64_t noise)
{
	uint64_t usual = s->usual > NOISE_FLOOR ? s->usual : NOISE_FLOOR;

	if (s->taken < SETTLING || s->noise_count < SETTLING || noise <= OUTLIER_FACTOR * usual) {
		s->outliers = 0;
		return false;
	}
	s->outliers++;
	if (s->outliers > OUTLIERS_MAX)
		return false;
	/* A queue makes the round trip longer; a clock that is off does not. */
	return s->outliers <= OUTLIERS_REAL || latest_excess(s) > noise / 4;
}

/* --- the controller --- */

static int64_t clamp(int64_t x, int64_t limit)
{
	return x > limit ? limit : x < -limit ? -limit : x;
}

/* The rate that undoes `offset` in `interval`. Both limited, so that the product fits. */
static int64_t rate_for(int64_t offset, int64_t interval)
{
	int64_t ppb = clamp(offset, INT64_C(1000000000)) * SECOND / interval;

	return RATE_OF(clamp(ppb, RATE_PPB_MAX));
}

/* Fast at first; then slowly, so that the network's noise does not become the clock's. */
static bool is_settling(const struct servo *s)
{
	return s->taken < SETTLING;
}

static void integrate(struct servo *s, uint64_t local, int64_t rate)
{
	s->integral = clamp(s->integral - (is_settling(s) ? rate * 3 / 10 : rate / 32),
			    RATE_OF(RATE_PPB_MAX));
	shared_set_rate(s->clock, local, s->integral);
}

static void control(struct servo *s, uint64_t local, int64_t offset, int64_t interval)
{
	int64_t rate = rate_for(offset, interval);

	integrate(s, local, rate);
	shared_slew(s->clock, local, is_settling(s) ? -rate * 7 / 10 : -rate / 4,
		    (uint64_t)interval);
	s->interval = (uint64_t)interval;
}

static enum servo_result step(struct servo *s, uint64_t local, int64_t offset)
{
	shared_step(s->clock, local, -offset);
	forget_noise(s);
	s->offset = 0;
	s->taken = 0;
	s->state = SERVO_TRACKING;
	return SERVO_STEPPED;
}

static void note(struct servo *s, uint64_t local, int64_t offset)
{
	s->last = local;
	s->offset = offset;
	s->taken++;
}

static enum servo_result second(struct servo *s, uint64_t local, int64_t offset, int64_t interval)
{
	int64_t rate = rate_for(offset - s->offset, interval);

	s->integral = clamp(s->clock->rate - rate, RATE_OF(RATE_PPB_MAX));
	shared_set_rate(s->clock, local, s->integral);
	s->delay_count = 0; /* those so far were measured with a wrong rate */
	note(s, local, offset);
	s->state = SERVO_TRACKING;
	return magnitude(offset) > s->config.step_first ? step(s, local, offset) : SERVO_TAKEN;
}

static void judge_lock(struct servo *s, uint64_t local, int64_t offset)
{
	bool good = s->taken > SETTLING && magnitude(offset) <= servo_bound(s, local);

	s->good = good ? s->good + 1 : 0;
	s->bad = good ? 0 : s->bad + 1;
	if (s->good >= LOCK_AFTER)
		s->state = SERVO_LOCKED;
	else if (s->bad >= LOST_AFTER)
		s->state = SERVO_TRACKING;
}

/* How far the latest exchanges were apart. */
static uint64_t spread(const struct servo *s)
{
	uint64_t most = s->delay;

	for (unsigned i = 0; i < s->delay_count; i++)
		if (s->delays[i] > most)
			most = s->delays[i];
	return most - s->delay;
}

/* What the path's own noise can do is no reason. */
static bool must_step(const struct servo *s, int64_t offset)
{
	uint64_t noise = 2 * spread(s);

	return s->config.step && magnitude(offset) > s->config.step && magnitude(offset) > noise &&
	       magnitude(offset) > s->delay;
}

static enum servo_result track(struct servo *s, uint64_t local, int64_t offset, int64_t interval)
{
	if (is_outlier(s, magnitude(offset))) {
		s->rejected++;
		return SERVO_REJECTED;
	}
	if (must_step(s, offset) && !s->held)
		return step(s, local, offset);
	judge_lock(s, local, offset);
	note_noise(s, magnitude(offset));
	note(s, local, offset);
	if (s->taken == SETTLING)
		s->delay_count = 0; /* now the rate is right */
	s->missed = s->held;
	if (!s->held)
		control(s, local, offset, interval);
	return SERVO_TAKEN;
}

enum servo_result servo_arrival(struct servo *s, uint64_t local, int64_t master_to_slave)
{
	int64_t offset, interval = (int64_t)(local - s->last);

	if (!s->delay)
		return SERVO_REJECTED;
	offset = clamp(master_to_slave, OFFSET_MAX) - (int64_t)s->delay;
	if (s->state == SERVO_EMPTY) {
		note(s, local, offset);
		s->state = SERVO_FIRST;
		return SERVO_TAKEN;
	}
	if (interval < INTERVAL_MIN)
		return SERVO_REJECTED;
	if (interval > INTERVAL_MAX)
		interval = INTERVAL_MAX;
	if (s->state == SERVO_FIRST && !s->held)
		return second(s, local, offset, interval);
	s->state = s->state == SERVO_FIRST ? SERVO_TRACKING : s->state;
	return track(s, local, offset, interval);
}

/* What control() would have brought about by the next offset. */
static void make_up(struct servo *s, uint64_t local)
{
	if (!s->missed || s->state < SERVO_TRACKING || !s->interval || must_step(s, s->offset))
		return;
	integrate(s, local, rate_for(s->offset, (int64_t)s->interval));
	shared_step(s->clock, local, -s->offset / 4);
	s->missed = false;
}

void servo_hold(struct servo *s, bool held, uint64_t local)
{
	if (held && !s->held)
		shared_set_rate(s->clock, local, s->clock->rate);
	if (!held && s->held)
		make_up(s, local);
	s->held = held;
}

/* --- what can be said about the clock --- */

uint32_t servo_drift_ppb(const struct servo *s)
{
	uint64_t noise = s->jitter < SECOND ? s->jitter : SECOND, ppb = DRIFT_UNKNOWN;

	/* some of the network's noise has become the rate's */
	if (s->state == SERVO_LOCKED && s->interval)
		ppb = s->config.holdover_ppb + noise * SECOND / s->interval / NOISE_IN_RATE;
	return (uint32_t)(ppb < DRIFT_UNKNOWN ? ppb : DRIFT_UNKNOWN);
}

uint64_t servo_bound(const struct servo *s, uint64_t local)
{
	uint64_t age, drift;

	if (s->state < SERVO_TRACKING)
		return SERVO_NO_BOUND;
	age = local - s->last;
	drift = (age / SECOND + 1) * servo_drift_ppb(s);
	return s->delay + s->jitter + magnitude(s->offset) + drift;
}
