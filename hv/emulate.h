/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instruction emulation for MMIO and string I/O. Decoding is Zydis'; what is carried out is what
 * compilers and Linux use on device memory, with register, immediate and memory operands of 8, 16,
 * 32 and 64 bits: MOV (88-8B, A0-A3, B0-BF, C6, C7), MOVNTI, MOVZX, MOVSX, MOVSXD ADD, ADC, SUB,
 * SBB, CMP, AND, OR, XOR, TEST, NOT, NEG, INC, DEC XCHG, XADD, CMPXCHG, BT, BTS, BTR, BTC MOVS,
 * STOS, LODS, CMPS, SCAS, INS, OUTS with REP/REPE/REPNE Anything else (moves to and from segment
 * registers, PUSH/POP, shifts, x87/SSE/AVX, control transfers) is EMU_UNHANDLED, and the caller
 * reports it and injects #UD. Not modelled: #AC, and data breakpoints.
 *
 * Pure: all contact with the machine goes through struct emu_ops. Commits or restarts, never
 * half-way: registers change only when the iteration's memory accesses have succeeded. A REP
 * instruction stops after EMU_REP_MAX iterations with RIP unchanged (it restarts and goes on), so
 * an exit stays bounded. Read-modify-write is not atomic: its destination is a device.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define EMU_REP_MAX  64
#define EMU_INSN_MAX 15

enum emu_result {
	EMU_OK,	       /* done, RIP advanced (or a REP in progress, RIP unchanged) */
	EMU_FAULT,     /* ctx->fault_vector/error/cr2 say what to inject; registers as before (REP:
			  completed iterations kept) */
	EMU_UNHANDLED, /* not an instruction we carry out; nothing changed */
};

enum emu_seg { EMU_ES, EMU_CS, EMU_SS, EMU_DS, EMU_FS, EMU_GS };

struct emu_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t attr; /* VMX access-rights layout, bits 0-15 (type, S, DPL, P, AVL, L, D/B, G) */
	bool unusable;
};

struct emu_ctx;

/* Guest-linear memory and ports. Return 0, or -EFAULT with ctx->fault_* filled in (page fault).
 * Sizes 1, 2, 4, 8. */
struct emu_ops {
	/* Up to 15 bytes of code: how many could be read (1..size), or -EFAULT if not even the
	 * first. */
	int (*fetch)(struct emu_ctx *c, uint64_t linear, void *buf, unsigned size);
	int (*read)(struct emu_ctx *c, uint64_t linear, unsigned size,
		    uint64_t *val); /* RAM or MMIO */
	int (*write)(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t val);
	int (*probe_write)(
		struct emu_ctx *c, uint64_t linear,
		unsigned size); /* would a write fault? for read-modify-write and REP INS */
	uint32_t (*io_read)(struct emu_ctx *c, uint16_t port, unsigned size);
	void (*io_write)(struct emu_ctx *c, uint16_t port, unsigned size, uint32_t val);
	void (*segment)(struct emu_ctx *c,
			unsigned seg); /* fill c->seg[seg]; asked once, when first needed */
};

struct emu_ctx {
	const struct emu_ops *ops;
	void *opaque;  /* the vCPU */
	uint64_t *gpr; /* [16], RAX..R15 in encoding order */
	uint64_t rip, rflags;
	struct emu_segment seg[6];
	uint8_t seg_loaded; /* bit n: seg[n] is filled in */
	unsigned bits;	    /* default operand/address mode of CS: 16, 32, 64 */
	unsigned cpl;
	bool protected_mode; /* CR0.PE and not VM86 */
	bool la57;	     /* 57-bit linear addresses */
	bool io_allowed;     /* INS and OUTS may be carried out (privilege has been checked) */
	uint8_t insn[EMU_INSN_MAX]; /* the bytes at RIP, for reports */
	uint8_t insn_bytes;	    /* how many of them were fetched */
	bool one_operand; /* set before the ops are called: all accesses are to one memory operand
			   */
	uint8_t fault_vector;
	bool fault_has_error;
	uint32_t fault_error;
	uint64_t cr2; /* valid when fault_vector == 14 */
};

enum emu_result emulate(struct emu_ctx *c);
/* Length of the instruction at RIP (1..15), or 0 if it can't be fetched or decoded; *mnemonic
 * (Zydis) may be NULL. */
unsigned emulate_length(struct emu_ctx *c, unsigned *mnemonic);

/* --- for a vCPU (hv/vcpu_emulate.c) --- */
struct vcpu;
/*
 * Emulate the instruction at RIP. EMU_OK: registers and RIP are updated. EMU_FAULT: the fault is
 * injected. EMU_UNHANDLED: nothing has happened; the caller reports it and injects #UD. For exits
 * whose I/O privilege the processor has checked (string I/O).
 */
enum emu_result vcpu_emulate(struct vcpu *v);
/* Length of the instruction at RIP; 0 if it can't be fetched or decoded (nothing is injected). */
unsigned vcpu_insn_length(struct vcpu *v);
