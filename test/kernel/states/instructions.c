// SPDX-License-Identifier: GPL-2.0-or-later
/* Instructions in progress, in a shadow, faulting, stepped; and all registers. */
#include "test/kernel/states/states.h"

enum { DB = 1, UD = 6, GP = 13 };
enum { DR6_B0 = 1, DR6_BS = 1 << 14, DR6_INIT = 0xffff0ff0 };
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200

/* --- shadows --- */

/* What is pending comes after the instruction that follows STI. */
static void sti(void)
{
	ipi_self(LOW);
	seq_sti();
	say("start", (uint64_t)sti_start);
	say("shadow", (uint64_t)sti_shadow);
	say("open", (uint64_t)sti_open);
	say("end", (uint64_t)sti_end);
	EXPECT(taken(LOW) == 1, "came %u times", taken(LOW));
	EXPECT(my_log()->first[0].rip == (uint64_t)sti_open, "from %lx, %lx follows STI",
	       my_log()->first[0].rip, (uint64_t)sti_shadow);
}

static bool in_pairs(uint64_t rip)
{
	return rip >= (uint64_t)mov_ss_start && rip < (uint64_t)mov_ss_end;
}

/* Is it the second of a pair? They are 2 and 1 bytes long. */
static bool shadowed(uint64_t rip)
{
	return (rip - (uint64_t)mov_ss_start) % 3 != 0;
}

/* Nothing comes after a MOV to SS: neither an interrupt (nmi=1: nor an NMI), which is due in
 * between. */
static void mov_ss(void)
{
	bool nmi = argument("nmi", 0);
	uint64_t ns = argument("ns", 100000);
	uint8_t vector = nmi ? 2 : TIMER;

	if (nmi) {
		ioapic_route(PIT_PIN, NMI, (uint8_t)apic_id());
		say("armed", rdtsc());
		pit_program(0, 0, (uint16_t)(ns * PIT_HZ / 1000000000));
	} else {
		apic_write(APIC_LVT_TIMER, TIMER);
		say("armed", rdtsc());
		apic_write(APIC_TMICT, (uint32_t)ns);
		irq_on();
	}
	seq_mov_ss();
	asm volatile("cli");
	say("soon", taken(vector)); /* not after all of it */
	say("start", (uint64_t)mov_ss_start);
	say("end", (uint64_t)mov_ss_end);
	/* in this order: it may expire in between */
	EXPECT(nmi || taken(vector) || apic_read(APIC_TMCCT) || apic_bit(APIC_IRR, vector),
	       "the timer's interrupt is lost");
	irq_on();
	EXPECT(WAIT(taken(vector)), "vector %x never came", vector);
	EXPECT(taken(vector) == 1, "vector %x came %u times", vector, taken(vector));
	say("from", my_log()->first[0].rip);
	EXPECT(!in_pairs(my_log()->first[0].rip) || !shadowed(my_log()->first[0].rip),
	       "vector %x after a MOV to SS, at %lx", vector, my_log()->first[0].rip);
}

/* --- exceptions on their way --- */

static unsigned skip;
static struct {
	uint64_t rip, error, flags;
} fault;

static void on_fault(struct trap_frame *f)
{
	fault.rip = f->rip;
	fault.error = f->error;
	fault.flags = f->rflags;
	f->rip += skip;
}

static void expect_fault(uint8_t vector, unsigned length)
{
	skip = length;
	fault.error = ~0ull;
	irq_handle(vector, on_fault);
}

/* The fault of an instruction in the shadow of STI; then what was pending. */
static void fault_after_sti(void)
{
	expect_fault(GP, 2);
	ipi_self(LOW);
	seq_fault_sti();
	say("rip", (uint64_t)fault_sti);
	EXPECT(taken(GP) == 1 && taken(LOW) == 1 && my_log()->total == 2, "#GP %u, interrupt %u",
	       taken(GP), taken(LOW));
	EXPECT(fault.rip == (uint64_t)fault_sti && fault.error == 0, "#GP(%lx) at %lx", fault.error,
	       fault.rip);
	EXPECT(fault.flags & RFLAGS_IF, "RFLAGS %lx", fault.flags);
	EXPECT(my_log()->first[0].vector == GP &&
		       my_log()->first[1].rip == (uint64_t)fault_sti_next,
	       "interrupt from %lx", my_log()->first[1].rip);
}

