/* build: hv/npt.c hv/memmap.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nested page tables: built from recorded maps, then walked entry by entry. */
#include <errno.h>
#include <stdlib.h>
#include "test/unit/check.h"
#include "test/unit/memory_maps.h"

#define PAGES 4096
#define ARENA 0x5000000000ull /* "physical" address of the first table */

static uint8_t *pages;
static unsigned used, limit = PAGES;

static void *arena_page(void *ctx, uint64_t *hpa)
{
	(void)ctx;
	if (used == limit)
		return NULL;
	*hpa = ARENA + used * 4096ull;
	return pages + used++ * 4096ull;
}

static void *arena_virt(void *ctx, uint64_t hpa)
{
	(void)ctx;
	return pages + (hpa - ARENA);
}

static const struct npt_alloc arena = {arena_page, arena_virt, NULL};

/* EPT's encoding: R W X, type in 5:3, bit 7 for large pages. */
static uint64_t leaf(uint64_t hpa, unsigned level, uint8_t type, bool exec, bool write)
{
	return hpa | 1 | (write ? 2 : 0) | (exec ? 4 : 0) | (uint64_t)type << 3 |
	       (level > 1 ? 1u << 7 : 0);
}

static uint64_t table(uint64_t hpa, unsigned level)
{
	(void)level;
	return hpa | 7;
}

static const struct npt_format with_1g = {leaf, table, true};
static const struct npt_format without_1g = {leaf, table, false};

static struct guest_map map;
static struct handoff h;

struct tally {
	const struct machine_map *mm;
	uint64_t bytes;
	unsigned leaves[4];
	bool bad;
};

static const struct guest_range *range_of(uint64_t gpa)
{
	for (unsigned i = 0; i < map.n; i++) {
		if (gpa >= map.range[i].gpa && gpa - map.range[i].gpa < map.range[i].size)
			return &map.range[i];
	}
	return NULL;
}

/* One leaf: all of it in one range, with that range's type and host address; nothing of ours but
 * the tables. */
static void check_leaf(struct tally *t, uint64_t gpa, unsigned level, uint64_t e)
{
	uint64_t size = 1ull << (12 + 9 * (level - 1)), hpa = e & 0xffffffffff000ull;
	const struct guest_range *r = range_of(gpa);
	uint64_t tables = tables_hpa_of(t->mm), end;

	t->bytes += size;
	t->leaves[level]++;
	if (!CHECK(r && gpa + size <= r->gpa + r->size) ||
	    !CHECK_EQ(hpa, r->hpa + (gpa - r->gpa)) || !CHECK_EQ(e >> 3 & 7, r->type) ||
	    !CHECK_EQ(hpa & (size - 1), 0)) {
		t->bad = true;
		return;
	}
	t->bad |= !CHECK_EQ(e & 7, r->kind == GUEST_DEVICE ? 3 : 7);
	if (r->kind == GUEST_RAM) {
		t->bad |= !CHECK(page_is_guest_ram(&h, hpa) &&
				 page_is_guest_ram(&h, hpa + size - 0x1000));
		t->bad |= !CHECK(hpa + size <= h.hv_base || hpa >= h.hv_base + h.hv_size);
		for (uint64_t at = hpa; at < hpa + size && t->mm->mtrr->def_type; at = end)
			t->bad |= !CHECK_EQ(mtrr_type(t->mm->mtrr, at, &end), e >> 3 & 7);
	} else {
		t->bad |= !CHECK(hpa >= tables && hpa + size <= tables + TABLES_SIZE);
	}
}

static void walk_table(struct tally *t, const uint64_t *tab, uint64_t gpa, unsigned level)
{
	for (unsigned i = 0; i < 512 && !t->bad; i++) {
		uint64_t at = gpa + ((uint64_t)i << (12 + 9 * (level - 1)));

		if (!tab[i])
			continue;
		if (level == 1 || (level < 4 && (tab[i] & 1u << 7)))
			check_leaf(t, at, level, tab[i]);
		else
			walk_table(t, arena_virt(NULL, tab[i] & 0xffffffffff000ull), at, level - 1);
	}
}

