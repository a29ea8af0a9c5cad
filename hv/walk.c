// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "hv/guest.h"
#include "hv/walk.h"

#define CR0_WP	 (1u << 16)
#define CR0_PG	 (1u << 31)
#define CR4_PSE	 (1u << 4)
#define CR4_PAE	 (1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PKE	 (1u << 22)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)

#define PTE_P  (1ull << 0)
#define PTE_RW (1ull << 1)
#define PTE_US (1ull << 2)
#define PTE_A  (1ull << 5)
#define PTE_D  (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_XD (1ull << 63)

#define PF_PRESENT (1u << 0)
#define PF_USER	   (1u << 2)
#define PF_RSVD	   (1u << 3)
#define PF_PK	   (1u << 5)

#define LEVELS_MAX 5
#define TRIES_MAX  8 /* against another CPU that keeps changing the entry */

#define BITS(hi, lo) ((UINT64_MAX >> (63 - (hi))) & (UINT64_MAX << (lo)))

/* The translation under way: the entries it went through, and the rights that all of them grant. */
struct walk {
	const struct walk_regs *r;
	void *entry[LEVELS_MAX]; /* NULL: not in RAM */
	uint64_t value[LEVELS_MAX];
	unsigned depth;
	bool wide;	 /* 64-bit entries */
	bool legacy_pae; /* PAE outside IA-32e mode */
	uint64_t rights; /* RW and US, ANDed */
	bool xd;
	uint64_t page; /* frame, with the offset bits of a large page cleared */
	uint64_t page_mask;
};

static bool read_entry(struct walk *w, uint64_t gpa)
{
	void *p = guest_ptr((gpa_t){gpa}, w->wide ? 8 : 4);
	uint64_t v;

	if (!p)
		v = w->wide ? UINT64_MAX : UINT32_MAX;
	else
		v = w->wide ? __atomic_load_n((uint64_t *)p, __ATOMIC_RELAXED)
			    : __atomic_load_n((uint32_t *)p, __ATOMIC_RELAXED);
	w->entry[w->depth] = p;
	w->value[w->depth] = v;
	w->depth++;
	return v & PTE_P;
}

/* Reserved bits of a present entry at `level` (1 = PTE); SDM vol. 3, figures "Formats of CR3 and
 * Paging-Structure Entries". */
static uint64_t reserved_bits(const struct walk *w, unsigned level, bool leaf)
{
	uint64_t rsvd;

	if (!w->wide) { /* PSE-36: frame bits 39:32 are in 20:13 */
		if (level != 2 || !leaf)
			return 0;
		return BITS(21, 21) | (w->r->phys_bits < 40 ? BITS(20, w->r->phys_bits - 19) : 0);
	}
	rsvd = w->r->phys_bits < 52 ? BITS(51, w->r->phys_bits) : 0;
	if (w->legacy_pae)
		rsvd |= BITS(62, 52);
	if (!(w->r->efer & EFER_NXE))
		rsvd |= PTE_XD;
	if (level >= 4)
		return rsvd | PTE_PS;
	if (level == 3 && leaf)
		return rsvd | (w->r->page_1g ? BITS(29, 13) : PTE_PS);
	if (level == 2 && leaf)
		return rsvd | BITS(20, 13);
	return rsvd;
}

static bool is_leaf(const struct walk *w, unsigned level, uint64_t e)
{
	if (level == 1)
		return true;
	if (level > 3 || !(e & PTE_PS))
		return false;
	return w->wide || (w->r->cr4 & CR4_PSE);
}

static uint64_t large_frame(const struct walk *w, uint64_t e)
{
	if (!w->wide)
		return (e & BITS(31, 22)) | (e & BITS(20, 13)) << 19;
	return e & BITS(51, 12) & ~w->page_mask;
}

/* Down the tables from `level`, whose table is at `table`. Returns 0, or the error code's cause
 * bits | 0x80000000. */
#define FAULT 0x80000000u
static uint32_t descend(struct walk *w, uint64_t linear, uint64_t table, unsigned level)
{
	unsigned index_bits = w->wide ? 9 : 10;

	for (;; level--) {
		unsigned shift = 12 + (level - 1) * index_bits;
		uint64_t index = linear >> shift & ((1u << index_bits) - 1);
		uint64_t e;
		bool leaf;

		if (!read_entry(w, table + index * (w->wide ? 8 : 4)))
			return FAULT;
		e = w->value[w->depth - 1];
		leaf = is_leaf(w, level, e);
		if (e & reserved_bits(w, level, leaf))
			return FAULT | PF_PRESENT | PF_RSVD;
		w->rights &= e;
		w->xd |= w->wide && (e & PTE_XD);
		if (leaf) {
			w->page_mask = BITS(shift - 1, 0);
			w->page = level == 1 ? e & BITS(w->wide ? 51 : 31, 12) : large_frame(w, e);
			return 0;
		}
		table = e & BITS(w->wide ? 51 : 31, 12);
	}
}

