// SPDX-License-Identifier: GPL-2.0-or-later
/* The second CPU: from its start-up IPI to a loop that runs what it is given. */
#include "test/kernel/judge/judge.h"

#define AP_STACK_SIZE 16384

unsigned cpus;
uint8_t cpu2_stack[AP_STACK_SIZE] __attribute__((aligned(16)));
extern const uint8_t trampoline[], trampoline_end[];
void cpu2_main(void);

struct cpu2_boot cpu2_boot;
static volatile bool running, work_done;
static void (*volatile work)(void);
static volatile uint32_t id;

unsigned cpu_index(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	return here >= (uintptr_t)cpu2_stack && here < (uintptr_t)cpu2_stack + AP_STACK_SIZE;
}

void cpu2_main(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (x2apic && !(base & BASE_EXTD)) /* a check sees `base` */
		apic_enter_x2apic();
	cpu2_boot = (struct cpu2_boot){
		.base = base,
		.id = apic_id(),
		.svr = apic_read(APIC_SVR),
		.tpr = apic_read(APIC_TPR),
		.lvt_timer = apic_read(APIC_LVT_TIMER),
		.lvt_error = apic_read(APIC_LVT_ERROR),
		.tdcr = apic_read(APIC_TDCR),
	};
	apic_setup();
	id = apic_id();
	running = true;
	for (;;) {
		irq_on();
		while (!work)
			asm volatile("pause");
		asm volatile("cli");
		work();
		work = NULL;
		work_done = true;
	}
}

void cpu2_prepare(void)
{
	volatile uint8_t *to = (volatile uint8_t *)(uintptr_t)(SIPI_PAGE * 4096);

	for (const uint8_t *p = trampoline; p < trampoline_end; p++)
		*to++ = *p;
	cpu2_first.cs = cpu2_first.starts = 0;
	work = NULL;
	running = work_done = false;
}

bool cpu2_running(void)
{
	return running;
}

/* The only other one, so no ID is needed. */
bool cpu2_start(void)
{
	cpu2_prepare();
	ipi(0, ICR_OTHERS | INIT | ICR_ASSERT | ICR_LEVEL);
	delay(10000);
	ipi(0, ICR_OTHERS | STARTUP | ICR_ASSERT | SIPI_PAGE);
	return WAIT(running);
}

void cpu2_begin(void (*fn)(void))
{
	work_done = false;
	work = fn;
}

bool cpu2_wait(void)
{
	return WAIT(work_done);
}

bool cpu2_run(void (*fn)(void))
{
	cpu2_begin(fn);
	return cpu2_wait();
}

uint32_t cpu2_id(void)
{
	return id;
}
