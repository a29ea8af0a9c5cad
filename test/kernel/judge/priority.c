// SPDX-License-Identifier: GPL-2.0-or-later
/* Task and processor priority, IRR, ISR, TMR, EOI (SDM vol. 3, "Handling Interrupts"). */
#include "test/kernel/judge/judge.h"

#define LOW    0x45
#define LOW2   0x4a /* of LOW's class */
#define HIGH   0x85
#define HIGHER 0xc3

static void send(uint8_t vector)
{
	ipi(apic_id(), ICR_ASSERT | FIXED | vector);
	WAIT(apic_bit(APIC_IRR, vector));
}

static void request(void)
{
	send(LOW);
	EXPECT(apic_bit(APIC_IRR, LOW) && !apic_bit(APIC_ISR, LOW), "IRR %u, ISR %u",
	       apic_bit(APIC_IRR, LOW), apic_bit(APIC_ISR, LOW));
	irq_moment();
	EXPECT(taken(LOW) == 1, "%u interrupts", taken(LOW));
	EXPECT(!apic_bit(APIC_IRR, LOW) && !apic_bit(APIC_ISR, LOW), "IRR %u, ISR %u afterwards",
	       apic_bit(APIC_IRR, LOW), apic_bit(APIC_ISR, LOW));
}

/* A class is held back by a TPR of its own or a higher class. */
static void tpr(void)
{
	static const uint8_t blocking[] = {0x40, 0x4f, 0x50, 0xf0}, open[] = {0x3f, 0x30, 0};

	for (unsigned i = 0; i < sizeof(blocking); i++) {
		apic_write(APIC_TPR, blocking[i]);
		EXPECT(apic_read(APIC_TPR) == blocking[i], "TPR holds %x", apic_read(APIC_TPR));
		EXPECT(apic_read(APIC_PPR) == blocking[i], "PPR %x with TPR %x",
		       apic_read(APIC_PPR), blocking[i]);
		send(LOW);
		irq_moment();
		EXPECT(taken(LOW) == i && apic_bit(APIC_IRR, LOW), "taken in spite of TPR %x",
		       blocking[i]);
		apic_write(APIC_TPR, open[i % sizeof(open)]);
		irq_moment();
		EXPECT(taken(LOW) == i + 1, "not taken with TPR %x", open[i % sizeof(open)]);
	}
}

static void cr8(void)
{
	apic_write(APIC_TPR, 0x5c);
	EXPECT(read_cr8() == 5, "CR8 is %lx with TPR 5ch", read_cr8());
	write_cr8(9);
	EXPECT(apic_read(APIC_TPR) == 0x90, "TPR is %x with CR8 9", apic_read(APIC_TPR));
	EXPECT(read_cr8() == 9, "CR8 is %lx", read_cr8());
	send(HIGH); /* class 8 */
	irq_moment();
	EXPECT(taken(HIGH) == 0, "taken in spite of CR8 9");
	write_cr8(8);
	irq_moment();
	EXPECT(taken(HIGH) == 0, "taken in spite of CR8 8");
	irq_on();
	write_cr8(7);
	asm volatile("nop; nop; cli");
	EXPECT(taken(HIGH) == 1, "not taken with CR8 7");
}

static void write_cr8_arg(void *arg)
{
	write_cr8(*(const uint64_t *)arg);
}

static void cr8_reserved(void)
{
	uint64_t bad[] = {0x10, 0x100, 1ull << 63};

	for (unsigned i = 0; i < 3; i++)
		EXPECT(guarded(write_cr8_arg, &bad[i]) == 14, "%lx is taken", bad[i]);
}

static void order(void)
{
	static const uint8_t sent[] = {LOW, HIGHER, HIGH, LOW2}, due[] = {HIGHER, HIGH, LOW2, LOW};

	for (unsigned i = 0; i < 4; i++)
		send(sent[i]);
	for (unsigned i = 0; i < 4; i++)
		irq_moment();
	EXPECT(my_log()->total == 4, "%u interrupts", my_log()->total);
	for (unsigned i = 0; i < 4; i++)
		EXPECT(my_log()->first[i].vector == due[i], "%x as number %u",
		       my_log()->first[i].vector, i + 1);
}

/* --- nesting --- */

