// SPDX-License-Identifier: GPL-2.0-or-later
/* The interrupt shadow of STI and MOV SS (SDM vol. 3, "Masking Maskable Hardware Interrupts",
 * "Masking Exceptions and Interrupts When Switching Stacks"), also over instructions that a
 * hypervisor carries out itself. */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x5f
#define TF     (1ull << 8)

static void pend(void)
{
	ipi(apic_id(), FIXED | ICR_ASSERT | VECTOR);
	WAIT(apic_bit(APIC_IRR, VECTOR));
	irq_log[0].total = 0;
}

/* STI, one instruction, and there the interrupt is. */
#define STI_THEN(insn)                                                                      \
	({                                                                                  \
		uint64_t after_;                                                            \
		pend();                                                                     \
		asm volatile("lea 1f(%%rip), %0\n\tsti\n\t" insn "\n1:\tnop\n\tnop\n\tcli"  \
			     : "=&r"(after_)                                                \
			     : "S"(0xfee00030)                                              \
			     : "rax", "rbx", "rcx", "rdx", "memory");                       \
		if (my_log()->total == 1 && my_log()->first[0].rip != after_)               \
			fail("%s: at %lx, not %lx", #insn, my_log()->first[0].rip, after_); \
		else if (my_log()->total != 1)                                              \
			fail("%s: %u interrupts", #insn, my_log()->total);                  \
	})

static void sti(void)
{
	STI_THEN("nop");
	STI_THEN("inc %%rax");
}

static void sti_exiting(void)
{
	STI_THEN("cpuid");
	STI_THEN("in $0x61, %%al");
	STI_THEN("out %%al, $0x80");
	STI_THEN("mov (%%rsi), %%eax"); /* the local APIC's version, or in x2APIC mode a hole */
}

static void sti_cli(void)
{
	pend();
	for (unsigned i = 0; i < 50; i++)
		asm volatile("sti; cli");
	EXPECT(my_log()->total == 0, "taken between STI and CLI");
	irq_moment();
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

/* POPF has no shadow. */
static void popf(void)
{
	uint64_t after;

	pend();
	asm volatile("lea 1f(%%rip), %0\n\t"
		     "pushfq\n\t"
		     "orq $0x200, (%%rsp)\n\t"
		     "popfq\n"
		     "1:\tnop\n\t"
		     "cli"
		     : "=&r"(after)
		     :
		     : "memory");
	EXPECT(my_log()->total == 1, "%u interrupts", my_log()->total);
	EXPECT(my_log()->first[0].rip == after, "at %lx, not %lx", my_log()->first[0].rip, after);
}

/* Under a fast timer: no interrupt between MOV SS and the instruction after it. */
extern const uint8_t movss_loop[], movss_shadow1[], movss_shadow2[], movss_end[];
static unsigned in_shadow, in_loop;
static volatile bool stop;

static void watch(struct trap_frame *f)
{
	if (f->rip >= (uintptr_t)movss_loop && f->rip < (uintptr_t)movss_end)
		in_loop++;
	if (f->rip == (uintptr_t)movss_shadow1 || f->rip == (uintptr_t)movss_shadow2)
		in_shadow++;
	/* a period that wanders against the loop */
	apic_write(APIC_TMICT, apic_timer_hz() / 20000 + in_loop % 64);
	stop = in_loop >= 300;
	apic_eoi();
}

static void mov_ss(void)
{
	in_shadow = in_loop = 0;
	stop = false;
	irq_handle(VECTOR, watch);
	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TMICT, apic_timer_hz() / 20000);
	asm volatile("mov %%ss, %%esi\n\t"
		     "sti\n"
		     "movss_loop:\n\t"
		     "mov %%esi, %%ss\n"
		     "movss_shadow1:\n\t"
		     "inc %%rdi\n\t"
		     "xor %%eax, %%eax\n\t"
		     "mov %%esi, %%ss\n"
		     "movss_shadow2:\n\t"
		     "cpuid\n\t"
		     "cmpb $0, %0\n\t"
		     "je movss_loop\n"
		     "movss_end:\n\t"
		     "cli"
		     :
		     : "m"(stop)
		     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "memory", "cc");
	EXPECT(in_loop >= 300, "%u interrupts", in_loop);
	EXPECT(in_shadow == 0, "%u of %u in the shadow", in_shadow, in_loop);
}

/* A single-step trap waits as well. */
static uint64_t trap_rip, trap_dr6;
static unsigned traps;

static void step(struct trap_frame *f)
{
	if (traps++ == 0)
		trap_rip = f->rip;
	trap_dr6 = read_dr6();
	f->rflags &= ~TF;
}

static void mov_ss_step(void)
{
	uint64_t after;

	traps = 0;
	irq_handle(1, step);
	asm volatile("mov %%ss, %%esi\n\t"
		     "lea 1f(%%rip), %0\n\t"
		     "pushfq\n\t"
		     "orq $0x100, (%%rsp)\n\t"
		     "popfq\n\t"
		     "mov %%esi, %%ss\n\t"
		     "nop\n"
		     "1:\tnop"
		     : "=&r"(after)
		     :
		     : "rsi", "memory", "cc");
	EXPECT(traps == 1, "%u traps", traps);
	EXPECT(trap_rip == after, "at %lx, not %lx", trap_rip, after);
	EXPECT(trap_dr6 & 1 << 14, "DR6 %lx", trap_dr6);
}

const struct check shadow_checks[] = {
	{"sti", sti, 0},
	{"sti-exiting", sti_exiting, 0},
	{"sti-cli", sti_cli, 0},
	{"popf", popf, 0},
	{"mov-ss", mov_ss, 0},
	{"mov-ss-step", mov_ss_step, 0},
	{0},
};
