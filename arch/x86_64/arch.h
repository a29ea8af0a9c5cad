/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor and the board, vendor-neutral: what hv/, vmx/ and svm/ may use. Host side only;
 * nothing of the guest. Interrupts are off everywhere in the hypervisor but in irq_window() and
 * halt_once().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arch/x86_64/cpu.h"
#include "boot/handoff.h"
#include "timevirt/vtimer.h"

typedef struct {
	uint64_t v;
} hpa_t; /* host-physical address */

/* Selectors in every CPU's GDT (gdt.c): what the VMCS host state and the SVM host need. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS	 0x18

/* --- per-CPU data (percpu.c); GS base points at it, field `self` first --- */
#define CPUS_MAX 256
struct vcpu;
struct cpu {
	struct cpu *self;
	unsigned index;	  /* 0 = boot CPU, dense */
	uint32_t apic_id; /* physical */
	int64_t tsc_skew; /* add to this CPU's TSC to get the boot CPU's (tsc_sync.c) */
	struct vcpu *vcpu;
	struct vtimerq timers;
	void *vendor;			     /* VMXON region / host save area book-keeping */
	uint64_t stack_top;		     /* of this CPU's hypervisor stack */
	uint64_t gdt, tss, idt, tr_selector; /* virtual addresses: the VMCS host state needs them */
	uint32_t nmi_ours; /* atomic: reasons for which we sent this CPU an NMI (NMI_*) */
	bool online;
	uint64_t timer_deadline; /* what the LAPIC timer is armed for, UINT64_MAX = nothing */
	void *fpu_area;		 /* fpu.c: the guest's extended state while fpu_depth > 0 */
	uint64_t fpu_xcr0;
	unsigned fpu_depth;
};
static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	asm volatile("mov %%gs:0, %0" : "=r"(c));
	return c;
}
struct cpu *cpu_get(unsigned index);
unsigned cpu_count(void);

/* --- start (start.c): called by entry.S on the BSP with the hand-off; ends in hv_main() --- */
/* hv/main.c; on the BSP, all of arch is up but the APs */
__attribute__((noreturn)) void hv_main(const struct handoff *h);
extern struct handoff *handoff; /* the hypervisor's copy */

/* Start all APs; each runs fn on its own stack (never returns). Returns the number that came up;
 * logs those that did not. */
unsigned smp_start(const struct handoff *h, __attribute__((noreturn)) void (*fn)(struct cpu *c));

/* --- memory (paging.c, heap.c) --- */
/* Zeroed, page-aligned pages from the hypervisor's block; NULL when it is used up (say hv_memory=
 * in the message). Any CPU. */
void *pages_alloc(size_t count);
void pages_free(void *p, size_t count);
/* Zeroed, 16-byte aligned, never freed; boot only; panics when out of memory. */
void *heap_alloc(size_t bytes);
size_t pages_free_count(void);
hpa_t virt_to_phys(const void *p); /* hypervisor memory and direct map */
/* RAM in the hand-off's map (direct map, NX, RW) or the hypervisor's block; the caller knows that
 * it is one of them. */
void *phys_to_virt(hpa_t p);
/* Uncached; boot only, any CPU sees it; NULL if out of space. */
void *mmio_map(hpa_t p, size_t bytes);
uint64_t paging_cr3(void); /* host CR3 for the VMCS */

/* --- IDT (idt.c): vectors the hypervisor uses --- */
#define VECTOR_TIMER	0xf0 /* this CPU's LAPIC timer */
#define VECTOR_KICK	0xf1 /* get out of the guest and look at requests */
#define VECTOR_SPURIOUS 0xff
#define VECTOR_DEVICE	0x40 /* 0x40-0xdf: irq_vector_alloc() */
typedef void (*irq_handler)(void *dev);
int irq_vector_alloc(irq_handler fn, void *dev); /* vector or -ENOSPC; boot only */
/* A physical interrupt with this vector was taken (by the IDT, or acknowledged on VM exit):
 * dispatch and EOI. */
void irq_dispatch(uint8_t vector);
extern void (*nmi_hook)(void); /* set by hv/: an NMI hit this CPU while in the hypervisor */
#define NMI_PANIC 1u	       /* another CPU panics: stop */
/* What the IDT's NMI handler does: stop if NMI_PANIC, else nmi_hook (which finds its own bits in
 * nmi_ours). May be called by a back end for an NMI that was an exit. The hook must not fault, not
 * even in rdmsr_safe (idt.c says why). */
