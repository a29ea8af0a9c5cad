// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that reaches where there is nothing: option ROM space, its local APIC's page in every
 * mode, and, with its page tables, holes, devices and the hypervisor's memory. Prints one line
 * `holes: WHAT: RESULT` for each, `holes: done`, and then, by end=:
 *   off (default)   powers off
 *   code, stack, idt, pdpte   gets into a state from which only a triple fault leads out
 */
#include "test/kernel/kernel.h"

#define PTE_P_RW     3ull
#define LINEAR	     (1ull << 39) /* first address below the second entry of the top-level table */
#define OFFSET	     0x1230ull
#define ROM	     0xc0000ull
#define ROM_END	     0xe0000ull
#define LAPIC	     0xfee00000ull
#define HOLE	     0xd0000000ull
#define APIC_VERSION 0x30
#define BASE_MSR     0x1b
#define BASE_EXTD    (1ull << 10)
#define BASE_EN	     (1ull << 11)
#define ROUNDS	     1000
#define VECTOR_UD    6
#define VECTOR_PF    14

static volatile uint32_t *at(uint64_t addr)
{
	return (volatile uint32_t *)addr;
}

/* --- accesses --- */

static void do_read(void *p)
{
	*(volatile uint32_t *)p;
}

static void do_write(void *p)
{
	*(volatile uint32_t *)p = 0;
}

static void do_call(void *p)
{
	asm volatile("call *%0" : : "r"(p) : "memory");
}

static void do_lgdt(void *p) /* the emulator carries out no such thing */
{
	asm volatile("lgdt (%0)" : : "r"(p) : "memory");
}

static void do_copy(void *p)
{
	static uint8_t buf[16];
	void *to = buf;
	uint64_t n = sizeof(buf);

	asm volatile("rep movsb" : "+S"(p), "+D"(to), "+c"(n) : : "memory");
}

static const struct {
	const char *name;
	void (*run)(void *p);
} accesses[] = {{"read", do_read},
		{"write", do_write},
		{"call", do_call},
		{"lgdt", do_lgdt},
		{"copy", do_copy}};
#define ACCESSES (sizeof(accesses) / sizeof(accesses[0]))

/* --- page tables --- */

/* Everything from LINEAR on is translated by what is at `table`. */
static void hang_below(uint64_t table)
{
	pml4[1] = table | PTE_P_RW;
	write_cr3(read_cr3());
}

static void walk_through(const char *name, uint64_t table)
{
	hang_below(table);
	for (unsigned i = 0; i < ACCESSES; i++) {
		int result;

		write_cr2(0);
		result = guarded(accesses[i].run, (void *)(LINEAR + OFFSET));
		print("holes: tables in %s, %s: vector %d, cr2 %s\n", name, accesses[i].name,
		      result - 1, read_cr2() == LINEAR + OFFSET ? "right" : "wrong");
	}
}

/* The hypervisor's memory: the largest piece of what is reserved below the devices. */
static uint64_t hypervisor(void)
{
	uint64_t size = 0, addr = 0;

	for (unsigned i = 0; i < e820_count(); i++) {
		const struct e820 *e = e820_entry(i);

		if (e->type != 1 && e->addr >= 0x100000 && e->addr < HOLE && e->size > size) {
			size = e->size;
			addr = e->addr;
		}
	}
	return addr;
}

/* A table in RAM above one in a hole: the walk fails at its last step. */
static void walk_through_last_level(void)
{
	static uint64_t upper[512] __attribute__((aligned(4096)));
	static uint64_t lower[512] __attribute__((aligned(4096)));

	upper[0] = (uint64_t)lower | PTE_P_RW;
	for (unsigned i = 0; i < 512; i++)
		lower[i] = (HOLE + 0x1000ull * i) | PTE_P_RW;
	walk_through("a hole, last level", (uint64_t)upper);
}

/* --- option ROM space --- */