static void fault_after_mov_ss(void)
{
	expect_fault(GP, 2);
	seq_fault_mov_ss();
	say("rip", (uint64_t)fault_mov_ss);
	EXPECT(taken(GP) == 1 && my_log()->total == 1, "%u exceptions", my_log()->total);
	EXPECT(fault.rip == (uint64_t)fault_mov_ss && fault.error == 0, "#GP(%lx) at %lx",
	       fault.error, fault.rip);
}

static void undefined(void)
{
	expect_fault(UD, (unsigned)(ud_next - ud_insn));
	seq_ud();
	say("rip", (uint64_t)ud_insn);
	EXPECT(taken(UD) == 1 && my_log()->total == 1, "%u exceptions", my_log()->total);
	EXPECT(fault.rip == (uint64_t)ud_insn, "#UD at %lx", fault.rip);
}

/* INT1: a trap. */
static void icebp(void)
{
	expect_fault(DB, 0);
	write_dr6(DR6_INIT);
	seq_icebp();
	say("rip", (uint64_t)icebp_next);
	EXPECT(taken(DB) == 1 && my_log()->total == 1, "%u exceptions", my_log()->total);
	EXPECT(fault.rip == (uint64_t)icebp_next, "#DB at %lx", fault.rip);
	EXPECT(!(read_dr6() & DR6_BS), "DR6 %lx", read_dr6());
}

#define STEPS 3
static uint64_t step_rip[STEPS], step_dr6[STEPS];
static unsigned steps, steps_wanted;

static void on_step(struct trap_frame *f)
{
	if (steps < STEPS) {
		step_rip[steps] = f->rip;
		step_dr6[steps] = read_dr6();
	}
	write_dr6(DR6_INIT);
	if (++steps >= steps_wanted)
		f->rflags &= ~(uint64_t)RFLAGS_TF;
}

static void start_steps(unsigned n)
{
	steps = 0;
	steps_wanted = n;
	irq_handle(DB, on_step);
	write_dr6(DR6_INIT);
}

/* Single steps; one of them over an instruction that is intercepted. */
static void step(void)
{
	const uint64_t want[STEPS] = {(uint64_t)step_1, (uint64_t)step_2, (uint64_t)step_3};

	start_steps(STEPS);
	seq_step();
	say("rip", (uint64_t)step_2);
	EXPECT(steps == STEPS, "%u steps", steps);
	for (unsigned i = 0; i < STEPS; i++)
		EXPECT(step_rip[i] == want[i] && step_dr6[i] == (DR6_INIT | DR6_BS),
		       "step %u ends at %lx, wanted %lx; DR6 %lx", i + 1, step_rip[i], want[i],
		       step_dr6[i]);
}

#define ICR_MMIO ((volatile uint32_t *)0xfee00300)

/* A single step over what sends an NMI to this CPU: the trap comes first, then the NMI, at the
 * earliest before the first instruction of the trap's handler. */
static void step_to_nmi(void)
{
	const struct taken *second = &my_log()->first[1];

	start_steps(2);
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	seq_step_store(ICR_ASSERT | NMI, ICR_MMIO);
	say("rip", (uint64_t)step_store_next);
	EXPECT(steps == 2 && taken(2) == 1, "%u steps, %u NMIs", steps, taken(2));
	EXPECT(step_rip[0] == (uint64_t)step_store && step_rip[1] == (uint64_t)step_store_next,
	       "steps end at %lx and %lx", step_rip[0], step_rip[1]);
	EXPECT(second->vector == DB || second->rip != (uint64_t)step_store_next,
	       "the NMI comes before the trap");
}

