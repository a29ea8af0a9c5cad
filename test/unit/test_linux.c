/* build: hv/linux.c hv/guest.c hv/memmap.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Boot parameters of the guest's kernel, and guest memory by the map. */
#include <errno.h>
#include <stdarg.h>
#include "arch/x86_64/arch.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "test/unit/check.h"
#include "test/unit/memory_maps.h"

#define SETUP_AT 0x1000000ull
#define RSDP	 0xe0000ull

static uint8_t low[0x200000]; /* host-physical 0..2 MiB */
static uint8_t setup[0x4000]; /* at SETUP_AT */
static uint8_t tables[TABLES_SIZE];
static struct handoff h;
static struct guest_map map;
static unsigned errors;

void *phys_to_virt(hpa_t p)
{
	if (p.v >= SETUP_AT && p.v < SETUP_AT + sizeof(setup))
		return setup + (p.v - SETUP_AT);
	if (p.v >= tables_hpa_of(&machine_maps[0]) &&
	    p.v < tables_hpa_of(&machine_maps[0]) + sizeof(tables))
		return tables + (p.v - tables_hpa_of(&machine_maps[0]));
	return p.v < sizeof(low) ? low + p.v
				 : (void *)(0x100000000000ull + p.v); /* NOLINT: never followed */
}

void log_at(enum log_level level, const char *fmt, ...)
{
	errors += level == LOG_ERROR && fmt;
}

static uint32_t get32(uint64_t at)
{
	uint32_t v;

	memcpy(&v, low + at, 4);
	return v;
}

static void put(unsigned at, const void *p, size_t n)
{
	memcpy(setup + at, p, n);
}

static void prepare(const struct machine_map *mm)
{
	memset(low, 0xcc, sizeof(low));
	memset(setup, 0, sizeof(setup));
	fill_handoff(&h, mm);
	h.trampoline = 0x10000; /* right where the block would go */
	h.kernel_base = 0x2000000;
	h.kernel_size = 0x4000000;
	h.initrd_base = 0x12345000;
	h.initrd_size = 0x123456;
	h.setup_header = SETUP_AT;
	h.setup_size = sizeof(setup);
	strcpy(h.append, "console=ttyS0 quiet");
	setup[0x1f1] = 31;
	put(0x1fe,
	    "\x55\xaa\xeb\x6a"
	    "HdrS\x0f\x02",
	    10);
	put(0x22c, "\xff\xff\xff\x7f", 4); /* initrd_addr_max */
	put(0x230, "\x00\x00\x20\x00\x01\x15\x3f\x00\xff\x07\x00\x00", 12);
	put(0x258, "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04", 12);
	put(0x26c, "beyond the header", 17); /* at 202h + 6Ah */
	setup[0x211] = 0x81;
	errors = 0;
	CHECK_EQ(guest_map_build(&map, &h, mm->mtrr, tables_hpa_of(mm)), 0);
	guest_memory_init(&map);
}

static void boot_parameters_follow_the_protocol(void)
{
	struct linux_entry e;
	uint64_t bp, rsdp, gdt;

	prepare(&machine_maps[0]);
	if (!CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), 0))
		return;
	bp = e.boot_params;
	CHECK_EQ(e.rip, 0x2000000);
	CHECK(bp >= 0x11000 && bp + 0x3000 <= 0x9f000 && !(bp & 0xfff)); /* past the trampoline */
	CHECK_EQ(low[0x10000], 0xcc);
	CHECK_EQ(low[bp + 0x1f1], 31);
	CHECK(memcmp(low + bp + 0x202, "HdrS", 4) == 0);
	CHECK_EQ(low[bp + 0x210], 0xff);
	CHECK_EQ(low[bp + 0x211], 0x01);
	CHECK_EQ(get32(bp + 0x214), 0x2000000);
	CHECK_EQ(get32(bp + 0x218), 0x12345000);
	CHECK_EQ(get32(bp + 0x21c), 0x123456);
	CHECK_EQ(get32(bp + 0x22c), 0x7fffffff);
	CHECK_EQ(get32(bp + 0x260), 0x4000000);
	CHECK_EQ(get32(bp + 0x26c), 0); /* not part of this header */
	CHECK_EQ(low[bp + 0x1ef], 0);	/* sentinel */
	CHECK_STR((char *)low + get32(bp + 0x228), "console=ttyS0 quiet");
	memcpy(&rsdp, low + bp + 0x70, 8);
	CHECK_EQ(rsdp, RSDP);
	for (unsigned i = 0; i < 0x40; i++)
		CHECK_EQ(low[bp + i], 0); /* screen_info */
	CHECK(low[bp + 0x1e8] > 4);
	CHECK_EQ(get32(bp + 0x2d0), 0);		  /* first entry: from 0 */
	CHECK_EQ(get32(bp + 0x2d0 + 8), 0x9fc00); /* to the EBDA */
	CHECK_EQ(get32(bp + 0x2d0 + 16), 1);
	CHECK_EQ(e.gdt_limit, 31);
	memcpy(&gdt, low + e.gdt_base + 0x10, 8);
	CHECK_EQ(gdt, 0x00cf9b000000ffff);
	memcpy(&gdt, low + e.gdt_base + 0x18, 8);
	CHECK_EQ(gdt, 0x00cf93000000ffff);
	CHECK(e.stack > e.gdt_base + 0x400 && e.stack <= 0x9f000);
	CHECK_EQ(low[0x40e] | low[0x40f] << 8, 0x9fc0);
	CHECK_EQ(low[0x413] | low[0x414] << 8, 639);
	CHECK_EQ(low[0x9fc00], 0);
	CHECK_EQ(low[0x9fbff], 0xcc);
	CHECK_EQ(errors, 0);
}

