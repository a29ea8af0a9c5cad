// SPDX-License-Identifier: GPL-2.0-or-later
/* Arithmetic, logic and bit instructions with the flags of the processor (SDM vol. 2; vol. 1
 * appendix "EFLAGS Cross-Reference"). */
#include "hv/emulate_internal.h"

static uint64_t sign_zero_parity(unsigned size, uint64_t r)
{
	uint64_t f = 0;

	if (!(__builtin_popcount(r & 0xff) & 1))
		f |= FLAG_PF;
	if (!r)
		f |= FLAG_ZF;
	if (r >> (8 * size - 1) & 1)
		f |= FLAG_SF;
	return f;
}

/* `carries`: bit n is the carry (or borrow) out of bit n; `overflow`: its top bit is OF. */
static uint64_t arithmetic_flags(unsigned size, uint64_t r, uint64_t carries, uint64_t overflow)
{
	unsigned top = 8 * size - 1;
	uint64_t f = sign_zero_parity(size, r);

	if (carries >> top & 1)
		f |= FLAG_CF;
	if (carries >> 3 & 1)
		f |= FLAG_AF;
	if (overflow >> top & 1)
		f |= FLAG_OF;
	return f;
}

static uint64_t add(unsigned size, uint64_t a, uint64_t b, unsigned carry, uint64_t *flags)
{
	uint64_t r = (a + b + carry) & emu_mask(size);

	*flags = arithmetic_flags(size, r, (a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r));
	return r;
}

static uint64_t subtract(unsigned size, uint64_t a, uint64_t b, unsigned borrow, uint64_t *flags)
{
	uint64_t r = (a - b - borrow) & emu_mask(size);

	*flags = arithmetic_flags(size, r, (~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r));
	return r;
}

uint64_t emu_alu(enum alu_op op, unsigned size, uint64_t a, uint64_t b, uint64_t *rflags)
{
	unsigned carry = *rflags & FLAG_CF;
	uint64_t flags, r;

	a &= emu_mask(size);
	b &= emu_mask(size);
	switch (op) {
	case ALU_ADD:
	case ALU_ADC:
		r = add(size, a, b, op == ALU_ADC ? carry : 0, &flags);
		break;
	case ALU_SUB:
	case ALU_SBB:
	case ALU_CMP:
		r = subtract(size, a, b, op == ALU_SBB ? carry : 0, &flags);
		break;
	case ALU_INC:
		r = add(size, a, 1, 0, &flags);
		flags = (flags & ~(uint64_t)FLAG_CF) | carry;
		break;
	case ALU_DEC:
		r = subtract(size, a, 1, 0, &flags);
		flags = (flags & ~(uint64_t)FLAG_CF) | carry;
		break;
	case ALU_NEG:
		r = subtract(size, 0, a, 0, &flags);
		break;
	case ALU_NOT:
		return ~a & emu_mask(size);
	default: /* AND, OR, XOR, TEST: CF and OF cleared; AF is undefined, processors clear it */
		r = op == ALU_OR ? a | b : op == ALU_XOR ? a ^ b : a & b;
		flags = sign_zero_parity(size, r);
		break;
	}
	*rflags = (*rflags & ~(uint64_t)FLAGS_STATUS) | flags;
	return r;
}

enum emu_result emu_binary(struct emu_ctx *c, const struct emu_insn *in, enum alu_op op)
{
	bool discard = op == ALU_CMP || op == ALU_TEST;
	uint64_t a, b, r, rflags = c->rflags;
	struct emu_operand dst, src;
	enum emu_result e;

	e = emu_resolve(c, in, 0, discard ? EMU_READ : EMU_WRITE, &dst);
	if (e == EMU_OK)
		e = emu_resolve(c, in, 1, EMU_READ, &src);
	if (e != EMU_OK)
		return e;
	if ((!discard && emu_probe(c, &dst)) || emu_get(c, &dst, &a) || emu_get(c, &src, &b))
		return EMU_FAULT;
	r = emu_alu(op, dst.size, a, b, &rflags);
	if (!discard && emu_set(c, &dst, r))
		return EMU_FAULT;
	c->rflags = rflags;
	return EMU_OK;
}

enum emu_result emu_unary(struct emu_ctx *c, const struct emu_insn *in, enum alu_op op)
{
	uint64_t a, rflags = c->rflags;
	struct emu_operand dst;
	enum emu_result e;

