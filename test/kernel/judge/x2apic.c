// SPDX-License-Identifier: GPL-2.0-or-later
/* The local APIC's MSRs in x2APIC mode (SDM vol. 3, "x2APIC Register Availability", "Reserved Bit
 * Checking"). */
#include "test/kernel/judge/judge.h"

#define REG(offset) (MSR_X2APIC + (offset) / 16)
#define VECTOR	    0x61

struct access {
	uint32_t msr;
	uint64_t value;
};

static void readable(void)
{
	static const unsigned offset[] = {
		APIC_ID,	APIC_VERSION,	APIC_TPR,   APIC_PPR,	    APIC_LDR,
		APIC_SVR,	APIC_ESR,	APIC_ICR,   APIC_LVT_TIMER, APIC_LVT_LINT0,
		APIC_LVT_LINT1, APIC_LVT_ERROR, APIC_TMICT, APIC_TMCCT,	    APIC_TDCR};

	for (unsigned i = 0; i < sizeof(offset) / sizeof(offset[0]); i++)
		EXPECT(!rdmsr_faults(REG(offset[i])), "RDMSR %x faults", REG(offset[i]));
	for (uint32_t msr = REG(APIC_ISR); msr < REG(APIC_IRR) + 8; msr++)
		EXPECT(!rdmsr_faults(msr), "RDMSR %x faults", msr);
}

/* Registers that do not exist in this mode, or at all; and those that can only be written. */
static void not_readable(void)
{
	static const uint32_t msr[] = {0x800, 0x801, 0x804, 0x807, 0x809, 0x80b, 0x80c, 0x80e,
				       0x829, 0x82e, 0x831, 0x83a, 0x83d, 0x83f, 0x840};

	for (unsigned i = 0; i < sizeof(msr) / sizeof(msr[0]); i++)
		EXPECT(rdmsr_faults(msr[i]), "RDMSR %x does not fault", msr[i]);
}

static void not_writable(void)
{
	static const uint32_t msr[] = {0x800, 0x802, 0x803, 0x804, 0x809, 0x80a, 0x80c,
				       0x80d, 0x80e, 0x810, 0x817, 0x818, 0x820, 0x827,
				       0x829, 0x831, 0x839, 0x83a, 0x840};

	for (unsigned i = 0; i < sizeof(msr) / sizeof(msr[0]); i++)
		EXPECT(wrmsr_faults(msr[i], 0), "WRMSR %x does not fault", msr[i]);
}

static void expect_faults(const struct access *a)
{
	for (; a->msr; a++)
		EXPECT(wrmsr_faults(a->msr, a->value), "WRMSR %x of %lx does not fault", a->msr,
		       a->value);
}

static void reserved(void)
{
	static const struct access bad[] = {{0x808, 0x100},   {0x80b, 1},     {0x80f, 0x4000},
					    {0x80f, 1 << 16}, {0x828, 1},     {0x83e, 4},
					    {0x83e, 0x10},    {0x83f, 0x100}, {0, 0}};

	expect_faults(bad);
}

static void reserved_lvt(void)
{
	static const struct access bad[] = {
		{0x832, 1 << 19 | LVT_MASKED}, {0x832, 0x400},
		{0x835, 1 << 17 | LVT_MASKED}, {0x837, 1 << 17 | LVT_MASKED},
		{0x837, 0x400 | LVT_MASKED},   {0, 0}};

	expect_faults(bad);
}

static void reserved_icr(void)
{
	static const struct access bad[] = {{0x830, 1 << 13 | ICR_SELF | VECTOR},
					    {0x830, 1 << 16 | ICR_SELF | VECTOR},
					    {0x830, 1 << 20 | ICR_SELF | VECTOR},
					    {0, 0}};

	expect_faults(bad);
}

/* "The upper 32 bits of all x2APIC MSRs (except for the ICR) are reserved." */
static void reserved_high(void)
{
	static const struct access bad[] = {{0x808, 1ull << 32}, {0x80b, 1ull << 32},
					    {0x80f, 1ull << 32}, {0x828, 1ull << 32},
					    {0x832, 1ull << 32}, {0x837, 1ull << 32},
					    {0x838, 1ull << 32}, {0x83e, 1ull << 32},
					    {0x83f, 1ull << 32}, {0, 0}};

	expect_faults(bad);
}

