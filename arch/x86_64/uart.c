/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The physical 16550 (PC16550D data sheet). Transmission goes through a ring, which is pushed out
 * polling until uart_irq_enable(), and by the THRE interrupt from then on. Reception is by
 * interrupt, on the boot CPU.
 */
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"
#include "hv/log.h"

enum {
	RBR = 0,
	THR = 0,
	DLL = 0,
	IER = 1,
	DLM = 1,
	IIR = 2,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6
};
#define IER_ERBFI     0x01
#define IER_ETBEI     0x02
#define FCR_ENABLE    0x01
#define FCR_TRIGGER_8 0x80
#define IIR_NONE      0x01
#define IIR_FIFO      0xc0 /* both: a FIFO that works */
#define LCR_8N1	      0x03
#define LCR_DLAB      0x80
#define MCR_ON	      0x0b /* DTR, RTS, OUT2 (gates the interrupt line) */
#define LSR_DR	      0x01
#define LSR_THRE      0x20
#define LSR_TEMT      0x40
#define FIFO_SIZE     16
#define BAUD_MAX      115200

#define RING	  65536u /* a power of two */
#define IRQ_LOOPS 64
#define SPINS_MAX 1000000 /* for a transmitter that has died, and for a lock whose owner has */

static uint16_t base;
static bool present, by_irq, was_full;
static uint8_t ier;
static unsigned fifo_size = 1;
static uint8_t ring[RING];
static uint32_t head, tail; /* put, taken */
static struct spinlock lock;
static void (*rx_hook)(uint8_t byte);
static void (*room_hook)(void);

static uint8_t reg(unsigned r)
{
	return inb((uint16_t)(base + r));
}

static void set(unsigned r, uint8_t v)
{
	outb((uint16_t)(base + r), v);
}

static void set_ier(uint8_t v)
{
	if (v != ier)
		set(IER, v);
	ier = v;
}

void uart_init(uint16_t port, uint32_t baud)
{
	base = port;
	if (!port || reg(LSR) == 0xff)
		return; /* nothing there: all output is dropped */
	present = true;
	set(IER, 0);
	ier = 0;
	if (baud > 0 && baud <= BAUD_MAX) {
		uint32_t divisor = BAUD_MAX / baud;

		set(LCR, LCR_DLAB | LCR_8N1);
		set(DLL, (uint8_t)divisor);
		set(DLM, (uint8_t)(divisor >> 8));
	}
	set(LCR, LCR_8N1);
	set(FCR, FCR_ENABLE | FCR_TRIGGER_8);
	set(MCR, MCR_ON);
	if ((reg(IIR) & IIR_FIFO) == IIR_FIFO)
		fifo_size = FIFO_SIZE;
}

/* THRE is up: fill the FIFO. */
static void fill(void)
{
	for (unsigned i = 0; i < fifo_size && tail != head; i++)
		set(THR, ring[tail++ % RING]);
}

static void drain_polled(void)
{
	while (tail != head) {
		unsigned spins = 0;

		while (!(reg(LSR) & LSR_THRE) && ++spins < SPINS_MAX)
			cpu_relax();
		if (spins == SPINS_MAX) {
			tail = head;
			return;
		}
		fill();
	}
}

size_t uart_room(void)
{
	return RING - (__atomic_load_n(&head, __ATOMIC_RELAXED) -
		       __atomic_load_n(&tail, __ATOMIC_RELAXED));
}

size_t uart_write(const void *buf, size_t n)
{
	const uint8_t *b = buf;
	size_t done = 0;

	if (!present)
		return n;
	spin_lock(&lock);
	do {
		while (done < n && head - tail < RING)
			ring[head++ % RING] = b[done++];
		if (!by_irq)
			drain_polled();
	} while (!by_irq && done < n);
	if (done < n)
		was_full = true;
	if (by_irq && head != tail)
		set_ier(IER_ERBFI | IER_ETBEI); /* raises the interrupt at once if THRE is up */
	spin_unlock(&lock);
	return done;
}

static void transmit(void)
{
	bool room;

	spin_lock(&lock);
	if (reg(LSR) & LSR_THRE)
		fill();
	if (head == tail)
		set_ier(IER_ERBFI);
	room = was_full && head - tail <= RING / 2;
	if (room)
		was_full = false;
	spin_unlock(&lock);
	if (room && room_hook)
		room_hook();
}

static void receive(void)
{
	for (unsigned i = 0; i < IRQ_LOOPS && reg(LSR) & LSR_DR; i++) {
		uint8_t c = reg(RBR);

		if (rx_hook)
			rx_hook(c);
	}
}

static void interrupt(void *dev)
{
	unsigned loops = 0;

	(void)dev;
	while (!(reg(IIR) & IIR_NONE) && loops++ < IRQ_LOOPS) {
		(void)reg(MSR); /* clears a modem-status cause */
		receive();
		transmit();
	}
	if (loops >
	    IRQ_LOOPS) { /* the line is still up: an edge-triggered input needs a new edge */
		spin_lock(&lock);
		set(IER, 0);
		set(IER, ier);
		spin_unlock(&lock);
	}
}

void uart_irq_enable(void (*rx)(uint8_t byte))
{
	unsigned irq = base == 0x2f8 || base == 0x2e8 ? 3 : 4, gsi;
	bool level, low;
	int vector;

	if (!present) {
		log_info("UART: none at 0x%x", base);
		return;
	}
	rx_hook = rx;
	gsi = host_isa_gsi(irq, &level, &low);
	vector = irq_vector_alloc(interrupt, NULL);
	if (vector < 0 ||
	    host_ioapic_route(gsi, (uint8_t)vector, cpu_get(0)->apic_id, level, low) < 0) {
		log_error("UART: no way to route its interrupt %u: output only", gsi);
		return;
	}
	spin_lock(&lock);
	by_irq = true;
	set(IER, IER_ERBFI);
	ier = IER_ERBFI;
	spin_unlock(&lock);
	log_info("UART: 16550 at 0x%x, interrupt %u, vector 0x%x", base, gsi, vector);
}

void uart_flush_polled(void)
{
	bool locked = false;

	if (!present)
		return;
	for (unsigned i = 0; i < SPINS_MAX && !(locked = spin_trylock(&lock)); i++)
		cpu_relax();
	set_ier(0);
	by_irq = false;
	drain_polled();
	for (unsigned i = 0; i < SPINS_MAX && !(reg(LSR) & LSR_TEMT); i++)
		cpu_relax(); /* a reset would cut off what is in the FIFO */
	if (locked)
		spin_unlock(&lock);
}

void uart_put_polled(const char *s)
{
	if (!present)
		return;
	for (; *s; s++) {
		for (unsigned i = 0; i < SPINS_MAX && !(reg(LSR) & LSR_THRE); i++)
			cpu_relax();
		set(THR, (uint8_t)*s);
	}
}

void uart_set_room_hook(void (*room)(void))
{
	room_hook = room;
}
