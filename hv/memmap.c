// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "arch/x86_64/cpu.h"
#include "hv/memmap.h"
#include "hv/platform.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define LOW_RAM_END  0xa0000ull
#define LOW_END	     MIB(1)
#define DEVICES_BASE ECAM_BASE /* from here to 4 GiB: our devices, never RAM */
#define DEVICES_END  GIB(4)
#define EBDA_BASE \
	0x9fc00ull /* where a BIOS keeps its data: Linux expects the last KiB to be taken */
#define PCI_WINDOW_MIN MIB(16)
#define PCI_NEAR       MIB(16)

/* --- MTRRs: SDM vol. 3, "Memory Type Range Registers" --- */

#define MTRR_DEF_FE  (1u << 10)
#define MTRR_DEF_E   (1u << 11)
#define MTRR_VALID   (1u << 11)
#define MTRR_CAP_FIX (1u << 8)

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* One register of 8 bytes per 8 ranges: 64 KiB to 80000H, 16 KiB to C0000H, 4 KiB to 1 MiB. */
static uint8_t fixed_type(const struct mtrr_regs *m, uint64_t hpa, uint64_t *end)
{
	unsigned reg, shift;

	if (hpa < 0x80000) {
		shift = 16;
		reg = 0;
	} else if (hpa < 0xc0000) {
		shift = 14;
		reg = 1 + ((hpa - 0x80000) >> 17);
	} else {
		shift = 12;
		reg = 3 + ((hpa - 0xc0000) >> 15);
	}
	*end = ((hpa >> shift) + 1) << shift;
	return m->fixed[reg] >> (8 * (hpa >> shift & 7)) & 7; /* AMD has RdMem and WrMem above */
}

/* Several variable ranges over one address: UC wins; WT wins over WB; anything else is undefined,
 * and UC is safe. */
static uint8_t combine(uint8_t a, uint8_t b)
{
	if (a == b)
		return a;
	if ((a == MT_WT && b == MT_WB) || (a == MT_WB && b == MT_WT))
		return MT_WT;
	return MT_UC;
}

/* Does range i hold hpa? *next: the first address above hpa where the answer may change. */
static bool variable_hit(const struct mtrr_regs *m, unsigned i, uint64_t hpa, uint64_t *next)
{
	uint64_t all = (1ull << m->phys_bits) - 1;
	uint64_t mask = m->var[i].mask & all & ~0xfffull;
	uint64_t base = m->var[i].base & mask;
	uint64_t granule = mask & -mask;
	bool contiguous = ((~mask & all) + 1) == granule;

	*next = UINT64_MAX;
	if (!(m->var[i].mask & MTRR_VALID) || !mask)
		return false;
	if (!contiguous)
		*next = (hpa | (granule - 1)) + 1;
	else if (hpa < base)
		*next = base;
	else if (hpa < base + granule)
		*next = base + granule;
	return (hpa & mask) == base;
}

uint8_t mtrr_type(const struct mtrr_regs *m, uint64_t hpa, uint64_t *run_end)
{
	uint64_t end = 1ull << m->phys_bits, next;
	uint8_t type = (uint8_t)m->def_type;
	bool hit = false;

	if (!(m->def_type & MTRR_DEF_E)) {
		*run_end = max64(end, hpa + PAGE_SIZE);
		return MT_UC;
	}
	if (hpa < MIB(1) && (m->def_type & MTRR_DEF_FE) && (m->cap & MTRR_CAP_FIX))
		return fixed_type(m, hpa, run_end);
	if (hpa >= GIB(4) && hpa < m->tom2) {
		*run_end = m->tom2;
		return MT_WB;
	}
	for (unsigned i = 0; i < m->n_var; i++) {
		if (variable_hit(m, i, hpa, &next)) {
			uint8_t t = (uint8_t)m->var[i].base;

			type = hit ? combine(type, t) : t;
			hit = true;
		}
		end = min64(end, next);
	}
	if (hpa < MIB(1))
		end = min64(end, MIB(1));
	if (hpa < GIB(4))
		end = min64(end, GIB(4)); /* where tom2 begins to count */
	*run_end = max64(end, hpa + PAGE_SIZE);
	return type;
}

/* --- the guest's map --- */

struct span {
	uint64_t base, end;
};

/* Pages that a limit on memory must not take away: sorted, not overlapping. */
struct keep {
	unsigned n;
	struct span s[4];
};

static void keep_add(struct keep *k, uint64_t base, uint64_t size)
{
	struct span s = {base & ~(PAGE_SIZE - 1), (base + size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)};
	unsigned i, j;

	if (!size)
		return;
	for (i = 0; i < k->n; i++) { /* merge with all that it touches */
		if (s.end < k->s[i].base || s.base > k->s[i].end)
			continue;
		s.base = min64(s.base, k->s[i].base);
		s.end = max64(s.end, k->s[i].end);
		k->n--;
		memmove(&k->s[i], &k->s[i + 1], (k->n - i) * sizeof(k->s[0]));
		i--;
	}
	for (i = 0; i < k->n && k->s[i].base < s.base; i++)
		;
	for (j = k->n; j > i; j--)
		k->s[j] = k->s[j - 1];
	k->s[i] = s;
	k->n++;
}

