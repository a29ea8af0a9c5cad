// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's serial port: a 16550A (National PC16550D data sheet) whose line is the console.
 *
 * Characters leave at once if the console has room, else they wait in the transmit FIFO and THRE
 * stays down. The line rate is not modelled: a divisor is only stored. As on a PC, OUT2 gates the
 * interrupt.
 */
#include <stddef.h>
#include <string.h>
#include "hv/bus.h"
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/unit.h"

#define FIFO_SIZE 16

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR, REGISTERS };
enum { IER_RDI = 1 << 0, IER_THRI = 1 << 1, IER_RLSI = 1 << 2, IER_MSI = 1 << 3 };
enum { IIR_NONE = 1, IIR_MSI = 0, IIR_THRI = 2, IIR_RDI = 4, IIR_RLSI = 6, IIR_TIMEOUT = 12 };
enum { IIR_FIFOS = 3 << 6 };
enum { FCR_ENABLE = 1 << 0, FCR_RX_RESET = 1 << 1, FCR_TX_RESET = 1 << 2, FCR_TRIGGER = 3 << 6 };
enum { LCR_DLAB = 1 << 7 };
enum {
	MCR_DTR = 1 << 0,
	MCR_RTS = 1 << 1,
	MCR_OUT1 = 1 << 2,
	MCR_OUT2 = 1 << 3,
	MCR_LOOP = 1 << 4,
	MCR_WRITABLE = 31,
};
enum { LSR_DR = 1 << 0, LSR_OE = 1 << 1, LSR_THRE = 1 << 5, LSR_TEMT = 1 << 6 };
enum {
	MSR_DELTAS = 15,
	MSR_TERI = 1 << 2,
	MSR_CTS = 1 << 4,
	MSR_DSR = 1 << 5,
	MSR_RI = 1 << 6,
	MSR_DCD = 1 << 7,
	MSR_LINE = MSR_CTS | MSR_DSR | MSR_DCD,
};

struct fifo {
	uint8_t data[FIFO_SIZE];
	uint8_t head, count;
};

static struct vuart {
	struct {
		uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
		uint8_t msr;
		uint8_t overrun; /* LSR_OE or 0 */
		uint8_t thri;	 /* THR became empty and nobody has looked yet */
	} reg;
	struct fifo rx, tx;
	bool rx_refused; /* the console keeps a byte until there is room */
	unsigned irq;
	struct bus_region ports;
} uart;

_Static_assert(sizeof(uart.reg) == 10, "saved as bytes: no padding");

static bool fifo_mode(void)
{
	return uart.reg.fcr & FCR_ENABLE;
}

static bool fifo_full(const struct fifo *f)
{
	return f->count >= (fifo_mode() ? FIFO_SIZE : 1);
}

static void fifo_put(struct fifo *f, uint8_t c)
{
	f->data[(f->head + f->count) % FIFO_SIZE] = c;
	f->count++;
}

static uint8_t fifo_get(struct fifo *f)
{
	uint8_t c = f->data[f->head];

	f->head = (f->head + 1) % FIFO_SIZE;
	f->count--;
	return c;
}

static void fifo_clear(struct fifo *f)
{
	memset(f, 0, sizeof(*f));
}

static unsigned trigger_level(void)
{
	static const uint8_t level[] = {1, 4, 8, 14};

	return fifo_mode() ? level[(uart.reg.fcr & FCR_TRIGGER) >> 6] : 1;
}

/* The interrupt of highest priority. Below the trigger level the character timeout is taken as run
 * out at once. */
static uint8_t identify(void)
{
	if (uart.reg.ier & IER_RLSI && uart.reg.overrun)
		return IIR_RLSI;
	if (uart.reg.ier & IER_RDI && uart.rx.count >= trigger_level())
		return IIR_RDI;
	if (uart.reg.ier & IER_RDI && uart.rx.count)
		return IIR_TIMEOUT;
	if (uart.reg.ier & IER_THRI && uart.reg.thri)
		return IIR_THRI;
	if (uart.reg.ier & IER_MSI && uart.reg.msr & MSR_DELTAS)
		return IIR_MSI;
	return IIR_NONE;
}

