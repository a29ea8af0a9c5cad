// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/console.h"
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/command.h"
#include "hv/fmt.h"
#include "hv/freeze.h"
#include "hv/lineedit.h"
#include "hv/platform.h"
#include "hv/vcpu.h"

#define RX_SIZE	  4096 /* powers of two */
#define HELD_SIZE 65536
#define OUT_MAX	  512

enum mode { BOOT, GUEST, PROMPT };

struct ring {
	uint8_t *buf;
	uint32_t size, head, tail; /* head: written so far */
};

static uint8_t rx_buf[RX_SIZE], input_buf[RX_SIZE], held_buf[HELD_SIZE];
static struct ring rx = {rx_buf, RX_SIZE, 0,
			 0}; /* from the UART's interrupt to the loop, boot CPU only */
static struct ring input = {input_buf, RX_SIZE, 0, 0}; /* typed for the guest, boot CPU only */
static struct ring held = {held_buf, HELD_SIZE, 0,
			   0}; /* the guest's output while the prompt is open; platform_lock */
static uint64_t held_lost;
static uint32_t mode = BOOT; /* enum mode, atomic; changed by the boot CPU only */
static bool want_tx_room;    /* atomic mark for the boot CPU's loop */
static struct lineedit editor;

static bool ring_put(struct ring *r, uint8_t c)
{
	if (r->head - r->tail == r->size)
		return false;
	r->buf[r->head++ & (r->size - 1)] = c;
	return true;
}

static enum mode current(void)
{
	return (enum mode)__atomic_load_n(&mode, __ATOMIC_ACQUIRE);
}

/* All of it, waiting for the line where needed. Before the UART's interrupt is on, uart_write polls
 * by itself. */
static void write_all(const char *s, size_t n)
{
	while (n) {
		size_t done = uart_write(s, n);

		s += done;
		n -= done;
		if (n && current() != BOOT)
			irq_window();
	}
}

void out(const char *f, ...)
{
	char buf[OUT_MAX], *p = buf;
	va_list ap;
	int n;

	va_start(ap, f);
	n = fmt_v(buf, sizeof(buf), f, ap);
	va_end(ap);
	if (n >= (int)sizeof(buf))
		n = sizeof(buf) - 1;
	for (char *nl; (nl = memchr(p, '\n', (size_t)(buf + n - p))) != NULL; p = nl + 1) {
		write_all(p, (size_t)(nl - p));
		write_all("\r\n", 2);
	}
	write_all(p, (size_t)(buf + n - p));
}

void console_log(const char *line, bool always)
{
	enum mode m = current();
	static const char prefix[] = "stasis: ";

	if (m == GUEST && !always)
		return;
	if (m != BOOT)
		uart_write("\r\n", 2);
	uart_write(prefix, sizeof(prefix) - 1);
	uart_write(line, strlen(line));
	uart_write("\r\n", 2);
	if (m == PROMPT && this_cpu()->index == 0 && !command_running())
		lineedit_redraw(&editor);
}

/* --- the guest's side, platform_lock held --- */

bool console_guest_putc(uint8_t c)
{
	if (current() == PROMPT) {
		if (!ring_put(&held, c)) {
			held.tail++;
			held_lost++;
			ring_put(&held, c);
		}
		return true;
	}
	if (uart_write(&c, 1) == 1)
		return true;
	__atomic_store_n(&want_tx_room, true, __ATOMIC_RELEASE);
	return false;
}

void console_guest_rx_room(void)
{
	if (input.head == input.tail)
		return;
	vcpu_request(vcpu_get(0), VCPU_REQ_CONSOLE);
}

void console_flush(void)
{
	if (held_lost)
		out("[stasis: %llu bytes of the guest's output were dropped]\n",
		    (unsigned long long)held_lost);
	held_lost = 0;
	while (held.head != held.tail) {
		char c = (char)held.buf[held.tail++ & (held.size - 1)];

		write_all(&c, 1);
	}
}

/* --- the boot CPU's loop --- */

static void rx_byte(uint8_t byte) /* in the UART's interrupt */
{
	/* full: 4 KiB typed faster than the loop looks; dropped as a UART does */
	ring_put(&rx, byte);
	vcpu_request(vcpu_get(0), VCPU_REQ_CONSOLE);
}

static void leave_prompt(void)
{
	out("\n");
	spin_lock(&platform_lock);
	console_flush();
	__atomic_store_n(&mode, GUEST, __ATOMIC_RELEASE);
	spin_unlock(&platform_lock);
}

static void enter_prompt(void)
{
	spin_lock(&platform_lock);
	__atomic_store_n(&mode, PROMPT, __ATOMIC_RELEASE);
	spin_unlock(&platform_lock);
	out("\n");
	lineedit_start(&editor);
}

static void prompt_byte(uint8_t c)
{
	if (!lineedit_feed(&editor, c))
		return;
	command_run(editor.line);
	lineedit_start(&editor);
}

static void feed_guest(void)
{
	if (freeze_state() != NODE_RUNNING) /* kept for the thaw */
		return;
	spin_lock(&platform_lock);
	while (input.head != input.tail && vuart_receive(input.buf[input.tail & (input.size - 1)]))
		input.tail++;
	spin_unlock(&platform_lock);
}

static void take_input(void)
{
	while (rx.head != rx.tail) {
		uint8_t c = rx.buf[rx.tail++ & (rx.size - 1)];

		if (c == CONSOLE_ESCAPE && current() == PROMPT)
			leave_prompt();
		else if (c == CONSOLE_ESCAPE)
			enter_prompt();
		else if (current() == PROMPT)
			prompt_byte(c);
		else
			ring_put(&input, c);
	}
}

bool console_waiting(void)
{
	return rx.head != rx.tail || input.head != input.tail ||
	       __atomic_load_n(&want_tx_room, __ATOMIC_ACQUIRE);
}

void console_poll(void)
{
	if (rx.head != rx.tail)
		take_input();
	if (input.head != input.tail)
		feed_guest();
	if (__atomic_load_n(&want_tx_room, __ATOMIC_ACQUIRE) && uart_room() > 0 &&
	    freeze_state() == NODE_RUNNING) {
		spin_lock(&platform_lock);
		__atomic_store_n(&want_tx_room, false, __ATOMIC_RELEASE);
		vuart_tx_room();
		spin_unlock(&platform_lock);
	}
}

static void room_hook(void)
{
	vcpu_request(vcpu_get(0), VCPU_REQ_CONSOLE);
}

void console_init(void)
{
	editor.prompt = "stasis> ";
	editor.emit = write_all;
	editor.complete = command_complete;
	uart_set_room_hook(room_hook);
	uart_irq_enable(rx_byte);
}

void console_guest_mode(void)
{
	__atomic_store_n(&mode, GUEST, __ATOMIC_RELEASE);
}
