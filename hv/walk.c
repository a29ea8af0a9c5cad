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

/* The translation under way: the entries it went through, and what all of them together say. */
struct walk {
	const struct walk_regs *r;
	void *entry[LEVELS_MAX]; /* NULL: not in RAM */
	uint64_t value[LEVELS_MAX];
	unsigned depth;
	bool wide;	   /* 64-bit entries */
	uint64_t reserved; /* bits reserved at every level */
	uint64_t rights;   /* RW, US and A: the AND of all entries */
	uint64_t xd;	   /* XD: the OR of all entries */
	uint64_t page;	   /* frame, with the offset bits of a large page cleared */
	uint64_t page_mask;
};

static inline uint64_t read_entry(struct walk *w, uint64_t gpa)
{
	void *p = guest_ptr((gpa_t){gpa}, w->wide ? 8 : 4);
	uint64_t v;

	if (w->wide)
		v = p ? __atomic_load_n((uint64_t *)p, __ATOMIC_RELAXED) : UINT64_MAX;
	else
		v = p ? __atomic_load_n((uint32_t *)p, __ATOMIC_RELAXED) : UINT32_MAX;
	w->entry[w->depth] = p;
	w->value[w->depth++] = v;
	return v;
}

/* Reserved bits at every level; SDM vol. 3, figures "Formats of CR3 and Paging-Structure Entries".
 */
static uint64_t common_reserved_bits(const struct walk_regs *r)
{
	uint64_t rsvd = r->phys_bits < 52 ? BITS(51, r->phys_bits) : 0;

	if (!(r->cr4 & CR4_PAE))
		return 0;
	if (!(r->efer & EFER_LMA))
		rsvd |= BITS(62, 52);
	if (!(r->efer & EFER_NXE))
		rsvd |= PTE_XD;
	return rsvd;
}

/* Those of a present entry at `level` (1 = PTE) with PS set. */
static uint64_t large_reserved_bits(const struct walk *w, unsigned level)
{
	if (!w->wide) /* PSE-36: frame bits 39:32 are in 20:13 */
		return BITS(21, 21) | (w->r->phys_bits < 40 ? BITS(20, w->r->phys_bits - 19) : 0);
	if (level >= 4)
		return PTE_PS;
	if (level == 3)
		return w->r->page_1g ? BITS(29, 13) : PTE_PS;
	return BITS(20, 13);
}

static uint64_t large_frame(const struct walk *w, uint64_t e)
{
	if (!w->wide)
		return (e & BITS(31, 22)) | (e & BITS(20, 13)) << 19;
	return e & BITS(51, 12) & ~w->page_mask;
}

/* Down the tables from `level`, whose table is at `table`. Returns 0, or FAULT and the cause bits
 * of the error code. */
#define FAULT 0x80000000u
static uint32_t descend(struct walk *w, uint64_t linear, uint64_t table, unsigned level)
{
	const unsigned bits = w->wide ? 9 : 10, bytes_shift = w->wide ? 3 : 2;
	const uint64_t ps = w->wide || (w->r->cr4 & CR4_PSE) ? PTE_PS : 0;
	const uint64_t frame = w->wide ? BITS(51, 12) : BITS(31, 12);
	unsigned shift = 12 + (level - 1) * bits;

	for (;; level--, shift -= bits) {
		uint64_t e = read_entry(
			w, table + ((linear >> shift & ((1u << bits) - 1)) << bytes_shift));

		if (!(e & PTE_P))
			return FAULT;
		w->rights &= e;
		w->xd |= e;
		if (e & w->reserved)
			return FAULT | PF_PRESENT | PF_RSVD;
		if (level == 1) {
			w->page_mask = BITS(11, 0);
			w->page = e & frame;
			return 0;
		}
		if (e & ps) {
			if (e & large_reserved_bits(w, level))
				return FAULT | PF_PRESENT | PF_RSVD;
			w->page_mask = (1ull << shift) - 1;
			w->page = large_frame(w, e);
			return 0;
		}
		table = e & frame;
	}
}

/* Field by field: the walk is on the way of every exit that is emulated, and clearing the arrays
 * costs more than it all. */
