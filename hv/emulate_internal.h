/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the instruction emulator share. Functions that return int: 0, or -EFAULT with
 * ctx->fault_* set. */
#pragma once
#include <errno.h>
#include <Zydis/Decoder.h>
#include "hv/emulate.h"

#define FLAG_CF	     (1u << 0)
#define FLAG_PF	     (1u << 2)
#define FLAG_AF	     (1u << 4)
#define FLAG_ZF	     (1u << 6)
#define FLAG_SF	     (1u << 7)
#define FLAG_DF	     (1u << 10)
#define FLAG_OF	     (1u << 11)
#define FLAG_RF	     (1u << 16)
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

struct emu_insn {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* An operand after address calculation: nothing has been accessed yet. */
struct emu_operand {
	enum { OPERAND_REG, OPERAND_MEM, OPERAND_IMM } kind;
	unsigned size;	   /* bytes: 1, 2, 4, 8 */
	ZydisRegister reg; /* OPERAND_REG */
	uint64_t linear;   /* OPERAND_MEM */
	uint64_t imm;	   /* OPERAND_IMM, sign-extended as the instruction does it */
};

enum emu_access { EMU_READ, EMU_WRITE };

static inline uint64_t emu_mask(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

/* --- emulate_operand.c --- */
int emu_fault(struct emu_ctx *c, uint8_t vector, uint32_t error); /* returns -EFAULT */
bool emu_canonical(const struct emu_ctx *c, uint64_t linear);
const struct emu_segment *emu_segment(struct emu_ctx *c, unsigned seg);
/* Segment:offset to linear, with the checks of the mode. */
int emu_linear(struct emu_ctx *c, unsigned seg, uint64_t offset, unsigned size, enum emu_access a,
	       uint64_t *linear);
/* EMU_UNHANDLED if the operand is of a kind that the emulator does not know. */
enum emu_result emu_resolve(struct emu_ctx *c, const struct emu_insn *in, unsigned n,
			    enum emu_access a, struct emu_operand *o);
int emu_get(struct emu_ctx *c, const struct emu_operand *o, uint64_t *val);
int emu_set(struct emu_ctx *c, const struct emu_operand *o, uint64_t val);
/* A write that must not fail once the read has had its side effects. */
int emu_probe(struct emu_ctx *c, const struct emu_operand *o);
uint64_t emu_reg_get(const struct emu_ctx *c, unsigned index, unsigned size);
void emu_reg_set(struct emu_ctx *c, unsigned index, unsigned size, uint64_t val);

/* --- emulate_alu.c --- */
enum alu_op {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
	ALU_TEST,
	ALU_INC,
	ALU_DEC,
	ALU_NEG,
	ALU_NOT
};
/* Result of `size` bytes; the status flags in *rflags become what the processor makes them. */
uint64_t emu_alu(enum alu_op op, unsigned size, uint64_t a, uint64_t b, uint64_t *rflags);
/* The instructions on it; rflags and registers are committed, RIP is the caller's. */
enum emu_result emu_binary(struct emu_ctx *c, const struct emu_insn *in, enum alu_op op);
enum emu_result emu_unary(struct emu_ctx *c, const struct emu_insn *in, enum alu_op op);
enum emu_result emu_xchg(struct emu_ctx *c, const struct emu_insn *in);
enum emu_result emu_xadd(struct emu_ctx *c, const struct emu_insn *in);
enum emu_result emu_cmpxchg(struct emu_ctx *c, const struct emu_insn *in);
enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };
enum emu_result emu_bit(struct emu_ctx *c, const struct emu_insn *in, enum bit_op op);

/* --- emulate_string.c --- */
bool emu_is_string(const struct emu_insn *in);
/* *done: the instruction is complete and RIP may go on. */
enum emu_result emu_string(struct emu_ctx *c, const struct emu_insn *in, bool *done);
