// SPDX-License-Identifier: GPL-2.0-or-later
/* The second CPU: waiting for its start, halted, and messages on their way to it. */
#include "test/kernel/states/states.h"

static void need_two(void)
{
	EXPECT(cpus > 1, "needs cpus=2");
}

static void send_init(void)
{
	cpu2_prepare();
	ipi(0, ICR_OTHERS | INIT | ICR_ASSERT | ICR_LEVEL);
	delay(200);
}

static void send_sipi(void)
{
	ipi(0, ICR_OTHERS | STARTUP | ICR_ASSERT | SIPI_PAGE);
}

static void expect_start(void)
{
	EXPECT(WAIT(cpu2_running()), "it does not start");
	EXPECT(cpu2_first.cs == SIPI_PAGE << 8 && cpu2_first.starts == 1,
	       "it starts at %x, %u times", cpu2_first.cs, cpu2_first.starts);
}

/* Waiting for its SIPI. */
static void wait_for_sipi(void)
{
	need_two();
	send_init();
	here();
	delay(200);
	EXPECT(!cpu2_running(), "it runs without a SIPI");
	send_sipi();
	expect_start();
}

/* In two halves, so that the harness can freeze on the message itself: x2APIC mode, one exit. */
static void init_only(void)
{
	need_two();
	send_init();
}

static void sipi_only(void)
{
	need_two();
	send_sipi();
	expect_start();
}

/* A second SIPI is ignored. */
static void sipi_twice(void)
{
	need_two();
	send_init();
	send_sipi();
	here();
	expect_start();
	send_sipi();
	here();
	delay(200);
	EXPECT(cpu2_first.starts == 1, "it starts %u times", cpu2_first.starts);
}

static volatile bool halted, woken;

static void halt_there(void)
{
	asm volatile("cli");
	halted = true;
	seq_halt();
	woken = true;
}

static void halt_blind_there(void)
{
	asm volatile("cli");
	halted = true;
	seq_halt_blind();
	woken = true;
}

static bool send_to_halt(void (*fn)(void))
{
	need_two();
	if (!cpu2_start())
		return false;
	halted = woken = false;
	cpu2_begin(fn);
	WAIT(halted);
	delay(200);
	return halted && !woken;
}

static void ipi_to_halted(void)
{
	EXPECT(send_to_halt(halt_there), "it does not halt");
	here();
	delay(200);
	EXPECT(!woken, "it woke up");
	ipi(0, ICR_OTHERS | ICR_ASSERT | MIDDLE);
	here();
	EXPECT(cpu2_wait() && woken, "it does not wake up");
	EXPECT(irq_log[1].total == 1 && irq_log[1].count[MIDDLE] == 1, "%u interrupts",
	       irq_log[1].total);
}

#define NMIS_MAX     50u
#define NMI_PAUSE_US 20000u

static void nmi_to_halted(void)
{
	unsigned sent;

	EXPECT(send_to_halt(halt_blind_there), "it does not halt");
	ipi(0, ICR_OTHERS | ICR_ASSERT | MIDDLE);
	here();
	delay(200);
	EXPECT(!woken, "an interrupt woke it up, and they are off");
	ipi(0, ICR_OTHERS | ICR_ASSERT | NMI);
	here();
	for (sent = 1; jitter && !woken && sent < NMIS_MAX; sent++) {
		delay(NMI_PAUSE_US); /* in real time one may be there before the HLT */
		if (!woken)
			ipi(0, ICR_OTHERS | ICR_ASSERT | NMI);
	}
	EXPECT(cpu2_wait() && woken, "it does not wake up");
	delay(200);
	EXPECT(irq_log[1].count[2] >= 1 && irq_log[1].count[2] <= sent &&
		       irq_log[1].count[MIDDLE] == 1,
	       "%u NMIs, %u interrupts", irq_log[1].count[2], irq_log[1].count[MIDDLE]);
}

static volatile bool spinning, released;

static void spin_there(void)
{
	asm volatile("cli");
	spinning = true;
	while (!released)
		asm volatile("pause");
}

/* To a CPU with interrupts off: it stays in its IRR. */
static void ipi_to_deaf(void)
{
	need_two();
	EXPECT(cpu2_start(), "it does not start");
	spinning = released = false;
	cpu2_begin(spin_there);
	EXPECT(WAIT(spinning), "it does not run");
	ipi(0, ICR_OTHERS | ICR_ASSERT | LOW);
	ipi(0, ICR_OTHERS | ICR_ASSERT | HIGH);
	here();
	EXPECT(irq_log[1].total == 0, "they came with interrupts off");
	released = true;
	EXPECT(cpu2_wait(), "it does not answer");
	EXPECT(WAIT(irq_log[1].total == 2), "%u interrupts", irq_log[1].total);
	EXPECT(irq_log[1].first[0].vector == HIGH && irq_log[1].first[1].vector == LOW,
	       "in another order");
}

/* INIT to a CPU that runs. */
static void init_running(void)
{
	need_two();
	EXPECT(cpu2_start(), "it does not start");
	spinning = released = false;
	cpu2_begin(spin_there);
	EXPECT(WAIT(spinning), "it does not run");
	cpu2_prepare();
	ipi(0, ICR_OTHERS | INIT | ICR_ASSERT | ICR_LEVEL);
	here();
	delay(200);
	EXPECT(!cpu2_running(), "it runs on");
	send_sipi();
	expect_start();
}

const struct scenario cpu2_scenarios[] = {{"wait-for-sipi", wait_for_sipi},
					  {"init", init_only},
					  {"sipi", sipi_only},
					  {"sipi-twice", sipi_twice},
					  {"ipi-to-halted", ipi_to_halted},
					  {"nmi-to-halted", nmi_to_halted},
					  {"ipi-to-deaf", ipi_to_deaf},
					  {"init-running", init_running},
					  {0}};
