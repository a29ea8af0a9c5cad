// SPDX-License-Identifier: GPL-2.0-or-later
/* Instruction emulation: fetch, decode, dispatch. The contract is in hv/emulate.h. */
#include <string.h>
#include "hv/emulate_internal.h"

#define VECTOR_GP 13

/* Fill c->insn with what can be read at RIP. Bytes past the code segment's limit or behind a page
 * fault are missing. */
static enum emu_result fetch(struct emu_ctx *c)
{
	unsigned want = EMU_INSN_MAX;
	uint64_t linear = c->rip;
	int n;

	c->insn_bytes = 0;
	memset(c->insn, 0, sizeof(c->insn));
	if (c->bits != 64) {
		const struct emu_segment *cs = emu_segment(c, EMU_CS);

		if (c->rip > cs->limit) {
			emu_fault(c, VECTOR_GP, 0);
			return EMU_FAULT;
		}
		if (cs->limit - c->rip < want - 1)
			want = (unsigned)(cs->limit - c->rip) + 1;
		linear = (uint32_t)(cs->base + c->rip);
	} else if (!emu_canonical(c, linear)) {
		emu_fault(c, VECTOR_GP, 0);
		return EMU_FAULT;
	}
	n = c->ops->fetch(c, linear, c->insn, want);
	if (n <= 0)
		return EMU_FAULT;
	c->insn_bytes = (uint8_t)n;
	return EMU_OK;
}

/* The instruction goes on where the fetch stopped: why did it stop? */
static enum emu_result fetch_ran_out(struct emu_ctx *c)
{
	uint64_t next = c->rip + c->insn_bytes;
	uint8_t byte;

	if (c->insn_bytes < EMU_INSN_MAX) {
		if (c->bits != 64) {
			const struct emu_segment *cs = emu_segment(c, EMU_CS);

			if (next > cs->limit) {
				emu_fault(c, VECTOR_GP, 0);
				return EMU_FAULT;
			}
			next = (uint32_t)(cs->base + next);
		}
		if (c->ops->fetch(c, next, &byte, 1) < 0)
			return EMU_FAULT;
		return EMU_OK; /* it has been mapped meanwhile: restart */
	}
	emu_fault(c, VECTOR_GP, 0); /* longer than 15 bytes (SDM vol. 3, "#GP") */
	return EMU_FAULT;
}

static void decoder_init(const struct emu_ctx *c, ZydisDecoder *d)
{
	if (c->bits == 64)
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (c->bits == 32)
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

/* The general registers of 64-bit code's MOV, as its ModRM byte encodes them. */
struct mov {
	unsigned length, size, reg;
	unsigned seg;
	uint64_t address;
	bool store, immediate;
	uint64_t imm;
};

static int32_t load32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * MOV between a 32- or 64-bit register (or immediate) and memory in 64-bit code, without prefixes
 * other than REX: what Linux's readl and writel compile to. Worth a decoder of its own, because
 * every access to the local APIC is one.
 */
static bool decode_mov(const struct emu_ctx *c, struct mov *m)
{
	const uint8_t *p = c->insn;
	unsigned rex = 0, mod, rm, i = 0;
	uint8_t opcode;

	if ((p[i] & 0xf0) == 0x40)
		rex = p[i++];
	opcode = p[i++];
	mod = p[i] >> 6;
	rm = p[i] & 7;
	m->reg = (p[i] >> 3 & 7) | (rex & 4) << 1;
	i++;
	m->immediate = opcode == 0xc7;
	if ((opcode != 0x89 && opcode != 0x8b && !m->immediate) || mod == 3 ||
	    (m->immediate && (m->reg & 7)))
		return false;
	m->store = opcode != 0x8b;
	m->size = rex & 8 ? 8 : 4;
	m->seg = EMU_DS;
	m->address = 0;
	if (rm == 4) {
		unsigned sib = p[i++], base = sib & 7, index = (sib >> 3 & 7) | (rex & 2) << 2;

		if (index != 4)
			m->address = c->gpr[index] << (sib >> 6);
		if (base == 5 && mod == 0) {
			mod = 2; /* no base, 32-bit displacement */
		} else {
			m->address += c->gpr[base | (rex & 1) << 3];
			if ((base == 4 || base == 5) && !(rex & 1))
				m->seg = EMU_SS;
		}
	} else if (rm == 5 && mod == 0) {
		mod = 2;
		m->address = c->rip + i + 4 + (m->immediate ? 4 : 0);
	} else {
		m->address = c->gpr[rm | (rex & 1) << 3];
		if (rm == 5 && !(rex & 1))
			m->seg = EMU_SS;
	}
	if (mod == 1) {
		m->address += (uint64_t)(int8_t)p[i++];
	} else if (mod == 2) {
		m->address += (uint64_t)load32(p + i);
		i += 4;
	}
	if (m->immediate) {
		m->imm = (uint64_t)load32(p + i);
		i += 4;
	}
	m->length = i;
	return m->length <= c->insn_bytes;
}

static enum emu_result carry_out_mov(struct emu_ctx *c, const struct mov *m)
{
	uint64_t linear, val;

	if (emu_linear(c, m->seg, m->address, m->size, m->store ? EMU_WRITE : EMU_READ, &linear))
		return EMU_FAULT;
	if (m->store) {
		val = (m->immediate ? m->imm : c->gpr[m->reg]) & emu_mask(m->size);
		if (c->ops->write(c, linear, m->size, val))
			return EMU_FAULT;
	} else {
		if (c->ops->read(c, linear, m->size, &val))
			return EMU_FAULT;
		emu_reg_set(c, m->reg, m->size, val);
	}
	return EMU_OK;
}

static enum emu_result mov(struct emu_ctx *c, const struct emu_insn *in)
{
	struct emu_operand dst, src;
	enum emu_result e;
	uint64_t val;

	e = emu_resolve(c, in, 0, EMU_WRITE, &dst);
	if (e == EMU_OK)
		e = emu_resolve(c, in, 1, EMU_READ, &src);
	if (e != EMU_OK)
		return e;
	if (emu_get(c, &src, &val))
		return EMU_FAULT;
	if (in->z.mnemonic == ZYDIS_MNEMONIC_MOVSX || in->z.mnemonic == ZYDIS_MNEMONIC_MOVSXD)
		val = (uint64_t)((int64_t)(val << (64 - 8 * src.size)) >> (64 - 8 * src.size));
	return emu_set(c, &dst, val) ? EMU_FAULT : EMU_OK;
}

/* clang-format off */
static enum emu_result execute(struct emu_ctx *c, const struct emu_insn *in)
{
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:  return mov(c, in);
	case ZYDIS_MNEMONIC_ADD:     return emu_binary(c, in, ALU_ADD);
	case ZYDIS_MNEMONIC_OR:      return emu_binary(c, in, ALU_OR);
	case ZYDIS_MNEMONIC_ADC:     return emu_binary(c, in, ALU_ADC);
	case ZYDIS_MNEMONIC_SBB:     return emu_binary(c, in, ALU_SBB);
	case ZYDIS_MNEMONIC_AND:     return emu_binary(c, in, ALU_AND);
	case ZYDIS_MNEMONIC_SUB:     return emu_binary(c, in, ALU_SUB);
	case ZYDIS_MNEMONIC_XOR:     return emu_binary(c, in, ALU_XOR);
	case ZYDIS_MNEMONIC_CMP:     return emu_binary(c, in, ALU_CMP);
	case ZYDIS_MNEMONIC_TEST:    return emu_binary(c, in, ALU_TEST);
	case ZYDIS_MNEMONIC_INC:     return emu_unary(c, in, ALU_INC);
	case ZYDIS_MNEMONIC_DEC:     return emu_unary(c, in, ALU_DEC);
	case ZYDIS_MNEMONIC_NEG:     return emu_unary(c, in, ALU_NEG);
	case ZYDIS_MNEMONIC_NOT:     return emu_unary(c, in, ALU_NOT);
	case ZYDIS_MNEMONIC_XCHG:    return emu_xchg(c, in);
	case ZYDIS_MNEMONIC_XADD:    return emu_xadd(c, in);
	case ZYDIS_MNEMONIC_CMPXCHG: return emu_cmpxchg(c, in);
	case ZYDIS_MNEMONIC_BT:      return emu_bit(c, in, BIT_TEST);
	case ZYDIS_MNEMONIC_BTS:     return emu_bit(c, in, BIT_SET);
	case ZYDIS_MNEMONIC_BTR:     return emu_bit(c, in, BIT_RESET);
	case ZYDIS_MNEMONIC_BTC:     return emu_bit(c, in, BIT_COMPLEMENT);
	default:                     return EMU_UNHANDLED;
	}
}
/* clang-format on */

