// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/guest.h"
#include "hv/memmap.h"

static const struct guest_map *map;
static unsigned last_hit; /* a hint only: most accesses are to the range of the one before */

void guest_memory_init(const struct guest_map *m)
{
	map = m;
	last_hit = 0;
}

const struct guest_map *guest_memory_map(void)
{
	return map;
}

static bool holds(const struct guest_range *r, uint64_t gpa)
{
	return gpa - r->gpa < r->size;
}

static const struct guest_range *find(uint64_t gpa)
{
	unsigned lo = 0, hi = map->n, hit = __atomic_load_n(&last_hit, __ATOMIC_RELAXED);

	if (hit < hi && holds(&map->range[hit], gpa))
		return &map->range[hit];
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (holds(&map->range[mid], gpa)) {
			__atomic_store_n(&last_hit, mid, __ATOMIC_RELAXED);
			return &map->range[mid];
		}
		if (map->range[mid].gpa > gpa)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/* Pointer to gpa and how many bytes of its range follow; NULL if it is not RAM. */
static uint8_t *run_at(uint64_t gpa, uint64_t *run)
{
	const struct guest_range *r = find(gpa);

	*run = 0;
	if (!r || r->kind == GUEST_DEVICE)
		return NULL;
	*run = r->size - (gpa - r->gpa);
	return phys_to_virt((hpa_t){r->hpa + (gpa - r->gpa)});
}

static bool all_ram(uint64_t gpa, size_t n)
{
	uint64_t run;

	if (n > UINT64_MAX - gpa)
		return false;
	for (; n; gpa += run, n -= run) {
		if (!run_at(gpa, &run))
			return false;
		if (run > n)
			run = n;
	}
	return true;
}

static int copy(uint64_t gpa, uint8_t *buf, size_t n, bool write)
{
	uint64_t run;

	if (!all_ram(gpa, n))
		return -EFAULT;
	for (; n; gpa += run, buf += run, n -= run) {
		uint8_t *p = run_at(gpa, &run);

		if (!p)
			return -EFAULT;
		if (run > n)
			run = n;
		memcpy(write ? p : buf, write ? buf : p, run);
	}
	return 0;
}

int guest_read(gpa_t gpa, void *buf, size_t n)
{
	return copy(gpa.v, buf, n, false);
}

int guest_write(gpa_t gpa, const void *buf, size_t n)
{
	return copy(gpa.v, (uint8_t *)buf, n, true);
}

void *guest_ptr(gpa_t gpa, size_t n)
{
	uint64_t run, a = gpa.v;
	uint8_t *start = run_at(a, &run), *next = start;

	if (!start || n > UINT64_MAX - a)
		return NULL;
	while (run < n) { /* neighbours that differ in type only are still one piece for us */
		a += run;
		n -= run;
		next += run;
		if (run_at(a, &run) != next)
			return NULL;
	}
	return start;
}

bool guest_gpa_is_hypervisor(gpa_t gpa)
{
	return gpa.v - map->hv_base < map->hv_size;
}