/* The range is 800h to BFFh, most of it without registers. */
static void range_end(void)
{
	EXPECT(rdmsr_faults(0x8ff) && rdmsr_faults(0x900) && rdmsr_faults(0xbff),
	       "RDMSR does not fault");
	EXPECT(wrmsr_faults(0x8ff, 0) && wrmsr_faults(0x900, 0) && wrmsr_faults(0xbff, 0),
	       "WRMSR does not fault");
}

static void write_and_read(void)
{
	static const struct access good[] = {
		{0x808, 0x20},	  {0x808, 0xf7},       {0x808, 0},	 {0x80f, 0x1f3},
		{0x832, 0x10055}, {0x832, 0x30056},    {0x835, 0x10400}, {0x836, 0x1a733},
		{0x837, 0x100fe}, {0x838, 0xfedcba98}, {0x83e, 0xb},	 {0x83e, 0x3},
		{0x838, 0},
	};

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t now;

		EXPECT(!wrmsr_faults(good[i].msr, good[i].value), "WRMSR %x of %lx faults",
		       good[i].msr, good[i].value);
		now = rdmsr(good[i].msr);
		EXPECT(now == good[i].value, "%x holds %lx, not %lx", good[i].msr, now,
		       good[i].value);
	}
}

/* One write of the 64-bit ICR sends. */
static void icr(void)
{
	uint64_t command = (uint64_t)apic_id() << 32 | ICR_ASSERT | FIXED | VECTOR;

	wrmsr(REG(APIC_ICR), command);
	irq_moment();
	EXPECT(WAIT(apic_read(APIC_IRR + 0x30) == 0) && taken(VECTOR) == 1, "%u interrupts",
	       taken(VECTOR));
}

static void icr_holds(void)
{
	uint64_t command = (uint64_t)apic_id() << 32 | ICR_ASSERT | FIXED | VECTOR;

	wrmsr(REG(APIC_ICR), command);
	EXPECT((rdmsr(REG(APIC_ICR)) & ~(uint64_t)ICR_PENDING) == command, "it holds %lx",
	       rdmsr(REG(APIC_ICR)));
}

static void self_ipi(void)
{
	wrmsr(REG(APIC_SELF_IPI), VECTOR);
	EXPECT(apic_bit(APIC_IRR, VECTOR), "no request");
	EXPECT(!apic_bit(APIC_TMR, VECTOR), "level-triggered");
	irq_moment();
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

/* Out of this mode leads "disabled" alone. */
static void illegal_modes(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	EXPECT(wrmsr_faults(MSR_APIC_BASE, base & ~(uint64_t)BASE_EXTD), "to xAPIC does not fault");
	EXPECT(wrmsr_faults(MSR_APIC_BASE, base & ~(uint64_t)BASE_EN),
	       "EN=0, EXTD=1 does not fault");
}

static void identity(void)
{
	uint32_t id = apic_read(APIC_ID), ldr = apic_read(APIC_LDR);

	EXPECT(id == cpuid(0xb, 0).edx, "ID is %x, CPUID says %x", id, cpuid(0xb, 0).edx);
	EXPECT(ldr == ((id >> 4) << 16 | 1u << (id & 15)), "LDR is %x with ID %x", ldr, id);
}

const struct check x2apic_checks[] = {
	{"readable", readable, NEED_X2APIC},
	{"not-readable", not_readable, NEED_X2APIC},
	{"not-writable", not_writable, NEED_X2APIC},
	{"reserved", reserved, NEED_X2APIC},
	{"reserved-lvt", reserved_lvt, NEED_X2APIC},
	{"reserved-icr", reserved_icr, NEED_X2APIC},
	{"reserved-high", reserved_high, NEED_X2APIC},
	{"range-end", range_end, NEED_X2APIC},
	{"write-and-read", write_and_read, NEED_X2APIC},
	{"icr", icr, NEED_X2APIC},
	{"icr-holds", icr_holds, NEED_X2APIC},
	{"self-ipi", self_ipi, NEED_X2APIC},
	{"identity", identity, NEED_X2APIC},
	{"illegal-modes", illegal_modes, NEED_X2APIC},
	{0},
};