void nmi_handle(void);

/* --- physical local APIC (lapic.c): in the mode the firmware left it --- */
void lapic_init(void); /* each CPU */
void lapic_eoi(void);
void lapic_send(uint32_t apic_id, uint8_t vector);
void lapic_send_self(uint8_t vector); /* also from NMI context */
void lapic_send_nmi(uint32_t apic_id);
void lapic_send_init(uint32_t apic_id);
void lapic_send_sipi(uint32_t apic_id, uint8_t page);
/* One-shot LAPIC timer: VECTOR_TIMER at host TSC tick `deadline` (this CPU's TSC) or a little
 * later; UINT64_MAX disarms. */
void lapic_timer_arm(uint64_t deadline);

/* --- physical IOAPIC (ioapic.c) --- */
void host_ioapic_init(void); /* masks everything */
/* Unmasked from then on; -ENODEV. */
int host_ioapic_route(unsigned gsi, uint8_t vector, uint32_t apic_id, bool level, bool low);
bool host_ioapic_in_use(unsigned gsi);			     /* routed, or not there at all */
unsigned host_isa_gsi(unsigned irq, bool *level, bool *low); /* MADT overrides applied */
void host_ioapic_mask(unsigned gsi, bool masked);	     /* one that was routed; any CPU */

/* --- host ACPI (acpi.c), parsed and copied at boot --- */
const void *host_acpi_table(const char sig[4], unsigned nth); /* copy, NULL if absent */

/* --- TSC (tsc.c) --- */
/* Measured against HPET, PM timer or PIT; CPUID believed only where it agrees. 0 before the
 * calibration. */
uint64_t tsc_hz(void);
const char *tsc_source(void);
void tsc_calibrate(void); /* BSP */
/* Busy wait; before the calibration it assumes a fast CPU and waits too long. */
void tsc_delay_us(uint64_t us);
void tsc_sync_bsp(unsigned cpu); /* BSP side of the measurement with AP `cpu`; stores its skew */
void tsc_sync_ap(void);		 /* AP side */

/* RDSEED, or RDRAND; false: this processor has neither, or they give nothing (random.c). Any CPU.
 */
bool cpu_random(uint64_t *v);

/* --- physical PCI configuration space, mechanism #1 (pci.c); any CPU --- */
/* 0xffffffff where there is no function */
uint32_t host_pci_read32(uint8_t bus, uint8_t dev, uint8_t fn, uint8_t offset);
void host_pci_write32(uint8_t bus, uint8_t dev, uint8_t fn, uint8_t offset, uint32_t v);

/* --- physical PCI functions (pci_functions.c); boot, but for host_function_command --- */
struct host_function {
	uint8_t bus, dev, fn;
	uint8_t prog_if;
	uint16_t vendor, device;
};
#define HOST_COMMAND_IO	    (1u << 0)
#define HOST_COMMAND_MEMORY (1u << 1)
#define HOST_COMMAND_MASTER (1u << 2)
/* Those of a class (PCI Code and ID Assignment), by bus, device and function; how many of them. */
unsigned host_function_find(uint8_t class_code, uint8_t subclass, struct host_function *found,
			    unsigned max);
/* Bits of the command register. */
void host_function_command(const struct host_function *f, uint32_t set, uint32_t clear);
/* A base address register of memory; 0 if it is none. */
hpa_t host_function_bar(const struct host_function *f, unsigned bar);
/* One of I/O ports; 0 if it is none, or has no place. */
uint16_t host_function_io(const struct host_function *f, unsigned bar);
/* One message for everything: MSI-X (entry 0) or MSI. -ENOTSUP: it has neither. */
int host_function_message(const struct host_function *f, uint8_t vector, uint32_t apic_id);