static uint64_t build(const struct machine_map *mm, const struct npt_format *f)
{
	uint64_t root = 0;

	fill_handoff(&h, mm);
	memset(pages, 0, PAGES * 4096ull);
	used = 0;
	if (!CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0) ||
	    !CHECK_EQ(npt_build(&map, f, &arena, &root), 0))
		return 0;
	return root;
}

/* 4 KiB pages that a 2 MiB page could have replaced, in all ranges. */
static unsigned small_pages_needed(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < map.n; i++) {
		uint64_t lo = map.range[i].gpa, hi = lo + map.range[i].size;
		uint64_t lo2 = (lo + 0x1fffff) & ~0x1fffffull, hi2 = hi & ~0x1fffffull;

		n += (unsigned)(hi2 > lo2 ? (lo2 - lo + hi - hi2) >> 12 : (hi - lo) >> 12);
	}
	return n;
}

static void walks_reach_all_ram_once_and_nothing_else(void)
{
	for (unsigned i = 0; i < MACHINE_MAPS; i++) {
		for (unsigned g = 0; g < 2; g++) {
			struct tally t = {.mm = &machine_maps[i]};
			uint64_t root = build(t.mm, g ? &with_1g : &without_1g);

			if (!root)
				return;
			walk_table(&t, arena_virt(NULL, root), 0, 4);
			if (t.bad)
				return;
			CHECK_EQ(t.bytes, map.ram_bytes + TABLES_SIZE);
			CHECK_EQ(t.leaves[1], small_pages_needed());
			CHECK_EQ(t.leaves[3] > 0, g && map.ram_bytes > 4ull << 30);
		}
	}
}

static void types_split_large_pages(void)
{
	struct tally t = {
		.mm = &machine_maps[5]}; /* the server: UC page at 2345000, WT 2 MiB at 40200000 */
	uint64_t root = build(t.mm, &with_1g);

	if (!root)
		return;
	CHECK_EQ(range_of(0x2345000)->type, MT_UC);
	CHECK_EQ(range_of(0x2345000)->size, 0x1000);
	CHECK_EQ(range_of(0x40200000)->type, MT_WT);
	CHECK_EQ(range_of(0x40400000)->type, MT_WB);
	walk_table(&t, arena_virt(NULL, root), 0, 4);
}

static uint64_t entry(uint64_t root, uint64_t gpa)
{
	const uint64_t *tab = arena_virt(NULL, root);

	for (unsigned level = 4;; level--) {
		uint64_t e = tab[gpa >> (12 + 9 * (level - 1)) & 511];

		if (level == 1 || !e || (level < 4 && (e & 1u << 7)))
			return e;
		tab = arena_virt(NULL, e & 0xffffffffff000ull);
	}
}

static void one_page_can_be_added_and_replaced(void)
{
	uint64_t root = build(&machine_maps[2], &with_1g);

	if (!root)
		return;
	CHECK_EQ(entry(root, 0xfee00000), 0);
	CHECK_EQ(npt_map_page(root, 0xfee00000, 0x9abc000, MT_WB, &with_1g, &arena), 0);
	CHECK_EQ(entry(root, 0xfee00000), leaf(0x9abc000, 1, MT_WB, false, true));
	CHECK_EQ(npt_map_page(root, 0xfee00000, 0x9abd000, MT_UC, &with_1g, &arena), 0);
	CHECK_EQ(entry(root, 0xfee00000), leaf(0x9abd000, 1, MT_UC, false, true));
	CHECK_EQ(entry(root, 0xfee01000), 0);
	CHECK_EQ(npt_map_page(root, 0x140000000, 0, MT_UC, &with_1g, &arena), -EEXIST);
}