/* A data breakpoint on what MOV reads for SS: a trap that waits for the next instruction. */
static void pending_debug(void)
{
	static const uint16_t selector = 0x10;

	expect_fault(DB, 0);
	write_dr6(DR6_INIT);
	write_dr0((uint64_t)&selector);
	write_dr7(0x400 | 1 | 3u << 16 | 1u << 18); /* L0, reads and writes, 2 bytes */
	seq_watch_ss(&selector);
	write_dr7(0x400);
	say("rip", (uint64_t)watch_next);
	EXPECT(taken(DB) == 1 && my_log()->total == 1, "%u exceptions", my_log()->total);
	EXPECT(fault.rip == (uint64_t)watch_next, "#DB at %lx, not %lx", fault.rip,
	       (uint64_t)watch_next);
	EXPECT((read_dr6() & (DR6_BS | 0xf)) == DR6_B0, "DR6 %lx", read_dr6());
	write_dr6(DR6_INIT);
}

/* --- REP --- */

#define REP_FROM 0x4000000ull
#define REP_TO	 0x6000000ull

static uint64_t rep_base[2];
static uint64_t rep_length;
static unsigned wrong, inside;

/* An interrupt between two iterations: what is done and what is left make up the whole. */
static void on_rep(struct trap_frame *f)
{
	if (f->rip == (uint64_t)rep_movs) {
		uint64_t done = f->rdi - rep_base[0];

		inside++;
		if (f->rsi - rep_base[1] != done || done + f->rcx != rep_length)
			wrong++;
	}
	apic_eoi();
}

static uint64_t pattern(uint64_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

static void rep(void)
{
	uint64_t n = argument("bytes", 16 << 20), out[3], words = n / 8, before;
	volatile uint64_t *from = (volatile uint64_t *)REP_FROM;
	volatile uint64_t *to = (volatile uint64_t *)REP_TO;

	for (uint64_t i = 0; i < words; i++) {
		from[i] = pattern(i);
		to[i] = 0;
	}
	to[words] = 0;
	rep_base[0] = REP_TO;
	rep_base[1] = REP_FROM;
	rep_length = n;
	wrong = inside = 0;
	irq_handle(TIMER, on_rep);
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | TIMER);
	apic_write(APIC_TMICT, 1000000 /* ns */);
	irq_on();
	before = rdtsc();
	seq_rep_movs((void *)REP_TO, (const void *)REP_FROM, n, out);
	say("took", rdtsc() - before);
	asm volatile("cli");
	say("rip", (uint64_t)rep_movs);
	say("interrupts", inside);
	EXPECT(!wrong, "registers wrong at %u of %u interrupts", wrong, inside);
	EXPECT(inside, "no interrupt in between");
	EXPECT(out[0] == REP_TO + n && out[1] == REP_FROM + n && out[2] == 0,
	       "RDI %lx RSI %lx RCX %lx", out[0], out[1], out[2]);
	for (uint64_t i = 0; i < words; i++)
		EXPECT(to[i] == pattern(i), "word %lx is %lx", i, to[i]);
	EXPECT(to[words] == 0, "more than that was written");
}

#define POST	 0x80 /* a port that takes anything */
#define OUTS_MAX 65536

/* String I/O is emulated piece by piece. */
static void rep_io(void)
{
	uint64_t n = argument("bytes", OUTS_MAX), out[3];

	seq_rep_outs((const void *)REP_FROM, n, POST, out);
	say("rip", (uint64_t)rep_outs);
	EXPECT(out[1] == REP_FROM + n && out[2] == 0, "RSI %lx RCX %lx", out[1], out[2]);
}

/* --- all registers --- */

#define CR0_EM	      (1u << 2)
#define CR0_MP	      (1u << 1)
#define CR4_OSFXSR    (1u << 9)
#define CR4_OSXMMEXCP (1u << 10)
#define CANONICAL     0x00007fffffffffffull

