/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instruction emulation for MMIO and string I/O. Decoding is Zydis'; what is carried out is what compilers and
 * Linux use on device memory: MOV (all forms with a memory operand, incl. MOVABS), MOVZX, MOVSX(D), MOVS, STOS, LODS, CMPS?, AND, OR,
 * XOR, ADD, SUB, CMP, TEST, XCHG, NOT, INC/DEC, BT/BTS/BTR/BTC, XADD, CMPXCHG, PUSH/POP are not; INS and OUTS with REP.
 * Anything else: EMU_UNHANDLED, and the caller reports it and injects #UD.
 *
 * Pure: all contact with the machine goes through struct emu_ops. Commits or restarts, never half-way: registers
 * change only when the iteration's memory accesses have succeeded. A REP instruction stops after EMU_REP_MAX iterations
 * with RIP unchanged (it restarts and goes on), so an exit stays bounded.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define EMU_REP_MAX 64
#define EMU_INSN_MAX 15

enum emu_result {
	EMU_OK,        /* done, RIP advanced (or a REP in progress, RIP unchanged) */
	EMU_FAULT,     /* ctx->fault_vector/error/cr2 say what to inject; registers as before (REP: completed iterations kept) */
	EMU_UNHANDLED, /* not an instruction we carry out; nothing changed */
};

enum emu_seg { EMU_ES, EMU_CS, EMU_SS, EMU_DS, EMU_FS, EMU_GS };

struct emu_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t attr;   /* VMX access-rights layout, bits 0-15 (type, S, DPL, P, AVL, L, D/B, G) */
	bool unusable;
};

struct emu_ctx;

/* Guest-linear memory and ports. Return 0, or -EFAULT with ctx->fault_* filled in (page fault). sizes 1, 2, 4, 8 (fetch: any <= 15). */
struct emu_ops {
	int (*fetch)(struct emu_ctx *c, uint64_t linear, void *buf, unsigned size); /* may return a count < size at a fault: see emulate.c */
	int (*read)(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t *val);  /* RAM or MMIO */
	int (*write)(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t val);
	int (*probe_write)(struct emu_ctx *c, uint64_t linear, unsigned size); /* would a write fault? for read-modify-write and REP INS */
	uint32_t (*io_read)(struct emu_ctx *c, uint16_t port, unsigned size);
	void (*io_write)(struct emu_ctx *c, uint16_t port, unsigned size, uint32_t val);
};

struct emu_ctx {
	const struct emu_ops *ops;
	void *opaque;            /* the vCPU */
	uint64_t *gpr;           /* [16], RAX..R15 in encoding order */
	uint64_t rip, rflags;
	struct emu_segment seg[6];
	unsigned bits;           /* default operand/address mode of CS: 16, 32, 64 */
	unsigned cpl;
	bool protected_mode;     /* CR0.PE and not VM86 */
	uint8_t fault_vector;
	bool fault_has_error;
	uint32_t fault_error;
	uint64_t cr2;            /* valid when fault_vector == 14 */
};

enum emu_result emulate(struct emu_ctx *c);
/* Length of the instruction at RIP (1..15), or 0 if it can't be fetched or decoded; *mnemonic (Zydis) may be NULL. */
unsigned emulate_length(struct emu_ctx *c, unsigned *mnemonic);
