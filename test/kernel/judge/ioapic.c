// SPDX-License-Identifier: GPL-2.0-or-later
/* The IOAPIC (82093AA data sheet). Edges come from the PIT on pin 2; levels from the RTC on pin 8,
 * whose request stays up until its register C is read. */
#include "test/kernel/judge/judge.h"

#define VECTOR	   0x91
#define RTC_976_US 6
#define ID_MASK	   0x0f000000u

static void registers(void)
{
	uint32_t version = ioapic_read(1), id = ioapic_read(0);

	EXPECT((version & 0xff) >= 0x11, "version %x", version & 0xff);
	EXPECT(ioapic_pins() >= 24, "%u pins", ioapic_pins());
	ioapic_write(0, 0x05000000);
	EXPECT((ioapic_read(0) & ID_MASK) == 0x05000000, "ID %x", ioapic_read(0));
	ioapic_write(0, id);
	for (unsigned pin = 0; pin < 24; pin++) {
		uint32_t high = (0xa0u + pin) << 24;

		ioapic_write(0x10 + 2 * pin + 1, high);
		ioapic_write(0x10 + 2 * pin, 0x1b9a0 + pin);
		EXPECT(ioapic_entry(pin) == 0x1a9a0 + pin, "entry %u holds %x", pin,
		       ioapic_entry(pin));
		EXPECT(ioapic_read(0x10 + 2 * pin + 1) == high, "entry %u holds %x above", pin,
		       ioapic_read(0x10 + 2 * pin + 1));
		ioapic_route(pin, RTE_MASKED, 0);
	}
}

static void edge(void)
{
	uint64_t begin;

	ioapic_route(PIT_PIN, FIXED | VECTOR, (uint8_t)apic_id());
	pit_program(0, 2, 1193);
	irq_on();
	begin = rdtsc();
	EXPECT(WAIT(taken(VECTOR) >= 5), "%u interrupts", taken(VECTOR));
	begin = rdtsc() - begin;
	EXPECT(begin >= ticks(4000) && (jitter || begin < ticks(6000)), "five take %lu ticks",
	       begin);
	EXPECT(!apic_bit(APIC_TMR, VECTOR), "TMR says level");
	EXPECT(!(ioapic_entry(PIT_PIN) & RTE_REMOTE_IRR), "remote IRR with an edge");
}

/* --- level --- */

static unsigned times, quiet_at, remote_irr, tmr;

static void rtc_handler(struct trap_frame *f)
{
	(void)f;
	times++;
	remote_irr += (ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR) != 0;
	tmr += apic_bit(APIC_TMR, VECTOR);
	if (times == quiet_at)
		rtc_quiet();
	apic_eoi();
}

static void level_setup(unsigned n)
{
	times = remote_irr = tmr = 0;
	quiet_at = n;
	irq_handle(VECTOR, rtc_handler);
}

