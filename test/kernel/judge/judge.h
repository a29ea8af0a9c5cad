/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge: checks of interrupt controllers and timers by what the manuals say of them, without an
 * operating system. The same kernel runs bare and under Stasis; each check prints one line, `judge
 * NAME ok`, `judge NAME FAIL details` or `judge NAME none why` (the machine lacks what is checked).
 *
 * Command line: cpus=1|2; pmtimer=PORT; late=US (how late an interrupt may be; default 60);
 * jitter=1 (time is not deterministic: an event may come late, never early); only=PREFIX.
 */
#pragma once
#include <stddef.h>
#include "test/kernel/kernel.h"

/* --- checks --- */

enum { /* what a check needs */
       NEED_CPU2 = 1 << 0,
       NEED_DEADLINE = 1 << 1,	 /* CPUID.1:ECX[24] */
       NEED_X2APIC = 1 << 2,	 /* CPUID.1:ECX[21] */
       NEED_TSC_ADJUST = 1 << 3, /* CPUID.7:EBX[1] */
};
struct check {
	const char *name;
	void (*run)(void); /* with everything quiet and interrupts off */
	unsigned needs;
};
/* Each array ends with a check without a name. Those of the local APIC run in both of its modes. */
extern const struct check timer_checks[], deadline_checks[], priority_checks[], ipi_checks[],
	init_checks[], error_checks[], lint_checks[], ioapic_checks[], halt_checks[];
extern const struct check base_checks[], disable_checks[], x2apic_checks[], pic_checks[],
	tsc_checks[], pit_checks[], hpet_checks[], pm_checks[], rtc_checks[], nmi_checks[],
	shadow_checks[];

void fail(const char *f, ...) __attribute__((format(printf, 1, 2))); /* the first one counts */
#define EXPECT(condition, ...)             \
	do {                               \
		if (!(condition)) {        \
			fail(__VA_ARGS__); \
			return;            \
		}                          \
	} while (0)

/* --- time: clock.c --- */

extern uint64_t tsc_hz; /* measured against the PM timer */
extern bool jitter;

uint64_t ticks(uint64_t us); /* microseconds to TSC ticks */
void delay(uint64_t us);     /* interrupts as they are */
/* The same for what has to happen meanwhile: in real time, much longer. */
void allow(uint64_t us);
/* Until the condition holds, for a time that only an error lets pass; the condition. */
#define WAIT(condition)                                                                         \
	({                                                                                      \
		for (uint64_t limit_ = rdtsc() + wait_limit; !(condition) && rdtsc() < limit_;) \
			asm volatile("pause" : : : "memory");                                   \
		(condition);                                                                    \
	})
extern uint64_t wait_limit; /* ticks */

/* When something was done that takes more than an instant: between the two. */
struct moment {
	uint64_t from, to;
};
#define DURING(...)                                        \
	({                                                 \
		struct moment moment_ = {.from = rdtsc()}; \
		__VA_ARGS__;                               \
		moment_.to = rdtsc();                      \
		moment_;                                   \
	})
/* Something seen at `at` that was due `span` ticks after `begin`: 0 in time, else the error in
 * microseconds. In deterministic time it may be late by the command line's late= (60 us). */
int64_t off_time(uint64_t at, struct moment begin, uint64_t span);
uint64_t late_ticks(uint64_t span); /* what passes for in time */

struct sample {
	uint64_t tsc, width, value; /* value was read in [tsc - width, tsc] */
};
struct sample sample(uint64_t (*read)(void));
/* Rate of a counter, measured for `us`; how far it may be from the true one, in ppm, by the way it
 * was measured. */
struct rate {
	uint64_t hz, slack_ppm;
};
struct rate rate_of(uint64_t (*read)(void), uint64_t mask, uint64_t us);
bool rate_near(struct rate r, uint64_t hz);

uint64_t pm_read(void);
void clock_init(void);

/* --- interrupts taken: irq.c --- */

struct taken {
	uint64_t tsc, rip;
	uint8_t vector;
};
#define TAKEN_MAX 128
struct irq_log { /* of one CPU since irq_reset() */
	volatile unsigned total;
	volatile unsigned count[256];
	struct taken first[TAKEN_MAX];
};
extern struct irq_log irq_log[2];

void irq_init(void);
void irq_reset(void);
/* Called with the interrupt in the log, instead of the EOI. */
void irq_handle(uint8_t vector, void (*fn)(struct trap_frame *f));
unsigned taken(uint8_t vector); /* on this CPU */
static inline struct irq_log *my_log(void);

/* Take whatever may come, for a moment. */
static inline void irq_moment(void)
{
	asm volatile("sti; nop; nop; nop; nop; cli" : : : "memory");
}
static inline void irq_on(void)
{
	asm volatile("sti" : : : "memory");
}
static inline void halt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/* --- the local APIC: apic.c --- */

