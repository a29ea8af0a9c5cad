/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDT and TSS: flat 64-bit segments and, per CPU, the IST stacks (SDM vol. 3, 8.7). */
#include <string.h>
#include "arch/x86_64/internal.h"
#include "hv/log.h"

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* IST1 first */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "64-bit TSS");

struct gdt_page {
	uint64_t gdt[5]; /* null, code, data, TSS (two entries) */
	uint64_t pad[3];
	struct tss tss;
};

#define DESC_CODE64 0x00af9b000000ffffull
#define DESC_DATA   0x00cf93000000ffffull
#define DESC_TSS    0x0000890000000000ull /* available 64-bit TSS, present */

_Static_assert(SEL_CODE == 1 * 8 && SEL_DATA == 2 * 8 && SEL_TSS == 3 * 8, "selectors index gdt[]");

struct table_reg {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

void gdt_create(struct cpu *c)
{
	struct gdt_page *p = pages_alloc(1);
	uint64_t tss;

	if (!p)
		panic("no memory for the GDT of CPU %u: raise hv_memory=", c->index);
	tss = (uint64_t)&p->tss;
	p->gdt[1] = DESC_CODE64;
	p->gdt[2] = DESC_DATA;
	p->gdt[3] = DESC_TSS | (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 |
		    (tss >> 24 & 0xff) << 56;
	p->gdt[4] = tss >> 32;
	p->tss.iomap_base = sizeof(struct tss);
	c->gdt = (uint64_t)p->gdt;
	c->tss = tss;
	c->tr_selector = SEL_TSS;
}

void gdt_set_ist(struct cpu *c, unsigned ist, uint64_t top)
{
	struct tss *t = (struct tss *)c->tss;

	t->ist[ist - 1] = top;
}

void gdt_load(const struct cpu *c)
{
	struct table_reg r = {sizeof(((struct gdt_page *)0)->gdt) - 1, c->gdt};

	/* far return to load CS; a busy TSS from before would make LTR fault, but each CPU loads
	 * its own once */
	asm volatile("lgdt %0\n\t"
		     "pushq %1\n\t"
		     "leaq 1f(%%rip), %%rax\n\t"
		     "pushq %%rax\n\t"
		     "lretq\n"
		     "1:\tmovl %2, %%ds\n\t"
		     "movl %2, %%es\n\t"
		     "movl %2, %%ss\n\t"
		     "movl %3, %%fs\n\t"
		     "movl %3, %%gs\n\t"
		     "lldt %w3\n\t"
		     "ltr %w4"
		     :
		     : "m"(r), "i"(SEL_CODE), "r"(SEL_DATA), "r"(0), "r"(SEL_TSS)
		     : "rax", "memory");
}
