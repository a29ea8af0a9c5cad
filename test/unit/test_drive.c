// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/drive.c storage/partition.c */
/* Requests to a disk that works, errs, is silent, or vanishes: each of them ends, and rightly. */
#include "test/unit/check.h"
#include "storage/drive.h"
#include "storage/hw.h"
#include "storage/partition.h"

#define REQUESTS 8

static uint64_t now_us;

uint64_t hw_us(void)
{
	return now_us;
}

/* --- a controller --- */

static struct drive d;
static const struct block_request *taken[DRIVE_SLOTS]; /* by the device, and not answered */
static uint32_t answer_done, answer_failed;
static unsigned starts, resets, offs;
static bool vanished, no_link, no_reset, no_off;
static struct drive_controller controller;
static unsigned master_offs;
static unsigned ended;
static uint64_t bad_sector;
static struct block_request *order[64];

static void start(struct drive *x, unsigned slot, const struct block_request *r)
{
	CHECK(x == &d && !taken[slot] && !offs);
	taken[slot] = r;
	order[starts++ % 64] = (struct block_request *)(uintptr_t)r;
}

static int look(struct drive *x, uint32_t *done, uint32_t *failed)
{
	(void)x;
	if (vanished)
		return -ENODEV;
	if (no_link)
		return -EAGAIN;
	*done = answer_done;
	*failed = answer_failed;
	for (unsigned i = 0; i < DRIVE_SLOTS; i++)
		if (answer_done >> i & 1)
			taken[i] = NULL;
	answer_done = answer_failed = 0;
	return 0;
}

static int reset(struct drive *x)
{
	(void)x;
	memset(taken, 0, sizeof(taken));
	resets++;
	return no_reset ? -ETIMEDOUT : 0;
}

static int off(struct drive *x)
{
	(void)x;
	offs++;
	if (no_off)
		return -ETIMEDOUT;
	memset(taken, 0, sizeof(taken));
	return 0;
}

void hw_master_off(const void *function)
{
	CHECK(function == &controller);
	CHECK_EQ(ended, 0); /* what the device could still write to is nobody else's yet */
	memset(taken, 0, sizeof(taken));
	master_offs++;
}

static const struct drive_ops ops = {
	.name = "model", .start = start, .look = look, .reset = reset, .off = off};
static const struct drive_ops exact_ops = {.name = "model",
					   .start = start,
					   .look = look,
					   .reset = reset,
					   .off = off,
					   .errors_are_exact = true};

/* --- its user --- */

static char data[REQUESTS][SECTOR_SIZE];
static struct block_vec vec[REQUESTS];
static struct block_request r[REQUESTS];

static void done(struct block_request *x)
{
	CHECK(x->owner == NULL); /* once */
	for (unsigned i = 0; i < DRIVE_SLOTS; i++)
		CHECK(taken[i] != x || d.ops->errors_are_exact);
	x->owner = x;
	ended++;
}

static void setup(const struct drive_ops *o, unsigned depth)
{
	controller = (struct drive_controller){.function = &controller};
	d = (struct drive){
		.ops = o, .depth = depth, .dev.sectors = 1000, .controller = &controller};
	drive_init(&d);
	memset(taken, 0, sizeof(taken));
	answer_done = answer_failed = 0;
	starts = resets = offs = ended = 0;
	vanished = no_link = no_reset = no_off = false;
	master_offs = 0;
	bad_sector = UINT64_MAX;
}

static void ask(unsigned i, enum block_op op, uint64_t sector)
{
	vec[i] = (struct block_vec){data[i], SECTOR_SIZE};
	r[i] = (struct block_request){
		.op = op, .sector = sector, .vec = &vec[i], .n_vec = 1, .status = 1, .done = done};
	d.dev.ops->submit(&d.dev, &r[i]);
}

/* The device answers all it has: an error if the bad sector is among it. */
static void serve(void)
{
	uint32_t all = 0, bad = 0;

	for (unsigned i = 0; i < DRIVE_SLOTS; i++)
		if (taken[i]) {
			all |= 1u << i;
			if (taken[i]->op != BLOCK_FLUSH && taken[i]->sector == bad_sector)
				bad |= 1u << i;
		}
	if (!bad)
		answer_done = all;
	else if (d.ops->errors_are_exact) {
		answer_done = all & ~bad;
		answer_failed = bad;
		for (unsigned i = 0; i < DRIVE_SLOTS; i++)
			if (bad >> i & 1)
				taken[i] = NULL;
	} else {
		answer_failed = all; /* nobody knows which */
	}
	(void)drive_poll(&d);
}

static void as_many_as_it_takes_are_in_flight(void)
{
	setup(&ops, 3);
	for (unsigned i = 0; i < 5; i++)
		ask(i, BLOCK_WRITE, i);
	CHECK_EQ(starts, 3);
	serve();
	CHECK_EQ(ended, 3);
	CHECK_EQ(starts, 5);
	serve();
	CHECK_EQ(ended, 5);
	CHECK_EQ(d.dev.count.writes, 5);
	CHECK(!drive_busy(&d));
}

