/* build: hv/walk.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest page-table walk in every paging mode: translations, rights, reserved bits, accessed and
 * dirty bits. */
#include <errno.h>
#include "hv/guest.h"
#include "hv/walk.h"
#include "test/unit/check.h"

#define P   0x1ull
#define RW  0x2ull
#define US  0x4ull
#define A   0x20ull
#define D   0x40ull
#define PS  0x80ull
#define XD  (1ull << 63)
#define ALL (P | RW | US)

#define CR0_PE_PG 0x80000001ull
#define CR0_WP	  0x10000ull
#define CR4_PSE	  0x10ull
#define CR4_PAE	  0x20ull
#define CR4_LA57  0x1000ull
#define CR4_SMEP  0x100000ull
#define CR4_SMAP  0x200000ull
#define CR4_PKE	  0x400000ull
#define EFER_LMA  0x500ull
#define EFER_NXE  0x800ull
#define KEY(n)	  ((uint64_t)(n) << 59)

static uint64_t ram[0x10000 / 8]; /* guest-physical 0..64 KiB */

void *guest_ptr(gpa_t gpa, size_t n)
{
	return gpa.v < sizeof(ram) && gpa.v + n <= sizeof(ram) ? (uint8_t *)ram + gpa.v : NULL;
}

static struct walk_regs r;
static uint32_t error;
static gpa_t gpa;

static uint64_t *entry(uint64_t table, unsigned index)
{
	return &ram[table / 8 + index];
}

static uint32_t *entry32(uint64_t table, unsigned index)
{
	return (uint32_t *)ram + table / 4 + index;
}

/* 4 levels: 1000, 2000, 3000, 4000; linear 0x8040201000 + x has index 1 everywhere. */
#define LINEAR 0x8040201123ull
static void long_mode(uint64_t pml4e, uint64_t pdpte, uint64_t pde, uint64_t pte)
{
	memset(ram, 0, sizeof(ram));
	r = (struct walk_regs){.cr0 = CR0_PE_PG | CR0_WP,
			       .cr3 = 0x1000,
			       .cr4 = CR4_PAE,
			       .efer = EFER_LMA | EFER_NXE,
			       .phys_bits = 40,
			       .page_1g = true};
	*entry(0x1000, 1) = pml4e;
	*entry(0x2000, 1) = pdpte;
	*entry(0x3000, 1) = pde;
	*entry(0x4000, 1) = pte;
}

static int walk(unsigned cpl, unsigned access)
{
	r.cpl = (uint8_t)cpl;
	gpa.v = error = 0;
	return guest_walk(&r, LINEAR, access, &gpa, &error);
}

/* Expect a page fault with this error code. */
#define FAULTS(cpl, access, code)                                         \
	do {                                                              \
		CHECK_EQ((unsigned)walk(cpl, access), (unsigned)-EFAULT); \
		CHECK_EQ(error, code);                                    \
	} while (0)
#define GOES(cpl, access, to)                   \
	do {                                    \
		CHECK_EQ(walk(cpl, access), 0); \
		CHECK_EQ(gpa.v, to);            \
	} while (0)

static void no_paging(void)
{
	r = (struct walk_regs){.cr0 = 1, .cpl = 3};
	CHECK_EQ(guest_walk(&r, 0x1fffff123ull, WALK_WRITE, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0xfffff123);
}

static void four_levels(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL, 0x7654321000 | ALL);
	GOES(0, WALK_READ, 0x7654321123);
	CHECK_EQ(*entry(0x1000, 1), 0x2000 | ALL | A);
	CHECK_EQ(*entry(0x3000, 1), 0x4000 | ALL | A);
	CHECK_EQ(*entry(0x4000, 1), 0x7654321000 | ALL | A);
	GOES(3, WALK_WRITE, 0x7654321123);
	CHECK_EQ(*entry(0x4000, 1), 0x7654321000 | ALL | A | D);
	CHECK_EQ(*entry(0x3000, 1), 0x4000 | ALL | A);
	GOES(3, WALK_FETCH, 0x7654321123);
}

static void large_pages(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x7654200000 | ALL | PS, 0);
	GOES(0, WALK_WRITE, 0x7654201123);
	CHECK_EQ(*entry(0x3000, 1), 0x7654200000 | ALL | PS | A | D);
	long_mode(0x2000 | ALL, 0x7640000000 | ALL | PS, 0, 0);
	GOES(0, WALK_READ, 0x7640201123);
	r.page_1g = false;
	FAULTS(0, WALK_READ, 0x9);
}