/* The next stretch of RAM that the guest may have, at or after *at; false at the end. Sorted, below
 * DEVICES or above 4 GiB. */
static bool next_ram(const struct handoff *h, uint64_t at, struct span *out)
{
	const struct span forbidden[] = {
		{h->hv_base, h->hv_base + h->hv_size},
		{h->disk_base, h->disk_base + h->disk_bytes},
		{LOW_RAM_END, LOW_END},
		{DEVICES_BASE, DEVICES_END},
	};

	for (unsigned i = 0; i < h->n_map; i++) {
		uint64_t base = max64(at, h->map[i].base), end = h->map[i].base + h->map[i].size;
		bool moved = true;

		if (h->map[i].type != MEM_RAM)
			continue;
		while (moved &&
		       base < end) { /* step over what begins before, cut what begins inside */
			moved = false;
			for (unsigned f = 0; f < sizeof(forbidden) / sizeof(forbidden[0]); f++) {
				if (base >= forbidden[f].base && base < forbidden[f].end) {
					base = forbidden[f].end;
					moved = true;
				}
			}
		}
		if (base >= end)
			continue;
		for (unsigned f = 0; f < sizeof(forbidden) / sizeof(forbidden[0]); f++) {
			if (forbidden[f].base > base)
				end = min64(end, forbidden[f].base);
		}
		*out = (struct span){base, end};
		return true;
	}
	return false;
}

/* Is `at` in a kept span? *end: where the answer changes. */
static bool kept(const struct keep *k, uint64_t at, uint64_t *end)
{
	for (unsigned i = 0; i < k->n; i++) {
		if (at < k->s[i].base) {
			*end = k->s[i].base;
			return false;
		}
		if (at < k->s[i].end) {
			*end = k->s[i].end;
			return true;
		}
	}
	*end = UINT64_MAX;
	return false;
}

static uint8_t ram_type(const struct mtrr_regs *m, uint64_t hpa, uint64_t *end)
{
	if (!(m->def_type & MTRR_DEF_E)) {
		*end = UINT64_MAX;
		return MT_WB;
	}
	return mtrr_type(m, hpa, end);
}

static int add(struct guest_map *m, const struct guest_range *r)
{
	struct guest_range *last = m->n ? &m->range[m->n - 1] : NULL;

	if (last && last->kind == r->kind && last->type == r->type &&
	    last->gpa + last->size == r->gpa && last->hpa + last->size == r->hpa) {
		last->size += r->size;
		return 0;
	}
	if (m->n == GUEST_RANGES_MAX)
		return -ENOSPC;
	m->range[m->n++] = *r;
	return 0;
}

/* Add [gpa, gpa + size), one range per memory type. */
static int add_typed(struct guest_map *m, const struct mtrr_regs *mtrr, uint64_t gpa, uint64_t hpa,
		     uint64_t size, uint8_t kind)
{
	while (size) {
		uint64_t end;
		uint8_t type = ram_type(mtrr, hpa, &end);
		uint64_t run = min64(size, end - hpa);
		int err = add(m, &(struct guest_range){gpa, hpa, run, type, kind});

		if (err)
			return err;
		gpa += run;
		hpa += run;
		size -= run;
	}
	return 0;
}

/* Bytes of RAM in kept spans, and of all the other RAM. */
static void measure(const struct handoff *h, const struct keep *k, uint64_t *in, uint64_t *out)
{
	uint64_t end;
	struct span s;

	*in = *out = 0;
	for (uint64_t at = 0; next_ram(h, at, &s); at = min64(s.end, end)) {
		bool keep = kept(k, s.base, &end);

		*(keep ? in : out) += min64(s.end, end) - s.base;
	}
}

static int add_ram(struct guest_map *m, const struct handoff *h, const struct mtrr_regs *mtrr,
		   const struct keep *k, uint64_t budget, uint64_t tables_hpa)
{
	bool tables = false;
	uint64_t end;
	struct span s;
	int err = 0;

	for (uint64_t at = 0; !err && next_ram(h, at, &s); at = end) {
		bool keep = kept(k, s.base, &end);
		uint64_t size;

		end = min64(s.end, end);
		if (!tables && s.base >= LOW_END) {
			err = add_typed(m, mtrr, TABLES_GPA, tables_hpa, TABLES_SIZE, GUEST_TABLES);
			tables = true;
		}
		size = keep ? end - s.base : min64(end - s.base, budget);
		if (!keep)
			budget -= size;
		if (err || !size)
			continue;
		err = add_typed(m, mtrr, s.base, s.base, size, GUEST_RAM);
		m->ram_bytes += size;
		if (s.base < GIB(4))
			m->low_top = s.base + size;
	}
	if (!err && !tables)
		return -EINVAL; /* nothing above 1 MiB */
	return err;
}