static void drive(void)
{
	bool gate = (uart.reg.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

	irq_isa_set(uart.irq, gate && identify() != IIR_NONE);
}

/* --- receive --- */

/* RTS down while DTR is up: the guest asks the other end to wait. */
static bool takes_input(void)
{
	return !(uart.reg.mcr & MCR_LOOP) && !fifo_full(&uart.rx) &&
	       (uart.reg.mcr & (MCR_DTR | MCR_RTS)) != MCR_DTR;
}

bool vuart_receive(uint8_t c)
{
	if (!takes_input()) {
		uart.rx_refused = true;
		return false;
	}
	fifo_put(&uart.rx, c);
	drive();
	return true;
}

/* Tell the console that there is room again. It calls vuart_receive from here. */
static void offer_room(void)
{
	if (!uart.rx_refused || !takes_input())
		return;
	uart.rx_refused = false;
	console_guest_rx_room();
}

/* --- transmit --- */

static void drain(void)
{
	bool waited = uart.tx.count;

	while (uart.tx.count && console_guest_putc(uart.tx.data[uart.tx.head]))
		fifo_get(&uart.tx);
	if (waited && !uart.tx.count)
		uart.reg.thri = 1;
}

void vuart_tx_room(void)
{
	drain();
	drive();
}

static void transmit(uint8_t c)
{
	uart.reg.thri = 0;
	if (uart.reg.mcr & MCR_LOOP) {
		if (fifo_full(&uart.rx))
			uart.reg.overrun = LSR_OE;
		else
			fifo_put(&uart.rx, c);
		uart.reg.thri = 1;
		return;
	}
	if (!fifo_full(&uart.tx)) /* a character too many is lost, as on the chip */
		fifo_put(&uart.tx, c);
	drain();
}

/* --- modem lines --- */

static uint8_t modem_lines(uint8_t mcr)
{
	if (!(mcr & MCR_LOOP))
		return MSR_LINE;
	return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
			 (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void set_modem_lines(void)
{
	uint8_t old = uart.reg.msr, lines = modem_lines(uart.reg.mcr), fell;

	fell = old & ~lines & MSR_RI; /* TERI: trailing edge only */
	uart.reg.msr = (uint8_t)(lines | (old & MSR_DELTAS) | ((old ^ lines) & MSR_LINE) >> 4 |
				 (fell ? MSR_TERI : 0));
}

/* --- registers --- */

static uint8_t read_iir(void)
{
	uint8_t id = identify();

	if (id == IIR_THRI)
		uart.reg.thri = 0;
	return (uint8_t)(id | (fifo_mode() ? IIR_FIFOS : 0));
}

static uint8_t read_lsr(void)
{
	uint8_t v = (uint8_t)((uart.rx.count ? LSR_DR : 0) | uart.reg.overrun |
			      (uart.tx.count ? 0 : LSR_THRE | LSR_TEMT));

	uart.reg.overrun = 0;
	return v;
}

static uint8_t register_read(unsigned reg)
{
	bool dlab = uart.reg.lcr & LCR_DLAB;
	uint8_t v;

	switch (reg) {
	case RBR_THR:
		if (dlab)
			return uart.reg.dll;
		return uart.rx.count ? fifo_get(&uart.rx) : 0;
	case IER:
		return dlab ? uart.reg.dlm : uart.reg.ier;
	case IIR_FCR:
		return read_iir();
	case LCR:
		return uart.reg.lcr;
	case MCR:
		return uart.reg.mcr;
	case LSR:
		return read_lsr();
	case MSR:
		v = uart.reg.msr;
		uart.reg.msr &= (uint8_t)~MSR_DELTAS;
		return v;
	default:
		return uart.reg.scr;
	}
}

static void write_ier(uint8_t v)
{
	/* enabling it while THR is empty raises it (data sheet, "THRE interrupt") */
	if (v & IER_THRI && !(uart.reg.ier & IER_THRI) && !uart.tx.count)
		uart.reg.thri = 1;
	uart.reg.ier = v & (IER_RDI | IER_THRI | IER_RLSI | IER_MSI);
}

static void write_fcr(uint8_t v)
{
	bool toggled = (v ^ uart.reg.fcr) & FCR_ENABLE;

	if (toggled || (v & FCR_ENABLE && v & FCR_RX_RESET))
		fifo_clear(&uart.rx);
	if (uart.tx.count && (toggled || (v & FCR_ENABLE && v & FCR_TX_RESET))) {
		fifo_clear(&uart.tx);
		uart.reg.thri = 1;
	}
	uart.reg.fcr = v & FCR_ENABLE ? v & (FCR_ENABLE | FCR_TRIGGER) : 0;
}

static void register_write(unsigned reg, uint8_t v)
{
	bool dlab = uart.reg.lcr & LCR_DLAB;

	switch (reg) {
	case RBR_THR:
		if (dlab)
			uart.reg.dll = v;
		else
			transmit(v);
		break;
	case IER:
		if (dlab)
			uart.reg.dlm = v;
		else
			write_ier(v);
		break;
	case IIR_FCR:
		write_fcr(v);
		break;
	case LCR:
		uart.reg.lcr = v;
		break;
	case MCR:
		uart.reg.mcr = v & MCR_WRITABLE;
		set_modem_lines();
		break;
	case SCR:
		uart.reg.scr = v;
		break;
	default: /* LSR, MSR: read only */
		break;
	}
}

static void vuart_read(void *dev, uint64_t offset, unsigned size, uint64_t *val)
{
	(void)dev;
	(void)size;
	*val = register_read((unsigned)offset);
	offer_room();
	drive();
}

static void vuart_write(void *dev, uint64_t offset, unsigned size, uint64_t val)
{
	(void)dev;
	(void)size;
	register_write((unsigned)offset, (uint8_t)val);
	offer_room();
	drive();
}

/* --- unit --- */

static void vuart_reset(void *dev)
{
	(void)dev;
	memset(&uart.reg, 0, sizeof(uart.reg));
	fifo_clear(&uart.rx);
	fifo_clear(&uart.tx);
	uart.reg.msr = MSR_LINE;
	uart.reg.dll = 1; /* 115200 baud */
}

static void vuart_thaw(void *dev)
{
	(void)dev;
	vuart_tx_room();
	offer_room();
}

/* In the order in which it comes out; 0 behind. */
static void save_fifo(struct state_writer *w, const struct fifo *f)
{
	state_put8(w, f->count);
	for (unsigned i = 0; i < FIFO_SIZE; i++)
		state_put8(w, i < f->count ? f->data[(f->head + i) % FIFO_SIZE] : 0);
}

static int vuart_save(void *dev, struct state_writer *w)
{
	(void)dev;
	state_put(w, &uart.reg, sizeof(uart.reg));
	save_fifo(w, &uart.rx);
	save_fifo(w, &uart.tx);
	return w->err;
}

static void load_fifo(struct state_reader *r, struct fifo *f, unsigned limit, const char *field)
{
	f->count = state_get8(r);
	state_get(r, f->data, sizeof(f->data));
	state_require(r, f->count <= limit, field);
	for (unsigned i = f->count; i < FIFO_SIZE; i++)
		state_require(r, f->data[i] == 0, field);
}

static void vuart_load(void *dev, struct state_reader *r)
{
	struct vuart n = {0};
	unsigned limit;

	(void)dev;
	state_get(r, &n.reg, sizeof(n.reg));
	limit = n.reg.fcr & FCR_ENABLE ? FIFO_SIZE : 1;
	state_require(r, n.reg.ier <= 15, "ier");
	state_require(r, !(n.reg.mcr & ~MCR_WRITABLE), "mcr");
	state_require(r,
		      !(n.reg.fcr & ~(FCR_ENABLE | FCR_TRIGGER)) &&
			      (!n.reg.fcr || n.reg.fcr & FCR_ENABLE),
		      "fcr");
	state_require(r, (n.reg.msr & ~MSR_DELTAS) == modem_lines(n.reg.mcr), "msr");
	state_require(r, !(n.reg.overrun & ~LSR_OE), "overrun");
	state_require(r, n.reg.thri <= 1, "thri");
	load_fifo(r, &n.rx, limit, "rx");
	load_fifo(r, &n.tx, limit, "tx");
	if (!state_commit(r))
		return;
	uart.reg = n.reg;
	uart.rx = n.rx;
	uart.tx = n.tx;
	uart.rx_refused =
		true; /* whether the console keeps a byte is not the guest's state: ask it */
}

static void vuart_scramble(void *dev)
{
	(void)dev;
	memset(&uart, 0xa5, offsetof(struct vuart, rx_refused));
}

static const struct unit vuart_unit = {.name = "uart",
				       .version = 2,
				       .reset = vuart_reset,
				       .thaw = vuart_thaw,
				       .save = vuart_save,
				       .load = vuart_load,
				       .scramble = vuart_scramble};

void vuart_init(uint16_t port, unsigned irq)
{
	uart.irq = irq;
	uart.ports = (struct bus_region){.name = "uart",
					 .base = port,
					 .size = REGISTERS,
					 .max_size = 1,
					 .read = vuart_read,
					 .write = vuart_write};
	vuart_reset(NULL);
	ASSERT(bus_add_io(&uart.ports) == 0 && unit_register(&vuart_unit) == 0);
}