static struct {
	uint32_t ppr, isr_low, isr_high, irr;
	unsigned high_taken, same_taken;
} in_low;
static uint32_t ppr_in_high;

static void low_handler(struct trap_frame *f)
{
	(void)f;
	in_low.ppr = apic_read(APIC_PPR);
	in_low.isr_low = apic_bit(APIC_ISR, LOW);
	send(LOW2);
	irq_moment();
	in_low.same_taken = taken(LOW2);
	send(HIGH);
	irq_moment();
	in_low.high_taken = taken(HIGH);
	in_low.isr_high = apic_bit(APIC_ISR, HIGH);
	apic_eoi();
}

static void high_handler(struct trap_frame *f)
{
	(void)f;
	ppr_in_high = apic_read(APIC_PPR);
	apic_eoi();
}

static void nesting(void)
{
	irq_handle(LOW, low_handler);
	irq_handle(HIGH, high_handler);
	send(LOW);
	irq_moment();
	EXPECT(taken(LOW) == 1 && in_low.isr_low, "not in service in its handler");
	EXPECT(in_low.ppr == 0x40, "PPR %x in the handler of %x", in_low.ppr, LOW);
	EXPECT(in_low.same_taken == 0, "one of the same class was taken");
	EXPECT(in_low.high_taken == 1, "one of a higher class was not taken");
	EXPECT(ppr_in_high == 0x80, "PPR %x in the handler of %x", ppr_in_high, HIGH);
	EXPECT(!in_low.isr_high, "still in service after its EOI");
	irq_moment();
	EXPECT(taken(LOW2) == 1, "the one of the same class was lost");
	EXPECT(apic_read(APIC_PPR) == 0, "PPR %x at the end", apic_read(APIC_PPR));
}

/* EOI ends the highest in service, whoever writes it. */
static bool low_after_eoi, high_after_eoi;

static void no_eoi(struct trap_frame *f)
{
	(void)f;
}

static void eoi_order(void)
{
	irq_handle(LOW, no_eoi);
	irq_handle(HIGH, no_eoi);
	send(LOW);
	irq_moment();
	send(HIGH);
	irq_moment();
	EXPECT(apic_bit(APIC_ISR, LOW) && apic_bit(APIC_ISR, HIGH), "not both in service");
	EXPECT(apic_read(APIC_PPR) == 0x80, "PPR %x", apic_read(APIC_PPR));
	apic_eoi();
	high_after_eoi = apic_bit(APIC_ISR, HIGH);
	low_after_eoi = apic_bit(APIC_ISR, LOW);
	EXPECT(!high_after_eoi && low_after_eoi, "the first EOI leaves %x: %u, %x: %u in service",
	       HIGH, high_after_eoi, LOW, low_after_eoi);
	EXPECT(apic_read(APIC_PPR) == 0x40, "PPR %x after the first EOI", apic_read(APIC_PPR));
	apic_eoi();
	EXPECT(!apic_bit(APIC_ISR, LOW), "still in service");
	apic_eoi(); /* nothing in service: no effect */
	send(LOW);
	irq_handle(LOW, NULL);
	irq_moment();
	EXPECT(taken(LOW) == 2, "%u interrupts", taken(LOW));
}

/* One in service and one requested at the same vector; a third is lost. */
static void same_vector(void)
{
	irq_handle(LOW, no_eoi);
	send(LOW);
	irq_moment();
	send(LOW);
	send(LOW);
	EXPECT(apic_bit(APIC_ISR, LOW) && apic_bit(APIC_IRR, LOW), "ISR %u, IRR %u",
	       apic_bit(APIC_ISR, LOW), apic_bit(APIC_IRR, LOW));
	irq_moment();
	EXPECT(taken(LOW) == 1, "taken while in service");
	apic_eoi();
	irq_moment();
	EXPECT(taken(LOW) == 2, "%u interrupts after the EOI", taken(LOW));
	apic_eoi();
	irq_moment();
	EXPECT(taken(LOW) == 2, "%u interrupts in all", taken(LOW));
}

