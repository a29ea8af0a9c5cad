/* build: hv/emulate.c hv/emulate_operand.c hv/emulate_alu.c hv/emulate_string.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction emulator against this processor: every form of ordinary instruction is run twice
 * from the same random state, once emulated and once out of a small code buffer; registers, flags
 * and memory must agree.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "test/unit/emulate_machine.h"

struct native {
	uint64_t gpr[16], rflags;
};

static uint8_t *jit;
static uint64_t data[128] __attribute__((aligned(64)));
static struct native shared; /* the code buffer's absolute addresses point here */
static uint64_t saved_rsp;

static uint64_t rnd(void)
{
	static uint64_t s = 0x9e3779b97f4a7c15ull;

	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return s;
}

static unsigned emit(unsigned n, const void *bytes, unsigned count)
{
	memcpy(jit + n, bytes, count);
	return n + count;
}

static unsigned emit_abs(unsigned n, uint64_t v)
{
	return emit(n, &v, 8);
}

/* mov reg, [abs] / mov [abs], reg by way of MOVABS RAX. */
static unsigned emit_load_all(unsigned n)
{
	n = emit(n, "\x48\xa1", 2); /* rax = rflags; push; popf */
	n = emit_abs(n, (uint64_t)&shared.rflags);
	n = emit(n, "\x50\x9d", 2);
	for (unsigned r = 1; r < 16; r++) {
		uint8_t mov[3] = {0x48 | (r >> 3), 0x89, 0xc0 | (r & 7)}; /* mov r, rax */

		if (r == RSP)
			continue;
		n = emit(n, "\x48\xa1", 2);
		n = emit_abs(n, (uint64_t)&shared.gpr[r]);
		n = emit(n, mov, 3);
	}
	n = emit(n, "\x48\xa1", 2);
	return emit_abs(n, (uint64_t)&shared.gpr[RAX]);
}

static unsigned emit_store_all(unsigned n)
{
	n = emit(n, "\x48\xa3", 2);
	n = emit_abs(n, (uint64_t)&shared.gpr[RAX]);
	n = emit(n, "\x9c\x58\x48\xa3", 4); /* pushf; pop rax; [rflags] = rax */
	n = emit_abs(n, (uint64_t)&shared.rflags);
	n = emit(n, "\xfc", 1);
	for (unsigned r = 1; r < 16; r++) {
		uint8_t mov[3] = {0x48 | (r >> 3) << 2, 0x89, 0xc0 | (r & 7) << 3}; /* mov rax, r */

		if (r == RSP)
			continue;
		n = emit(n, mov, 3);
		n = emit(n, "\x48\xa3", 2);
		n = emit_abs(n, (uint64_t)&shared.gpr[r]);
	}
	return n;
}

