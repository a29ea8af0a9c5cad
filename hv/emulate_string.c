// SPDX-License-Identifier: GPL-2.0-or-later
/* String instructions (SDM vol. 1, "String Operations"; vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"). */
#include "hv/emulate_internal.h"

enum { GPR_RAX = 0, GPR_RCX = 1, GPR_RDX = 2, GPR_RSI = 6, GPR_RDI = 7 };

struct string_insn {
	uint8_t opcode; /* with bit 0 cleared: the byte form */
	unsigned size;	/* bytes per element */
	unsigned addr;	/* bytes of the address size */
	unsigned src_seg;
	uint8_t rep;   /* 0, 0xf2 or 0xf3: the last one counts */
	uint64_t step; /* added to the index registers */
};

enum {
	OP_INS = 0x6c,
	OP_OUTS = 0x6e,
	OP_MOVS = 0xa4,
	OP_CMPS = 0xa6,
	OP_STOS = 0xaa,
	OP_LODS = 0xac,
	OP_SCAS = 0xae
};

bool emu_is_string(const struct emu_insn *in)
{
	if (in->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    in->z.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	switch (in->z.opcode & ~1u) {
	case OP_INS:
	case OP_OUTS:
	case OP_MOVS:
	case OP_CMPS:
	case OP_STOS:
	case OP_LODS:
	case OP_SCAS:
		return true;
	default:
		return false;
	}
}

static void describe(const struct emu_ctx *c, const struct emu_insn *in, struct string_insn *s)
{
	*s = (struct string_insn){
		.opcode = in->z.opcode & ~1u, .addr = in->z.address_width / 8, .src_seg = EMU_DS};
	s->size = in->z.opcode & 1 ? in->z.operand_width / 8 : 1;
	if ((s->opcode == OP_INS || s->opcode == OP_OUTS) && s->size == 8)
		s->size = 4; /* there is no 64-bit I/O */
	for (unsigned i = 0; i < in->z.raw.prefix_count; i++) {
		switch (in->z.raw.prefixes[i].value) {
		case 0xf2:
		case 0xf3:
			s->rep = in->z.raw.prefixes[i].value;
			break;
		case 0x26:
			s->src_seg = c->bits == 64 ? s->src_seg : EMU_ES;
			break;
		case 0x2e:
			s->src_seg = c->bits == 64 ? s->src_seg : EMU_CS;
			break;
		case 0x36:
			s->src_seg = c->bits == 64 ? s->src_seg : EMU_SS;
			break;
		case 0x3e:
			s->src_seg = c->bits == 64 ? s->src_seg : EMU_DS;
			break;
		case 0x64:
			s->src_seg = EMU_FS;
			break;
		case 0x65:
			s->src_seg = EMU_GS;
			break;
		default:
			break;
		}
	}
	s->step = c->rflags & FLAG_DF ? 0 - (uint64_t)s->size : s->size;
}

static int source(struct emu_ctx *c, const struct string_insn *s, uint64_t *linear)
{
	return emu_linear(c, s->src_seg, emu_reg_get(c, GPR_RSI, s->addr), s->size, EMU_READ,
			  linear);
}

static int destination(struct emu_ctx *c, const struct string_insn *s, enum emu_access a,
		       uint64_t *linear)
{
	return emu_linear(c, EMU_ES, emu_reg_get(c, GPR_RDI, s->addr), s->size, a, linear);
}

static void advance(struct emu_ctx *c, const struct string_insn *s, unsigned index)
{
	emu_reg_set(c, index, s->addr, c->gpr[index] + s->step);
}

/* MOVS, INS: the destination is probed first, because reading a device or a port can't be undone.
 */
static int transfer_in(struct emu_ctx *c, const struct string_insn *s)
{
	uint64_t src = 0, dst, val;

	if (s->opcode == OP_MOVS && source(c, s, &src))
		return -EFAULT;
	if (destination(c, s, EMU_WRITE, &dst) || c->ops->probe_write(c, dst, s->size))
		return -EFAULT;
	if (s->opcode == OP_INS)
		val = c->ops->io_read(c, (uint16_t)c->gpr[GPR_RDX], s->size);
	else if (c->ops->read(c, src, s->size, &val))
		return -EFAULT;
	if (c->ops->write(c, dst, s->size, val & emu_mask(s->size)))
		return -EFAULT;
	if (s->opcode == OP_MOVS)
		advance(c, s, GPR_RSI);
	advance(c, s, GPR_RDI);
	return 0;
}

static int transfer_out(struct emu_ctx *c, const struct string_insn *s)
{
	uint64_t src, val;

	if (source(c, s, &src) || c->ops->read(c, src, s->size, &val))
		return -EFAULT;
	if (s->opcode == OP_OUTS)
		c->ops->io_write(c, (uint16_t)c->gpr[GPR_RDX], s->size, (uint32_t)val);
	else
		emu_reg_set(c, GPR_RAX, s->size, val);
	advance(c, s, GPR_RSI);
	return 0;
}

static int store(struct emu_ctx *c, const struct string_insn *s)
{
	uint64_t dst;

	if (destination(c, s, EMU_WRITE, &dst) ||
	    c->ops->write(c, dst, s->size, emu_reg_get(c, GPR_RAX, s->size)))
		return -EFAULT;
	advance(c, s, GPR_RDI);
	return 0;
}

static int compare(struct emu_ctx *c, const struct string_insn *s)
{
	uint64_t src, dst, a, b;

	if (s->opcode == OP_CMPS) {
		if (source(c, s, &src) || destination(c, s, EMU_READ, &dst) ||
		    c->ops->read(c, src, s->size, &a))
			return -EFAULT;
	} else {
		a = emu_reg_get(c, GPR_RAX, s->size);
		if (destination(c, s, EMU_READ, &dst))
			return -EFAULT;
	}
	if (c->ops->read(c, dst, s->size, &b))
		return -EFAULT;
	emu_alu(ALU_CMP, s->size, a, b, &c->rflags);
	if (s->opcode == OP_CMPS)
		advance(c, s, GPR_RSI);
	advance(c, s, GPR_RDI);
	return 0;
}

static int iterate(struct emu_ctx *c, const struct string_insn *s)
{
	switch (s->opcode) {
	case OP_MOVS:
	case OP_INS:
		return transfer_in(c, s);
	case OP_LODS:
	case OP_OUTS:
		return transfer_out(c, s);
	case OP_STOS:
		return store(c, s);
	default:
		return compare(c, s);
	}
}

/* REPE and REPNE end the comparing instructions early. */
static bool ends_early(const struct emu_ctx *c, const struct string_insn *s)
{
	if (s->opcode != OP_CMPS && s->opcode != OP_SCAS)
		return false;
	return !!(c->rflags & FLAG_ZF) == (s->rep == 0xf2);
}

enum emu_result emu_string(struct emu_ctx *c, const struct emu_insn *in, bool *done)
{
	struct string_insn s;

	describe(c, in, &s);
	*done = true;
	if ((s.opcode == OP_INS || s.opcode == OP_OUTS) && !c->io_allowed)
		return EMU_UNHANDLED;
	if (!s.rep)
		return iterate(c, &s) ? EMU_FAULT : EMU_OK;
	for (unsigned n = 0; n < EMU_REP_MAX; n++) {
		uint64_t count = emu_reg_get(c, GPR_RCX, s.addr);

		if (!count)
			return EMU_OK;
		if (iterate(c, &s))
			return EMU_FAULT;
		emu_reg_set(c, GPR_RCX, s.addr, --count);
		if (!count || ends_early(c, &s))
			return EMU_OK;
	}
	*done = false;
	return EMU_OK;
}