static const struct {
	uint32_t msr;
	uint64_t value;
} msrs[] = {
	{0x174, 0x33},			  /* SYSENTER_CS */
	{0x175, 0x123456789abc},	  /* SYSENTER_ESP */
	{0x176, 0xffff8123456789ab},	  /* SYSENTER_EIP */
	{0x277, 0x0007010600070406},	  /* PAT */
	{0xc0000081, 0x0023001000000000}, /* STAR */
	{0xc0000082, 0xffffffff81a00000}, /* LSTAR */
	{0xc0000083, 0xffffffff81a01234}, /* CSTAR */
	{0xc0000084, 0x47700},		  /* SFMASK */
	{0xc0000100, 0x11223344},	  /* FS base */
	{0xc0000101, 0xffff888012345678}, /* GS base */
	{0xc0000102, 0xffff888087654321}, /* kernel GS base */
	{0x200, 0x80000006},
	{0x201, 0xff80000800}, /* a variable MTRR */
	{0x3b, 0x1234567},     /* TSC_ADJUST */
};
#define MSRS (sizeof(msrs) / sizeof(msrs[0]))

struct specials {
	uint64_t dr[4], dr6, dr7, cr0, cr2, cr3, cr4, cr8, efer, msr[MSRS];
};

static void read_specials(struct specials *s)
{
	s->dr[0] = read_dr0();
	s->dr[1] = read_dr1();
	s->dr[2] = read_dr2();
	s->dr[3] = read_dr3();
	s->dr6 = read_dr6();
	s->dr7 = read_dr7();
	s->cr0 = read_cr0();
	s->cr2 = read_cr2();
	s->cr3 = read_cr3();
	s->cr4 = read_cr4();
	s->cr8 = read_cr8();
	s->efer = rdmsr(0xc0000080);
	for (unsigned i = 0; i < MSRS; i++)
		s->msr[i] = rdmsr(msrs[i].msr);
}

static void load_specials(void)
{
	write_cr0((read_cr0() & ~(uint64_t)CR0_EM) | CR0_MP);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCP);
	write_dr0(0x1111111111);
	write_dr1(0x2222222222);
	write_dr2(0x3333333333);
	write_dr3(0x4444444444);
	write_dr6(DR6_INIT | 0x400f);
	write_cr2(0xffff800012345678);
	write_cr8(3);
	for (unsigned i = 0; i < MSRS; i++)
		wrmsr(msrs[i].msr, msrs[i].value);
}

static void compare_specials(const struct specials *a, const struct specials *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;

	for (unsigned i = 0; i < sizeof(*a) / 8; i++)
		EXPECT(x[i] == y[i], "special register %u: %lx became %lx", i, x[i], y[i]);
}

static void compare_registers(const struct registers *a, const struct registers *b)
{
	for (unsigned i = 0; i < 15; i++)
		EXPECT(a->gpr[i] == b->gpr[i], "register %u: %lx became %lx", i, a->gpr[i],
		       b->gpr[i]);
	for (unsigned i = 0; i < 32; i++)
		EXPECT(a->xmm[i] == b->xmm[i], "XMM%u: %lx became %lx", i / 2, a->xmm[i],
		       b->xmm[i]);
}

static void registers(void)
{
	static struct registers in, out;
	struct specials before, after, old;

	for (unsigned i = 0; i < sizeof(in) / 8; i++)
		((uint64_t *)&in)[i] = pattern(i);
	read_specials(&old);
	load_specials();
	read_specials(&before);
	seq_registers(&in, &out, argument("spin", 100000));
	read_specials(&after);
	for (unsigned i = 0; i < MSRS; i++)
		wrmsr(msrs[i].msr, old.msr[i]);
	write_dr6(DR6_INIT);
	write_cr8(0);
	say("start", (uint64_t)registers_spin);
	say("end", (uint64_t)registers_done);
	compare_specials(&before, &after);
	compare_registers(&in, &out);
}

const struct scenario instruction_scenarios[] = {{"sti", sti},
						 {"mov-ss", mov_ss},
						 {"fault-sti", fault_after_sti},
						 {"fault-mov-ss", fault_after_mov_ss},
						 {"ud", undefined},
						 {"icebp", icebp},
						 {"step", step},
						 {"step-to-nmi", step_to_nmi},
						 {"pending-debug", pending_debug},
						 {"rep-movs", rep},
						 {"rep-outs", rep_io},
						 {"registers", registers},
						 {0}};
