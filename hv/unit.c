/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry of the guest machine's units, and whole-machine operations over it. */
#include "hv/unit.h"
#include <errno.h>
#include <string.h>

static const struct unit *units[UNITS_MAX];
static unsigned count;

static int unit_index(const char *name)
{
	for (unsigned i = 0; i < count; i++) {
		if (strncmp(units[i]->name, name, STATE_NAME_LEN) == 0)
			return (int)i;
	}
	return -1;
}

int unit_register(const struct unit *u)
{
	if (unit_index(u->name) >= 0)
		return -EEXIST;
	if (count == UNITS_MAX)
		return -ENOSPC;
	units[count++] = u;
	return 0;
}

unsigned unit_count(void)
{
	return count;
}

const struct unit *unit_at(unsigned i)
{
	return i < count ? units[i] : NULL;
}

void units_reset(void)
{
	for (unsigned i = 0; i < count; i++)
		units[i]->reset(units[i]->dev);
}

void units_freeze(void)
{
	for (unsigned i = 0; i < count; i++) {
		if (units[i]->freeze)
			units[i]->freeze(units[i]->dev);
	}
}

void units_thaw(void)
{
	for (unsigned i = count; i-- > 0;) {
		if (units[i]->thaw)
			units[i]->thaw(units[i]->dev);
	}
}

int units_save(struct state_writer *w)
{
	for (unsigned i = 0; i < count; i++) {
		const struct unit *u = units[i];
		int err;

		state_begin(w, u->name, u->version);
		err = u->save(u->dev, w);
		if (err)
			return err;
		state_end(w);
		if (w->err)
			return w->err;
	}
	return 0;
}

static struct state_reader section[UNITS_MAX]; /* by unit; no `buf`: not found */

static void note(struct state_fault *f, int err, const char *name, uint32_t number)
{
	if (f->err) /* the first one counts */
		return;
	*f = (struct state_fault){.err = err, .section = number};
	memcpy(f->name, name, sizeof(f->name));
}

static void take_section(const struct state_reader *r, struct state_fault *f)
{
	int i = unit_index(r->name);

	if (i < 0) {
		note(f, STATE_UNKNOWN_SECTION, r->name, r->section);
	} else if (section[i].buf) {
		note(f, STATE_DUPLICATE_SECTION, r->name, r->section);
	} else {
		section[i] = *r;
		if (r->version != units[i]->version && !f->err) {
			note(f, STATE_SECTION_VERSION, r->name, r->section);
			f->has = r->version;
			f->wants = units[i]->version;
		}
	}
}

/* The image's structure, to its end. *f: what is wrong with its set of sections. */
static int find_sections(const void *image, size_t size, struct state_fault *f)
{
	struct state_image img;
	struct state_reader r;
	int err = state_open(&img, image, size);

	while (err == STATE_OK) {
		err = state_next(&img, &r);
		if (err == STATE_OK)
			take_section(&r, f);
	}
	if (err != STATE_END) {
		*f = img.fault;
		return err;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!section[i].buf)
			note(f, STATE_MISSING_SECTION, units[i]->name, 0);
	}
	return STATE_OK;
}

/* Would unit i take its section? */
static bool looks_well(unsigned i, struct state_fault *f)
{
	struct state_reader r = section[i];

	r.look = true;
	units[i]->load(units[i]->dev, &r);
	return state_loaded(&r, f);
}

int units_load(const void *image, size_t size, struct state_fault *f)
{
	struct state_fault set = {0};

	memset(section, 0, count * sizeof(section[0]));
	*f = (struct state_fault){0};
	if (find_sections(image, size, &set) != STATE_OK) {
		*f = set;
		return f->err;
	}
	/* another machine's image has other units: that it is another's is the better answer */
	if (count && section[0].buf && section[0].version == units[0]->version && !looks_well(0, f))
		return f->err;
	if (set.err) {
		*f = set;
		return f->err;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!looks_well(i, f))
			return f->err;
	}
	for (unsigned i = 0; i < count; i++) {
		units[i]->load(units[i]->dev, &section[i]);
		if (!state_loaded(&section[i], f))
			return f->err;
	}
	return STATE_OK;
}
