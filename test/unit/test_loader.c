// SPDX-License-Identifier: GPL-2.0-or-later
/* build: boot/map.c boot/verdict.c */
#include "boot/checks.h"
#include "boot/map.h"
#include "test/unit/check.h"

#define WB	0xfull
#define RUNTIME (1ull << 63)

static void firmware_types_become_ours(void)
{
	static const uint8_t want[] = {MEM_RESERVED, MEM_RAM,	       MEM_RAM,		 MEM_RAM,
				       MEM_RAM,	     MEM_RUNTIME_CODE, MEM_RUNTIME_DATA, MEM_RAM,
				       MEM_UNUSABLE, MEM_ACPI,	       MEM_NVS,		 MEM_MMIO,
				       MEM_MMIO,     MEM_RESERVED,     MEM_RESERVED};

	for (uint32_t i = 0; i < sizeof want; i++)
		CHECK_EQ(map_type(i, WB), want[i]);
	CHECK_EQ(map_type(15, WB), MEM_RESERVED);
	CHECK_EQ(map_type(0x80000000, WB), MEM_RESERVED);
	CHECK_EQ(map_type(7, 1), MEM_RESERVED);		      /* uncacheable */
	CHECK_EQ(map_type(7, WB | 1ull << 18), MEM_RESERVED); /* specific purpose */
	CHECK_EQ(map_type(5, WB | RUNTIME), MEM_RUNTIME_CODE);
}

static void check_map(const struct mem_range *got, size_t n, const struct mem_range *want,
		      size_t n_want)
{
	CHECK_EQ(n, n_want);
	for (size_t i = 0; i < n && i < n_want; i++) {
		CHECK_EQ(got[i].base, want[i].base);
		CHECK_EQ(got[i].size, want[i].size);
		CHECK_EQ(got[i].type, want[i].type);
		CHECK_EQ(got[i].runtime, want[i].runtime);
	}
}

static void maps_are_sorted_and_neighbours_merged(void)
{
	struct mem_range map[16] = {
		{0x100000, 0x1000, MEM_RAM, 0}, {0, 0x1000, MEM_RAM, 0},
		{0x1000, 0x9f000, MEM_RAM, 0},	{0x101000, 0x1000, MEM_RAM, 0},
		{0x102000, 0x1000, MEM_NVS, 0}, {0x104000, 0, MEM_RAM, 0},
		{0x103000, 0x1000, MEM_NVS, 1},
	};
	static const struct mem_range want[] = {
		{0, 0xa0000, MEM_RAM, 0},
		{0x100000, 0x2000, MEM_RAM, 0},
		{0x102000, 0x1000, MEM_NVS, 0},
		{0x103000, 0x1000, MEM_NVS, 1},
	};

	check_map(map, map_normalize(map, 7), want, 4);
}

static void what_is_not_ram_wins_an_overlap(void)
{
	struct mem_range map[8] = {
		{0, 0x10000, MEM_RAM, 0},
		{0x4000, 0x1000, MEM_ACPI, 0},
		{0x4000, 0x3000, MEM_RAM, 0},
		{0xf000, 0x2000, MEM_RESERVED, 0},
	};
	static const struct mem_range want[] = {
		{0, 0x4000, MEM_RAM, 0},
		{0x4000, 0x1000, MEM_ACPI, 0},
		{0x5000, 0xa000, MEM_RAM, 0},
		{0xf000, 0x2000, MEM_RESERVED, 0},
	};

	check_map(map, map_normalize(map, 4), want, 4);
}

/* Whatever the input: sorted, without overlap, no byte of non-RAM turned into RAM, and it ends. */
static void random_maps_come_out_well_formed(void)
{
	uint32_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		enum { N = 12, SPAN = 32 };
		struct mem_range map[2 * N];
		uint8_t reserved[2 * SPAN] = {0};
		size_t n;

		for (unsigned i = 0; i < N; i++) {
			seed = seed * 1103515245 + 12345;
			map[i].base = (seed >> 8) % SPAN;
			map[i].size = (seed >> 16) % (SPAN / 2);
			map[i].type = MEM_RAM + (seed >> 24) % 3;
			map[i].runtime = (seed >> 30) & 1;
			for (uint64_t at = 0; map[i].type != MEM_RAM && at < map[i].size; at++)
				reserved[map[i].base + at] = 1;
		}
		n = map_normalize(map, N);
		if (!CHECK(n <= 2 * N))
			return;
		for (size_t i = 0; i < n; i++) {
			if (!CHECK(map[i].size > 0) ||
			    !CHECK(!i || map[i - 1].base + map[i - 1].size <= map[i].base))
				return;
			for (uint64_t at = 0; map[i].type == MEM_RAM && at < map[i].size; at++) {
				if (!CHECK(!reserved[map[i].base + at]))
					return;
			}
		}
	}
}