	e = emu_resolve(c, in, 0, EMU_WRITE, &dst);
	if (e != EMU_OK)
		return e;
	if (emu_probe(c, &dst) || emu_get(c, &dst, &a))
		return EMU_FAULT;
	a = emu_alu(op, dst.size, a, 0, &rflags);
	if (emu_set(c, &dst, a))
		return EMU_FAULT;
	c->rflags = rflags;
	return EMU_OK;
}

/* Both operands of an exchange are written; at most one is memory, and that one goes first, because
 * it can fault. */
static enum emu_result resolve_pair(struct emu_ctx *c, const struct emu_insn *in,
				    struct emu_operand *first, struct emu_operand *second)
{
	bool swap = in->op[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
	enum emu_result e = emu_resolve(c, in, swap ? 1 : 0, EMU_WRITE, first);

	return e != EMU_OK ? e : emu_resolve(c, in, swap ? 0 : 1, EMU_WRITE, second);
}

enum emu_result emu_xchg(struct emu_ctx *c, const struct emu_insn *in)
{
	struct emu_operand m, r;
	uint64_t a, b;
	enum emu_result e = resolve_pair(c, in, &m, &r);

	if (e != EMU_OK)
		return e;
	if (emu_probe(c, &m) || emu_get(c, &m, &a) || emu_get(c, &r, &b) || emu_set(c, &m, b))
		return EMU_FAULT;
	emu_set(c, &r, a);
	return EMU_OK;
}

enum emu_result emu_xadd(struct emu_ctx *c, const struct emu_insn *in)
{
	struct emu_operand dst, src;
	uint64_t a, b, sum, rflags = c->rflags;
	enum emu_result e = resolve_pair(c, in, &dst, &src);

	if (e != EMU_OK)
		return e;
	if (emu_probe(c, &dst) || emu_get(c, &dst, &a) || emu_get(c, &src, &b))
		return EMU_FAULT;
	sum = emu_alu(ALU_ADD, dst.size, a, b, &rflags);
	if (dst.kind == OPERAND_MEM && emu_set(c, &dst, sum))
		return EMU_FAULT;
	emu_set(c, &src, a);
	if (dst.kind == OPERAND_REG) /* the sum wins when both are the same register */
		emu_set(c, &dst, sum);
	c->rflags = rflags;
	return EMU_OK;
}

enum emu_result emu_cmpxchg(struct emu_ctx *c, const struct emu_insn *in)
{
	struct emu_operand dst, src;
	uint64_t acc, old, val, rflags = c->rflags;
	enum emu_result e;

	e = emu_resolve(c, in, 0, EMU_WRITE, &dst);
	if (e == EMU_OK)
		e = emu_resolve(c, in, 1, EMU_READ, &src);
	if (e != EMU_OK)
		return e;
	if (emu_probe(c, &dst) || emu_get(c, &dst, &old) || emu_get(c, &src, &val))
		return EMU_FAULT;
	acc = emu_reg_get(c, 0, dst.size);
	emu_alu(ALU_CMP, dst.size, acc, old, &rflags);
	/* The destination gets a write cycle in either case (SDM vol. 2, "CMPXCHG"). */
	if (emu_set(c, &dst, acc == old ? val : old))
		return EMU_FAULT;
	if (acc != old)
		emu_reg_set(c, 0, dst.size, old);
	c->rflags = rflags;
	return EMU_OK;
}

enum emu_result emu_bit(struct emu_ctx *c, const struct emu_insn *in, enum bit_op op)
{
	struct emu_operand dst, number;
	uint64_t val, n, bit;
	enum emu_result e;

	e = emu_resolve(c, in, 0, op == BIT_TEST ? EMU_READ : EMU_WRITE, &dst);
	if (e == EMU_OK)
		e = emu_resolve(c, in, 1, EMU_READ, &number);
	if (e != EMU_OK)
		return e;
	if ((op != BIT_TEST && emu_probe(c, &dst)) || emu_get(c, &dst, &val) ||
	    emu_get(c, &number, &n))
		return EMU_FAULT;
	bit = 1ull << (n & (8 * dst.size - 1));
	/* CF is the old bit; the other flags keep their values (undefined, or unaffected for ZF).
	 */
	if (op != BIT_TEST) {
		uint64_t r = op == BIT_SET ? val | bit : op == BIT_RESET ? val & ~bit : val ^ bit;

		if (emu_set(c, &dst, r))
			return EMU_FAULT;
	}
	c->rflags = (c->rflags & ~(uint64_t)FLAG_CF) | (val & bit ? FLAG_CF : 0);
	return EMU_OK;
}
