/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States in which a node can be frozen. Each scenario brings the machine into one, marks the place
 * with the exit that the harness freezes on, and checks afterwards that all has come out as on a
 * machine that was never frozen.
 *
 * The console gives the scenarios: a line `NAME [KEY=NUMBER...]` (x2=1: in x2APIC mode) is answered
 * with `states NAME ok [KEY=VALUE...]` or `states NAME FAIL why`, the values in hexadecimal.
 * hz=N: the exact rate of the TSC. The local APIC's timer counts nanoseconds on this board.
 * Command line: cpus=1|2; jitter=1 (time is not deterministic).
 */
#pragma once
#include "test/kernel/judge/judge.h"

struct scenario {
	const char *name;
	void (*run)(void); /* interrupts are off; everything is quiet, unless as_is=1 */
};
/* Each array ends with one without a name. */
extern const struct scenario halt_scenarios[], nmi_scenarios[], instruction_scenarios[],
	interrupt_scenarios[], timer_scenarios[], board_scenarios[], cpu2_scenarios[];

uint64_t argument(const char *key, uint64_t otherwise); /* of the line given */
void say(const char *key, uint64_t value);		/* with the verdict */

/* The place to freeze at. The verdict has the tick after the first one as `here`. */
extern uint64_t was_here;
static inline void here(void)
{
	cpuid(0, 0);
	if (!was_here)
		was_here = rdtsc();
}

/* Vectors by rising priority class. */
enum { LOW = 0x51, MIDDLE = 0x61, HIGH = 0xa2, TIMER = 0x71, DEVICE = 0x81 };

void ipi_self(uint8_t vector); /* through the ICR */
void nmi_self(void);
bool apic_idle(void); /* nothing in IRR or ISR */
/* Take what is pending, one instruction after the other. */
void let_in(void);

/* One interrupt of the timer `vector` was due at tick `due`: never early, and `late` says how late.
 */
void check_due(uint8_t vector, uint64_t due);
/* The local APIC's timer, one-shot: the tick at which it is due. */
uint64_t start_timer(uint8_t vector, uint64_t us);

/* sequences.S */
void seq_halt(void); /* sti; hlt; cli */
extern const uint8_t halt_done[];
void seq_halt_blind(void); /* hlt with interrupts off */
extern const uint8_t halt_blind_done[];
void seq_sti(void);
extern const uint8_t sti_start[], sti_shadow[], sti_open[], sti_end[];
void seq_mov_ss(void);
extern const uint8_t mov_ss_start[], mov_ss_end[];
void seq_fault_sti(void), seq_fault_mov_ss(void);
extern const uint8_t fault_sti[], fault_sti_next[], fault_mov_ss[], fault_mov_ss_next[];
void seq_ud(void), seq_icebp(void), seq_step(void), seq_watch_ss(const uint16_t *selector);
extern const uint8_t ud_insn[], ud_next[], icebp_next[], step_at[], watch_next[];
void seq_step_store(uint32_t value, volatile void *to);
extern const uint8_t step_store[], step_store_next[];
extern const uint8_t step_1[], step_2[], step_3[];
void seq_rep_movs(void *to, const void *from, uint64_t n, uint64_t out[3]);
extern const uint8_t rep_movs[], rep_movs_next[];
void seq_rep_outs(const void *from, uint64_t n, uint16_t port, uint64_t out[3]);
extern const uint8_t rep_outs[];
/* All of the registers loaded from `in`, kept for `spin` rounds, and stored to `out`. */
struct registers {
	uint64_t gpr[15]; /* all but RSP */
	uint64_t xmm[32];
};
void seq_registers(const struct registers *in, struct registers *out, uint64_t spin);
extern const uint8_t registers_spin[], registers_done[];
