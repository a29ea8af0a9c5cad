/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hv/console.c and hv/execute.c stand between, played by the test: a UART, a guest with a
 * FIFO, commands that take time. Include once, after check.h.
 */
#pragma once
#include <stdarg.h>
#include <stdlib.h>
#include "arch/x86_64/arch.h"
#include "arch/x86_64/spinlock.h"
#include "hv/command.h"
#include "hv/console.h"
#include "hv/execute.h"
#include "hv/freeze.h"
#include "hv/lineedit.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/vcpu.h"
#include "net/control.h"
#include "storage/fiber.h"

#define UART_RING  262144u
#define GUEST_FIFO 16
#define HZ	   1000000000ull
#define US	   1000ull /* host ticks */

struct spinlock platform_lock;

static struct {
	/* the line */
	char out[1 << 20];
	size_t out_len, sent; /* in the ring: sent..out_len */
	bool rx_off, sender_waits;
	/* the guest */
	char typed[1 << 19];
	size_t typed_len, fifo_room;
	unsigned tx_room;
	/* the rest */
	enum freeze_state state;
	bool requested;
	unsigned commands, errors, kicks;
	bool running;
	char command[LINE_SIZE];
	uint64_t now;
	unsigned lines; /* that the next command prints, each in LINE_US */
	unsigned slices;
	uint64_t longest_slice;
	unsigned news; /* lines of the log that come in the middle of the next command's output */
} t;

#define LINE_US 5

static bool (*rx)(uint8_t byte);
static void (*drained)(void);

void uart_irq_enable(bool (*rx_hook)(uint8_t byte), void (*drained_hook)(void))
{
	rx = rx_hook;
	drained = drained_hook;
}

void uart_rx_on(void)
{
	t.rx_off = false;
}

void uart_sender_waits(bool wait)
{
	t.sender_waits = wait;
}

uint64_t uart_overruns(void)
{
	return 7;
}

size_t uart_waiting(void)
{
	return t.out_len - t.sent;
}

size_t uart_write(const void *buf, size_t n)
{
	size_t room = UART_RING - uart_waiting();

	n = n < room ? n : room;
	memcpy(t.out + t.out_len, buf, n);
	t.out_len += n;
	return n;
}

/* The line sends all that is in its ring, and what comes after. */
static inline void line_sends(void)
{
	while (uart_waiting()) {
		t.sent = t.out_len;
		drained();
	}
}

void irq_window(void)
{
	line_sends();
}

struct vcpu *vcpu_get(unsigned index)
{
	(void)index;
	return NULL;
}

void vcpu_request(struct vcpu *v, uint32_t req)
{
	(void)v;
	CHECK_EQ(req, VCPU_REQ_CONSOLE);
	t.requested = true;
}

void panic(const char *f, ...)
{
	(void)f;
	abort();
}

uint64_t tsc_hz(void)
{
	return HZ;
}

uint64_t node_host_ticks(void)
{
	return t.now;
}

void *heap_alloc(size_t bytes)
{
	return malloc(bytes);
}

void fiber_overflow(void)
{
	abort();
}

enum freeze_state freeze_state(void)
{
	return t.state;
}

bool freeze_open(void)
{
	return t.state == NODE_FROZEN;
}

bool vuart_receive(uint8_t c)
{
	if (!t.fifo_room)
		return false;
	t.fifo_room--;
	t.typed[t.typed_len++] = (char)c;
	return true;
}

void vuart_tx_room(void)
{
	t.tx_room++;
}

bool command_wants_json(const char *line)
{
	return strstr(line, "--json");
}

/* Half a line, and what the log says then; more lines of both. */
static void interrupted_output(void)
{
	char text[100];

	for (int half = 0; half < 2; half++) {
		out("half ");
		for (unsigned i = 0; i < t.news; i++) {
			(void)snprintf(text, sizeof(text), "news %d.%u", half, i);
			console_log(text, false);
		}
		out("a line\n");
	}
}

bool command_run(char *line)
{
	t.running = true;
	t.commands++;
	(void)snprintf(t.command, sizeof(t.command), "%s", line);
	for (unsigned i = 0, n = t.lines; i < n; i++) {
		t.now += LINE_US * US;
		out("line %u\n", i);
	}
	if (t.news)
		interrupted_output();
	t.running = false;
	return true;
}

void control_kick(void)
{
	t.kicks++;
}

const char *command_complete(const char *line, size_t len)
{
	(void)line, (void)len;
	return NULL;
}

void log_at(enum log_level level, const char *f, ...)
{
	char line[200];
	va_list ap;

	va_start(ap, f);
	(void)vsnprintf(line, sizeof(line), f, ap);
	va_end(ap);
	t.errors++;
	console_log(line, level == LOG_ERROR);
}

static inline void loop(void)
{
	while (t.requested) {
		t.requested = false;
		console_poll();
	}
}

/* The boot CPU's loop until no command runs. */
static inline void finish_command(void)
{
	while (console_due() != HOST_NEVER) {
		uint64_t begin;

		t.now = begin = console_due();
		console_poll();
		t.slices++;
		if (t.now - begin > t.longest_slice)
			t.longest_slice = t.now - begin;
	}
}

/* As long as the port reads; the rest stays with the sender. */
static inline size_t type_n(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && !t.rx_off)
		t.rx_off = !rx((uint8_t)s[i++]);
	return i;
}

static inline void type(const char *s)
{
	CHECK_EQ(type_n(s, strlen(s)), strlen(s));
	loop();
}

static inline void guest_prints(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(console_guest_putc((uint8_t)s[i])); /* it has not to wait */
}

static inline bool shown(const char *s)
{
	line_sends();
	t.out[t.out_len] = 0;
	return strstr(t.out, s);
}

/* Both FIFOs empty, the guest reads what it gets, the guest's console is on. */
static inline void restart(void)
{
	if (!rx)
		console_init();
	t.state = NODE_RUNNING;
	t.fifo_room = sizeof(t.typed);
	console_guest_mode();
	t.requested = true;
	loop();
	line_sends();
	memset(t.out, 0, sizeof(t.out));
	t.out_len = t.sent = t.typed_len = 0;
	t.commands = t.tx_room = t.errors = t.lines = t.slices = t.news = 0;
	t.longest_slice = 0;
	t.requested = false;
}

static inline struct console_counts counts(void)
{
	struct console_counts c;

	console_counts(&c);
	return c;
}
