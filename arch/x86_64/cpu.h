/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processor instructions and registers by their manual names (Intel SDM, AMD APM). Inline, no
 * state. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE 4096ull

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

/* With exception fix-up (arch/x86_64/extable.S): -EFAULT if the access faulted. */
int rdmsr_safe(uint32_t msr, uint64_t *v);
int wrmsr_safe(uint32_t msr, uint64_t v);

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline uint64_t rdtsc_ordered(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
		     : "a"(leaf), "c"(sub));
	return r;
}

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

#define DEFINE_CR(n)                                                       \
	static inline uint64_t read_cr##n(void)                            \
	{                                                                  \
		uint64_t v;                                                \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory"); \
		return v;                                                  \
	}                                                                  \
	static inline void write_cr##n(uint64_t v)                         \
	{                                                                  \
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");     \
	}
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)
#undef DEFINE_CR

#define DEFINE_DR(n)                                          \
	static inline uint64_t read_dr##n(void)               \
	{                                                     \
		uint64_t v;                                   \
		asm volatile("mov %%dr" #n ", %0" : "=r"(v)); \
		return v;                                     \
	}                                                     \
	static inline void write_dr##n(uint64_t v)            \
	{                                                     \
		asm volatile("mov %0, %%dr" #n : : "r"(v));   \
	}
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)
#undef DEFINE_DR

static inline uint64_t xgetbv(uint32_t i)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(i));
	return (uint64_t)hi << 32 | lo;
}
static inline void xsetbv(uint32_t i, uint64_t v)
{
	asm volatile("xsetbv" : : "c"(i), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

/*
 * The guest's PKRU, live in the processor while its vCPU is on this CPU. The instruction needs
 * CR4.PKE, which means nothing for our own pages: they are supervisor pages.
 */
static inline uint32_t guest_pkru(void)
{
	const uint64_t pke = 1ull << 22;
	uint64_t cr4 = read_cr4();
	uint32_t lo, hi;

	write_cr4(cr4 | pke);
	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a"(lo), "=d"(hi) : "c"(0)); /* RDPKRU */
	write_cr4(cr4);
	return lo;
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}
#ifdef HOST_TEST /* the test's own */
void wbinvd(void);
void irq_window(void);
void halt_once(void);
#else
static inline void wbinvd(void)
{
	asm volatile("wbinvd" : : : "memory");
}
/* Let pending interrupts in, then close the door again. */
static inline void irq_window(void)
{
	asm volatile("sti; nop; cli" : : : "memory");
}
/* Sleep until the next interrupt, which has been served when this returns. */
static inline void halt_once(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}
#endif
