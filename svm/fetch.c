// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long was the intercepted instruction? The processor says so (next RIP), or the bytes at RIP
 * are looked at: a plain encoding without prefixes is recognized here, everything else is decoded
 * by the emulator.
 *
 * The page walk is cached. An entry may outlive the guest's mapping; the bytes are compared every
 * time, so it does harm only to a guest that puts the same instruction, with a prefix, at the same
 * address of another page.
 */
#include <string.h>
#include "hv/guest.h"
#include "svm/svm.h"

#define PAGE_OFFSET   0xfffull
#define ENTRY_P	      (1ull << 0)
#define ENTRY_PS      (1ull << 7)
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define INSN_MAX      15u

/* Long-mode page walk; permissions don't matter, since the processor has just executed from there.
 */
static const uint8_t *walk(const struct vmcb *b, uint64_t linear)
{
	unsigned shift = (b->cr4 & CR4_LA57) ? 48 : 39;
	uint64_t table = b->cr3 & ENTRY_ADDRESS;

	for (;; shift -= 9) {
		const uint64_t *e = guest_ptr((gpa_t){table + (linear >> shift & 0x1ff) * 8}, 8);

		if (!e || !(*e & ENTRY_P))
			return NULL;
		table = *e & ENTRY_ADDRESS;
		if (shift == 12)
			break;
		if ((*e & ENTRY_PS) && shift <= 30) {
			uint64_t mask = (1ull << shift) - 1;

			table = (table & ~mask) | (linear & mask & ~PAGE_OFFSET);
			break;
		}
	}
	return guest_ptr((gpa_t){table}, PAGE_OFFSET + 1);
}

static const uint8_t *code_page(struct svm_vcpu *s, uint64_t rip)
{
	const struct vmcb *b = s->vmcb;
	uint64_t page = rip & ~PAGE_OFFSET;
	struct fetch_entry *f = &s->fetch[(rip >> 12) % FETCH_ENTRIES];

	if (!f->code || f->page != page || f->cr3 != b->cr3)
		*f = (struct fetch_entry){.cr3 = b->cr3, .page = page, .code = walk(b, page)};
	return f->code;
}

unsigned svm_insn_length(struct vcpu *v, uint32_t opcode, unsigned n)
{
	struct svm_vcpu *s = svm_of(v);
	const struct vmcb *b = s->vmcb;
	uint64_t offset = v->rip & PAGE_OFFSET;
	const uint8_t *code;
	uint32_t bytes;

	if (svm.nrips) {
		uint64_t len = b->nrip - v->rip;

		return len <= INSN_MAX ? (unsigned)len : 0;
	}
	if (!(b->efer & EFER_LMA) || !(b->cs.attrib & ATTRIB_L) ||
	    offset > PAGE_OFFSET + 1 - sizeof(bytes))
		return 0;
	code = code_page(s, v->rip);
	if (!code)
		return 0;
	memcpy(&bytes, code + offset, sizeof(bytes));
	return ((bytes ^ opcode) & ((1u << 8 * n) - 1)) ? 0 : n;
}

int svm_mov_to_cr(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	uint64_t offset = v->rip & PAGE_OFFSET;
	const uint8_t *code;
	uint8_t rex = 0;

	if (!(s->vmcb->efer & EFER_LMA) || offset > PAGE_OFFSET + 1 - 4)
		return -1;
	code = code_page(s, v->rip);
	if (!code)
		return -1;
	code += offset;
	if ((code[0] & 0xf0) == 0x40)
		rex = *code++;
	if (code[0] != 0x0f || code[1] != 0x22)
		return -1;
	return (code[2] & 7) | (rex & 1) << 3;
}

void svm_fetch_flush(struct svm_vcpu *s)
{
	memset(s->fetch, 0, sizeof(s->fetch));
}