static void retire(struct emu_ctx *c, unsigned length)
{
	c->rip += length;
	if (c->bits != 64)
		c->rip = (uint32_t)c->rip;
	c->rflags &= ~(uint64_t)FLAG_RF;
}

static enum emu_result decode_and_execute(struct emu_ctx *c)
{
	struct emu_insn in;
	ZydisDecoder d;
	enum emu_result e;
	bool done = true;
	ZyanStatus s;

	decoder_init(c, &d);
	s = ZydisDecoderDecodeFull(&d, c->insn, c->insn_bytes, &in.z, in.op);
	if (s == ZYDIS_STATUS_NO_MORE_DATA || s == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return fetch_ran_out(c);
	if (!ZYAN_SUCCESS(s))
		return EMU_UNHANDLED;
	c->one_operand = !emu_is_string(&in);
	e = c->one_operand ? execute(c, &in) : emu_string(c, &in, &done);
	if (e == EMU_OK && done)
		retire(c, in.z.length);
	return e;
}

enum emu_result emulate(struct emu_ctx *c)
{
	enum emu_result e = fetch(c);
	struct mov m;

	if (e != EMU_OK)
		return e;
	if (c->bits == 64 && decode_mov(c, &m)) {
		c->one_operand = true;
		e = carry_out_mov(c, &m);
		if (e == EMU_OK)
			retire(c, m.length);
		return e;
	}
	return decode_and_execute(c);
}

/* Instructions that exit all the time, without prefixes; the rest is Zydis'. */
static unsigned known_length(const uint8_t *p)
{
	switch (p[0]) {
	case 0xf4: /* HLT */
	case 0xec: /* IN, OUT with DX */
	case 0xed:
	case 0xee:
	case 0xef:
		return 1;
	case 0xe4: /* IN, OUT with an immediate port */
	case 0xe5:
	case 0xe6:
	case 0xe7:
		return 2;
	case 0x0f: /* CPUID, RDMSR, WRMSR */
		return p[1] == 0xa2 || p[1] == 0x32 || p[1] == 0x30 ? 2 : 0;
	default:
		return 0;
	}
}

unsigned emulate_length(struct emu_ctx *c, unsigned *mnemonic)
{
	ZydisDecodedInstruction z;
	ZydisDecoder d;
	unsigned known;

	if (fetch(c) != EMU_OK)
		return 0;
	known = mnemonic ? 0 : known_length(c->insn);
	if (known && known <= c->insn_bytes)
		return known;
	decoder_init(c, &d);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, c->insn, c->insn_bytes, &z)))
		return 0;
	if (mnemonic)
		*mnemonic = z.mnemonic;
	return z.length;
}
