// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/console.h"
#include <string.h>
#include "arch/x86_64/arch.h"
#include "arch/x86_64/spinlock.h"
#include "hv/command.h"
#include "hv/execute.h"
#include "hv/fmt.h"
#include "hv/freeze.h"
#include "hv/lineedit.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/vcpu.h"
#include "net/control.h"
#include "storage/fiber.h"

#define RX_SIZE	   16384 /* powers of two */
#define INPUT_SIZE 131072
#define HELD_SIZE  65536
#define TAP_SIZE   16384
#define LATE_SIZE  8192
#define OUT_MAX	   512
#define LOG_MAX	   272 /* a line of hv/log.c and what is put around it */
#define UART_GUEST 64  /* of the guest's output in the UART's ring: the prompt answers promptly */

enum mode { BOOT, GUEST, PROMPT };

struct ring {
	uint8_t *buf;
	uint32_t size, head, tail; /* head: written so far */
};

static uint8_t rx_buf[RX_SIZE], input_buf[INPUT_SIZE], held_buf[HELD_SIZE], late_buf[LATE_SIZE];
/* from the UART's interrupt to the loop, boot CPU only */
static struct ring rx = {rx_buf, RX_SIZE, 0, 0};
/* typed for the guest; written by the boot CPU's loop only */
static struct ring input = {input_buf, INPUT_SIZE, 0, 0};
static uint64_t input_lost, input_reported;
/* the guest's output on its way to the UART; held_lock */
static struct ring held = {held_buf, HELD_SIZE, 0, 0};
static struct spinlock held_lock;
static uint64_t held_lost, held_reported; /* held_lock */
static bool guest_waits;		  /* the guest's UART has something for `held`; held_lock */
static uint32_t mode = BOOT;		  /* enum mode, atomic; changed by the boot CPU only */
static uint8_t tap_buf[TAP_SIZE];
static struct ring tap = {tap_buf, TAP_SIZE, 0, 0}; /* held_lock, like these */
static bool tapped;
static uint64_t tap_lost;
static bool want_tx_room; /* atomic mark for the boot CPU's loop */
static bool want_redraw;  /* the same */
static struct lineedit editor;
/* lines of the log that came in the middle of the command's output; late_lock, like these */
static struct ring late = {late_buf, LATE_SIZE, 0, 0};
static struct spinlock late_lock;
static bool out_open; /* the command's output is in the middle of something */
static unsigned late_lost;

/* The prompt's command; boot CPU only. */
static struct execution execution;
static bool command_busy, command_json;

static uint32_t ring_used(const struct ring *r)
{
	return r->head - r->tail;
}

static bool ring_put(struct ring *r, uint8_t c)
{
	if (ring_used(r) == r->size)
		return false;
	r->buf[r->head++ & (r->size - 1)] = c;
	return true;
}

static enum mode current(void)
{
	return (enum mode)__atomic_load_n(&mode, __ATOMIC_ACQUIRE);
}

static void set_mode(enum mode m)
{
	__atomic_store_n(&mode, m, __ATOMIC_RELEASE);
}

static bool marked(bool *mark)
{
	return __atomic_load_n(mark, __ATOMIC_ACQUIRE);
}

static void set_mark(bool *mark, bool on)
{
	__atomic_store_n(mark, on, __ATOMIC_RELEASE);
}

static void ask_loop(void)
{
	vcpu_request(vcpu_get(0), VCPU_REQ_CONSOLE);
}

/* All of it, waiting for the line where needed: a command lets the guest go on meanwhile. Before
 * the UART's interrupt is on, uart_write polls by itself. */
static void write_all(const char *s, size_t n)
{
	while (n) {
		size_t done = uart_write(s, n);

		s += done;
		n -= done;
		if (n && execute_current())
			fiber_yield();
		else if (n && current() != BOOT)
			irq_window();
	}
}

/* Of a command from elsewhere: its lines end with \n only. */
static void write_execution(struct execution *e, const char *s, size_t n)
{
	while (n) {
		size_t done = e->write(e, s, n);

		s += done;
		n -= done;
		if (n)
			fiber_yield();
	}
}

static void write_lines(const char *p, size_t n)
{
	const char *end = p + n;

	for (const char *nl; (nl = memchr(p, '\n', (size_t)(end - p))) != NULL; p = nl + 1) {
		write_all(p, (size_t)(nl - p));
		write_all("\r\n", 2);
	}
	write_all(p, (size_t)(end - p));
}

static void open_out(void)
{
	spin_lock(&late_lock);
	out_open = true;
	spin_unlock(&late_lock);
}