static void rom(void)
{
	uint64_t start, ticks, wrong = 0;
	int result;

	for (uint64_t p = ROM; p < ROM_END; p += 256)
		*at(p) = (uint32_t)p;
	for (uint64_t p = ROM; p < ROM_END; p += 4)
		wrong += *at(p) != UINT32_MAX;
	start = rdtsc();
	for (unsigned i = 0; i < ROUNDS; i++)
		*at(ROM + 4096 * (i % 32));
	ticks = (rdtsc() - start) / ROUNDS;
	result = guarded(do_call, (void *)ROM);
	print("holes: option ROMs: %lu words wrong, vector %d when called\n", wrong, result - 1);
	print("holes: option ROMs: %lu ticks a read\n", ticks);
}

/* --- the local APIC's page --- */

static void apic_page(const char *mode)
{
	*at(LAPIC + APIC_VERSION) = 0x12345678;
	*at(LAPIC + 0x400) = 0x12345678; /* no register */
	print("holes: local APIC %s: %x %x\n", mode, *at(LAPIC + APIC_VERSION), *at(LAPIC + 0x400));
}

static void set_apic(uint64_t mode)
{
	wrmsr(BASE_MSR, (rdmsr(BASE_MSR) & ~(BASE_EN | BASE_EXTD)) | mode);
}

static void apic_modes(void)
{
	apic_page("in xAPIC mode");
	if (cpuid(1, 0).ecx >> 21 & 1) {
		set_apic(BASE_EN | BASE_EXTD);
		apic_page("in x2APIC mode");
		walk_through("the local APIC's page in x2APIC mode", LAPIC);
	}
	set_apic(0);
	apic_page("disabled");
	set_apic(BASE_EN);
	apic_page("in xAPIC mode again");
}

/* --- the ends --- */

static void end_in_code(void)
{
	write_cr3(HOLE);
}

static void end_on_stack(void)
{
	asm volatile("mov %0, %%rsp; push %%rax" : : "r"(LINEAR + OFFSET) : "memory");
}

static void end_in_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = {4095, LINEAR};

	asm volatile("lidt %0; int3" : : "m"(idtr) : "memory");
}

/* Out of long mode, then paging with PAE again and its four top-level entries in a hole. */
/* Without an IDT: outside long mode half of a 64-bit gate would be a gate, too. */
static void end_in_pdptes(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	asm volatile("lidt %0" : : "m"(none));
	asm volatile("pushq $0x18; lea 1f(%%rip), %%rax; push %%rax; lretq\n"
		     "	.code32\n"
		     "1:	mov %%cr0, %%eax\n"
		     "	and $0x7fffffff, %%eax\n"
		     "	mov %%eax, %%cr0\n"
		     "	mov $0xc0000080, %%ecx\n"
		     "	rdmsr\n"
		     "	and $~0x100, %%eax\n"
		     "	wrmsr\n"
		     "	mov %%ebx, %%cr3\n"
		     "	mov %%cr0, %%eax\n"
		     "	or $0x80000000, %%eax\n"
		     "	mov %%eax, %%cr0\n"
		     "	nop\n"
		     "	ud2\n"
		     "	.code64\n"
		     :
		     : "b"((uint32_t)HOLE)
		     : "rax", "rcx", "rdx", "memory");
}

static const struct {
	const char *name;
	void (*run)(void);
} ends[] = {{"code", end_in_code},
	    {"stack", end_on_stack},
	    {"idt", end_in_idt},
	    {"pdpte", end_in_pdptes}};

static bool same(const char *value, const char *name)
{
	while (*name && *name == *value) {
		name++;
		value++;
	}
	return !*name && (!*value || *value == ' ');
}

void test_main(void)
{
	const char *end = option("end");

	rom();
	walk_through("a hole", HOLE);
	walk_through_last_level();
	walk_through("option ROM space", ROM);
	walk_through("the local APIC's page", LAPIC);
	walk_through("the hypervisor's memory", hypervisor());
	apic_modes();
	print("holes: done\n");
	hang_below(HOLE);
	for (unsigned i = 0; end && i < sizeof(ends) / sizeof(ends[0]); i++)
		if (same(end, ends[i].name))
			ends[i].run();
	power_off();
	for (;;)
		asm volatile("cli; hlt");
}
