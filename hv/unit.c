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

/* Finds every unit's section and checks what can be checked from outside, before anything is
 * changed. */
static int find_sections(const void *image, size_t size, struct state_reader *section, char *bad)
{
	struct state_image img;
	struct state_reader r;
	int err = state_open(&img, image, size);

	if (err)
		return err;
	while ((err = state_next(&img, &r)) == STATE_OK) {
		int i = unit_index(r.name);

		memcpy(bad, r.name, STATE_NAME_LEN);
		if (i < 0)
			return STATE_UNKNOWN_SECTION;
		if (section[i].buf)
			return STATE_DUPLICATE_SECTION;
		if (r.version != units[i]->version)
			return STATE_SECTION_VERSION;
		section[i] = r;
		memset(bad, 0, STATE_NAME_LEN);
	}
	if (err != STATE_END)
		return err;
	for (unsigned i = 0; i < count; i++) {
		if (!section[i].buf) {
			memcpy(bad, units[i]->name, STATE_NAME_LEN);
			return STATE_MISSING_SECTION;
		}
	}
	return STATE_OK;
}

int units_load(const void *image, size_t size, char bad[STATE_NAME_LEN])
{
	static struct state_reader
		section[UNITS_MAX]; /* too big for a hypervisor stack; one caller at a time */
	int err;

	memset(section, 0, sizeof(section));
	memset(bad, 0, STATE_NAME_LEN);
	err = find_sections(image, size, section, bad);
	if (err)
		return err;
	for (unsigned i = 0; i < count; i++) {
		const struct unit *u = units[i];

		err = u->load(u->dev, &section[i]);
		if (err) {
			memcpy(bad, u->name, STATE_NAME_LEN);
			return section[i].err || section[i].pos != section[i].size
				       ? STATE_SECTION_SIZE
				       : STATE_CONTENT;
		}
	}
	return STATE_OK;
}
