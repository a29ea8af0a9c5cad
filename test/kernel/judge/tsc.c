// SPDX-License-Identifier: GPL-2.0-or-later
/* IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST (SDM vol. 3, "Time-Stamp Counter"). Each check moves
 * the TSC back. */
#include "test/kernel/judge/judge.h"

#define VECTOR 0x5b
#define STEP   10000000 /* us */

/* The TSC less the time that has passed by the PM timer: moves only with the TSC's writes. */
static int64_t base_here(void)
{
	struct sample s = sample(pm_read);

	return (int64_t)(s.tsc - s.width / 2 - s.value * tsc_hz / 3579545);
}

static bool near(int64_t moved, int64_t by)
{
	int64_t slack = (int64_t)ticks(jitter ? 2000 : 20),
		wrap = (int64_t)((1ull << 24) * tsc_hz / 3579545);

	for (int i = -1; i <= 1; i++) /* the PM timer's 24 bits may have come round */
		if (moved + i * wrap - by <= slack && by - moved - i * wrap <= slack)
			return true;
	return false;
}

/* By a write of the TSC itself, which takes its time; `restore` takes that back. */
static uint64_t moved_from;

static bool has_adjust(void)
{
	return cpuid(7, 0).ebx & 1u << 1;
}

static void move(int64_t by)
{
	if (has_adjust())
		moved_from = rdmsr(MSR_TSC_ADJUST);
	wrmsr(MSR_TSC, rdtsc() + (uint64_t)by);
}

static void restore(int64_t by)
{
	if (has_adjust())
		wrmsr(MSR_TSC_ADJUST, moved_from);
	else
		wrmsr(MSR_TSC, rdtsc() - (uint64_t)by);
}

static volatile int64_t base_before2, base_after2;
static volatile uint64_t adjust2;

static void look_before2(void)
{
	base_before2 = base_here();
}

static void look_after2(void)
{
	base_after2 = base_here();
}

static void read_write(void)
{
	int64_t by = (int64_t)ticks(STEP), before = base_here(), after, back;

	move(by);
	after = base_here();
	restore(by);
	back = base_here();
	EXPECT(near(after - before, by), "written %ld ahead, it moved by %ld", by, after - before);
	EXPECT(near(back - before, 0), "written back, it is %ld off", back - before);
	EXPECT(rdmsr(MSR_TSC) - rdtsc() + ticks(20) < ticks(40) || jitter,
	       "RDMSR and RDTSC differ");
}

/* A write of the TSC moves TSC_ADJUST by as much, and the other way round. */
static void adjust(void)
{
	uint64_t first = rdmsr(MSR_TSC_ADJUST), by = ticks(STEP), now;
	int64_t before = base_here(), after;

	wrmsr(MSR_TSC_ADJUST, first + by);
	after = base_here();
	now = rdmsr(MSR_TSC_ADJUST);
	wrmsr(MSR_TSC_ADJUST, first);
	EXPECT(now == first + by, "it holds %lx, not %lx", now, first + by);
	EXPECT(near(after - before, (int64_t)by), "the TSC moved by %ld, not %ld", after - before,
	       by);
	EXPECT(near(base_here() - before, 0), "the TSC is off afterwards");
	move((int64_t)by);
	now = rdmsr(MSR_TSC_ADJUST);
	wrmsr(MSR_TSC_ADJUST, first);
	EXPECT(near((int64_t)(now - first), (int64_t)by),
	       "the TSC written %ld ahead moves it by %ld", by, now - first);
	EXPECT(near(base_here() - before, 0), "the TSC is off at the end");
}

static void backwards(void)
{
	uint64_t first = rdmsr(MSR_TSC_ADJUST);
	int64_t before = base_here(), after, by = -(int64_t)ticks(1000);

	wrmsr(MSR_TSC_ADJUST, first + (uint64_t)by);
	after = base_here();
	wrmsr(MSR_TSC_ADJUST, first);
	EXPECT(near(after - before, by), "the TSC moved by %ld, not %ld", after - before, by);
}

static void adjust_read2(void)
{
	adjust2 = rdmsr(MSR_TSC_ADJUST);
}

static void per_cpu(void)
{
	uint64_t first = rdmsr(MSR_TSC_ADJUST), by = ticks(STEP), before;

	EXPECT(cpu2_run(look_before2) && cpu2_run(adjust_read2), "no answer");
	before = adjust2;
	wrmsr(MSR_TSC_ADJUST, first + by);
	cpu2_run(look_after2);
	cpu2_run(adjust_read2);
	wrmsr(MSR_TSC_ADJUST, first);
	EXPECT(near(base_after2 - base_before2, 0), "the other CPU's TSC moved by %ld",
	       base_after2 - base_before2);
	EXPECT(adjust2 == before, "the other CPU's TSC_ADJUST is %lx, was %lx", adjust2, before);
}