#define M(n) ((uint64_t)(n) << 20)

static const struct mem_range pc[] = {
	{0, 0xa0000, MEM_RAM, 0},
	{M(1), M(511), MEM_RAM, 0},
	{M(512), M(16), MEM_RESERVED, 0},
	{M(4096), M(1024), MEM_RAM, 0},
};

static void the_memory_limit_counts_ram_but_not_the_hypervisor(void)
{
	CHECK_EQ(map_ram_bytes(pc, 4), M(1535) + 0xa0000);
	CHECK_EQ(map_ram_top(pc, 4, 0, M(128), M(64)), M(5120));
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000, M(128), M(64)), 0xa0000);
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000 + M(100), M(128), M(64)), M(101));
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000 + M(127), M(128), M(64)), M(128));
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000 + M(200), M(128), M(64)), M(265));
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000 + M(447), M(128), M(64)), M(512));
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000 + M(457), M(128), M(64)), M(4106));
	CHECK_EQ(map_ram_top(pc, 4, 0xa0000 + M(200), 0, 0), M(201));
}

static void places_are_found_lowest_first_and_aligned(void)
{
	CHECK_EQ(map_find(pc, 4, M(1) + 1, M(4096), M(64), M(2)), M(2));
	CHECK_EQ(map_find(pc, 4, M(128), M(4096), M(64), M(2)), M(128));
	CHECK_EQ(map_find(pc, 4, M(449), M(4096), M(64), M(2)), 0);
	CHECK_EQ(map_find(pc, 4, M(449), M(8192), M(64), M(2)), M(4096));
	CHECK_EQ(map_find(pc, 4, M(400), M(463), M(64), M(2)), 0);
}

static void the_processors_verdict(void)
{
	const uint64_t all = 0xffffffff00000000;
	const struct cpu_facts vmx = {
		.vmx = true, .feature_control = 5, .procbased = all, .procbased2 = all};
	const struct cpu_facts svm = {.svm = true, .npt = true};
	struct cpu_facts f = {0};

	CHECK(strstr(cpu_verdict(&f), "no VT-x or AMD-V") != NULL);
	CHECK(cpu_verdict(&vmx) == NULL);
	CHECK(cpu_verdict(&svm) == NULL);
	f = vmx;
	f.feature_control = 0; /* not locked: the hypervisor switches it on */
	CHECK(cpu_verdict(&f) == NULL);
	f.feature_control = 1;
	CHECK(strstr(cpu_verdict(&f), "locked off") != NULL);
	f.feature_control = 3; /* only in SMX */
	CHECK(strstr(cpu_verdict(&f), "locked off") != NULL);
	f = vmx;
	f.procbased = 0;
	CHECK(strstr(cpu_verdict(&f), "no EPT") != NULL);
	f = vmx;
	f.procbased2 &= ~(1ull << 33);
	CHECK(strstr(cpu_verdict(&f), "no EPT") != NULL);
	f = vmx;
	f.procbased2 &= ~(1ull << 39);
	CHECK(strstr(cpu_verdict(&f), "no unrestricted guest") != NULL);
	f = svm;
	f.vm_cr = 0x10;
	CHECK(strstr(cpu_verdict(&f), "AMD-V is disabled") != NULL);
	f = svm;
	f.npt = false;
	CHECK(strstr(cpu_verdict(&f), "no nested paging") != NULL);
	f = vmx;
	f.la57 = true;
	CHECK(strstr(cpu_verdict(&f), "5-level paging") != NULL);
}

int main(void)
{
	RUN(firmware_types_become_ours);
	RUN(maps_are_sorted_and_neighbours_merged);
	RUN(what_is_not_ram_wins_an_overlap);
	RUN(random_maps_come_out_well_formed);
	RUN(the_memory_limit_counts_ram_but_not_the_hypervisor);
	RUN(places_are_found_lowest_first_and_aligned);
	RUN(the_processors_verdict);
	return check_result();
}