/* PPR is TPR, or the class of the highest in service if that is higher. */
static void ppr(void)
{
	irq_handle(HIGH, no_eoi);
	send(HIGH);
	irq_moment();
	apic_write(APIC_TPR, 0x5a);
	EXPECT(apic_read(APIC_PPR) == 0x80, "%x with TPR 5ah, ISR 85h", apic_read(APIC_PPR));
	apic_write(APIC_TPR, 0x8a);
	EXPECT(apic_read(APIC_PPR) == 0x8a, "%x with TPR 8ah, ISR 85h", apic_read(APIC_PPR));
	apic_write(APIC_TPR, 0xa3);
	EXPECT(apic_read(APIC_PPR) == 0xa3, "%x with TPR a3h, ISR 85h", apic_read(APIC_PPR));
	apic_eoi();
	apic_write(APIC_TPR, 0x17);
	EXPECT(apic_read(APIC_PPR) == 0x17, "%x with TPR 17h", apic_read(APIC_PPR));
}

static void disabled_accepts_none(void)
{
	apic_write(APIC_SVR, SPURIOUS);
	ipi(apic_id(), ICR_ASSERT | FIXED | HIGH);
	delay(50);
	EXPECT(!apic_bit(APIC_IRR, HIGH), "a request");
	irq_moment();
	EXPECT(taken(HIGH) == 0, "an interrupt");
}

/* Software-disabled: LVTs masked until software unmasks them, what is pending kept. */
static void disabled(void)
{
	apic_write(APIC_LVT_TIMER, LOW2);
	send(LOW);
	apic_write(APIC_SVR, SPURIOUS);
	EXPECT(apic_read(APIC_LVT_TIMER) & LVT_MASKED, "the timer's LVT is not masked");
	apic_write(APIC_LVT_ERROR, HIGHER);
	EXPECT(apic_read(APIC_LVT_ERROR) & LVT_MASKED, "an LVT's mask can be cleared");
	EXPECT(apic_bit(APIC_IRR, LOW), "the pending one is lost");
	apic_write(APIC_SVR, SVR_ENABLE | SPURIOUS);
	EXPECT(apic_read(APIC_LVT_TIMER) & LVT_MASKED, "the timer's LVT is unmasked by enabling");
	irq_moment();
	irq_moment();
	EXPECT(taken(LOW) == 1, "%u interrupts", taken(LOW));
}

static void spurious_register(void)
{
	apic_write(APIC_SVR, SVR_ENABLE | 0xe4);
	EXPECT((apic_read(APIC_SVR) & 0x1ff) == 0x1e4, "SVR holds %x", apic_read(APIC_SVR));
}

/* A request that TPR holds back before the processor has acknowledged it is not delivered; at most
 * a spurious interrupt is, which leaves nothing in service. */
static void held_back(void)
{
	apic_write(APIC_LVT_TIMER, LOW);
	apic_write(APIC_TMICT, apic_timer_hz() / 10000);
	allow(300);
	EXPECT(apic_bit(APIC_IRR, LOW), "no request");
	apic_write(APIC_TPR, 0xf0);
	irq_moment();
	EXPECT(taken(LOW) == 0 && taken(SPURIOUS) <= 1, "%u interrupts, %u spurious", taken(LOW),
	       taken(SPURIOUS));
	for (unsigned w = 0; w < 8; w++)
		EXPECT(apic_read(APIC_ISR + 16 * w) == 0, "something is in service");
	apic_write(APIC_TPR, 0);
	irq_moment();
	EXPECT(taken(LOW) == 1, "%u interrupts", taken(LOW));
}

/* Edges leave TMR 0. (Levels: among the IOAPIC's checks.) */
static void tmr(void)
{
	send(LOW);
	EXPECT(!apic_bit(APIC_TMR, LOW), "set for an IPI");
	irq_moment();
}

const struct check priority_checks[] = {
	{"request", request, 0},
	{"tpr", tpr, 0},
	{"cr8", cr8, 0},
	{"cr8-reserved", cr8_reserved, 0},
	{"order", order, 0},
	{"nesting", nesting, 0},
	{"eoi-order", eoi_order, 0},
	{"same-vector", same_vector, 0},
	{"ppr", ppr, 0},
	{"disabled", disabled, 0},
	{"disabled-accepts-none", disabled_accepts_none, 0},
	{"spurious-register", spurious_register, 0},
	{"held-back", held_back, 0},
	{"tmr", tmr, 0},
	{0},
};
