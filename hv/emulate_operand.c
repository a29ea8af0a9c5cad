// SPDX-License-Identifier: GPL-2.0-or-later
/* Registers, segments and addresses of an emulated instruction (SDM vol. 1 "Operand Addressing",
 * vol. 3 "Protection"). */
#include "hv/emulate_internal.h"

#define VECTOR_SS 12
#define VECTOR_GP 13

#define SEG_TYPE_CODE	     0x8u
#define SEG_TYPE_EXPAND_DOWN 0x4u
#define SEG_TYPE_RW	     0x2u /* data: writable; code: readable */
#define SEG_BIG		     (1u << 14)

int emu_fault(struct emu_ctx *c, uint8_t vector, uint32_t error)
{
	c->fault_vector = vector;
	c->fault_has_error = true;
	c->fault_error = error;
	return -EFAULT;
}

bool emu_canonical(const struct emu_ctx *c, uint64_t linear)
{
	unsigned shift = c->la57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << shift) >> shift) == linear;
}

const struct emu_segment *emu_segment(struct emu_ctx *c, unsigned seg)
{
	if (!(c->seg_loaded & 1u << seg)) {
		c->ops->segment(c, seg);
		c->seg_loaded |= (uint8_t)(1u << seg);
	}
	return &c->seg[seg];
}

static bool segment_permits(const struct emu_segment *s, enum emu_access a)
{
	unsigned type = s->attr & 0xf;

	if (s->unusable)
		return false;
	if (a == EMU_WRITE)
		return !(type & SEG_TYPE_CODE) && (type & SEG_TYPE_RW);
	return !(type & SEG_TYPE_CODE) || (type & SEG_TYPE_RW);
}

static bool within_limit(const struct emu_segment *s, bool expand_down, uint64_t offset,
			 unsigned size)
{
	uint64_t last = offset + size - 1;

	if (expand_down)
		return offset > s->limit && last <= (s->attr & SEG_BIG ? UINT32_MAX : UINT16_MAX);
	return last <= s->limit;
}

int emu_linear(struct emu_ctx *c, unsigned seg, uint64_t offset, unsigned size, enum emu_access a,
	       uint64_t *linear)
{
	uint8_t vector = seg == EMU_SS ? VECTOR_SS : VECTOR_GP;
	const struct emu_segment *s;
	bool expand_down;

	if (c->bits == 64) {
		uint64_t base = seg == EMU_FS || seg == EMU_GS ? emu_segment(c, seg)->base : 0;

		*linear = base + offset;
		if (!emu_canonical(c, *linear) || !emu_canonical(c, *linear + size - 1))
			return emu_fault(c, vector, 0);
		return 0;
	}
	s = emu_segment(c, seg);
	if (c->protected_mode && !segment_permits(s, a))
		return emu_fault(c, vector, 0);
	expand_down = c->protected_mode &&
		      (s->attr & (SEG_TYPE_CODE | SEG_TYPE_EXPAND_DOWN)) == SEG_TYPE_EXPAND_DOWN;
	if (!within_limit(s, expand_down, offset, size))
		return emu_fault(c, vector, 0);
	*linear = (uint32_t)(s->base + offset);
	return 0;
}

/* Where a Zydis general register lives: index into gpr[], size, and whether it is bits 15:8
 * (AH..BH). */
struct gpr {
	unsigned index, size;
	bool high;
};

static bool gpr_of(ZydisRegister r, struct gpr *g)
{
	*g = (struct gpr){0};
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_R15B) {
		unsigned n = r - ZYDIS_REGISTER_AL;

		/* AL..BL, AH..BH, then SPL..R15B */
		g->size = 1;
		g->high = n >= 4 && n < 8;
		g->index = n < 8 ? n & 3 : n - 4;
	} else if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W) {
		g->size = 2;
		g->index = r - ZYDIS_REGISTER_AX;
	} else if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D) {
		g->size = 4;
		g->index = r - ZYDIS_REGISTER_EAX;
	} else if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15) {
		g->size = 8;
		g->index = r - ZYDIS_REGISTER_RAX;
	} else {
		return false;
	}
	return true;
}

uint64_t emu_reg_get(const struct emu_ctx *c, unsigned index, unsigned size)
{
	return c->gpr[index] & emu_mask(size);
}

void emu_reg_set(struct emu_ctx *c, unsigned index, unsigned size, uint64_t val)
{
	if (size >= 4) /* 32-bit results are zero-extended (SDM vol. 1, "General-Purpose Registers
			  in 64-Bit Mode") */
		c->gpr[index] = val & emu_mask(size);
	else
		c->gpr[index] = (c->gpr[index] & ~emu_mask(size)) | (val & emu_mask(size));
}