static void five_levels(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL);
	*entry(0x5000, 1) = 0xabc000 | ALL;
	r.cr4 |= CR4_LA57;
	CHECK_EQ(guest_walk(&r, 0x1008040201456ull, WALK_READ, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0xabc456);
	CHECK_EQ(*entry(0x5000, 1), 0xabc000 | ALL | A);
}

static void pae(void)
{
	memset(ram, 0, sizeof(ram));
	r = (struct walk_regs){
		.cr0 = CR0_PE_PG, .cr4 = CR4_PAE, .pdpte = {0, 0x2000 | P}, .phys_bits = 40};
	*entry(0x2000, 1) = 0x3000 | ALL;
	*entry(0x3000, 1) = 0x7654321000 | ALL;
	*entry(0x2000, 2) = 0x7654400000 | ALL | PS;
	CHECK_EQ(guest_walk(&r, 0x40201123, WALK_WRITE, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0x7654321123);
	CHECK_EQ(guest_walk(&r, 0x40412345, WALK_READ, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0x7654412345);
	CHECK_EQ((unsigned)guest_walk(&r, 0x00201123, WALK_READ, &gpa, &error),
		 (unsigned)-EFAULT); /* PDPTE 0 */
	CHECK_EQ(error, 0);
	*entry(0x3000, 1) |= 1ull << 52; /* ignored in 4-level paging, reserved here */
	CHECK_EQ((unsigned)guest_walk(&r, 0x40201123, WALK_READ, &gpa, &error), (unsigned)-EFAULT);
	CHECK_EQ(error, 0x9);
	*entry(0x3000, 1) = 0x5000 | ALL | XD; /* NXE is off */
	CHECK_EQ((unsigned)guest_walk(&r, 0x40201123, WALK_READ, &gpa, &error), (unsigned)-EFAULT);
	CHECK_EQ(error, 0x9);
}

static void two_levels_of_32_bits(void)
{
	memset(ram, 0, sizeof(ram));
	r = (struct walk_regs){
		.cr0 = CR0_PE_PG, .cr3 = 0x1fff, .cr4 = CR4_PSE, .phys_bits = 40, .cpl = 3};
	*entry32(0x1000, 1) = 0x2000 | ALL;
	*entry32(0x2000, 3) = 0xabcde000 | ALL;
	*entry32(0x1000, 2) = 0x12c00000 | 0x46000 | ALL | PS; /* PSE-36: frame bits 39:32 = 23h */
	CHECK_EQ(guest_walk(&r, 0x00403456, WALK_WRITE, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0xabcde456);
	CHECK_EQ(*entry32(0x2000, 3), 0xabcde000 | ALL | A | D);
	CHECK_EQ(*entry32(0x2000, 2), 0);
	CHECK_EQ(*entry32(0x1000, 1), 0x2000 | ALL | A);
	CHECK_EQ(guest_walk(&r, 0x00923456, WALK_READ, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0x2312d23456);
	r.phys_bits = 36;
	CHECK_EQ((unsigned)guest_walk(&r, 0x00923456, WALK_READ, &gpa, &error), (unsigned)-EFAULT);
	CHECK_EQ(error, 0xd);
	r.cr4 = 0; /* PS means nothing then: an ordinary table, far outside RAM, reads as all-ones
		    */
	*entry32(0x1000, 2) = 0x3000 | ALL | PS;
	*entry32(0x3000, 0x123) = 0x7000 | ALL;
	CHECK_EQ(guest_walk(&r, 0x00923456, WALK_READ, &gpa, &error), 0);
	CHECK_EQ(gpa.v, 0x7456);
}

static void not_present(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL, 0);
	FAULTS(0, WALK_READ, 0);
	FAULTS(0, WALK_WRITE, 2);
	FAULTS(3, WALK_WRITE, 6);
	FAULTS(3, WALK_FETCH, 0x14);
	CHECK_EQ(*entry(0x1000, 1), 0x2000 | ALL);
	r.efer &= ~EFER_NXE; /* then the error code doesn't tell a fetch */
	FAULTS(3, WALK_FETCH, 4);
	r.cr4 |= CR4_SMEP;
	FAULTS(3, WALK_FETCH, 0x14);
}

static void user_and_supervisor(void)
{
	long_mode(0x2000 | ALL, 0x3000 | P | RW, 0x4000 | ALL,
		  0x5000 | ALL); /* one level says supervisor */
	GOES(0, WALK_READ, 0x5123);
	FAULTS(3, WALK_READ, 5);
	FAULTS(3, WALK_FETCH, 0x15);
	GOES(2, WALK_WRITE, 0x5123);
}

static void write_protection(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | P | US, 0x5000 | ALL);
	GOES(0, WALK_READ, 0x5123);
	FAULTS(0, WALK_WRITE, 3);
	FAULTS(3, WALK_WRITE, 7);
	CHECK_EQ(*entry(0x4000, 1) & D, 0);
	r.cr0 &= ~CR0_WP;
	GOES(0, WALK_WRITE, 0x5123);
	CHECK_EQ(*entry(0x4000, 1) & D, D);
	FAULTS(3, WALK_WRITE, 7);
}

static void no_execute(void)
{
	long_mode(0x2000 | ALL | XD, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL);
	GOES(0, WALK_READ, 0x5123);
	FAULTS(0, WALK_FETCH, 0x11);
	r.efer &= ~EFER_NXE; /* a reserved bit now */
	FAULTS(0, WALK_READ, 9);
}

static void smep_and_smap(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL);
	r.cr4 |= CR4_SMEP;
	FAULTS(0, WALK_FETCH, 0x11);
	GOES(3, WALK_FETCH, 0x5123);
	GOES(0, WALK_READ, 0x5123);
	r.cr4 = CR4_PAE | CR4_SMAP;
	FAULTS(0, WALK_READ, 1);
	FAULTS(0, WALK_WRITE, 3);
	GOES(3, WALK_WRITE, 0x5123);
	GOES(0, WALK_FETCH, 0x5123);
	r.ac = true;
	GOES(0, WALK_WRITE, 0x5123);
}

static void protection_keys(void)
{
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL | KEY(3));
	r.pkru = 1u << 6; /* key 3: access disabled */
	GOES(3, WALK_READ, 0x5123);
	r.cr4 |= CR4_PKE;
	FAULTS(3, WALK_READ, 0x25);
	FAULTS(0, WALK_WRITE, 0x23);
	GOES(3, WALK_FETCH, 0x5123);
	r.pkru = 2u << 6; /* write disabled */
	GOES(3, WALK_READ, 0x5123);
	FAULTS(3, WALK_WRITE, 0x27);
	FAULTS(0, WALK_WRITE, 0x23);
	r.cr0 &= ~CR0_WP;
	GOES(0, WALK_WRITE, 0x5123);
	FAULTS(3, WALK_WRITE, 0x27);
	r.pkru = 3u << 8; /* another key */
	GOES(3, WALK_WRITE, 0x5123);
	long_mode(0x2000 | ALL, 0x3000 | ALL, 0x4000 | P | RW,
		  0x5000 | ALL | KEY(3)); /* supervisor page: no keys */
	r.cr4 |= CR4_PKE;
	r.pkru = UINT32_MAX;
	GOES(0, WALK_WRITE, 0x5123);
}

