/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDT, exceptions with their fix-up table, and the dispatch of physical interrupts.
 * All gates are interrupt gates. #DF, NMI and #MC have stacks of their own (IST).
 */
#include <errno.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/trap.h"
#include "hv/log.h"

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "64-bit IDT gate");
#define GATE_INTERRUPT 0x8e /* present, DPL 0 */

struct extable_entry {
	uint64_t fault, fixup;
};

#define VECTOR_DEVICE_END 0xe0

extern uint8_t isr_stubs[]; /* isr.S, 16 bytes per vector */
extern const struct extable_entry __extable_start[], __extable_end[];
void trap_handler(struct trap_frame *f);

static struct gate idt[256] __attribute__((aligned(4096)));
static struct {
	irq_handler fn;
	void *dev;
} device[VECTOR_DEVICE_END - VECTOR_DEVICE];
static unsigned devices;
static struct log_ratelimit unexpected_limit = {.burst = 4};

void (*nmi_hook)(void);

void idt_init(void)
{
	for (unsigned v = 0; v < 256; v++) {
		uint64_t stub = (uint64_t)isr_stubs + 16ull * v;

		idt[v] = (struct gate){
			.offset_low = (uint16_t)stub,
			.selector = SEL_CODE,
			.type = GATE_INTERRUPT,
			.offset_mid = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
}

void idt_use_ist(void)
{
	idt[VEC_DF].ist = IST_DF;
	idt[VEC_NMI].ist = IST_NMI;
	idt[VEC_MC].ist = IST_MC;
}

void idt_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) r = {sizeof(idt) - 1, (uint64_t)idt};

	asm volatile("lidt %0" : : "m"(r));
	this_cpu()->idt = (uint64_t)idt;
}

int irq_vector_alloc(irq_handler fn, void *dev)
{
	if (devices == VECTOR_DEVICE_END - VECTOR_DEVICE)
		return -ENOSPC;
	device[devices].dev = dev;
	device[devices].fn = fn;
	return VECTOR_DEVICE + (int)devices++;
}

void irq_dispatch(uint8_t vector)
{
	unsigned n = vector - VECTOR_DEVICE;

	if (vector == VECTOR_SPURIOUS)
		return; /* has no in-service bit (SDM vol. 3, 11.9) */
	if (vector == VECTOR_TIMER) {
		lapic_eoi();
		lapic_timer_interrupt();
		return;
	}
	if (vector == VECTOR_KICK) {
		lapic_eoi();
		return;
	}
	if (vector >= VECTOR_DEVICE && n < devices) {
		device[n].fn(device[n].dev);
		lapic_eoi();
		return;
	}
	if (log_ratelimited(&unexpected_limit))
		log_warn("unexpected interrupt, vector 0x%x", vector);
	if (lapic_in_service(vector))
		lapic_eoi();
}

/*
 * On the NMI's own stack, NMIs blocked until the IRET: nothing here or in nmi_hook may fault, not
 * even with a fix-up, for that fault's IRET would unblock NMIs and the next one would overwrite
 * this stack.
 */
void nmi_handle(void)
{
	struct cpu *c = this_cpu();

	if (__atomic_fetch_and(&c->nmi_ours, ~NMI_PANIC, __ATOMIC_ACQ_REL) & NMI_PANIC)
		cpu_stop();
	if (nmi_hook)
		nmi_hook();
}

static bool fixup(struct trap_frame *f)
{
	for (const struct extable_entry *e = __extable_start; e < __extable_end; e++) {
		if (e->fault == f->rip) {
			f->rip = e->fixup;
			return true;
		}
	}
	return false;
}

void trap_handler(struct trap_frame *f)
{
	if (f->vector >= 32) {
		irq_dispatch((uint8_t)f->vector);
		return;
	}
	if (f->vector == VEC_NMI) {
		nmi_handle();
		return;
	}
	if (f->vector != VEC_DF && f->vector != VEC_MC && fixup(f))
		return;
	if (reset_fault_expected)
		reset_next();
	panic_trap(f);
}
