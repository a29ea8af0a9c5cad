// SPDX-License-Identifier: GPL-2.0-or-later
/* Nested page tables: 4 levels of 512 entries, the same shape in EPT and in AMD's nested paging. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "arch/x86_64/cpu.h"
#include "hv/memmap.h"
#include "hv/platform.h"

#define ENTRY_ADDR 0x000ffffffffff000ull
#define ENTRY_LEAF (1ull << 7) /* above level 1 */
#define LEVELS	   4

struct npt {
	const struct npt_format *f;
	const struct npt_alloc *a;
	uint64_t *root;
};

static uint64_t level_size(unsigned level)
{
	return 1ull << (12 + 9 * (level - 1));
}

static unsigned level_index(uint64_t gpa, unsigned level)
{
	return gpa >> (12 + 9 * (level - 1)) & 511;
}

/* The entry for gpa at `level`, with tables above it made as needed. */
static int entry_at(const struct npt *t, uint64_t gpa, unsigned level, uint64_t **entry)
{
	uint64_t *table = t->root;

	for (unsigned l = LEVELS; l > level; l--) {
		uint64_t *e = &table[level_index(gpa, l)], hpa;

		if (!*e) {
			table = t->a->page(t->a->ctx, &hpa);
			if (!table)
				return -ENOMEM;
			*e = t->f->table(hpa, l - 1);
		} else if (l < LEVELS && (*e & ENTRY_LEAF)) {
			return -EEXIST;
		} else {
			table = t->a->virt(t->a->ctx, *e & ENTRY_ADDR);
		}
	}
	*entry = &table[level_index(gpa, level)];
	return 0;
}

/* Largest page that fits at the start of r. Ranges are of one type each, so a page never mixes
 * types. */
static unsigned best_level(const struct npt *t, const struct guest_range *r)
{
	for (unsigned level = t->f->has_1g ? 3 : 2; level > 1; level--) {
		uint64_t size = level_size(level);

		if (r->size >= size && !((r->gpa | r->hpa) & (size - 1)))
			return level;
	}
	return 1;
}

static int map_range(const struct npt *t, struct guest_range r)
{
	bool exec = r.kind != GUEST_DEVICE;

	while (r.size) {
		unsigned level = best_level(t, &r);
		uint64_t size = level_size(level), *e;
		int err = entry_at(t, r.gpa, level, &e);

		if (err)
			return err;
		if (*e)
			return -EEXIST;
		*e = t->f->leaf(r.hpa, level, r.type, exec, true);
		r.gpa += size;
		r.hpa += size;
		r.size -= size;
	}
	return 0;
}

int npt_build(const struct guest_map *m, const struct npt_format *f, const struct npt_alloc *a,
	      uint64_t *root_hpa)
{
	struct npt t = {.f = f, .a = a, .root = a->page(a->ctx, root_hpa)};

	if (!t.root)
		return -ENOMEM;
	for (unsigned i = 0; i < m->n; i++) {
		int err = map_range(&t, m->range[i]);

		if (err)
			return err;
	}
	return 0;
}

int npt_map_page(uint64_t root_hpa, uint64_t gpa, uint64_t hpa, uint8_t type,
		 const struct npt_format *f, const struct npt_alloc *a)
{
	struct npt t = {.f = f, .a = a, .root = a->virt(a->ctx, root_hpa)};
	uint64_t *e;
	int err = entry_at(&t, gpa, 1, &e);

	if (!err)
		*e = f->leaf(hpa, 1, type, false, true);
	return err;
}

void npt_unmap_page(uint64_t root_hpa, uint64_t gpa, const struct npt_alloc *a)
{
	uint64_t *table = a->virt(a->ctx, root_hpa);

	for (unsigned l = LEVELS; l > 1; l--) {
		uint64_t e = table[level_index(gpa, l)];

		if (!e || (l < LEVELS && (e & ENTRY_LEAF)))
			return;
		table = a->virt(a->ctx, e & ENTRY_ADDR);
	}
	table[level_index(gpa, 1)] = 0;
}

int npt_map_rom(uint64_t root_hpa, const struct npt_format *f, const struct npt_alloc *a)
{
	struct npt t = {.f = f, .a = a, .root = a->virt(a->ctx, root_hpa)};
	uint64_t ones_hpa, *e;
	void *ones = a->page(a->ctx, &ones_hpa);
	int err;

	if (!ones)
		return -ENOMEM;
	memset(ones, 0xff, PAGE_SIZE);
	for (uint64_t gpa = ROM_GPA; gpa < ROM_GPA + ROM_SIZE; gpa += PAGE_SIZE) {
		err = entry_at(&t, gpa, 1, &e);
		if (err || *e)
			return err ? err : -EEXIST;
		*e = f->leaf(ones_hpa, 1, MT_WB, false, false);
	}
	return 0;
}

int npt_fork(uint64_t root_hpa, uint64_t gpa, const struct npt_format *f, const struct npt_alloc *a,
	     uint64_t *fork_hpa)
{
	const uint64_t *from = a->virt(a->ctx, root_hpa);
	uint64_t *to = a->page(a->ctx, fork_hpa), hpa;

	for (unsigned level = LEVELS; to; level--) {
		uint64_t *e = &to[level_index(gpa, level)];

		memcpy(to, from, PAGE_SIZE);
		if (level == 1 || !*e || (level < LEVELS && (*e & ENTRY_LEAF)))
			return 0;
		from = a->virt(a->ctx, *e & ENTRY_ADDR);
		to = a->page(a->ctx, &hpa);
		if (to)
			*e = f->table(hpa, level - 1);
	}
	return -ENOMEM;
}
