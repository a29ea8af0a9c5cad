// SPDX-License-Identifier: GPL-2.0-or-later
/* INIT and start-up IPIs (SDM vol. 3, "MP Initialization", "Local APIC State After It Receives an
 * INIT-Deassert IPI" and "... After INIT"). */
#include "test/kernel/judge/judge.h"

static volatile unsigned beats;

static void beat(void)
{
	irq_on();
	for (;;)
		beats++;
}

static void prepare_state(void)
{
	apic_write(APIC_TPR, 0x20);
	apic_write(APIC_LVT_TIMER, 0x66);
	apic_write(APIC_LVT_ERROR, 0x67);
	apic_write(APIC_TDCR, 3);
}

static void init(uint32_t dest, uint32_t shorthand)
{
	ipi(dest, shorthand | INIT | ICR_ASSERT | ICR_LEVEL);
	allow(200);
}

static void start(uint32_t dest, uint32_t shorthand, unsigned page)
{
	ipi(dest, shorthand | STARTUP | ICR_ASSERT | page);
}

/* Real mode at the vector's page, once, whatever follows. */
static void startup(void)
{
	cpu2_prepare();
	init(cpu2_id(), 0);
	start(cpu2_id(), 0, SIPI_PAGE);
	allow(200);
	start(cpu2_id(), 0, SIPI_PAGE);
	EXPECT(WAIT(cpu2_running()), "it does not run");
	EXPECT(cpu2_first.cs == SIPI_PAGE << 8, "CS %x", cpu2_first.cs);
	delay(2000);
	EXPECT(cpu2_first.starts == 1, "started %u times", cpu2_first.starts);
}

static void registers(void)
{
	uint32_t id = cpu2_id();

	EXPECT(cpu2_run(prepare_state), "no answer");
	cpu2_prepare();
	init(0, ICR_OTHERS);
	start(0, ICR_OTHERS, SIPI_PAGE);
	EXPECT(WAIT(cpu2_running()), "it does not run");
	EXPECT(!(cpu2_boot.base & BASE_EXTD) == !x2apic && (cpu2_boot.base & BASE_EN),
	       "IA32_APIC_BASE %lx", cpu2_boot.base);
	EXPECT(cpu2_boot.id == id, "ID %x, was %x", cpu2_boot.id, id);
	EXPECT(cpu2_boot.svr == 0xff, "SVR %x", cpu2_boot.svr);
	EXPECT(cpu2_boot.tpr == 0, "TPR %x", cpu2_boot.tpr);
	EXPECT(cpu2_boot.lvt_timer == LVT_MASKED && cpu2_boot.lvt_error == LVT_MASKED,
	       "LVTs %x and %x", cpu2_boot.lvt_timer, cpu2_boot.lvt_error);
	EXPECT(cpu2_boot.tdcr == 0, "divide configuration %x", cpu2_boot.tdcr);
}

/* After INIT it waits: no instruction, no interrupt. */
static void waits(void)
{
	unsigned before;

	beats = 0;
	cpu2_begin(beat);
	EXPECT(WAIT(beats > 100), "it does not run");
	init(cpu2_id(), 0);
	before = beats;
	ipi(cpu2_id(), FIXED | ICR_ASSERT | 0x58);
	delay(2000);
	EXPECT(beats == before, "it runs on after INIT");
	cpu2_prepare();
	start(cpu2_id(), 0, SIPI_PAGE);
	EXPECT(WAIT(cpu2_running()), "it does not start");
	EXPECT(irq_log[1].count[0x58] == 0, "an interrupt from before the start");
}

static bool restarts(void)
{
	cpu2_prepare();
	init(cpu2_id(), 0);
	start(cpu2_id(), 0, SIPI_PAGE);
	return WAIT(cpu2_running());
}

/* A start-up IPI without INIT, and INIT level de-assert, mean nothing to a CPU that runs. */
static void ignored(void)
{
	unsigned starts = cpu2_first.starts, before;

	start(cpu2_id(), 0, SIPI_PAGE);
	if (!x2apic)
		ipi(0, ICR_ALL | INIT | ICR_LEVEL);
	delay(2000);
	EXPECT(cpu2_first.starts == starts, "started again");
	beats = 0;
	cpu2_begin(beat);
	EXPECT(WAIT(beats > 100), "it does not run");
	before = beats;
	EXPECT(WAIT(beats > before), "it stopped");
	EXPECT(restarts(), "it does not start again");
}

/* INIT reaches a CPU that is halted with interrupts off, and one that is in an NMI handler. */
static void halted(void)
{
	asm volatile("cli; hlt");
}

static volatile bool in_nmi;

static void nmi_forever(struct trap_frame *f)
{
	(void)f;
	in_nmi = true;
	for (;;)
		asm volatile("pause");
}

static void anywhere(void)
{
	cpu2_begin(halted);
	allow(500);
	EXPECT(restarts(), "not out of HLT");
	in_nmi = false;
	irq_handle(2, nmi_forever);
	ipi(cpu2_id(), NMI | ICR_ASSERT);
	EXPECT(WAIT(in_nmi), "no NMI");
	EXPECT(restarts(), "not out of an NMI handler");
}

static void unblocks_nmi(void)
{
	in_nmi = false;
	irq_handle(2, nmi_forever);
	ipi(cpu2_id(), NMI | ICR_ASSERT);
	EXPECT(WAIT(in_nmi), "no NMI");
	EXPECT(restarts(), "it does not restart");
	irq_handle(2, NULL);
	ipi(cpu2_id(), NMI | ICR_ASSERT);
	EXPECT(WAIT(irq_log[1].count[2] == 2), "NMIs stay blocked after INIT");
}

const struct check init_checks[] = {
	{"startup", startup, NEED_CPU2},
	{"registers", registers, NEED_CPU2},
	{"waits", waits, NEED_CPU2},
	{"anywhere", anywhere, NEED_CPU2},
	{"unblocks-nmi", unblocks_nmi, NEED_CPU2},
	{"ignored", ignored, NEED_CPU2},
	{0},
};
