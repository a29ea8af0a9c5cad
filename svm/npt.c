// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nested page tables: the format of long-mode tables, walked as user accesses (APM vol.
 * 2, 15.25.5), with memory types by the host's PAT, which combine with the host's MTRRs and the
 * guest's PAT (15.25.8).
 */
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/memmap.h"
#include "hv/msr.h"
#include "svm/svm.h"

#define PTE_P	    (1ull << 0)
#define PTE_RW	    (1ull << 1)
#define PTE_US	    (1ull << 2)
#define PTE_PWT	    (1ull << 3)
#define PTE_PCD	    (1ull << 4)
#define PTE_A	    (1ull << 5)
#define PTE_D	    (1ull << 6)
#define PTE_PS	    (1ull << 7) /* levels 2 and 3 */
#define PTE_PAT_4K  (1ull << 7)
#define PTE_PAT_BIG (1ull << 12)
#define PTE_NX	    (1ull << 63)

#define PAT_UC_MINUS 7
#define PAT_ENTRIES  8
#define TYPES	     8

static uint8_t type_index[TYPES]; /* PAT entry for each MT_* */

static int pat_find(uint64_t pat, unsigned type)
{
	for (unsigned i = 0; i < PAT_ENTRIES; i++)
		if ((pat >> (8 * i) & 7) == type)
			return (int)i;
	return -ENOENT;
}

/* A type that the PAT lacks becomes an uncached one; for WC one that lets an MTRR's WC through. */
static int pat_map(uint64_t pat)
{
	int uc = pat_find(pat, MT_UC);
	int wb = pat_find(pat, MT_WB);

	if (uc < 0 || wb < 0)
		return -ENOTSUP;
	for (unsigned t = 0; t < TYPES; t++) {
		int i = pat_find(pat, t);

		if (i < 0 && t == MT_WC)
			i = pat_find(pat, PAT_UC_MINUS);
		type_index[t] = (uint8_t)(i < 0 ? uc : i);
	}
	return 0;
}

static uint64_t leaf(uint64_t hpa, unsigned level, uint8_t type, bool exec, bool write)
{
	unsigned index = type_index[type % TYPES];
	uint64_t e = hpa | PTE_P | PTE_US | PTE_A | PTE_D;

	if (write)
		e |= PTE_RW;
	if (!exec)
		e |= PTE_NX;
	if (index & 1)
		e |= PTE_PWT;
	if (index & 2)
		e |= PTE_PCD;
	if (level > 1)
		e |= PTE_PS;
	if (index & 4)
		e |= level > 1 ? PTE_PAT_BIG : PTE_PAT_4K;
	return e;
}

static uint64_t table(uint64_t hpa, unsigned level)
{
	(void)level;
	return hpa | PTE_P | PTE_RW | PTE_US | PTE_A;
}

int svm_npt_format(uint64_t pat, struct npt_format *f)
{
	*f = (struct npt_format){.leaf = leaf, .table = table};
	return pat_map(pat);
}

static struct npt_format format;

int svm_map_device(uint64_t gpa, uint64_t hpa)
{
	return npt_map_page(svm.n_cr3, gpa, hpa, MT_UC, &format, &npt_pages);
}

void svm_unmap_device(uint64_t gpa)
{
	npt_unmap_page(svm.n_cr3, gpa, &npt_pages);
}

int svm_npt_setup(void)
{
	int err = svm_npt_format(rdmsr(MSR_IA32_PAT), &format);

	if (err) {
		log_error("AMD-V: the PAT has no UC or no WB entry");
		return err;
	}
	format.has_1g = cpuid(0x80000001, 0).edx >> 26 & 1; /* Page1GB */
	err = npt_build(guest_memory_map(), &format, &npt_pages, &svm.n_cr3);
	return err ? err : npt_map_rom(svm.n_cr3, &format, &npt_pages);
}