/* The next piece of what the log said meanwhile; 0: there is no more, it may write by itself. */
static size_t next_late(char *buf, size_t size)
{
	size_t n = 0;

	spin_lock(&late_lock);
	while (n < size && late.head != late.tail)
		buf[n++] = (char)late.buf[late.tail++ & (late.size - 1)];
	if (n == 0 && late_lost) {
		n = (size_t)fmt(buf, size, "[stasis: %u more lines are in the log]\r\n", late_lost);
		late_lost = 0;
	}
	out_open = n > 0;
	spin_unlock(&late_lock);
	return n;
}

static void close_out(void)
{
	char buf[64];

	for (size_t n; (n = next_late(buf, sizeof(buf))) > 0;)
		write_all(buf, n);
}

/* A machine reads all of JSON, a person reads lines: no line of the log comes in between. */
static void write_prompt(const char *s, size_t n)
{
	open_out();
	write_lines(s, n);
	if (n && s[n - 1] == '\n' && !command_json)
		close_out();
}

void out(const char *f, ...)
{
	struct execution *e = execute_current();
	char buf[OUT_MAX];
	va_list ap;
	int n;

	va_start(ap, f);
	n = fmt_v(buf, sizeof(buf), f, ap);
	va_end(ap);
	if (n >= (int)sizeof(buf))
		n = sizeof(buf) - 1;
	if (e && e->write)
		write_execution(e, buf, (size_t)n);
	else if (e)
		write_prompt(buf, (size_t)n);
	else
		write_lines(buf, (size_t)n);
	execute_pause();
}

static void keep_late(const char *s, size_t n)
{
	if (n > late.size - ring_used(&late))
		late_lost++;
	else
		while (n--)
			(void)ring_put(&late, (uint8_t)*s++);
}

/* One write, so that lines of several CPUs don't mix. */
void console_log(const char *line, bool always)
{
	enum mode m = current();
	char text[LOG_MAX];
	int n;

	if (m == GUEST && !always)
		return;
	n = fmt(text, sizeof(text), "%sstasis: %s\r\n", m == BOOT ? "" : "\r\n", line);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	spin_lock(&late_lock);
	if (out_open)
		keep_late(text, (size_t)n);
	else
		(void)uart_write(text, (size_t)n);
	spin_unlock(&late_lock);
	if (m != PROMPT || command_busy) /* the prompt follows anyway */
		return;
	set_mark(&want_redraw, true);
	ask_loop();
}

/* --- the guest's output --- */

/* Moves what is held to the line, while that is the guest's and takes it at once. held_lock. */
static void pump(void)
{
	while (held.head != held.tail && current() != PROMPT && uart_waiting() < UART_GUEST) {
		uint32_t at = held.tail & (held.size - 1), n = ring_used(&held);

		if (n > UART_GUEST)
			n = UART_GUEST;
		if (n > held.size - at)
			n = held.size - at;
		n = (uint32_t)uart_write(held.buf + at, n);
		held.tail += n;
	}
}

/* In the UART's interrupt: its ring is almost empty; or the mode has changed. */
static void line_low(void)
{
	spin_lock(&held_lock);
	pump();
	if (guest_waits && (current() == PROMPT || ring_used(&held) <= held.size / 2)) {
		guest_waits = false;
		set_mark(&want_tx_room, true);
		ask_loop();
	}
	spin_unlock(&held_lock);
}

/* True: somebody has to be told. held_lock. */
static bool tap_put(uint8_t c)
{
	bool was_empty = tap.head == tap.tail;

	if (!tapped)
		return false;
	if (ring_used(&tap) == tap.size) {
		tap.tail++;
		tap_lost++;
	}
	(void)ring_put(&tap, c);
	return was_empty;
}

/* platform_lock held. While the prompt is open, the guest doesn't wait for it: the oldest goes. */
bool console_guest_putc(uint8_t c)
{
	bool done, news;

	spin_lock(&held_lock);
	done = ring_put(&held, c);
	if (!done && current() == PROMPT) {
		held.tail++;
		held_lost++;
		done = ring_put(&held, c);
	}
	guest_waits |= !done;
	news = done && tap_put(c);
	pump();
	spin_unlock(&held_lock);
	if (news)
		ask_loop();
	return done;
}

void console_tap(bool on)
{
	spin_lock(&held_lock);
	tapped = on;
	tap.tail = tap.head;
	tap_lost = 0;
	spin_unlock(&held_lock);
}

size_t console_tapped(char *buf, size_t n, uint64_t *lost)
{
	size_t i = 0;

	spin_lock(&held_lock);
	while (i < n && tap.head != tap.tail)
		buf[i++] = (char)tap.buf[tap.tail++ & (tap.size - 1)];
	*lost = tap_lost;
	spin_unlock(&held_lock);
	return i;
}