static uint32_t translate(struct walk *w, uint64_t linear)
{
	const struct walk_regs *r = w->r;

	w->wide = r->cr4 & CR4_PAE;
	w->rights = PTE_RW | PTE_US;
	if (r->efer & EFER_LMA)
		return descend(w, linear, r->cr3 & BITS(51, 12), r->cr4 & CR4_LA57 ? 5 : 4);
	if (w->wide) {
		uint64_t pdpte = r->pdpte[linear >> 30 & 3];

		w->legacy_pae = true;
		return pdpte & PTE_P ? descend(w, linear, pdpte & BITS(51, 12), 2) : FAULT;
	}
	return descend(w, linear, r->cr3 & BITS(31, 12), 2);
}

/* SDM vol. 3, "Determination of Access Rights" and "Protection Keys". */
static uint32_t check_rights(const struct walk *w, unsigned access)
{
	const struct walk_regs *r = w->r;
	bool user_page = w->rights & PTE_US, user = r->cpl == 3;
	bool write = access & WALK_WRITE, fetch = access & WALK_FETCH;
	uint64_t leaf = w->value[w->depth - 1];

	if (user && !user_page)
		return FAULT | PF_PRESENT;
	if (fetch && (w->xd || (!user && user_page && (r->cr4 & CR4_SMEP))))
		return FAULT | PF_PRESENT;
	if (!user && user_page && !fetch && (r->cr4 & CR4_SMAP) && !r->ac)
		return FAULT | PF_PRESENT;
	if (write && !(w->rights & PTE_RW) && (user || (r->cr0 & CR0_WP)))
		return FAULT | PF_PRESENT;
	if (user_page && !fetch && (r->cr4 & CR4_PKE) && (r->efer & EFER_LMA)) {
		unsigned key = r->pkru >> (2 * (leaf >> 59 & 15)) & 3;

		if ((key & 1) || ((key & 2) && write && (user || (r->cr0 & CR0_WP))))
			return FAULT | PF_PRESENT | PF_PK;
	}
	return 0;
}

/* False: an entry has changed since it was read, and the walk must start over. */
static bool mark_used(const struct walk *w, unsigned access)
{
	for (unsigned i = 0; i < w->depth; i++) {
		uint64_t old = w->value[i], new = old | PTE_A;

		if (i == w->depth - 1 && (access & WALK_WRITE))
			new |= PTE_D;
		if (new == old || !w->entry[i])
			continue;
		if (w->wide) {
			if (!__atomic_compare_exchange_n((uint64_t *)w->entry[i], &old, new, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
				return false;
		} else {
			uint32_t old32 = (uint32_t)old;

			if (!__atomic_compare_exchange_n((uint32_t *)w->entry[i], &old32,
							 (uint32_t) new, false, __ATOMIC_SEQ_CST,
							 __ATOMIC_RELAXED))
				return false;
		}
	}
	return true;
}

int guest_walk(const struct walk_regs *r, uint64_t linear, unsigned access, gpa_t *gpa,
	       uint32_t *error)
{
	bool fetch_bit = ((r->cr4 & CR4_PAE) && (r->efer & EFER_NXE)) || (r->cr4 & CR4_SMEP);

	if (!(r->cr0 & CR0_PG)) {
		gpa->v = (uint32_t)linear;
		return 0;
	}
	if (!(r->efer & EFER_LMA))
		linear = (uint32_t)linear;
	for (unsigned tries = 1;; tries++) {
		struct walk w = {.r = r};
		uint32_t cause = translate(&w, linear);

		if (!cause)
			cause = check_rights(&w, access);
		if (cause) {
			*error = (cause & ~FAULT) | (access & WALK_WRITE) |
				 (r->cpl == 3 ? PF_USER : 0) |
				 (fetch_bit ? access & WALK_FETCH : 0);
			return -EFAULT;
		}
		if (mark_used(&w, access) || tries == TRIES_MAX) {
			gpa->v = w.page | (linear & w.page_mask);
			return 0;
		}
	}
}
