// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/selftest.h"
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/pass.h"
#include "hv/platform.h"
#include "hv/unit.h"
#include "timevirt/rate.h"

#define IMAGE_PAGES_PER_UNIT 3 /* a vCPU's section, the largest, is under 12 KiB */

static int save(void *buf, size_t size, size_t *bytes)
{
	struct state_writer w;
	int n;

	state_writer_init(&w, buf, size);
	if (units_save(&w) != 0)
		return -ENOSPC;
	n = state_finish(&w);
	if (n < 0)
		return n;
	*bytes = (size_t)n;
	return 0;
}

static void scramble_all(void)
{
	for (unsigned i = 0; i < unit_count(); i++)
		unit_at(i)->scramble(unit_at(i)->dev);
}

static int fail(struct roundtrip_result *r, const char *what)
{
	r->what = what;
	return -EIO;
}

/* The first section that is not the same in both, by name. */
static void tell_difference(struct roundtrip_result *r, const uint8_t *first, const uint8_t *second,
			    size_t again)
{
	struct state_image a, b;
	struct state_reader x, y;

	if (state_open(&a, first, r->bytes) != STATE_OK ||
	    state_open(&b, second, again) != STATE_OK)
		return;
	while (state_next(&a, &x) == STATE_OK) {
		if (state_next(&b, &y) == STATE_OK && x.size == y.size &&
		    memcmp(x.buf, y.buf, x.size) == 0)
			continue;
		memcpy(r->section, x.name, sizeof(x.name));
		return;
	}
}

static int roundtrip(struct roundtrip_result *r, uint8_t *first, uint8_t *second, size_t size)
{
	static char text[STATE_TEXT_MAX];
	struct state_fault fault;
	size_t again;
	int err;

	if (save(first, size, &r->bytes) != 0)
		return fail(r, "save: the image does not fit");
	scramble_all();
	err = units_load(first, r->bytes, &fault);
	if (err) {
		/* the live state is garbage now: the guest can't go on */
		node_guest_reset("selftest: its state could not be loaded");
		state_describe(&fault, text, sizeof(text));
		memcpy(r->section, fault.name, sizeof(fault.name));
		return fail(r, strstr(text, ": ") + 2); /* the section is told apart */
	}
	if (save(second, size, &again) != 0)
		return fail(r, "save: the second image does not fit");
	if (again == r->bytes && memcmp(first, second, again) == 0)
		return 0;
	tell_difference(r, first, second, again);
	return fail(r, "what was loaded is not what was saved");
}

/* Frozen: only now it is known how much there is. */
static int with_buffers(struct roundtrip_result *r)
{
	size_t pages = (size_t)unit_count() * IMAGE_PAGES_PER_UNIT +
		       (pass_image_bytes() + PAGE_SIZE - 1) / PAGE_SIZE;
	uint8_t *first = pages_alloc(pages), *second = pages_alloc(pages);
	int err = -ENOMEM;

	if (first && second)
		err = roundtrip(r, first, second, pages * PAGE_SIZE);
	if (first)
		pages_free(first, pages);
	if (second)
		pages_free(second, pages);
	return err;
}

int selftest_roundtrip(struct roundtrip_result *r)
{
	bool frozen = freeze_state() == NODE_FROZEN;
	uint64_t start = rdtsc();
	int err;

	*r = (struct roundtrip_result){.units = unit_count()};
	err = frozen ? 0 : freeze_now();
	if (err == 0) {
		err = with_buffers(r);
		if (!frozen)
			thaw_now();
	}
	r->frozen_ns = rate_cycles_to_ns(rdtsc() - start, tsc_hz());
	return err;
}