static uint32_t translate(struct walk *w, const struct walk_regs *r, uint64_t linear)
{
	w->r = r;
	w->depth = 0;
	w->wide = r->cr4 & CR4_PAE;
	w->reserved = common_reserved_bits(r);
	w->rights = UINT64_MAX;
	w->xd = 0;
	if (r->efer & EFER_LMA)
		return descend(w, linear, r->cr3 & BITS(51, 12), r->cr4 & CR4_LA57 ? 5 : 4);
	if (w->wide) {
		uint64_t pdpte = r->pdpte[linear >> 30 & 3];

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
	if (fetch && ((w->xd & PTE_XD) || (!user && user_page && (r->cr4 & CR4_SMEP))))
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

static bool set_bits(const struct walk *w, unsigned i, uint64_t bits)
{
	uint64_t old = w->value[i];
	uint32_t old32 = (uint32_t)old;

	if ((old & bits) == bits || !w->entry[i])
		return true;
	if (w->wide)
		return __atomic_compare_exchange_n((uint64_t *)w->entry[i], &old, old | bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((uint32_t *)w->entry[i], &old32, (uint32_t)(old | bits),
					   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* False: an entry has changed since it was read, and the walk must start over. */
static bool mark_used(const struct walk *w, unsigned access)
{
	unsigned leaf = w->depth - 1;

	if (!(w->rights & PTE_A)) {
		for (unsigned i = 0; i < leaf; i++) {
			if (!set_bits(w, i, PTE_A))
				return false;
		}
	}
	return set_bits(w, leaf, access & WALK_WRITE ? PTE_A | PTE_D : PTE_A);
}

static int walk(struct walk *w, const struct walk_regs *r, uint64_t linear, unsigned access,
		gpa_t *gpa, uint32_t *error)
{
	bool fetch_bit = ((r->cr4 & CR4_PAE) && (r->efer & EFER_NXE)) || (r->cr4 & CR4_SMEP);

	if (!(r->efer & EFER_LMA))
		linear = (uint32_t)linear;
	for (unsigned tries = 1;; tries++) {
		uint32_t cause = translate(w, r, linear);

		if (!cause)
			cause = check_rights(w, access);
		if (cause) {
			*error = (cause & ~FAULT) | (access & WALK_WRITE) |
				 (r->cpl == 3 ? PF_USER : 0) |
				 (fetch_bit ? access & WALK_FETCH : 0);
			return -EFAULT;
		}
		if (mark_used(w, access) || tries == TRIES_MAX) {
			gpa->v = w->page | (linear & w->page_mask);
			return 0;
		}
	}
}

int guest_walk(const struct walk_regs *r, uint64_t linear, unsigned access, gpa_t *gpa,
	       uint32_t *error)
{
	struct walk w;

	if (!(r->cr0 & CR0_PG)) {
		gpa->v = (uint32_t)linear;
		return 0;
	}
	return walk(&w, r, linear, access, gpa, error);
}

static bool still_holds(const struct walk_cache *c, const struct walk_regs *r, uint64_t linear)
{
	if (c->page != (linear & ~BITS(11, 0)) || c->cr3 != r->cr3 || c->cr0 != r->cr0 ||
	    c->cr4 != r->cr4 || c->efer != r->efer || c->cpl != r->cpl || !c->depth)
		return false;
	for (unsigned i = 0; i < c->depth; i++)
		if (__atomic_load_n(c->entry[i], __ATOMIC_RELAXED) != c->value[i])
			return false;
	return true;
}

/* Entries in RAM, all marked as accessed: else the next use must walk again. */
static void keep(struct walk_cache *c, const struct walk *w, uint64_t linear, gpa_t gpa)
{
	const struct walk_regs *r = w->r;

	c->depth = 0;
	if (!w->wide)
		return;
	for (unsigned i = 0; i < w->depth; i++) {
		if (!w->entry[i])
			return;
		c->entry[i] = w->entry[i];
		c->value[i] = w->value[i] | PTE_A;
	}
	c->page = linear & ~BITS(11, 0);
	c->frame = gpa.v & ~BITS(11, 0);
	c->cr0 = r->cr0;
	c->cr3 = r->cr3;
	c->cr4 = r->cr4;
	c->efer = r->efer;
	c->cpl = r->cpl;
	c->depth = (uint8_t)w->depth;
}

int guest_walk_fetch(struct walk_cache *c, const struct walk_regs *r, uint64_t linear, gpa_t *gpa,
		     uint32_t *error)
{
	struct walk w;
	int err;

	/* PAE's top level is in registers: not worth it */
	if (!(r->cr0 & CR0_PG) || !(r->efer & EFER_LMA))
		return guest_walk(r, linear, WALK_FETCH, gpa, error);
	if (still_holds(c, r, linear)) {
		gpa->v = c->frame | (linear & BITS(11, 0));
		return 0;
	}
	err = walk(&w, r, linear, WALK_FETCH, gpa, error);
	if (!err)
		keep(c, &w, linear, *gpa);
	return err;
}