/* Delivered again after each EOI while the line is up. */
static void level(void)
{
	level_setup(3);
	ioapic_route(RTC_IRQ, RTE_LEVEL | FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	irq_on();
	EXPECT(WAIT(times == 3), "%u interrupts", times);
	delay(3000);
	EXPECT(times == 3, "%u interrupts after the line fell", times);
	EXPECT(remote_irr == 3, "remote IRR in %u of 3 handlers", remote_irr);
	EXPECT(tmr == 3, "TMR in %u of 3 handlers", tmr);
	EXPECT(!(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR), "remote IRR at the end");
}

/* Nothing more before the EOI, and remote IRR stays so long. */
static void no_eoi(struct trap_frame *f)
{
	(void)f;
}

static void level_waits(void)
{
	level_setup(1);
	irq_handle(VECTOR, no_eoi);
	ioapic_route(RTC_IRQ, RTE_LEVEL | FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	irq_on();
	EXPECT(WAIT(taken(VECTOR)), "no interrupt");
	delay(3000);
	EXPECT(taken(VECTOR) == 1 && !apic_bit(APIC_IRR, VECTOR), "%u interrupts, IRR %u",
	       taken(VECTOR), apic_bit(APIC_IRR, VECTOR));
	EXPECT(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR, "remote IRR is gone");
	rtc_quiet();
	EXPECT(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR, "remote IRR is gone with the line");
	apic_eoi();
	EXPECT(WAIT(!(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR)), "remote IRR after the EOI");
	delay(500);
	EXPECT(taken(VECTOR) == 1, "%u interrupts", taken(VECTOR));
}

/* Accepted by the local APIC, though its priority holds it back: remote IRR is set. */
static void level_held_back(void)
{
	level_setup(1);
	apic_write(APIC_TPR, 0xf0);
	ioapic_route(RTC_IRQ, RTE_LEVEL | FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	EXPECT(WAIT(apic_bit(APIC_IRR, VECTOR)), "no request");
	EXPECT(apic_bit(APIC_TMR, VECTOR), "TMR says edge");
	EXPECT(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR, "no remote IRR");
	apic_write(APIC_TPR, 0);
	irq_on();
	EXPECT(WAIT(times == 1), "%u interrupts", times);
	delay(2000);
	EXPECT(times == 1, "%u interrupts", times);
}

static void level_masked(void)
{
	level_setup(1);
	ioapic_route(RTC_IRQ, RTE_MASKED | RTE_LEVEL | FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	irq_on();
	delay(3000);
	EXPECT(times == 0, "%u interrupts while masked", times);
	ioapic_write(0x10 + 2 * RTC_IRQ, RTE_LEVEL | FIXED | VECTOR); /* the line is up */
	EXPECT(WAIT(times == 1), "%u interrupts", times);
	delay(2000);
	EXPECT(times == 1, "%u interrupts", times);
}

/* Masked while one is in service: the EOI comes through, nothing is sent until it is unmasked. */
static void mask_in_handler(struct trap_frame *f)
{
	(void)f;
	times++;
	if (times == 1)
		ioapic_write(0x10 + 2 * RTC_IRQ, RTE_MASKED | RTE_LEVEL | FIXED | VECTOR);
	else
		rtc_quiet();
	apic_eoi();
}

static void level_masked_in_service(void)
{
	level_setup(0);
	irq_handle(VECTOR, mask_in_handler);
	ioapic_route(RTC_IRQ, RTE_LEVEL | FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	irq_on();
	EXPECT(WAIT(times == 1), "no interrupt");
	delay(2000);
	EXPECT(times == 1, "%u interrupts while masked", times);
	EXPECT(!(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR), "remote IRR after the EOI");
	ioapic_write(0x10 + 2 * RTC_IRQ, RTE_LEVEL | FIXED | VECTOR);
	EXPECT(WAIT(times == 2), "%u interrupts", times);
	delay(2000);
	EXPECT(times == 2, "%u interrupts", times);
}

/* "Edge-sensitive interrupts signaled on a masked interrupt pin are ignored." */
static void edge_masked(void)
{
	level_setup(1);
	ioapic_route(RTC_IRQ, RTE_MASKED | FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	irq_on();
	allow(3000); /* the line has gone up, and stays there */
	ioapic_write(0x10 + 2 * RTC_IRQ, FIXED | VECTOR);
	delay(3000);
	EXPECT(times == 0, "%u interrupts by an edge of before", times);
	rtc_read(RTC_C);
	EXPECT(WAIT(times == 1), "%u interrupts by the next edge", times);
}

/* An edge that is on its way when the pin is masked arrives. */
static void edge_then_masked(void)
{
	level_setup(1);
	ioapic_route(RTC_IRQ, FIXED | VECTOR, (uint8_t)apic_id());
	rtc_periodic(RTC_976_US);
	EXPECT(WAIT(apic_bit(APIC_IRR, VECTOR)), "no request");
	ioapic_write(0x10 + 2 * RTC_IRQ, RTE_MASKED | FIXED | VECTOR);
	irq_moment();
	EXPECT(times == 1, "%u interrupts", times);
}

/* --- delivery modes and destinations --- */

static void nmi(void)
{
	ioapic_route(PIT_PIN, NMI | VECTOR, (uint8_t)apic_id());
	pit_program(0, 2, 1193);
	EXPECT(WAIT(taken(2) >= 3), "%u NMIs", taken(2));
	EXPECT(taken(VECTOR) == 0, "it has a vector");
}

static unsigned both(void)
{
	return irq_log[0].count[VECTOR] + irq_log[1].count[VECTOR];
}

static void one_edge(uint32_t low, uint8_t dest)
{
	irq_log[0].count[VECTOR] = irq_log[1].count[VECTOR] = 0;
	ioapic_route(PIT_PIN, low | VECTOR, dest);
	pit_program(0, 0, 600); /* half a millisecond */
	irq_on();
	WAIT(both());
	allow(500);
	asm volatile("cli");
}

static void destinations(void)
{
	struct irq_log *l = irq_log;

	one_edge(FIXED, (uint8_t)cpu2_id());
	EXPECT(l[0].count[VECTOR] == 0 && l[1].count[VECTOR] == 1, "by ID: %u here, %u there",
	       l[0].count[VECTOR], l[1].count[VECTOR]);
	one_edge(RTE_LOGICAL | FIXED, 2);
	EXPECT(l[0].count[VECTOR] == 0 && l[1].count[VECTOR] == 1,
	       "by logical ID: %u here, %u there", l[0].count[VECTOR], l[1].count[VECTOR]);
	one_edge(RTE_LOGICAL | FIXED, 3);
	EXPECT(l[0].count[VECTOR] == 1 && l[1].count[VECTOR] == 1, "to both: %u here, %u there",
	       l[0].count[VECTOR], l[1].count[VECTOR]);
	one_edge(FIXED, IOAPIC_ALL);
	EXPECT(l[0].count[VECTOR] == 1 && l[1].count[VECTOR] == 1, "to all: %u here, %u there",
	       l[0].count[VECTOR], l[1].count[VECTOR]);
}

static void lowest(void)
{
	one_edge(RTE_LOGICAL | LOWEST, 3);
	EXPECT(both() == 1, "%u here, %u there", irq_log[0].count[VECTOR],
	       irq_log[1].count[VECTOR]);
	one_edge(RTE_LOGICAL | LOWEST, 2);
	EXPECT(irq_log[1].count[VECTOR] == 1 && both() == 1, "one candidate: %u here, %u there",
	       irq_log[0].count[VECTOR], irq_log[1].count[VECTOR]);
}

/* The other CPU's EOI ends it. */
static void level_there(void)
{
	level_setup(3);
	ioapic_route(RTC_IRQ, RTE_LEVEL | FIXED | VECTOR, (uint8_t)cpu2_id());
	rtc_periodic(RTC_976_US);
	EXPECT(WAIT(irq_log[1].count[VECTOR] == 3), "%u interrupts there",
	       irq_log[1].count[VECTOR]);
	delay(3000);
	EXPECT(irq_log[1].count[VECTOR] == 3 && times == 3, "%u interrupts",
	       irq_log[1].count[VECTOR]);
	EXPECT(remote_irr == 3, "remote IRR in %u of 3 handlers", remote_irr);
	EXPECT(!(ioapic_entry(RTC_IRQ) & RTE_REMOTE_IRR), "remote IRR at the end");
}

/* --- the 8259 through the IOAPIC: its INTR is wired to pin 0 --- */

#define IRQ0 (PIC_BASE + 0)

static void irq0_handler(struct trap_frame *f)
{
	(void)f;
	pic_eoi(0);
}

static void extint(void)
{
	irq_handle(IRQ0, irq0_handler);
	ioapic_route(0, EXTINT, (uint8_t)apic_id());
	pit_program(0, 2, 1193);
	pic_unmask(0);
	irq_on();
	EXPECT(WAIT(taken(IRQ0) >= 3), "%u interrupts", taken(IRQ0));
	asm volatile("cli");
	EXPECT(my_log()->total == taken(IRQ0), "%u others", my_log()->total - taken(IRQ0));
}

const struct check ioapic_checks[] = {
	{"registers", registers, 0},
	{"edge", edge, 0},
	{"edge-masked", edge_masked, 0},
	{"edge-then-masked", edge_then_masked, 0},
	{"level", level, 0},
	{"level-waits", level_waits, 0},
	{"level-held-back", level_held_back, 0},
	{"level-masked", level_masked, 0},
	{"level-masked-in-service", level_masked_in_service, 0},
	{"nmi", nmi, 0},
	{"extint", extint, 0},
	{"destinations", destinations, NEED_CPU2},
	{"lowest", lowest, NEED_CPU2},
	{"level-there", level_there, NEED_CPU2},
	{0},
};