static void per_cpu_tsc(void)
{
	int64_t by = (int64_t)ticks(STEP);

	EXPECT(cpu2_run(look_before2), "no answer");
	move(by);
	cpu2_run(look_after2);
	restore(by);
	EXPECT(near(base_after2 - base_before2, 0), "the other CPU's TSC moved by %ld",
	       base_after2 - base_before2);
}

static volatile uint64_t ahead2;

static void write_adjust2(void)
{
	adjust2 = rdmsr(MSR_TSC_ADJUST);
	wrmsr(MSR_TSC_ADJUST, adjust2 + ahead2);
}

static void restore_adjust2(void)
{
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) - ahead2);
}

/* INIT changes neither. */
static void survives_init(void)
{
	uint64_t before;
	bool started;

	ahead2 = ticks(STEP);
	EXPECT(cpu2_run(look_before2) && cpu2_run(write_adjust2), "no answer");
	before = adjust2;
	started = cpu2_start();
	EXPECT(started && cpu2_run(adjust_read2) && cpu2_run(look_after2), "it does not start");
	cpu2_run(restore_adjust2);
	EXPECT(adjust2 == before + ahead2, "TSC_ADJUST is %lx, not %lx", adjust2, before + ahead2);
	EXPECT(near(base_after2 - base_before2, (int64_t)ahead2), "the TSC moved by %ld",
	       base_after2 - base_before2);
}

/* The deadline is compared with the TSC as it is written. */
static void moves_deadline(void)
{
	uint64_t first = rdmsr(MSR_TSC_ADJUST), due = rdtsc() + ticks(20000);
	struct sample begin = sample(pm_read), end;
	uint64_t us;

	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, due);
	wrmsr(MSR_TSC_ADJUST, first + ticks(18000));
	irq_on();
	WAIT(taken(VECTOR));
	asm volatile("cli");
	end = sample(pm_read);
	wrmsr(MSR_TSC_ADJUST, first);
	us = ((end.value - begin.value) & 0xffffff) * 1000000 / 3579545;
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
	EXPECT(us >= 1990 && (jitter || us < 2200), "after %lu us, not 2000", us);
}

static void passes_deadline(void)
{
	uint64_t first = rdmsr(MSR_TSC_ADJUST);

	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR);
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks(20000));
	wrmsr(MSR_TSC_ADJUST, first + ticks(30000));
	irq_on();
	delay(1000);
	asm volatile("cli");
	wrmsr(MSR_TSC_ADJUST, first);
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

/* ... and no other clock is. */
static void moves_nothing_else(void)
{
	int64_t by = (int64_t)ticks(STEP);
	struct sample begin = sample(pm_read), end;
	uint64_t us;

	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TMICT, apic_timer_hz() / 500);
	move(by);
	irq_on();
	WAIT(taken(VECTOR));
	asm volatile("cli");
	restore(by);
	end = sample(pm_read);
	us = ((end.value - begin.value) & 0xffffff) * 1000000 / 3579545;
	EXPECT(us >= 1990 && (jitter || us < 2200), "the APIC timer took %lu us, not 2000", us);
}

static volatile uint64_t turn, last_tsc, worst;
#define TURNS 2000

static void take_turns(void)
{
	for (uint64_t i = cpu_index(); i < TURNS; i += 2) {
		uint64_t now;

		if (!WAIT(turn == i))
			return;
		asm volatile("lfence" : : : "memory");
		now = rdtsc();
		if (now < last_tsc && last_tsc - now > worst)
			worst = last_tsc - now;
		last_tsc = now;
		turn = i + 1;
	}
}

/* A TSC read later, on whichever CPU, is not earlier. */
static void synchronous(void)
{
	turn = last_tsc = worst = 0;
	cpu2_begin(take_turns);
	take_turns();
	EXPECT(cpu2_wait() && turn == TURNS, "%lu turns of %u", turn, TURNS);
	EXPECT(worst == 0, "up to %lu ticks earlier", worst);
}

const struct check tsc_checks[] = {
	{"synchronous", synchronous, NEED_CPU2},
	{"read-write", read_write, 0},
	{"adjust", adjust, NEED_TSC_ADJUST},
	{"backwards", backwards, NEED_TSC_ADJUST},
	{"moves-deadline", moves_deadline, NEED_TSC_ADJUST | NEED_DEADLINE},
	{"passes-deadline", passes_deadline, NEED_TSC_ADJUST | NEED_DEADLINE},
	{"moves-nothing-else", moves_nothing_else, 0},
	{"per-cpu-tsc", per_cpu_tsc, NEED_CPU2},
	{"per-cpu", per_cpu, NEED_CPU2 | NEED_TSC_ADJUST},
	{"survives-init", survives_init, NEED_CPU2 | NEED_TSC_ADJUST},
	{0},
};
