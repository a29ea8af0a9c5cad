/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the hostile guest: each kind of what it does is a function that does one such thing
 * at random. */
#pragma once
#include "test/kernel/kernel.h"

#define CR4_OSXSAVE (1ull << 18)

struct access {
	uint64_t addr;
	unsigned size, kind;
	uint64_t value;
};

struct cpu {
	uint64_t seed, rounds, faults, starts;
	unsigned nmis, taken; /* in this round */
	uint64_t seen;	      /* rounds at the boot CPU's last look */
};
extern struct cpu cpus[CPUS_MAX];
extern unsigned n_cpus;

uint64_t rnd(void);
#define ANY_OF(list) ((list)[rnd() % (sizeof(list) / sizeof((list)[0]))])

/* fn(arg), which may fault. */
void run(void (*fn)(void *), void *arg);

/* Accesses of struct access, for run(). */
void msr_access(void *arg);  /* kind: even reads, odd writes */
void mmio_access(void *arg); /* kind: see there */
enum { MMIO_KINDS = 28, MMIO_READS = 5, MMIO_SINGLE = 16, MMIO_WRITE32 = 7 };

void find_ranges(void); /* where to poke */
bool on_trap(struct trap_frame *f);
void all_cpuid(void);

void ports(void);
void msrs(void);
void mmio(void);
void odd(void);
void control(void);
void interrupt(void);
