/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Per-CPU data and stacks. Stacks live in an area of their own, one slot per CPU, with unmapped
 * pages between them: guard | main | guard | #DF | guard | NMI | guard | #MC | unmapped to the
 * slot's end
 */
#include "arch/x86_64/internal.h"
#include "hv/log.h"

#define STACK_SLOT 0x20000ull
#define STACK_MAIN 0x8000ull
#define STACK_IST  0x2000ull
_Static_assert(4 * PAGE_SIZE + STACK_MAIN + 3 * STACK_IST <= STACK_SLOT, "stacks fit their slot");

static struct cpu bsp;
static struct cpu *cpus[CPUS_MAX];
static unsigned count;

struct cpu *cpu_get(unsigned index)
{
	return index < count ? cpus[index] : NULL;
}

unsigned cpu_count(void)
{
	return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

static uint64_t map_stack(uint64_t *va, uint64_t size)
{
	*va += PAGE_SIZE;
	paging_map_stack(*va, size);
	*va += size;
	return *va;
}

void percpu_map_stacks(struct cpu *c)
{
	uint64_t va = STACK_BASE + c->index * STACK_SLOT;

	c->stack_top = map_stack(&va, STACK_MAIN);
	for (unsigned ist = IST_DF; ist <= IST_MC; ist++)
		gdt_set_ist(c, ist, map_stack(&va, STACK_IST));
}

void percpu_load(struct cpu *c)
{
	gdt_load(c); /* zeroes GS base: no exception may come before the next line */
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	wrmsr(MSR_FS_BASE, 0);
	idt_load();
}

static void init(struct cpu *c, unsigned index, uint32_t apic_id)
{
	c->self = c;
	c->index = index;
	c->apic_id = apic_id;
	c->timer_deadline = UINT64_MAX;
}

/* The first thing at start: panic() and locks need this_cpu(). GDT and IDT follow when there is
 * memory. */
void percpu_init_bsp(void)
{
	init(&bsp, 0, 0);
	cpus[0] = &bsp;
	count = 1;
	bsp.online = true;
	wrmsr(MSR_GS_BASE, (uint64_t)&bsp);
}

void percpu_load_bsp(void)
{
	gdt_create(&bsp);
	idt_init();
	percpu_load(&bsp);
}

struct cpu *percpu_create(unsigned index, uint32_t apic_id)
{
	struct cpu *c = heap_alloc(sizeof(*c));

	init(c, index, apic_id);
	gdt_create(c);
	percpu_map_stacks(c);
	return c;
}

void percpu_publish(struct cpu *c)
{
	cpus[c->index] = c;
	__atomic_store_n(&count, c->index + 1, __ATOMIC_RELEASE);
}
