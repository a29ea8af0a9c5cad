/* build: hv/unit.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole-machine operations: order, and images that do not fit the machine. */
#include <errno.h>
#include "hv/unit.h"
#include "test/unit/check.h"
#include "test/unit/images.h"

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
static void on_load(void *dev, struct state_reader *r)
{
	uint8_t letter = state_get8(r), val = state_get8(r);

	state_expect(r, letter, *(const uint8_t *)dev, "letter");
	state_require(r, val < 100, "number");
	if (!state_commit(r))
		return;
	((uint8_t *)dev)[1] = val;
	mark(dev, 'l');
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

static uint8_t image[IMAGE_MAX];
static char text[STATE_TEXT_MAX];

/* The words for what is wrong; "" if all is loaded. */
static const char *load(int n)
{
	struct state_fault f;
	int err = units_load(image, (size_t)n, &f);

	CHECK_EQ(err, f.err);
	text[0] = 0;
	if (err)
		state_describe(&f, text, sizeof(text));
	return text;
}

static void a_round_trip_restores_all(void)
{
	int n = image_save(image);

	dev[0][1] = dev[1][1] = dev[2][1] = 99;
	memset(trace, 0, sizeof(trace));
	CHECK_STR(load(n), "");
	CHECK_STR(trace, "lAlBlC");
	CHECK(dev[0][1] == 1 && dev[1][1] == 2 && dev[2][1] == 3);
}

static void a_full_buffer_is_reported(void)
{
	struct state_writer w;

	state_writer_init(&w, image, 100);
	CHECK_EQ(units_save(&w), -ENOSPC);
}

/* Load an image of the sections named by the letters of `names`, `x` being nobody's; those of `b`
 * have this version, size and second byte. */
static const char *craft(const char *names, uint32_t version, unsigned bytes, uint8_t val)
{
	struct state_writer w;

	state_writer_init(&w, image, sizeof(image));
	for (; *names; names++) {
		const char name[2] = {*names, 0};
		bool b = *names == 'b';

		state_begin(&w, name, b ? version : 7);
		state_put8(&w, (uint8_t)(*names - 'a' + 'A'));
		for (unsigned i = 1; i < (b ? bytes : 2); i++)
			state_put8(&w, b ? val : 5);
		state_end(&w);
	}
	return load(state_finish(&w));
}

static void images_that_do_not_fit_change_nothing(void)
{
	uint8_t before[sizeof(dev)];
	int n;

	memcpy(before, dev, sizeof(dev));
	memset(trace, 0, sizeof(trace));
	CHECK_STR(craft("abcx", 7, 2, 5), "section x: unknown: this machine has no such unit");
	CHECK_STR(craft("ac", 7, 2, 5), "section b: missing");
	CHECK_STR(craft("", 7, 2, 5), "section a: missing");
	CHECK_STR(craft("abca", 7, 2, 5), "section a: duplicate: it is there twice");
	CHECK_STR(craft("abc", 8, 2, 5), "section b: unknown version 8: this build knows 7");
	CHECK_STR(craft("abc", 7, 3, 5), "section b: another size: 3 bytes, 2 were expected");
	CHECK_STR(craft("abc", 7, 1, 5), "section b: another size: its 1 bytes are too few");
	CHECK_STR(craft("abc", 7, 2, 100), "section b: refused: number");
	n = image_save(image);
	CHECK_STR(load(10), "the image: truncated: 10 of 32 bytes are there");
	section_patch(image, section_find(image, n, "c"), 0, 'D', 1);
	CHECK_STR(load(n), "section c: refused: letter: 0x44 in the image, 0x43 here");
	CHECK(memcmp(before, dev, sizeof(dev)) == 0);
	CHECK_STR(trace, "");
}

static void any_order_will_do(void)
{
	memset(trace, 0, sizeof(trace));
	CHECK_STR(craft("cba", 7, 2, 5), "");
	CHECK_STR(trace, "lAlBlC");
}

/* The unit registered first says which machine it is. */
static void another_machine_is_recognized_first(void)
{
	int n = image_save(image);

	section_patch(image, section_find(image, n, "a"), 0, 'Z', 1);
	image[section_find(image, n, "b")] = 'x'; /* what another machine has */
	section_seal(image, section_find(image, n, "x"));
	CHECK_STR(load(n), "section a: refused: letter: 0x5a in the image, 0x41 here");
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
	RUN(images_that_do_not_fit_change_nothing);
	RUN(any_order_will_do);
	RUN(another_machine_is_recognized_first);
	RUN(the_registry_is_bounded);
	return check_result();
}