/*
 * Above all memory and what the firmware reserves right behind it (SMM, graphics), up to our
 * devices. Its reserved islands in between (the host's ECAM, say) stay inside: the guest's BARs are
 * virtual, or were put around them by the firmware.
 */
static int find_pci_window(struct guest_map *m, const struct handoff *h)
{
	uint64_t at = max64(m->low_top, LOW_END);

	for (unsigned i = 0; i < h->n_map && h->map[i].base < DEVICES_BASE; i++) {
		bool memory = h->map[i].type != MEM_RESERVED && h->map[i].type != MEM_MMIO;

		if (memory || h->map[i].base < at + PCI_NEAR)
			at = max64(at, h->map[i].base + h->map[i].size);
	}
	m->pci_base = (at + MIB(1) - 1) & ~(MIB(1) - 1);
	m->pci_end = DEVICES_BASE;
	return m->pci_base + PCI_WINDOW_MIN <= m->pci_end ? 0 : -EINVAL;
}

int guest_map_build(struct guest_map *m, const struct handoff *h, const struct mtrr_regs *mtrr,
		    uint64_t tables_hpa)
{
	uint64_t budget = UINT64_MAX, must, rest;
	struct keep keep = {0};
	int err;

	memset(m, 0, sizeof(*m));
	m->hv_base = h->hv_base;
	m->hv_size = h->hv_size;
	if (h->memory) {
		keep_add(&keep, 0, LOW_END);
		keep_add(&keep, h->kernel_base, h->kernel_size);
		keep_add(&keep, h->initrd_base, h->initrd_size);
		keep_add(&keep, h->setup_header, h->setup_size);
		measure(h, &keep, &must, &rest);
		budget = h->memory > must ? (h->memory - must) & ~(PAGE_SIZE - 1) : 0;
	}
	err = add_ram(m, h, mtrr, &keep, budget, tables_hpa);
	return err ? err : find_pci_window(m, h);
}

/* --- E820: ACPI "System Address Map Interfaces" --- */

enum { E820_HOLE = 0, E820_RAM = 1, E820_RESERVED = 2 };

static const struct span always_reserved[] = {
	{EBDA_BASE, LOW_RAM_END},
	{TABLES_GPA, TABLES_GPA + TABLES_SIZE},
	{ECAM_BASE, ECAM_BASE + ECAM_SIZE},
};

/* What covers `at` in [base, end)? Updates *run to where that may change. */
static bool covers(uint64_t at, uint64_t base, uint64_t end, uint64_t *run)
{
	if (at < base)
		*run = min64(*run, base);
	else if (at < end)
		*run = min64(*run, end);
	return at >= base && at < end;
}

static uint32_t e820_type_at(const struct guest_map *m, const struct handoff *h, bool firmware,
			     uint64_t at, uint64_t *run)
{
	bool reserved = false, ram = false;

	*run = UINT64_MAX;
	for (unsigned i = 0; i < sizeof(always_reserved) / sizeof(always_reserved[0]); i++)
		reserved |= covers(at, always_reserved[i].base, always_reserved[i].end, run);
	reserved |= covers(at, m->hv_base, m->hv_base + m->hv_size, run);
	for (unsigned i = 0; i < m->n; i++) {
		const struct guest_range *r = &m->range[i];

		if (r->kind == GUEST_RAM)
			ram |= covers(at, r->gpa, r->gpa + r->size, run);
	}
	for (unsigned i = 0; firmware && i < h->n_map; i++) {
		if (h->map[i].type != MEM_RAM)
			reserved |=
				covers(at, h->map[i].base, h->map[i].base + h->map[i].size, run);
	}
	return reserved ? E820_RESERVED : ram ? E820_RAM : E820_HOLE;
}

static int fill_e820(const struct guest_map *m, const struct handoff *h, bool firmware,
		     struct e820_entry *e, unsigned max)
{
	uint64_t run;
	int n = 0;

	for (uint64_t at = 0; at != UINT64_MAX; at = run) {
		uint32_t type = e820_type_at(m, h, firmware, at, &run);

		if (type == E820_HOLE)
			continue;
		if (n && e[n - 1].type == type && e[n - 1].addr + e[n - 1].size == at) {
			e[n - 1].size += run - at;
			continue;
		}
		if (n == (int)max)
			return -ENOSPC;
		e[n++] = (struct e820_entry){at, run - at, type};
	}
	return n;
}

int guest_map_e820(const struct guest_map *m, const struct handoff *h, struct e820_entry *e,
		   unsigned max)
{
	int n = fill_e820(m, h, true, e, max);

	return n == -ENOSPC ? fill_e820(m, h, false, e, max) : n;
}
