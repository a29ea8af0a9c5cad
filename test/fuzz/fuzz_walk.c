/* build: hv/walk.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any page tables in any mode. What must hold: it ends; only accessed and dirty bits of entries
 * change, and nothing on a fault; a second walk agrees with the first; whoever may write may read;
 * a user's rights are never more than the supervisor's without SMAP.
 */
#include <errno.h>
#include <string.h>
#include "hv/guest.h"
#include "hv/walk.h"
#include "test/fuzz/fuzz.h"

#define RAM_SIZE 0x2000
#define AD	 0x60u

static uint64_t ram[RAM_SIZE / 8], before[RAM_SIZE / 8];

struct input {
	uint32_t cr0, cr3, cr4, pkru;
	uint16_t efer;
	uint8_t phys_bits, flags;
	uint64_t linear;
	uint64_t pdpte[4];
	struct {
		uint64_t e;
		uint8_t wild;
	} __attribute__((packed)) entry[32];
} __attribute__((packed));

void *guest_ptr(gpa_t gpa, size_t n)
{
	REQUIRE(n == 4 || n == 8);
	REQUIRE(gpa.v % n == 0);
	return gpa.v <= RAM_SIZE - n ? (uint8_t *)ram + gpa.v : NULL;
}

static int walk(struct walk_regs *r, uint64_t linear, unsigned cpl, unsigned access, gpa_t *gpa,
		uint32_t *error)
{
	r->cpl = (uint8_t)cpl;
	return guest_walk(r, linear, access, gpa, error);
}

static void check_memory(bool fault)
{
	if (fault)
		REQUIRE(memcmp(ram, before, sizeof(ram)) == 0);
	for (unsigned i = 0; i < RAM_SIZE / 8; i++)
		REQUIRE((before[i] & ~ram[i]) == 0 && ((before[i] ^ ram[i]) & ~AD) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned accesses[] = {WALK_READ, WALK_WRITE, WALK_FETCH};
	struct input in = {0};
	struct walk_regs r;
	gpa_t gpa, again;
	uint32_t error, error2;

	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	r = (struct walk_regs){
		.cr0 = in.cr0 | 1,
		.cr3 = in.cr3 & (RAM_SIZE - 1),
		.cr4 = in.cr4,
		.efer = in.efer,
		.pkru = in.pkru,
		.phys_bits = (uint8_t)(32 + in.phys_bits % 21),
		.page_1g = in.flags & 1,
		.ac = in.flags & 2,
	};
	if (r.efer & 1u << 10) /* IA-32e mode is never without PAE */
		r.cr4 |= 1u << 5;
	memcpy(r.pdpte, in.pdpte, sizeof(r.pdpte));
	for (unsigned i = 0; i < RAM_SIZE / 8;
	     i++) { /* mostly close to what a table holds: frames inside RAM */
		uint64_t e = in.entry[i % 32].e;

		ram[i] = in.entry[i % 32].wild ? e : e & (1ull << 63 | (RAM_SIZE - 1));
	}
	for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
		for (unsigned a = 0; a < 3; a++) {
			int err;

			memcpy(before, ram, sizeof(ram));
			err = walk(&r, in.linear, cpl, accesses[a], &gpa, &error);
			REQUIRE(err == 0 || err == -EFAULT);
			check_memory(err != 0);
			REQUIRE(walk(&r, in.linear, cpl, accesses[a], &again, &error2) == err);
			if (err) {
				REQUIRE(error == error2 && (error & ~0x3fu) == 0 &&
					(error >> 2 & 1) == (cpl == 3));
				REQUIRE((error >> 1 & 1) == (accesses[a] == WALK_WRITE));
				continue;
			}
			REQUIRE(gpa.v == again.v && ((gpa.v ^ in.linear) & 0xfff) == 0 &&
				gpa.v >> 52 == 0);
			if (accesses[a] == WALK_WRITE)
				REQUIRE(walk(&r, in.linear, cpl, WALK_READ, &again, &error) == 0 &&
					again.v == gpa.v);
			if (cpl == 3 && accesses[a] != WALK_FETCH && (r.ac || !(r.cr4 & 1u << 21)))
				REQUIRE(walk(&r, in.linear, 0, accesses[a], &again, &error) == 0);
		}
	}
	return 0;
}
