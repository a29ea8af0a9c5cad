// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/machine.h"
#include <string.h>
#include "hv/log.h"
#include "hv/memmap.h"
#include "hv/unit.h"

static const struct machine *machine;

static int machine_save(void *dev, struct state_writer *w)
{
	const struct machine *m = machine;

	(void)dev;
	state_put(w, m->vendor, sizeof(m->vendor));
	state_put(w, m->back_end, sizeof(m->back_end));
	state_put32(w, m->signature);
	state_put32(w, m->features);
	state_put64(w, m->xcr0);
	state_put32(w, m->cpus);
	for (unsigned i = 0; i < m->cpus; i++)
		state_put32(w, m->apic_ids[i]);
	state_put32(w, m->map->n);
	for (unsigned i = 0; i < m->map->n; i++) {
		const struct guest_range *g = &m->map->range[i];

		state_put64(w, g->gpa);
		state_put64(w, g->size);
		state_put8(w, g->type);
		state_put8(w, g->kind);
	}
	return w->err;
}

static void check_processors(const struct machine *m, struct state_reader *r)
{
	char vendor[sizeof(m->vendor)], back_end[sizeof(m->back_end)];

	state_get(r, vendor, sizeof(vendor));
	state_get(r, back_end, sizeof(back_end));
	state_require(r, memcmp(vendor, m->vendor, sizeof(vendor)) == 0,
		      "vendor: the image is of another maker's processor");
	state_require(r, memcmp(back_end, m->back_end, sizeof(back_end)) == 0,
		      "back_end: the image is of the other virtualization, VT-x or AMD-V");
	state_expect(r, state_get32(r), m->signature, "signature (processor model)");
	state_expect(r, state_get32(r), m->features, "features (digest of CPUID)");
	state_expect(r, state_get64(r), m->xcr0, "xcr0");
}

static void check_memory(const struct guest_map *map, struct state_reader *r)
{
	if (!state_expect(r, state_get32(r), map->n, "number of memory ranges"))
		return;
	for (unsigned i = 0; i < map->n; i++) {
		const struct guest_range *g = &map->range[i];

		state_expect(r, state_get64(r), g->gpa, "memory range's gpa");
		state_expect(r, state_get64(r), g->size, "memory range's size");
		state_expect(r, state_get8(r), g->type, "memory range's type");
		state_expect(r, state_get8(r), g->kind, "memory range's kind");
	}
}

static void machine_load(void *dev, struct state_reader *r)
{
	const struct machine *m = machine;

	(void)dev;
	check_processors(m, r);
	if (!state_expect(r, state_get32(r), m->cpus, "number of CPUs"))
		return;
	for (unsigned i = 0; i < m->cpus; i++)
		state_expect(r, state_get32(r), m->apic_ids[i], "APIC ID of a CPU");
	check_memory(m->map, r);
}

/* Nothing of it ever changes. */
static void machine_keep(void *dev)
{
	(void)dev;
}

static const struct unit machine_unit = {.name = "machine",
					 .version = 1,
					 .reset = machine_keep,
					 .save = machine_save,
					 .load = machine_load,
					 .scramble = machine_keep};

void machine_register(const struct machine *m)
{
	machine = m;
	ASSERT(unit_register(&machine_unit) == 0 && unit_at(0) == &machine_unit);
}