enum { /* offsets; an x2APIC MSR is 800h + offset / 16 */
       APIC_ID = 0x020,
       APIC_VERSION = 0x030,
       APIC_TPR = 0x080,
       APIC_PPR = 0x0a0,
       APIC_EOI = 0x0b0,
       APIC_LDR = 0x0d0,
       APIC_DFR = 0x0e0,
       APIC_SVR = 0x0f0,
       APIC_ISR = 0x100,
       APIC_TMR = 0x180,
       APIC_IRR = 0x200,
       APIC_ESR = 0x280,
       APIC_ICR = 0x300,
       APIC_ICR_HIGH = 0x310,
       APIC_LVT_TIMER = 0x320,
       APIC_LVT_LINT0 = 0x350,
       APIC_LVT_LINT1 = 0x360,
       APIC_LVT_ERROR = 0x370,
       APIC_TMICT = 0x380,
       APIC_TMCCT = 0x390,
       APIC_TDCR = 0x3e0,
       APIC_SELF_IPI = 0x3f0,
};
enum {
	BASE_BSP = 1u << 8,
	BASE_EXTD = 1u << 10,
	BASE_EN = 1u << 11,
	SVR_ENABLE = 1u << 8,
	LVT_REMOTE_IRR = 1u << 14,
	LVT_LEVEL = 1u << 15,
	LVT_MASKED = 1u << 16,
	LVT_PERIODIC = 1u << 17,
	LVT_DEADLINE = 1u << 18,
	TDCR_1 = 0xb,
	SPURIOUS = 0xff,
};
enum { /* delivery modes: of the ICR, the LVT (bits 10:8) and the IOAPIC's entries */
       FIXED = 0u << 8,
       LOWEST = 1u << 8,
       NMI = 4u << 8,
       INIT = 5u << 8,
       STARTUP = 6u << 8,
       EXTINT = 7u << 8,
};
enum {
	ICR_LOGICAL = 1u << 11,
	ICR_PENDING = 1u << 12,
	ICR_ASSERT = 1u << 14,
	ICR_LEVEL = 1u << 15,
	ICR_SELF = 1u << 18,
	ICR_ALL = 2u << 18,
	ICR_OTHERS = 3u << 18,
};
#define MSR_APIC_BASE	 0x1bu
#define MSR_TSC		 0x10u
#define MSR_TSC_ADJUST	 0x3bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC	 0x800u

extern bool x2apic; /* the mode of all CPUs */

uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t v);
bool apic_bit(unsigned bitmap, uint8_t vector);
uint32_t apic_id(void);
void apic_eoi(void);
uint32_t apic_error(void);		   /* ESR, which is cleared */
void ipi(uint32_t dest, uint32_t command); /* dest: an ID or MDA as the mode has it */
void apic_setup(void);			   /* this CPU: enabled, quiet, logical ID 1 << index */
void apic_enter_x2apic(void);		   /* this CPU, from any mode */
uint32_t apic_timer_hz(void);		   /* before the divider; measured once a mode */
/* Does the access fault with #GP? */
bool rdmsr_faults(uint32_t msr);
bool wrmsr_faults(uint32_t msr, uint64_t v);

/* --- the second CPU: cpu2.c --- */

extern unsigned cpus;
#define SIPI_PAGE 8 /* trampoline at 8000h */

unsigned cpu_index(void);
static inline struct irq_log *my_log(void)
{
	return &irq_log[cpu_index()];
}
bool cpu2_start(void);	 /* INIT, SIPI; it says that it runs */
void cpu2_prepare(void); /* the trampoline, for those who send INIT and SIPI themselves */
bool cpu2_running(void); /* since cpu2_prepare() */
struct cpu2_first {	 /* in real mode, since cpu2_prepare() */
	volatile uint16_t cs, starts;
};
#define cpu2_first (*(struct cpu2_first *)(uintptr_t)(SIPI_PAGE * 4096 + 0xff0))
struct cpu2_boot { /* its local APIC before anything was written to it */
	uint64_t base;
	uint32_t id, svr, tpr, lvt_timer, lvt_error, tdcr;
};
extern struct cpu2_boot cpu2_boot;
bool cpu2_run(void (*fn)(void)); /* there, and wait; false: it does not answer */
void cpu2_begin(void (*fn)(void));
bool cpu2_wait(void);
uint32_t cpu2_id(void);

/* --- the board: board.c --- */

#define PIC_BASE   0x30 /* vectors of the 8259 pair: 30h-3fh */
#define PIT_HZ	   1193182u
#define PIT_PIN	   2 /* ISA IRQ 0 */
#define RTC_IRQ	   8
#define IOAPIC_ALL 0xffu

void pic_init(void); /* all masked */
void pic_unmask(unsigned irq);
void pic_mask_all(void);
void pic_eoi(unsigned irq);

enum { /* redirection entries, low half; delivery mode as above */
       RTE_LOGICAL = 1u << 11,
       RTE_LOW_ACTIVE = 1u << 13,
       RTE_REMOTE_IRR = 1u << 14,
       RTE_LEVEL = 1u << 15,
       RTE_MASKED = 1u << 16,
};
uint32_t ioapic_read(unsigned reg);
void ioapic_write(unsigned reg, uint32_t v);
uint32_t ioapic_entry(unsigned pin); /* low half */
void ioapic_route(unsigned pin, uint32_t low, uint8_t dest);
unsigned ioapic_pins(void);

void pit_program(unsigned channel, unsigned mode, uint16_t count); /* 0: 65536 */
void pit_stop(void); /* channel 0: no edge for 50 ms */
uint16_t pit_latch(unsigned channel);

enum { RTC_A = 0xa, RTC_B = 0xb, RTC_C = 0xc };
enum { RTC_PF = 0x40, RTC_AF = 0x20, RTC_UF = 0x10, RTC_IRQF = 0x80 };
uint8_t rtc_read(unsigned reg);
void rtc_write(unsigned reg, uint8_t v);
void rtc_periodic(unsigned rs); /* register A's rate; the interrupt is on */
void rtc_quiet(void);		/* no interrupts, the line low */

uint64_t hpet_read(unsigned reg);
void hpet_write(unsigned reg, uint64_t v);
bool hpet_present(void);
void hpet_quiet(void);

void board_quiet(void);
