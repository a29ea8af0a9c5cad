/* build: hv/unit.c hv/state.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole-machine operations: order, and images that do not fit the machine. */
#include <errno.h>
#include "hv/unit.h"
#include "test/unit/check.h"

static char trace[64];

static void mark(void *dev, char op)
{
	size_t n = strlen(trace);

	trace[n] = op;
	trace[n + 1] = *(const char *)dev;
}

static void on_reset(void *dev)
{
	mark(dev, 'r');
}

static void on_freeze(void *dev)
{
	mark(dev, 'f');
}

static void on_thaw(void *dev)
{
	mark(dev, 't');
}

static int on_save(void *dev, struct state_writer *w)
{
	state_put(w, dev, 2);
	return w->err;
}

/* The first byte is the unit's letter, the second anything below 100. */
static int on_load(void *dev, struct state_reader *r)
{
	uint8_t letter = state_get8(r), val = state_get8(r);

	if (!state_done(r) || letter != *(const uint8_t *)dev || val >= 100)
		return -EINVAL;
	((uint8_t *)dev)[1] = val;
	mark(dev, 'l');
	return 0;
}

static uint8_t dev[3][2] = {{'A', 1}, {'B', 2}, {'C', 3}};

#define UNIT(n, d)                                                                     \
	{                                                                              \
		.name = n, .version = 7, .dev = d, .reset = on_reset, .save = on_save, \
		.load = on_load                                                        \
	}
static struct unit unit[3] = {UNIT("a", dev[0]), UNIT("b", dev[1]), UNIT("c", dev[2])};

static void units_are_registered_once(void)
{
	static const struct unit same = UNIT("b", dev[1]);

	unit[0].freeze = unit[2].freeze = on_freeze; /* `b` has none */
	unit[0].thaw = unit[2].thaw = on_thaw;
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(unit_register(&unit[i]), 0);
	CHECK_EQ(unit_register(&same), -EEXIST);
	CHECK_EQ(unit_count(), 3);
	CHECK(unit_at(1) == &unit[1] && unit_at(3) == NULL);
}

static void thaw_is_freeze_backwards(void)
{
	memset(trace, 0, sizeof(trace));
	units_freeze();
	units_thaw();
	units_reset();
	CHECK_STR(trace, "fAfCtCtArArBrC");
}

static uint8_t image[1024];
static char bad[STATE_NAME_LEN];

static int save(void)
{
	struct state_writer w;

	state_writer_init(&w, image, sizeof(image));
	CHECK_EQ(units_save(&w), 0);
	return state_finish(&w);
}

static void a_round_trip_restores_all(void)
{
	int n = save();

	dev[0][1] = dev[1][1] = dev[2][1] = 99;
	memset(trace, 0, sizeof(trace));
	CHECK_EQ(units_load(image, (size_t)n, bad), STATE_OK);
	CHECK_STR(bad, "");
	CHECK_STR(trace, "lAlBlC");
	CHECK(dev[0][1] == 1 && dev[1][1] == 2 && dev[2][1] == 3);
}

static void a_full_buffer_is_reported(void)
{
	struct state_writer w;

	state_writer_init(&w, image, 100);
	CHECK_EQ(units_save(&w), -ENOSPC);
}

/* An image of the sections named by the letters of `names`, `x` being nobody's. */
static int craft(const char *names, uint32_t version, unsigned bytes, uint8_t val)
{
	struct state_writer w;

	state_writer_init(&w, image, sizeof(image));
	for (; *names; names++) {
		const char name[2] = {*names, 0};

		state_begin(&w, name, *names == 'b' ? version : 7);
		state_put8(&w, (uint8_t)(*names - 'a' + 'A'));
		state_put8(&w, *names == 'b' ? val : 5);
		for (unsigned i = 2; i < bytes; i++)
			state_put8(&w, 0);
		state_end(&w);
	}
	return units_load(image, (size_t)state_finish(&w), bad);
}

static void images_of_other_machines_are_refused(void)
{
	uint8_t before[sizeof(dev)];

	memcpy(before, dev, sizeof(dev));
	CHECK_EQ(craft("abcx", 7, 2, 5), STATE_UNKNOWN_SECTION);
	CHECK_STR(bad, "x");
	CHECK_EQ(craft("ac", 7, 2, 5), STATE_MISSING_SECTION);
	CHECK_STR(bad, "b");
	CHECK_EQ(craft("abca", 7, 2, 5), STATE_DUPLICATE_SECTION);
	CHECK_STR(bad, "a");
	CHECK_EQ(craft("abc", 8, 2, 5), STATE_SECTION_VERSION);
	CHECK_STR(bad, "b");
	CHECK_EQ(units_load(image, 10, bad), STATE_TRUNCATED);
	CHECK_STR(bad, "");
	CHECK(memcmp(before, dev, sizeof(dev)) == 0); /* nothing was touched */
}

static void a_bad_payload_names_its_unit(void)
{
	CHECK_EQ(craft("abc", 7, 2, 100), STATE_CONTENT);
	CHECK_STR(bad, "b");
	CHECK_EQ(craft("abc", 7, 3, 5), STATE_SECTION_SIZE);
	CHECK_STR(bad, "a");
	memset(trace, 0, sizeof(trace));
	CHECK_EQ(craft("cba", 7, 2, 5), STATE_OK); /* any order */
	CHECK_STR(trace, "lAlBlC");
}

static void the_registry_is_bounded(void)
{
	static struct unit many[UNITS_MAX];
	unsigned n = unit_count();

	for (unsigned i = 0; i < UNITS_MAX; i++) {
		many[i] = (struct unit)UNIT("", dev[0]);
		(void)snprintf(many[i].name, sizeof(many[i].name), "many %u", i);
		CHECK_EQ(unit_register(&many[i]), n + i < UNITS_MAX ? 0 : -ENOSPC);
	}
}

int main(void)
{
	RUN(units_are_registered_once);
	RUN(thaw_is_freeze_backwards);
	RUN(a_round_trip_restores_all);
	RUN(a_full_buffer_is_reported);
	RUN(images_of_other_machines_are_refused);
	RUN(a_bad_payload_names_its_unit);
	RUN(the_registry_is_bounded);
	return check_result();
}