static void a_flush_waits_for_what_came_before_and_goes_alone(void)
{
	setup(&ops, 8);
	ask(0, BLOCK_WRITE, 0);
	ask(1, BLOCK_FLUSH, 0);
	ask(2, BLOCK_WRITE, 2);
	CHECK_EQ(starts, 1);
	serve();
	CHECK_EQ(starts, 2);
	CHECK(order[1] == &r[1]);
	serve();
	CHECK_EQ(starts, 3);
	serve();
	CHECK_EQ(ended, 3);
	CHECK_EQ(d.dev.count.flushes, 1);
}

static void what_the_disk_does_not_have_is_refused(void)
{
	setup(&ops, 8);
	ask(0, BLOCK_READ, 1000);
	CHECK_EQ((uint64_t)r[0].status, (uint64_t)-ERANGE);
	ask(1, BLOCK_READ, UINT64_MAX);
	CHECK_EQ((uint64_t)r[1].status, (uint64_t)-ERANGE);
	d.dev.read_only = true;
	ask(2, BLOCK_WRITE, 0);
	CHECK_EQ((uint64_t)r[2].status, (uint64_t)-EROFS);
	CHECK_EQ(starts, 0);
}

static void of_several_only_the_bad_one_fails(const struct drive_ops *o)
{
	setup(o, 8);
	bad_sector = 2;
	for (unsigned i = 0; i < 5; i++)
		ask(i, BLOCK_READ, i);
	for (unsigned i = 0; i < 20 && ended < 5; i++)
		serve();
	CHECK_EQ(ended, 5);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ((uint64_t)r[i].status, i == 2 ? (uint64_t)-EIO : 0);
	CHECK_EQ(d.dev.count.errors, 1);
	ask(5, BLOCK_READ, 7); /* and all is well again */
	ask(6, BLOCK_READ, 8);
	serve();
	CHECK_EQ(ended, 7);
}

static void one_bad_sector_fails_alone(void)
{
	of_several_only_the_bad_one_fails(&ops);
	CHECK(resets > 0);
	of_several_only_the_bad_one_fails(&exact_ops);
	CHECK_EQ(resets, 0);
}

static void silence_ends_in_a_time_out(void)
{
	setup(&ops, 8);
	ask(0, BLOCK_READ, 0);
	now_us += DRIVE_TIMEOUT_US / 2;
	ask(1, BLOCK_READ, 1);
	(void)drive_poll(&d);
	CHECK_EQ(ended, 0);
	now_us += DRIVE_TIMEOUT_US / 2 + 1;
	(void)drive_poll(&d);
	CHECK_EQ(ended, 1);
	CHECK_EQ((uint64_t)r[0].status, (uint64_t)-ETIMEDOUT);
	CHECK_EQ(resets, 1);
	serve(); /* the other one has begun anew */
	CHECK_EQ(r[1].status, 0);
	CHECK_EQ(d.dev.count.timeouts, 1);
}

static void an_answer_that_was_there_before_the_look_is_no_time_out(void)
{
	setup(&ops, 8);
	ask(0, BLOCK_READ, 0);
	now_us += 100ull * DRIVE_TIMEOUT_US; /* the node was frozen */
	serve();
	CHECK_EQ(r[0].status, 0);
	CHECK_EQ(resets, 0);
}

/* Where errors freeze the node: nothing is ended, and all have their time again afterwards. */
static void patience_has_no_time_out(void)
{
	setup(&ops, 8);
	d.patient = true;
	ask(0, BLOCK_READ, 0);
	ask(1, BLOCK_WRITE, 1);
	now_us += DRIVE_TIMEOUT_US + 1;
	(void)drive_poll(&d);
	CHECK_EQ(ended, 0);
	CHECK(d.late);
	CHECK_EQ(resets, 1);
	CHECK_EQ(d.dev.count.timeouts, 2);
	now_us += 100ull * DRIVE_TIMEOUT_US;
	drive_forgive(&d);
	(void)drive_poll(&d);
	CHECK(!d.late);
	CHECK_EQ(resets, 1);
	now_us += 7;
	serve();
	CHECK_EQ(ended, 2);
	CHECK(r[0].status == 0 && r[1].status == 0);
	CHECK_EQ(d.dev.count.latency_max_us, 7);
}

static void one_that_vanishes_ends_everything(void)
{
	setup(&ops, 2);
	for (unsigned i = 0; i < 5; i++)
		ask(i, BLOCK_WRITE, i);
	vanished = true;
	(void)drive_poll(&d);
	CHECK_EQ(ended, 5);
	CHECK_EQ(offs, 1);
	ask(5, BLOCK_WRITE, 5);
	CHECK_EQ(ended, 6);
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ((uint64_t)r[i].status, (uint64_t)-ENODEV);
}