static void low_memory_with_holes(void)
{
	struct linux_entry e;

	prepare(&machine_maps[0]);
	h.map[0] = (struct mem_range){0x0, 0x12000, MEM_RAM, 0};
	h.map[1] = (struct mem_range){0x12000, 0x3e000, MEM_RESERVED, 0};
	h.map[2] = (struct mem_range){0x50000, 0x2000, MEM_RAM, 0};
	h.map[3] = (struct mem_range){0x60000, 0x4000, MEM_RAM, 0};
	h.map[4] = (struct mem_range){0x100000, 0x1ff00000, MEM_RAM, 0};
	h.n_map = 5;
	h.trampoline = 0x60000;
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, tables_hpa_of(&machine_maps[0])), 0);
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), 0);
	CHECK_EQ(e.boot_params, 0x61000);
	h.map[3].size = 0x3000;
	CHECK_EQ(guest_map_build(&map, &h, &ovmf_mtrr, tables_hpa_of(&machine_maps[0])), 0);
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), -ENOMEM);
	CHECK_EQ(errors, 1);
}

static void bad_kernels_are_refused(void)
{
	struct linux_entry e;

	prepare(&machine_maps[0]);
	setup[0x202] = 'X';
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), -EINVAL);
	prepare(&machine_maps[0]);
	setup[0x206] = 0x0b;
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), -EINVAL);
	prepare(&machine_maps[0]);
	h.setup_size = 0x200;
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), -EINVAL);
	prepare(&machine_maps[0]);
	h.initrd_base = 0x7fffff000;
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), -EINVAL);
	prepare(&machine_maps[0]);
	memset(setup + 0x238, 0, 4);
	setup[0x238] = 5;
	CHECK_EQ(linux_prepare(&h, &map, RSDP, &e), -E2BIG);
	CHECK_EQ(errors, 1);
}

static void guest_memory_is_what_the_map_says(void)
{
	uint8_t buf[16];

	prepare(&machine_maps[0]);
	CHECK(guest_memory_map() == &map);
	CHECK_EQ(guest_write((gpa_t){0x9fff8}, "12345678", 8), 0);
	CHECK_EQ(guest_read((gpa_t){0x9fff8}, buf, 8), 0);
	CHECK(memcmp(buf, "12345678", 8) == 0);
	low[0x9ffff] = 1;
	CHECK_EQ((unsigned)guest_write((gpa_t){0x9ffff}, "xy", 2),
		 (unsigned)-EFAULT); /* into the hole: nothing copied */
	CHECK_EQ(low[0x9ffff], 1);
	tables[5] = 77;
	CHECK_EQ(guest_read((gpa_t){0xe0005}, buf, 1), 0);
	CHECK_EQ(buf[0], 77);
	CHECK_EQ(guest_write((gpa_t){0xffffc}, "abcdefgh", 8), 0); /* tables, then RAM */
	CHECK(memcmp(tables + TABLES_SIZE - 4, "abcd", 4) == 0 &&
	      memcmp(low + 0x100000, "efgh", 4) == 0);
	CHECK(!guest_ptr((gpa_t){0xffffc}, 8)); /* not contiguous here */
	CHECK(guest_ptr((gpa_t){0x100000}, 0x100000) == low + 0x100000);
	CHECK(!guest_ptr((gpa_t){h.hv_base}, 1));
	CHECK(!guest_ptr((gpa_t){h.hv_base - 1}, 2));
	CHECK(!guest_ptr((gpa_t){0x100000}, SIZE_MAX));
	CHECK((unsigned)guest_read((gpa_t){UINT64_MAX}, buf, 2) == (unsigned)-EFAULT);
	CHECK(!guest_ptr((gpa_t){0xfee00000}, 4));
	CHECK(guest_gpa_is_hypervisor((gpa_t){h.hv_base}));
	CHECK(guest_gpa_is_hypervisor((gpa_t){h.hv_base + h.hv_size - 1}));
	CHECK(!guest_gpa_is_hypervisor((gpa_t){h.hv_base + h.hv_size}));
	CHECK(!guest_gpa_is_hypervisor((gpa_t){h.hv_base - 1}));
}

int main(void)
{
	RUN(boot_parameters_follow_the_protocol);
	RUN(low_memory_with_holes);
	RUN(bad_kernels_are_refused);
	RUN(guest_memory_is_what_the_map_says);
	return check_result();
}