/* --- physical PCI functions (pci_function.c); any CPU, one at a time for a function --- */
struct host_pci {
	uint8_t bus, dev, fn;
};
struct host_bar {
	uint64_t base, size; /* size 0: there is none */
	bool io;
};
/* All functions behind all bridges, until fn says true. Boot only. */
void host_pci_each(bool (*fn)(struct host_pci p, void *ctx), void *ctx);
/* The bridge whose secondary bus this is; false: there is none, as for bus 0. Boot only. */
bool host_pci_bridge_to(uint8_t bus, struct host_pci *bridge);
uint32_t host_pci_get(struct host_pci p, unsigned offset, unsigned size); /* 1, 2, 4; aligned */
void host_pci_set(struct host_pci p, unsigned offset, unsigned size, uint32_t v);
/* The lower half only: writing the status register would clear it. */
void host_pci_command(struct host_pci p, uint16_t command);
unsigned host_pci_capability(struct host_pci p, uint8_t id); /* its offset; 0: none */
/* Decoding is off while a BAR is measured, and back afterwards. Boot only. */
struct host_bar host_pci_bar(struct host_pci p, unsigned n);
/* PCI 3.0, 6.8.1: one message; 64-bit address or not, as the function has it. */
void host_msi_enable(struct host_pci p, unsigned cap, uint8_t vector, uint32_t apic_id);
void host_msi_disable(struct host_pci p, unsigned cap);
#define HOST_MSI_ADDRESS(apic_id) (0xfee00000u | (apic_id) << 12) /* fixed, physical; ID < 256 */
/* GSI of the function's INTx pin, level-triggered and active low. -ENODEV: it has no pin;
 * -ENOTSUP: how this board routes it is not known. */
int host_pci_intx_gsi(struct host_pci p);

/* --- physical RTC --- */
uint64_t host_rtc_seconds(void); /* Unix time from the CMOS clock, read once at boot */

/* --- physical UART (uart.c), 16550 --- */
void uart_init(uint16_t port, uint32_t baud);
/*
 * Routes its interrupt to the BSP and calls both hooks in irq_dispatch context: rx with each byte;
 * false means that there is no room for another: reception stops until uart_rx_on(). drained
 * whenever the ring has become almost empty.
 */
void uart_irq_enable(bool (*rx)(uint8_t byte), void (*drained)(void));
void uart_rx_on(void);		   /* boot CPU */
void uart_sender_waits(bool wait); /* RTS down: the sender is asked to wait. Boot CPU. */
uint64_t uart_overruns(void);	   /* the FIFO was full when another byte arrived */
/* Into the ring; returns how much fitted. Drained by interrupt; before uart_irq_enable at once, by
 * polling. */
size_t uart_write(const void *buf, size_t n);
size_t uart_waiting(void);    /* bytes in the ring */
void uart_flush_polled(void); /* the end: push everything out, polling from now on */

/* --- FPU (fpu.c) --- */
/* Between these SSE code may run; the guest's whole extended state is kept in the CPU's save area.
 * They nest. */
void fpu_begin(void);
void fpu_end(void);
extern uint64_t xcr0_host_max;	       /* what CPUID.0DH offers, less what we hide */
bool fpu_xcr0_valid(uint64_t x);       /* would XSETBV take it (SDM vol. 1, 13.3)? */
uint64_t fpu_xcr0(uint64_t otherwise); /* the live one; a CPU without XSAVE has none */
size_t fpu_save_size(void); /* bytes of XSAVE area for xcr0_host_max; <= 4096 checked at boot */
/* All of xcr0_host_max, standard format; area 64-byte aligned. XCR0 is guest_xcr0 afterwards, in
 * the others too. */
void fpu_save(void *area, uint64_t guest_xcr0);
void fpu_scramble(uint64_t guest_xcr0); /* selftest: fill the live extended state with a pattern */
/* What XRSTOR would not fault on (SDM vol. 1, 13.8.1), with no bits that no save of ours sets. */
bool fpu_valid(const void *area);
/* -EINVAL if the area is not valid. */
int fpu_load(const void *area, uint64_t guest_xcr0);

/* --- the end (reset.c, panic.c) --- */
/* EFI ResetSystem, then FADT, CF9, 8042, triple fault. VMX is off on all CPUs: the caller's duty,
 * see cpu_stop(). */
__attribute__((noreturn)) void machine_reset(void);
__attribute__((noreturn)) void machine_poweroff(void);
const char *symbol_name(uint64_t addr, uint64_t *offset); /* "?" if unknown */
void panic_shows_banks(void);	 /* this CPU's next panic is about a machine check */
extern void (*panic_hook)(void); /* set by hv/: prints the last exits, with panic_printf() */
/* To the UART, polled, no lock; for panic_hook and what it calls. While panic_active, log_at() must
 * come here, too. */
void panic_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern bool panic_active;
__attribute__((noreturn)) void cpu_stop(void); /* virtualization off, then halt for good */