static void a_link_that_breaks_loses_nothing(void)
{
	setup(&ops, 2);
	for (unsigned i = 0; i < 3; i++)
		ask(i, BLOCK_WRITE, i);
	no_link = true;
	(void)drive_poll(&d);
	no_link = false;
	CHECK_EQ(ended, 0);
	CHECK_EQ(resets, 1);
	(void)drive_poll(&d);
	CHECK(order[2] == &r[0] && order[3] == &r[1]); /* anew, in their order */
	serve();
	serve();
	CHECK_EQ(ended, 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(r[i].status, 0);
}

static void a_link_that_does_not_hold_is_given_up(void)
{
	setup(&ops, 1);
	ask(0, BLOCK_READ, 0);
	no_link = true;
	for (unsigned i = 0; i < 20 && !ended; i++)
		(void)drive_poll(&d);
	CHECK_EQ((uint64_t)r[0].status, (uint64_t)-ENODEV);
	CHECK(d.gone);
	CHECK_EQ(resets, DRIVE_RESETS_IN_ROW + 1);
}

static void one_that_can_not_be_reset_is_given_up(void)
{
	setup(&ops, 8);
	no_reset = true;
	ask(0, BLOCK_WRITE, 0);
	ask(1, BLOCK_WRITE, 1);
	now_us += DRIVE_TIMEOUT_US + 1;
	(void)drive_poll(&d);
	CHECK_EQ(ended, 2);
	CHECK(d.gone && offs == 1);
}

static void one_that_is_always_silent_is_given_up(void)
{
	setup(&ops, 1);
	for (unsigned i = 0; i < 8; i++)
		ask(i, BLOCK_READ, i);
	for (unsigned i = 0; i < 8; i++) {
		now_us += DRIVE_TIMEOUT_US + 1;
		(void)drive_poll(&d);
	}
	CHECK_EQ(ended, 8);
	CHECK(d.gone);
	CHECK_EQ(resets, DRIVE_RESETS_IN_ROW + 1);
}

static void answers_nobody_asked_for_do_nothing(void)
{
	setup(&exact_ops, 8);
	ask(0, BLOCK_READ, 0);
	answer_done = 0xfffffff0;
	answer_failed = 0xfffffff0;
	(void)drive_poll(&d);
	CHECK_EQ(ended, 0);
	serve();
	CHECK_EQ(ended, 1);
}

static void a_partition_ends_where_it_ends(void)
{
	struct partition p;
	struct block_request x = {.op = BLOCK_WRITE, .n_vec = 1, .vec = vec, .done = done};

	setup(&ops, 8);
	vec[0] = (struct block_vec){data[0], SECTOR_SIZE};
	partition_init(&p, &d.dev, 100, 50, false);
	x.sector = 49;
	p.dev.ops->submit(&p.dev, &x);
	CHECK_EQ(order[0]->sector, 149);
	serve();
	CHECK_EQ(x.status, 0);
	x = (struct block_request){
		.op = BLOCK_WRITE, .sector = 50, .n_vec = 1, .vec = vec, .done = done};
	p.dev.ops->submit(&p.dev, &x);
	CHECK_EQ((uint64_t)x.status, (uint64_t)-ERANGE);
	partition_init(&p, &d.dev, 100, 50, true);
	x = (struct block_request){
		.op = BLOCK_WRITE, .sector = 0, .n_vec = 1, .vec = vec, .done = done};
	p.dev.ops->submit(&p.dev, &x);
	CHECK_EQ((uint64_t)x.status, (uint64_t)-EROFS);
	CHECK_EQ(starts, 1);
}

/* One that can't be made quiet takes its controller's other drives with it. */
static void one_that_stays_loud_loses_the_bus(void)
{
	setup(&ops, 4);
	no_reset = no_off = true;
	ask(0, BLOCK_READ, 1);
	ask(1, BLOCK_WRITE, 2);
	now_us += 2 * DRIVE_TIMEOUT_US;
	(void)drive_poll(&d);
	CHECK_EQ(master_offs, 1);
	CHECK_EQ(ended, 2);
	CHECK(d.gone);
	setup(&ops, 4);
	controller.off = true;
	ask(0, BLOCK_READ, 1);
	(void)drive_poll(&d);
	CHECK_EQ(r[0].status, -ENODEV);
	CHECK_EQ(master_offs, 0);
}

int main(void)
{
	RUN(as_many_as_it_takes_are_in_flight);
	RUN(a_flush_waits_for_what_came_before_and_goes_alone);
	RUN(what_the_disk_does_not_have_is_refused);
	RUN(one_bad_sector_fails_alone);
	RUN(silence_ends_in_a_time_out);
	RUN(an_answer_that_was_there_before_the_look_is_no_time_out);
	RUN(patience_has_no_time_out);
	RUN(one_that_vanishes_ends_everything);
	RUN(a_link_that_breaks_loses_nothing);
	RUN(a_link_that_does_not_hold_is_given_up);
	RUN(one_that_can_not_be_reset_is_given_up);
	RUN(one_that_is_always_silent_is_given_up);
	RUN(answers_nobody_asked_for_do_nothing);
	RUN(a_partition_ends_where_it_ends);
	RUN(one_that_stays_loud_loses_the_bus);
	return check_result();
}