static uint64_t address_register(const struct emu_ctx *c, const struct emu_insn *in,
				 ZydisRegister r)
{
	struct gpr g;

	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return c->rip + in->z.length;
	return gpr_of(r, &g) ? emu_reg_get(c, g.index, g.size) : 0;
}

/*
 * A bit instruction with a register as bit number reaches beyond its operand: the number, signed,
 * selects the operand-sized word relative to the address (SDM vol. 2, "BT").
 */
static uint64_t bit_displacement(const struct emu_ctx *c, const struct emu_insn *in, unsigned size)
{
	const ZydisDecodedOperand *n = &in->op[1];
	int64_t number;
	struct gpr g;

	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		break;
	default:
		return 0;
	}
	if (n->type != ZYDIS_OPERAND_TYPE_REGISTER || !gpr_of(n->reg.value, &g))
		return 0;
	number = (int64_t)(c->gpr[g.index] << (64 - 8 * size)) >> (64 - 8 * size);
	return (uint64_t)(number >> (size == 2 ? 4 : size == 4 ? 5 : 6)) * size;
}

static enum emu_result resolve_memory(struct emu_ctx *c, const struct emu_insn *in,
				      const ZydisDecodedOperand *z, enum emu_access a,
				      struct emu_operand *o)
{
	const ZydisDecodedOperandMem *m = &z->mem;
	uint64_t offset = m->disp.has_displacement ? (uint64_t)m->disp.value : 0;

	if (m->type != ZYDIS_MEMOP_TYPE_MEM || m->segment < ZYDIS_REGISTER_ES ||
	    m->segment > ZYDIS_REGISTER_GS)
		return EMU_UNHANDLED;
	if (m->base != ZYDIS_REGISTER_NONE)
		offset += address_register(c, in, m->base);
	if (m->index != ZYDIS_REGISTER_NONE)
		offset += address_register(c, in, m->index) * m->scale;
	offset += bit_displacement(c, in, o->size);
	offset &= emu_mask(in->z.address_width / 8);
	o->kind = OPERAND_MEM;
	return emu_linear(c, m->segment - ZYDIS_REGISTER_ES, offset, o->size, a, &o->linear)
		       ? EMU_FAULT
		       : EMU_OK;
}

enum emu_result emu_resolve(struct emu_ctx *c, const struct emu_insn *in, unsigned n,
			    enum emu_access a, struct emu_operand *o)
{
	const ZydisDecodedOperand *z = &in->op[n];
	struct gpr g;

	*o = (struct emu_operand){.size = z->size / 8};
	switch (z->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (!gpr_of(z->reg.value, &g))
			return EMU_UNHANDLED;
		o->kind = OPERAND_REG;
		o->reg = z->reg.value;
		return EMU_OK;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		o->kind = OPERAND_IMM;
		o->imm = z->imm.value.u;
		return EMU_OK;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (o->size != 1 && o->size != 2 && o->size != 4 && o->size != 8)
			return EMU_UNHANDLED;
		return resolve_memory(c, in, z, a, o);
	default:
		return EMU_UNHANDLED;
	}
}

int emu_get(struct emu_ctx *c, const struct emu_operand *o, uint64_t *val)
{
	struct gpr g;

	switch (o->kind) {
	case OPERAND_MEM:
		return c->ops->read(c, o->linear, o->size, val);
	case OPERAND_IMM:
		*val = o->imm;
		return 0;
	default:
		gpr_of(o->reg, &g);
		*val = (c->gpr[g.index] >> (g.high ? 8 : 0)) & emu_mask(g.size);
		return 0;
	}
}

int emu_set(struct emu_ctx *c, const struct emu_operand *o, uint64_t val)
{
	struct gpr g;

	if (o->kind == OPERAND_MEM)
		return c->ops->write(c, o->linear, o->size, val & emu_mask(o->size));
	gpr_of(o->reg, &g);
	if (g.high)
		c->gpr[g.index] = (c->gpr[g.index] & ~0xff00ull) | (val & 0xff) << 8;
	else
		emu_reg_set(c, g.index, g.size, val);
	return 0;
}

int emu_probe(struct emu_ctx *c, const struct emu_operand *o)
{
	return o->kind == OPERAND_MEM ? c->ops->probe_write(c, o->linear, o->size) : 0;
}
