/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The physical 16550 (PC16550D data sheet). Transmission goes through a ring, which is pushed out
 * polling until uart_irq_enable(), and from then on into a FIFO that is empty at once, else by the
 * THRE interrupt. Reception is by interrupt, on the boot CPU.
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
#define IER_ERBFI  0x01
#define IER_ETBEI  0x02
#define FCR_ENABLE 0x01
#define IIR_NONE   0x01
#define IIR_FIFO   0xc0 /* both: a FIFO that works */
#define LCR_8N1	   0x03
#define LCR_DLAB   0x80
#define MCR_ON	   0x09 /* DTR, OUT2 (gates the interrupt line) */
#define MCR_RTS	   0x02
#define LSR_DR	   0x01
#define LSR_OE	   0x02
#define LSR_BI	   0x10
#define LSR_THRE   0x20
#define LSR_TEMT   0x40
#define FIFO_SIZE  16
#define BAUD_MAX   115200

#define RING	  262144u /* a power of two; more than all but the longest commands print */
#define LOW_MARK  64u	  /* bytes: refill the ring now */
#define IRQ_LOOPS 64
#define SPINS_MAX 1000000 /* for a transmitter that has died, and for a lock whose owner has */

static uint16_t base;
static bool present, by_irq;
static uint8_t ier;
static unsigned fifo_size = 1;
static uint8_t ring[RING];
static uint32_t head, tail; /* put, taken */
static struct spinlock lock;
static bool rx_off, sender_waits; /* boot CPU only */
static uint64_t overruns;	  /* atomic */
static bool (*rx_hook)(uint8_t byte);
static void (*low_hook)(void);

static uint8_t reg(unsigned r)
{
	return inb((uint16_t)(base + r));
}

static void set(unsigned r, uint8_t v)
{
	outb((uint16_t)(base + r), v);
}

/* A read clears the error bits, whoever does it. */
static uint8_t line_status(void)
{
	uint8_t v = reg(LSR);

	if (v & LSR_OE)
		__atomic_fetch_add(&overruns, 1, __ATOMIC_RELAXED);
	return v;
}

static void set_ier(uint8_t v)
{
	if (v != ier)
		set(IER, v);
	ier = v;
}

/* Lock held. THRE raises its interrupt at once if THR is empty. */
static void update_ier(void)
{
	set_ier((rx_off ? 0 : IER_ERBFI) | (head != tail ? IER_ETBEI : 0));
}

static void set_rts(void)
{
	set(MCR, MCR_ON | (rx_off || sender_waits ? 0 : MCR_RTS));
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
	/* an interrupt for each byte: all of the FIFO is there for a CPU that comes late (and
	 * Bochs's character time-out delivers a NUL that nobody sent after the FIFO has been read)
	 */
	set(FCR, FCR_ENABLE);
	set_rts();
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

size_t uart_waiting(void)
{
	return __atomic_load_n(&head, __ATOMIC_RELAXED) - __atomic_load_n(&tail, __ATOMIC_RELAXED);
}

size_t uart_write(const void *buf, size_t n)
{
	const uint8_t *b = buf;
	size_t done = 0;
	bool empty;

	if (!present)
		return n;
	spin_lock(&lock);
	empty = head == tail;
	do {
		while (done < n && head - tail < RING)
			ring[head++ % RING] = b[done++];
		if (!by_irq)
			drain_polled();
	} while (!by_irq && done < n);
	if (by_irq && head != tail) {
		if (empty && line_status() & LSR_THRE)
			fill();
		update_ier();
	}
	spin_unlock(&lock);
	return done;
}

static void transmit(void)
{
	bool low;

	spin_lock(&lock);
	if (line_status() & LSR_THRE)
		fill();
	update_ier();
	low = head - tail <= LOW_MARK;
	spin_unlock(&lock);
	if (low && low_hook)
		low_hook();
}

static void receive(void)
{
	uint8_t status;

	for (unsigned i = 0; i < IRQ_LOOPS && !rx_off && (status = line_status()) & LSR_DR; i++) {
		uint8_t c = reg(RBR);

		if (status & LSR_BI) /* a break reads as a NUL that nobody sent */
			continue;
		if (!rx_hook(c)) {
			rx_off = true;
			set_rts();
		}
	}
}

void uart_rx_on(void)
{
	if (!rx_off)
		return;
	rx_off = false;
	set_rts();
	spin_lock(&lock);
	update_ier();
	spin_unlock(&lock);
}

void uart_sender_waits(bool wait)
{
	if (wait == sender_waits)
		return;
	sender_waits = wait;
	set_rts();
}

uint64_t uart_overruns(void)
{
	return __atomic_load_n(&overruns, __ATOMIC_RELAXED);
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

void uart_irq_enable(bool (*rx)(uint8_t byte), void (*drained)(void))
{
	unsigned irq = base == 0x2f8 || base == 0x2e8 ? 3 : 4, gsi;
	bool level, low;
	int vector;

	if (!present) {
		log_info("UART: none at 0x%x", base);
		return;
	}
	rx_hook = rx;
	low_hook = drained;
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