/* Run one instruction here: all registers but RSP from and to `shared`. */
static void run_native(const uint8_t *insn, unsigned size)
{
	unsigned n = 0;

	/* push rbx, rbp, r12-r15; save rsp (PUSHF needs a stack; the red zone is not ours) */
	n = emit(n, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57", 10);
	n = emit(n, "\x48\x89\xe0\x48\xa3", 5);
	n = emit_abs(n, (uint64_t)&saved_rsp);
	n = emit_load_all(n);
	n = emit(n, insn, size);
	n = emit_store_all(n);
	n = emit(n, "\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 11);
	((void (*)(void))jit)();
}

#define LOGIC	       FLAG_AF
#define BITS_UNDEFINED (FLAGS_STATUS & ~(FLAG_CF | FLAG_ZF))
/* RBX points at the operand; RSI = RBX - 0x40; R12 = RBX - 8*R13 with R13 small; RDI = the other
 * end for strings. */
static const struct form forms[] = {
	F("mov [rbx], cl", 0, 0x88, 0x0b),
	F("mov [rbx], ah", 0, 0x88, 0x23),
	F("mov [rbx], sil", 0, 0x40, 0x88, 0x33),
	F("mov [rbx], r9b", 0, 0x44, 0x88, 0x0b),
	F("mov [rbx], cx", 0, 0x66, 0x89, 0x0b),
	F("mov [rbx], ecx", 0, 0x89, 0x0b),
	F("mov [rbx], rcx", 0, 0x48, 0x89, 0x0b),
	F("mov [rbx], r15d", 0, 0x44, 0x89, 0x3b),
	F("mov [rsi+0x40], edx", 0, 0x89, 0x56, 0x40),
	F("mov [rsi+0x40 d32], edx", 0, 0x89, 0x96, 0x40, 0, 0, 0),
	F("mov [r12+r13*8], r8d", 0, 0x47, 0x89, 0x04, 0xec),
	F("mov [r12+r13*8+0], r8d", 0, 0x47, 0x89, 0x44, 0xec, 0),
	F("mov [rbx+riz], eax", 0, 0x89, 0x04, 0x23),
	F("mov [rbp], eax", 0, 0x89, 0x45, 0x00),
	F("mov dl, [rbx]", 0, 0x8a, 0x13),
	F("mov dh, [rbx]", 0, 0x8a, 0x33),
	F("mov r11b, [rbx]", 0, 0x44, 0x8a, 0x1b),
	F("mov dx, [rbx]", 0, 0x66, 0x8b, 0x13),
	F("mov edx, [rbx]", 0, 0x8b, 0x13),
	F("mov rdx, [rbx]", 0, 0x48, 0x8b, 0x13),
	F("mov ebx, [rbx]", 0, 0x8b, 0x1b),
	F("mov r10, [rsi+0x40]", 0, 0x4c, 0x8b, 0x56, 0x40),
	F("mov eax, ds:[rbx] (segment prefix)", 0, 0x3e, 0x8b, 0x03),
	F("mov [rbx], imm8", 0, 0xc6, 0x03, 0x85),
	F("mov [rbx], imm16", 0, 0x66, 0xc7, 0x03, 0x85, 0x97),
	F("mov [rbx], imm32", 0, 0xc7, 0x03, 0x85, 0x97, 0xa1, 0xb2),
	F("mov qword [rbx], imm32", 0, 0x48, 0xc7, 0x03, 0x85, 0x97, 0xa1, 0xb2),
	F("movnti [rbx], edx", 0, 0x0f, 0xc3, 0x13),
	F("movnti [rbx], rdx", 0, 0x48, 0x0f, 0xc3, 0x13),
	F("movzx edx, byte", 0, 0x0f, 0xb6, 0x13),
	F("movzx dx, byte", 0, 0x66, 0x0f, 0xb6, 0x13),
	F("movzx rdx, word", 0, 0x48, 0x0f, 0xb7, 0x13),
	F("movsx edx, byte", 0, 0x0f, 0xbe, 0x13),
	F("movsx dx, byte", 0, 0x66, 0x0f, 0xbe, 0x13),
	F("movsx rdx, byte", 0, 0x48, 0x0f, 0xbe, 0x13),
	F("movsx rdx, word", 0, 0x48, 0x0f, 0xbf, 0x13),
	F("movsxd rdx, dword", 0, 0x48, 0x63, 0x13),
	F("add [rbx], cl", 0, 0x00, 0x0b),
	F("add [rbx], cx", 0, 0x66, 0x01, 0x0b),
	F("add [rbx], ecx", 0, 0x01, 0x0b),
	F("add [rbx], rcx", 0, 0x48, 0x01, 0x0b),
	F("add cl, [rbx]", 0, 0x02, 0x0b),
	F("add ch, [rbx]", 0, 0x02, 0x2b),
	F("add rcx, [rbx]", 0, 0x48, 0x03, 0x0b),
	F("lock add [rbx], ecx", 0, 0xf0, 0x01, 0x0b),
	F("or [rbx], cl", LOGIC, 0x08, 0x0b),
	F("or [rbx], ecx", LOGIC, 0x09, 0x0b),
	F("or rcx, [rbx]", LOGIC, 0x48, 0x0b, 0x0b),
	F("adc [rbx], cl", 0, 0x10, 0x0b),
	F("adc [rbx], cx", 0, 0x66, 0x11, 0x0b),
	F("adc [rbx], ecx", 0, 0x11, 0x0b),
	F("adc [rbx], rcx", 0, 0x48, 0x11, 0x0b),
	F("adc ecx, [rbx]", 0, 0x13, 0x0b),
	F("sbb [rbx], cl", 0, 0x18, 0x0b),
	F("sbb [rbx], ecx", 0, 0x19, 0x0b),
	F("sbb [rbx], rcx", 0, 0x48, 0x19, 0x0b),
	F("sbb cx, [rbx]", 0, 0x66, 0x1b, 0x0b),
	F("and [rbx], cl", LOGIC, 0x20, 0x0b),
	F("and [rbx], ecx", LOGIC, 0x21, 0x0b),
	F("and rcx, [rbx]", LOGIC, 0x48, 0x23, 0x0b),
	F("sub [rbx], cl", 0, 0x28, 0x0b),
	F("sub [rbx], cx", 0, 0x66, 0x29, 0x0b),
	F("sub [rbx], rcx", 0, 0x48, 0x29, 0x0b),
	F("sub ecx, [rbx]", 0, 0x2b, 0x0b),
	F("xor [rbx], cl", LOGIC, 0x30, 0x0b),
	F("xor [rbx], ecx", LOGIC, 0x31, 0x0b),
	F("xor rcx, [rbx]", LOGIC, 0x48, 0x33, 0x0b),
	F("cmp [rbx], cl", 0, 0x38, 0x0b),
	F("cmp [rbx], ecx", 0, 0x39, 0x0b),
	F("cmp [rbx], rcx", 0, 0x48, 0x39, 0x0b),
	F("cmp ecx, [rbx]", 0, 0x3b, 0x0b),
	F("add byte [rbx], imm8", 0, 0x80, 0x03, 0x91),
	F("or dword [rbx], imm32", LOGIC, 0x81, 0x0b, 1, 2, 3, 0x84),
	F("adc qword [rbx], imm32", 0, 0x48, 0x81, 0x13, 1, 2, 3, 0x84),
	F("sbb word [rbx], imm16", 0, 0x66, 0x81, 0x1b, 1, 0x82),
	F("and dword [rbx], imm8", LOGIC, 0x83, 0x23, 0xf1),
	F("sub qword [rbx], imm8", 0, 0x48, 0x83, 0x2b, 0xf1),
	F("xor dword [rbx], imm8", LOGIC, 0x83, 0x33, 0x71),
	F("cmp dword [rbx], imm8", 0, 0x83, 0x3b, 0xf1),
	F("cmp byte [rbx], imm8", 0, 0x80, 0x3b, 0xf1),
	F("test [rbx], cl", LOGIC, 0x84, 0x0b),
	F("test [rbx], ecx", LOGIC, 0x85, 0x0b),
	F("test [rbx], rcx", LOGIC, 0x48, 0x85, 0x0b),
	F("test byte [rbx], imm8", LOGIC, 0xf6, 0x03, 0x95),
	F("test dword [rbx], imm32", LOGIC, 0xf7, 0x03, 1, 2, 3, 0x84),
	F("not byte [rbx]", 0, 0xf6, 0x13),
	F("not dword [rbx]", 0, 0xf7, 0x13),
	F("not qword [rbx]", 0, 0x48, 0xf7, 0x13),
	F("neg byte [rbx]", 0, 0xf6, 0x1b),
	F("neg dword [rbx]", 0, 0xf7, 0x1b),
	F("neg qword [rbx]", 0, 0x48, 0xf7, 0x1b),
	F("inc byte [rbx]", 0, 0xfe, 0x03),
	F("inc word [rbx]", 0, 0x66, 0xff, 0x03),
	F("inc dword [rbx]", 0, 0xff, 0x03),
	F("dec byte [rbx]", 0, 0xfe, 0x0b),
	F("dec dword [rbx]", 0, 0xff, 0x0b),
	F("dec qword [rbx]", 0, 0x48, 0xff, 0x0b),
	F("xchg [rbx], cl", 0, 0x86, 0x0b),
	F("xchg [rbx], bh", 0, 0x86, 0x3b),
	F("xchg [rbx], cx", 0, 0x66, 0x87, 0x0b),
	F("xchg [rbx], ecx", 0, 0x87, 0x0b),
	F("xchg [rbx], rcx", 0, 0x48, 0x87, 0x0b),
	F("xadd [rbx], cl", 0, 0x0f, 0xc0, 0x0b),
	F("xadd [rbx], ecx", 0, 0x0f, 0xc1, 0x0b),
	F("xadd [rbx], rcx", 0, 0x48, 0x0f, 0xc1, 0x0b),
	F("lock xadd [rbx], ecx", 0, 0xf0, 0x0f, 0xc1, 0x0b),
	F("xadd dl, cl", 0, 0x0f, 0xc0, 0xca),
	F("xadd cl, cl", 0, 0x0f, 0xc0, 0xc9),
	F("cmpxchg [rbx], cl", 0, 0x0f, 0xb0, 0x0b),
	F("cmpxchg [rbx], cx", 0, 0x66, 0x0f, 0xb1, 0x0b),
	F("cmpxchg [rbx], ecx", 0, 0x0f, 0xb1, 0x0b),
	F("cmpxchg [rbx], rcx", 0, 0x48, 0x0f, 0xb1, 0x0b),
	F("lock cmpxchg [rbx], ecx", 0, 0xf0, 0x0f, 0xb1, 0x0b),
	F("bt dword [rbx], imm8", BITS_UNDEFINED, 0x0f, 0xba, 0x23, 0x25),
	F("bts word [rbx], imm8", BITS_UNDEFINED, 0x66, 0x0f, 0xba, 0x2b, 0x0d),
	F("btr dword [rbx], imm8", BITS_UNDEFINED, 0x0f, 0xba, 0x33, 0x1f),
	F("btc qword [rbx], imm8", BITS_UNDEFINED, 0x48, 0x0f, 0xba, 0x3b, 0x3f),
	F("bt [rbx], r8d", BITS_UNDEFINED, 0x44, 0x0f, 0xa3, 0x03),
	F("bts [rbx], r8d", BITS_UNDEFINED, 0x44, 0x0f, 0xab, 0x03),
	F("btr [rbx], r8w", BITS_UNDEFINED, 0x66, 0x44, 0x0f, 0xb3, 0x03),
	F("btc [rbx], r8", BITS_UNDEFINED, 0x4c, 0x0f, 0xbb, 0x03),
	F("lock bts [rbx], r8", BITS_UNDEFINED, 0xf0, 0x4c, 0x0f, 0xab, 0x03),
	F("movsb", 0, 0xa4),
	F("movsw", 0, 0x66, 0xa5),
	F("movsd", 0, 0xa5),
	F("movsq", 0, 0x48, 0xa5),
	F("stosb", 0, 0xaa),
	F("stosd", 0, 0xab),
	F("stosq", 0, 0x48, 0xab),
	F("lodsb", 0, 0xac),
	F("lodsw", 0, 0x66, 0xad),
	F("lodsd", 0, 0xad),
	F("cmpsb", 0, 0xa6),
	F("cmpsd", 0, 0xa7),
	F("scasb", 0, 0xae),
	F("scasw", 0, 0x66, 0xaf),
	F("scasq", 0, 0x48, 0xaf),
	F("rep movsb", 0, 0xf3, 0xa4),
	F("repne movsd", 0, 0xf2, 0xa5),
	F("rep stosw", 0, 0x66, 0xf3, 0xab),
	F("rep lodsq", 0, 0xf3, 0x48, 0xad),
	F("repe cmpsb", 0, 0xf3, 0xa6),
	F("repne cmpsw", 0, 0x66, 0xf2, 0xa7),
	F("repe scasd", 0, 0xf3, 0xaf),
	F("repne scasb", 0, 0xf2, 0xae),
	F("mov ecx, ebx (registers only)", 0, 0x89, 0xd9),
	F("mov r9, imm64", 0, 0x49, 0xb9, 1, 2, 3, 4, 5, 6, 7, 0x88),
	F("mov edx, imm32", 0, 0xba, 1, 2, 3, 0x84),
};

static void random_state(struct native *s)
{
	static const uint64_t corners[] = {0,
					   1,
					   0x7f,
					   0x80,
					   0xff,
					   0x7fff,
					   0x8000,
					   0x7fffffff,
					   0x80000000,
					   0xffffffff,
					   0x7fffffffffffffffull,
					   0x8000000000000000ull,
					   UINT64_MAX};
	uint64_t operand = (uint64_t)&data[48] + rnd() % 8;

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = rnd() & 1 ? rnd() : corners[rnd() % 13];
	for (unsigned i = 0; i < 128; i++)
		data[i] = rnd() & 3 ? rnd() : corners[rnd() % 13];
	if (rnd() & 1) /* equal operands: CMPXCHG succeeds, CMP sets ZF, REPE goes on */
		memcpy(&s->gpr[RAX], (void *)operand, 8); /* NOLINT */
	if (rnd() & 1)
		memset(&data[32], (int)(s->gpr[RAX] & 0xff), 256);
	s->gpr[RBX] = operand;
	s->gpr[RBP] = operand;
	s->gpr[RSI] = operand - 0x40;
	s->gpr[RDI] = operand + 0x40;
	s->gpr[R13] = rnd() % 64;
	s->gpr[R12] = operand - 8 * s->gpr[R13];
	s->gpr[R8] = rnd() % 512 - 256; /* bit offset, both ways */
	s->rflags = FLAGS_FIXED | (rnd() & FLAGS_STATUS) | (rnd() & 1 ? FLAG_DF : 0);
}

static bool is_rep(const struct form *f)
{
	return strncmp(f->name, "rep", 3) == 0;
}

static bool same_as_here(const struct form *f, char *why, size_t why_size)
{
	struct native start, want;
	uint64_t data_start[128], data_want[128];
	struct machine m;
	uint64_t flags_mask = (FLAGS_STATUS | FLAG_DF) & ~f->undefined;

	random_state(&start);
	if (is_rep(f))
		start.gpr[RCX] = rnd() % 12;
	memcpy(data_start, data, sizeof(data));
	shared = start;
	run_native(f->code, f->size);
	want = shared;
	memcpy(data_want, data, sizeof(data));
	memcpy(data, data_start, sizeof(data));

	machine_init(&m, 64, f->code, f->size);
	memcpy(m.gpr, start.gpr, sizeof(m.gpr));
	m.c.rflags = start.rflags;
	if (emulate(&m.c) != EMU_OK || m.c.rip != 0x1000u + f->size) {
		(void)snprintf(why, why_size, "%s: not carried out", f->name);
		return false;
	}
	if ((m.c.rflags ^ want.rflags) & flags_mask) {
		(void)snprintf(why, why_size, "%s: flags %#llx, processor %#llx", f->name,
			       (unsigned long long)m.c.rflags, (unsigned long long)want.rflags);
		return false;
	}
	for (unsigned i = 0; i < 16; i++) {
		if (i != RSP && m.gpr[i] != want.gpr[i]) {
			(void)snprintf(why, why_size, "%s: register %u is %#llx, processor %#llx",
				       f->name, i, (unsigned long long)m.gpr[i],
				       (unsigned long long)want.gpr[i]);
			return false;
		}
	}
	if (memcmp(data, data_want, sizeof(data)) != 0) {
		(void)snprintf(why, why_size, "%s: memory differs", f->name);
		return false;
	}
	return true;
}

static void results_and_flags_are_the_processors(void)
{
	char why[160];

	jit = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (!CHECK(jit != MAP_FAILED))
		return;
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		for (unsigned n = 0; n < 400; n++) {
			if (!same_as_here(&forms[i], why, sizeof(why))) {
				check_fail(__FILE__, __LINE__, why);
				break;
			}
		}
	}
	munmap(jit, 4096);
}

int main(void)
{
	RUN(results_and_flags_are_the_processors);
	return check_result();
}