static void reserved_bits(void)
{
	static const struct {
		uint64_t e[4];
		bool bad;
	} cases[] = {
		{{0x2000 | ALL | 1ull << 40, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL}, true},
		{{0x2000 | ALL | PS, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL}, true},
		{{0x2000 | ALL, 0x3000 | ALL | 1ull << 51, 0x4000 | ALL, 0x5000 | ALL}, true},
		{{0x2000 | ALL, 0x40002000 | ALL | PS, 0, 0}, true},
		{{0x2000 | ALL, 0x40001000 | ALL | PS, 0, 0}, false}, /* bit 12 is PAT */
		{{0x2000 | ALL, 0x3000 | ALL, 0x100000 | ALL | PS, 0}, true},
		{{0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL | PS}, false}, /* PAT */
		{{0x2000 | ALL | 1ull << 52, 0x3000 | ALL, 0x4000 | ALL, 0x5000 | ALL | 1ull << 58},
		 false},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long_mode(cases[i].e[0], cases[i].e[1], cases[i].e[2], cases[i].e[3]);
		if (cases[i].bad)
			FAULTS(0, WALK_READ, 9);
		else
			CHECK_EQ(walk(0, WALK_READ), 0);
	}
}

static void tables_outside_ram_read_all_ones(void)
{
	long_mode(0x123456000 | ALL, 0, 0, 0);
	FAULTS(0, WALK_READ, 9);
	r.cr3 = 0x99000;
	FAULTS(0, WALK_READ, 9);
}

int main(void)
{
	RUN(no_paging);
	RUN(four_levels);
	RUN(large_pages);
	RUN(five_levels);
	RUN(pae);
	RUN(two_levels_of_32_bits);
	RUN(not_present);
	RUN(user_and_supervisor);
	RUN(write_protection);
	RUN(no_execute);
	RUN(smep_and_smap);
	RUN(protection_keys);
	RUN(reserved_bits);
	RUN(tables_outside_ram_read_all_ones);
	return check_result();
}