static void option_rom_space_is_one_page_of_ones(void)
{
	for (unsigned i = 0; i < MACHINE_MAPS; i++) {
		uint64_t root = build(&machine_maps[i], &with_1g), tables_entry, e;
		const uint64_t *ones;

		if (!root)
			return;
		tables_entry = entry(root, TABLES_GPA);
		CHECK_EQ(npt_map_rom(root, &with_1g, &arena), 0);
		e = entry(root, ROM_GPA);
		ones = arena_virt(NULL, e & 0xffffffffff000ull);
		for (unsigned word = 0; word < 512; word++)
			CHECK_EQ(ones[word], UINT64_MAX);
		for (uint64_t gpa = ROM_GPA; gpa < ROM_GPA + ROM_SIZE; gpa += 4096)
			CHECK_EQ(entry(root, gpa),
				 leaf(e & 0xffffffffff000ull, 1, MT_WB, false, false));
		CHECK_EQ(entry(root, ROM_GPA - 4096), 0);
		CHECK_EQ(entry(root, ROM_GPA + ROM_SIZE), tables_entry);
		CHECK_EQ(npt_map_rom(root, &with_1g, &arena), -EEXIST);
	}
}

static void a_fork_differs_in_its_page_only(void)
{
	uint64_t root = build(&machine_maps[2], &with_1g), fork = 0;
	unsigned before = used;

	if (!root)
		return;
	CHECK_EQ(npt_map_page(root, 0xfed00000, 0x9abb000, MT_WB, &with_1g, &arena), 0);
	before = used;
	CHECK_EQ(npt_fork(root, 0xfee00000, &with_1g, &arena, &fork), 0);
	CHECK_EQ(used, before + 3); /* the tables on the way; there is no lowest one yet */
	CHECK_EQ(npt_map_page(fork, 0xfee00000, 0x9abc000, MT_WB, &with_1g, &arena), 0);
	CHECK_EQ(entry(root, 0xfee00000), 0);
	CHECK_EQ(entry(fork, 0xfee00000), leaf(0x9abc000, 1, MT_WB, false, true));
	for (uint64_t gpa = 0; gpa < 1ull << 34; gpa += 0x1ff000) {
		if (gpa >> 12 != 0xfee00)
			CHECK_EQ(entry(fork, gpa), entry(root, gpa));
	}
	/* one that has a lowest table is shared no more, either */
	CHECK_EQ(npt_fork(fork, 0xfee01000, &with_1g, &arena, &root), 0);
	CHECK_EQ(npt_map_page(root, 0xfee01000, 0x9abd000, MT_WB, &with_1g, &arena), 0);
	CHECK_EQ(entry(root, 0xfee00000), entry(fork, 0xfee00000));
	CHECK_EQ(entry(fork, 0xfee01000), 0);
	/* a large page on the way stays as it is */
	CHECK_EQ(npt_fork(fork, 0x140000000, &with_1g, &arena, &root), 0);
	CHECK_EQ(entry(root, 0x140000000), entry(fork, 0x140000000));
	limit = used + 2;
	CHECK_EQ(npt_fork(fork, 0xfee01000, &with_1g, &arena, &root), -ENOMEM);
	limit = PAGES;
}

static void running_out_of_pages_is_an_error(void)
{
	uint64_t root;

	fill_handoff(&h, &machine_maps[2]);
	CHECK_EQ(guest_map_build(&map, &h, machine_maps[2].mtrr, 0x8000000), 0);
	for (limit = 0; limit < 5; limit++) {
		memset(pages, 0, PAGES * 4096ull);
		used = 0;
		CHECK_EQ(npt_build(&map, &with_1g, &arena, &root), -ENOMEM);
	}
	limit = PAGES;
}

int main(void)
{
	pages = aligned_alloc(4096, PAGES * 4096ull);
	RUN(walks_reach_all_ram_once_and_nothing_else);
	RUN(types_split_large_pages);
	RUN(one_page_can_be_added_and_replaced);
	RUN(option_rom_space_is_one_page_of_ones);
	RUN(a_fork_differs_in_its_page_only);
	RUN(running_out_of_pages_is_an_error);
	free(pages);
	return check_result();
}