static void report_held_lost(void)
{
	if (held_lost != held_reported)
		out("[stasis: %llu bytes of the guest's output were dropped]\n",
		    (unsigned long long)(held_lost - held_reported));
	held_reported = held_lost;
}

void console_flush(void)
{
	set_mode(PROMPT); /* the line is not the interrupt's any more */
	close_out();
	report_held_lost();
	while (held.head != held.tail) {
		char c = (char)held.buf[held.tail++ & (held.size - 1)];

		write_all(&c, 1);
	}
}

/* --- the prompt, in the boot CPU's loop --- */

static void leave_prompt(void)
{
	out("\n");
	if (freeze_open())
		out("[stasis: the guest is frozen; what is typed for it is kept until the thaw]\n");
	report_held_lost();
	set_mode(GUEST);
	line_low();
}

static void enter_prompt(void)
{
	set_mode(PROMPT);
	line_low();
	out("\n");
	lineedit_start(&editor);
}

static void command_done(struct execution *e, bool ok)
{
	(void)e;
	(void)ok;
	close_out();
	command_busy = false;
	lineedit_start(&editor);
}

uint64_t console_due(void)
{
	return execute_due();
}

static void prompt_byte(uint8_t c)
{
	if (!lineedit_feed(&editor, c))
		return;
	command_busy = true;
	command_json = command_wants_json(editor.line);
	execution.line = editor.line;
	execution.done = command_done;
	execute_submit(&execution);
	execute_slice();
}

/* --- what is typed --- */

/* In the UART's interrupt. */
static bool rx_byte(uint8_t byte)
{
	ring_put(&rx, byte);
	ask_loop();
	return ring_used(&rx) < rx.size;
}

/* The guest's FIFO has room again; platform_lock held, any CPU. */
void console_guest_rx_room(void)
{
	if (input.head != input.tail)
		ask_loop();
}

/* There must always be a way to the prompt, so the line is read even if there is no room left. */
static void keep_for_guest(uint8_t c)
{
	if (!ring_put(&input, c) && input_lost++ == input_reported)
		log_error("console: the guest does not take its input, which is dropped now");
	if (ring_used(&input) > input.size / 2)
		uart_sender_waits(true);
}

void console_type(const char *s, size_t n)
{
	while (n--)
		keep_for_guest((uint8_t)*s++);
	ask_loop();
}

static void take_input(void)
{
	while (rx.head != rx.tail && !command_busy) {
		uint8_t c = rx.buf[rx.tail++ & (rx.size - 1)];

		if (c == CONSOLE_ESCAPE && current() == PROMPT)
			leave_prompt();
		else if (c == CONSOLE_ESCAPE)
			enter_prompt();
		else if (current() == PROMPT)
			prompt_byte(c);
		else
			keep_for_guest(c);
	}
	uart_rx_on();
}

static void feed_guest(void)
{
	if (freeze_state() != NODE_RUNNING) /* kept for the thaw */
		return;
	spin_lock(&platform_lock);
	while (input.head != input.tail && vuart_receive(input.buf[input.tail & (input.size - 1)]))
		input.tail++;
	spin_unlock(&platform_lock);
	if (ring_used(&input) > input.size / 4)
		return;
	uart_sender_waits(false);
	if (input_lost != input_reported)
		log_error("console: %llu bytes typed for the guest were dropped",
			  (unsigned long long)(input_lost - input_reported));
	input_reported = input_lost;
}

bool console_waiting(void)
{
	return rx.head != rx.tail || input.head != input.tail || marked(&want_tx_room);
}

void console_poll(void)
{
	if (node_host_ticks() >= execute_due())
		execute_slice();
	if (tap.head != tap.tail)
		control_kick();
	if (rx.head != rx.tail && !command_busy)
		take_input();
	if (input.head != input.tail)
		feed_guest();
	if (marked(&want_tx_room) && freeze_state() == NODE_RUNNING) {
		set_mark(&want_tx_room, false);
		spin_lock(&platform_lock);
		vuart_tx_room();
		spin_unlock(&platform_lock);
	}
	if (marked(&want_redraw)) {
		set_mark(&want_redraw, false);
		if (current() == PROMPT)
			lineedit_redraw(&editor);
	}
}

void console_counts(struct console_counts *c)
{
	*c = (struct console_counts){.input_waiting = ring_used(&input),
				     .input_lost = input_lost,
				     .output_waiting = ring_used(&held),
				     .output_lost = held_lost,
				     .overruns = uart_overruns()};
}

void console_init(void)
{
	editor.prompt = "stasis> ";
	editor.emit = write_all;
	editor.complete = command_complete;
	execute_init();
	uart_irq_enable(rx_byte, line_low);
}

void console_guest_mode(void)
{
	set_mode(GUEST);
}
