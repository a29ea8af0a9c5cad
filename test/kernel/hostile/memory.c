// SPDX-License-Identifier: GPL-2.0-or-later
/* Accesses to what is not the guest's memory, by all kinds of instructions. */
#include "test/kernel/hostile/hostile.h"

static uint64_t ranges[64][2]; /* base, size of what is worth poking */
static unsigned n_ranges;

/* --- where to poke: the board's registers, what E820 leaves out or reserves, and holes --- */

static void add_range(uint64_t base, uint64_t size)
{
	if (n_ranges < 64 && size && base + size <= 1ull << 32) {
		ranges[n_ranges][0] = base;
		ranges[n_ranges++][1] = size;
	}
}

void find_ranges(void)
{
	static const uint64_t board[][2] = {{0xfec00020, 0xfe0},  {0xfed00000, 0x400},
					    {0xfee00000, 0x1000}, {0xfc000000, 0x100000},
					    {0xa0000, 0x20000},	  {0xfff00000, 0x100000}};
	uint64_t end = 0x100000;

	for (unsigned i = 0; i < sizeof(board) / sizeof(board[0]); i++)
		add_range(board[i][0], board[i][1]);
	for (unsigned i = 0; i < e820_count(); i++) {
		const struct e820 *e = e820_entry(i);

		if (e->addr < 0x100000)
			continue;
		if (e->addr > end)
			add_range(end, e->addr - end);
		if (e->type != 1)
			add_range(e->addr, e->size);
		if (e->addr + e->size > end)
			end = e->addr + e->size;
	}
	for (unsigned i = 0; i < n_ranges; i++)
		print("hostile: range %lx size %lx\n", ranges[i][0], ranges[i][1]);
}

/* --- MMIO --- */

void mmio_access(void *arg)
{
	const struct access *a = arg;
	uint64_t p = a->addr, v = a->value;

	switch (a->kind % MMIO_KINDS) {
	case 0:
		asm volatile("movb (%0), %%al" : : "r"(p) : "rax", "memory");
		break;
	case 1:
		asm volatile("movw (%0), %%ax" : : "r"(p) : "rax", "memory");
		break;
	case 2:
	case 3:
		asm volatile("movl (%0), %%eax" : : "r"(p) : "rax", "memory");
		break;
	case 4:
		asm volatile("movq (%0), %%rax" : : "r"(p) : "rax", "memory");
		break;
	case 5:
		asm volatile("movb %b1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 6:
		asm volatile("movw %w1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 7:
	case 8:
		asm volatile("movl %k1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 9:
		asm volatile("movq %1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 10:
		asm volatile("lock xaddl %k1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 11:
		asm volatile("lock cmpxchgl %k1, (%0)" : : "r"(p), "r"(v) : "rax", "memory");
		break;
	case 12:
		asm volatile("btsl %k1, (%0)" : : "r"(p), "r"(v & 31) : "memory");
		break;
	case 13:
		asm volatile("xchgl %k1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 14:
		asm volatile("addq %1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 15:
		asm volatile("pushq (%0); pop %%rax" : : "r"(p) : "rax", "memory");
		break;
	case 16:
		asm volatile("lock cmpxchg16b (%0)"
			     :
			     : "r"(p & ~15ull)
			     : "rax", "rbx", "rcx", "rdx", "memory");
		break;
	case 17:
		asm volatile("lgdt (%0)" : : "r"(v | 1ull << 62) : "memory"); /* not canonical */
		break;
	case 18:
		asm volatile("movl (%0), %%eax; jmp *%0" : : "r"(p) : "rax", "memory");
		break;
	case 19: {
		uint64_t n = v % 100;
		void *to = (void *)p;
		const void *from = boot_params;

		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	}
	case 20: {
		uint64_t n = v % 1000;
		void *to = (void *)p;

		asm volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory");
		break;
	}
	case 21:
		asm volatile("movzbl (%0), %%eax; movsbl (%0), %%eax" : : "r"(p) : "rax", "memory");
		break;
	case 22:
		asm volatile("notl (%0); negl (%0); incl (%0); decl (%0)" : : "r"(p) : "memory");
		break;
	case 23:
		asm volatile("shll $3, (%0)" : : "r"(p) : "memory");
		break;
	case 24:
		asm volatile("fldl (%0)" : : "r"(p) : "memory");
		break;
	case 25:
		asm volatile("movnti %1, (%0)" : : "r"(p), "r"(v) : "memory");
		break;
	case 26:
		asm volatile("mull (%0); divl (%0)" : : "r"(p) : "rax", "rdx", "memory");
		break;
	default:
		asm volatile("cmpsb" : : "S"(p), "D"(p) : "memory");
		break;
	}
}

#define REGISTERS 0x400

void mmio(void)
{
	struct access a = {.kind = (unsigned)rnd(), .value = rnd()};
	unsigned r = (unsigned)(rnd() % n_ranges);
	uint64_t size = ranges[r][1];

	if (rnd() & 1) /* most registers are near the start */
		size = size < REGISTERS ? size : REGISTERS;
	a.addr = ranges[r][0] + rnd() % size;
	if (rnd() & 1)
		a.addr &= ~15ull;
	if (rnd() & 1)
		a.value &= 0x1ffff; /* more often a valid one */
	run(mmio_access, &a);
}
